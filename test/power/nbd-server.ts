// A disk over the NBD protocol (fixed newstyle, simple replies) for one client at a time: a virtual machine's. Flush and
// FUA are announced, so that the machine uses them; trimming and zeroing are not, so that all it does is write.

import { createServer, type Server, type Socket } from 'node:net'
import type { VolatileDisk } from './volatile-disk.ts'

const HANDSHAKE = Buffer.concat([Buffer.from('NBDMAGICIHAVEOPT'), u16(0b11)])
const OPTION_MAGIC = Buffer.from('IHAVEOPT')
const OPTION_REPLY_MAGIC = 0x3e889045565a9n
const REQUEST_MAGIC = 0x25609513
const REPLY_MAGIC = 0x67446698
const OPTION_ABORT = 2
const OPTION_GO = 7
const REPLY_ACK = 1
const REPLY_INFO = 3
const REPLY_UNSUPPORTED = 0x80000001
/** Has flags, takes flush, takes FUA. */
const DISK_FLAGS = 0b1101
const COMMAND = { read: 0, write: 1, disconnect: 2, flush: 3 } as const
const FLAG_FUA = 1
const INVALID = 22
const REQUEST_BYTES = 28
const OPTION_BYTES = 16
const CLIENT_FLAGS_BYTES = 4

export class NbdServer {
  readonly #disk: VolatileDisk
  readonly #server: Server
  #client: NbdClient | null = null

  constructor(disk: VolatileDisk) {
    this.#disk = disk
    this.#server = createServer((socket) => {
      this.#client = new NbdClient(socket, this.#disk)
    })
  }

  async listen(path: string): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(path, resolve))
  }

  /** Nothing that the machine still had on the way reaches the disk. */
  disconnect(): void {
    this.#client?.end()
    this.#client = null
  }

  close(): void {
    this.disconnect()
    this.#server.close()
  }
}

class NbdClient {
  readonly #socket: Socket
  readonly #disk: VolatileDisk
  #received: Buffer = Buffer.alloc(0)
  #stage: 'flags' | 'options' | 'requests' | 'ended' = 'flags'

  constructor(socket: Socket, disk: VolatileDisk) {
    this.#socket = socket
    this.#disk = disk
    socket.on('error', () => undefined)
    socket.on('data', (bytes) => {
      if (this.#stage === 'ended') return
      this.#received = Buffer.concat([this.#received, bytes])
      while (this.#step());
    })
    socket.write(HANDSHAKE)
  }

  end(): void {
    this.#stage = 'ended'
    this.#socket.destroy()
  }

  /** False: more bytes are needed. */
  #step(): boolean {
    switch (this.#stage) {
      case 'flags':
        if (this.#take(CLIENT_FLAGS_BYTES) === null) return false
        this.#stage = 'options'
        return true
      case 'options':
        return this.#option()
      case 'requests':
        return this.#request()
      case 'ended':
        return false
    }
  }

  #option(): boolean {
    if (this.#received.length < OPTION_BYTES) return false
    const byteCount = this.#received.readUInt32BE(12)
    const option = this.#received.readUInt32BE(8)
    const whole = this.#take(OPTION_BYTES + byteCount)
    if (whole === null) return false
    if (!whole.subarray(0, 8).equals(OPTION_MAGIC)) this.end()
    else if (option === OPTION_GO) {
      const info = Buffer.concat([u16(0), u64(this.#disk.byteCount), u16(DISK_FLAGS)])
      this.#replyToOption(option, REPLY_INFO, info)
      this.#replyToOption(option, REPLY_ACK)
      this.#stage = 'requests'
    } else if (option === OPTION_ABORT) {
      this.#replyToOption(option, REPLY_ACK)
      this.end()
    } else this.#replyToOption(option, REPLY_UNSUPPORTED)
    return true
  }

  #replyToOption(option: number, type: number, data: Buffer = Buffer.alloc(0)): void {
    const head = Buffer.concat([u64(OPTION_REPLY_MAGIC), u32(option), u32(type), u32(data.length)])
    this.#socket.write(Buffer.concat([head, data]))
  }

  #request(): boolean {
    if (this.#received.length < REQUEST_BYTES) return false
    const head = this.#received
    const command = head.readUInt16BE(6)
    const byteCount = head.readUInt32BE(24)
    const whole = this.#take(REQUEST_BYTES + (command === COMMAND.write ? byteCount : 0))
    if (whole === null) return false
    if (whole.readUInt32BE(0) !== REQUEST_MAGIC || command === COMMAND.disconnect) {
      this.end()
      return false
    }
    const startByte = Number(whole.readBigUInt64BE(16))
    const isForced = (whole.readUInt16BE(4) & FLAG_FUA) !== 0
    const cookie = whole.subarray(8, 16)
    const isInside = startByte + byteCount <= this.#disk.byteCount
    const answer = (error: number, data: Buffer = Buffer.alloc(0)) =>
      this.#socket.write(Buffer.concat([u32(REPLY_MAGIC), u32(error), cookie, data]))
    if (command === COMMAND.flush) {
      this.#disk.flush()
      answer(0)
    } else if (!isInside) answer(INVALID)
    else if (command === COMMAND.read) answer(0, this.#disk.read(startByte, byteCount))
    else if (command === COMMAND.write) {
      this.#disk.write(startByte, Buffer.from(whole.subarray(REQUEST_BYTES)), isForced)
      answer(0)
    } else answer(INVALID)
    return true
  }

  /** Null: so many have not come yet. */
  #take(byteCount: number): Buffer | null {
    if (this.#received.length < byteCount) return null
    const taken = this.#received.subarray(0, byteCount)
    this.#received = this.#received.subarray(byteCount)
    return taken
  }
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return bytes
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

function u64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(value))
  return bytes
}
