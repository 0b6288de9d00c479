// Reads the answers `{"ack": chunk}` of a forward server, whatever the split into reads.

const FIX_MAP_ONE = 0x81
const ACK_KEY = Buffer.from([0xa3, 0x61, 0x63, 0x6b])

export class AckReader {
  private rest: Buffer = Buffer.alloc(0)
  private readonly onAck: (chunkId: string) => void

  constructor(onAck: (chunkId: string) => void) {
    this.onAck = onAck
  }

  push(data: Buffer): void {
    let bytes = this.rest.length === 0 ? data : Buffer.concat([this.rest, data])
    for (;;) {
      const end = this.one(bytes)
      if (end === 0) break
      bytes = bytes.subarray(end)
    }
    this.rest = Buffer.from(bytes)
  }

  /** Handles one answer and returns its length; 0 when it is not complete. */
  private one(bytes: Buffer): number {
    if (bytes.length < 7) return 0
    if (bytes[0] !== FIX_MAP_ONE || !bytes.subarray(1, 5).equals(ACK_KEY)) {
      throw new Error(`not an ack: ${bytes.subarray(0, 16).toString('hex')}`)
    }
    const type = bytes[5] ?? 0
    const isFix = (type & 0xe0) === 0xa0
    if (!isFix && type !== 0xd9 && type !== 0xc4) {
      throw new Error(`the ack is of type 0x${type.toString(16)}`)
    }
    const start = isFix ? 6 : 7
    const byteCount = isFix ? type & 0x1f : (bytes[6] ?? 0)
    if (bytes.length < start + byteCount) return 0
    this.onAck(bytes.toString('latin1', start, start + byteCount))
    return start + byteCount
  }
}
