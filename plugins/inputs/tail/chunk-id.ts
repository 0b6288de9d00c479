// Step 2. Runs on: ingest.
// Ids of chunks of files. A chunk that was durable before a crash, and whose position was not, is found by its id among
// those that the queue held at the start, and not stored twice. An id says input, file, first and last byte, and the
// end of the text, so that other text in the place of a chunk is never taken for it.

import { hash } from 'node:crypto'
import { crc32 } from 'node:zlib'

/** `str 8` of MessagePack and its length. */
const HEAD = Buffer.from([0xd9, 0])
const FILE_BYTES = 12
const PLACE_BYTES = 6
const CRC_BYTES = 4
const RAW_BYTES = FILE_BYTES + 2 * PLACE_BYTES + CRC_BYTES
/** Bytes before the end of a chunk that its id covers. */
const CHECKED_BYTES = 256

export class ChunkIds {
  readonly #raw = Buffer.alloc(RAW_BYTES)

  /** `file`: device and inode. */
  constructor(inputId: string, file: string) {
    hash('sha256', `${inputId}\0${file}`, 'buffer').copy(this.#raw, 0, 0, FILE_BYTES)
  }

  /** Of the first `byteCount` bytes of `text`, which begins at `startByte` of the file. */
  idOf(text: Buffer, startByte: number, byteCount: number): Buffer {
    const raw = this.#raw
    const checked = text.subarray(Math.max(0, byteCount - CHECKED_BYTES), byteCount)
    let at = raw.writeUIntBE(startByte, FILE_BYTES, PLACE_BYTES)
    at = raw.writeUIntBE(startByte + byteCount, at, PLACE_BYTES)
    raw.writeUInt32BE(crc32(checked), at)
    const id = Buffer.concat([HEAD, Buffer.from(raw.toString('base64url'))])
    id[1] = id.length - HEAD.length
    return id
  }
}
