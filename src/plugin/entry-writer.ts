// Step 2. Runs on: ingest.
// Entries `[EventTime, map]` written field by field into a block of kernel memory, for inputs whose records come as parts
// (a datagram, an export of the journal). Limit: the block; an entry that does not fit is taken back whole.

/** `[time, map with up to 65,535 pairs`; the count is put in when the entry ends. */
const HEAD_BYTES = 14
const COUNT_AT = 12
const TEXT_HEAD_BYTES_MAX = 5
const NANOS_PER_MS = 1e6

export interface PackedFields {
  readonly bytes: Buffer
  readonly count: number
}

export interface EntryTime {
  /** Since 1970, up to 2^32. */
  readonly seconds: number
  readonly nanos: number
}

export function entryTimeOf(ms: number): EntryTime {
  const seconds = Math.floor(ms / 1000)
  return { seconds, nanos: Math.floor((ms - seconds * 1000) * NANOS_PER_MS) }
}

export class EntryWriter {
  readonly #block: Buffer
  /** Behind the last whole entry. */
  #end = 0
  #at = 0
  #pairCount = 0
  #isOver = false
  #recordCount = 0
  #minSeconds = Number.POSITIVE_INFINITY
  #maxSeconds = Number.NEGATIVE_INFINITY
  #seconds = 0

  constructor(block: Buffer) {
    this.#block = block
  }

  get recordCount(): number {
    return this.#recordCount
  }

  /** Whole entries: a view, good while the block is. */
  get bytes(): Buffer {
    return this.#block.subarray(0, this.#end)
  }

  get minTimeSeconds(): number {
    return this.#minSeconds
  }

  get maxTimeSeconds(): number {
    return this.#maxSeconds
  }

  begin({ seconds, nanos }: EntryTime): void {
    this.#at = this.#end
    this.#pairCount = 0
    this.#isOver = false
    this.#seconds = seconds
    if (!this.#hasRoom(HEAD_BYTES)) return
    const block = this.#block
    block[this.#at] = 0x92
    block[this.#at + 1] = 0xd7
    block[this.#at + 2] = 0
    block.writeUInt32BE(seconds, this.#at + 3)
    block.writeUInt32BE(nanos, this.#at + 7)
    block[this.#at + 11] = 0xde
    this.#at += HEAD_BYTES
  }

  /** A field with a text; bytes are taken as they are. */
  text(key: string, value: string | Uint8Array): void {
    this.#pairCount++
    this.#putText(key)
    this.#putText(value)
  }

  /** A field with a whole number from 0 to 2^32 - 1. */
  unsigned(key: string, value: number): void {
    this.#pairCount++
    this.#putText(key)
    if (!this.#hasRoom(TEXT_HEAD_BYTES_MAX)) return
    this.#block[this.#at] = 0xce
    this.#block.writeUInt32BE(value, this.#at + 1)
    this.#at += 5
  }

  /** Begins anew. */
  clear(): void {
    this.#end = 0
    this.#recordCount = 0
    this.#minSeconds = Number.POSITIVE_INFINITY
    this.#maxSeconds = Number.NEGATIVE_INFINITY
  }

  /** False: the block has no room for this entry, and has nothing of it. */
  end(): boolean {
    if (this.#isOver) return false
    this.#block.writeUInt16BE(this.#pairCount, this.#end + COUNT_AT)
    this.#end = this.#at
    this.#recordCount++
    this.#minSeconds = Math.min(this.#minSeconds, this.#seconds)
    this.#maxSeconds = Math.max(this.#maxSeconds, this.#seconds)
    return true
  }

  #putText(text: string | Uint8Array): void {
    const byteCount = typeof text === 'string' ? Buffer.byteLength(text) : text.length
    if (!this.#hasRoom(TEXT_HEAD_BYTES_MAX + byteCount)) return
    this.#at = writeTextHead(this.#block, this.#at, byteCount)
    if (typeof text === 'string') this.#block.write(text, this.#at)
    else this.#block.set(text, this.#at)
    this.#at += byteCount
  }

  #hasRoom(byteCount: number): boolean {
    if (this.#at + byteCount > this.#block.length) this.#isOver = true
    return !this.#isOver
  }
}

/** Header of a MessagePack str; gives the byte behind it. */
export function writeTextHead(target: Buffer, at: number, byteCount: number): number {
  if (byteCount < 32) {
    target[at] = 0xa0 | byteCount
    return at + 1
  }
  if (byteCount < 0x100) {
    target[at] = 0xd9
    target[at + 1] = byteCount
    return at + 2
  }
  if (byteCount < 0x10000) {
    target[at] = 0xda
    target.writeUInt16BE(byteCount, at + 1)
    return at + 3
  }
  target[at] = 0xdb
  target.writeUInt32BE(byteCount, at + 1)
  return at + TEXT_HEAD_BYTES_MAX
}

/** Fields as MessagePack pairs, for records that share them. */
export function packFields(fields: readonly (readonly [string, string])[]): PackedFields {
  const texts = fields.flat()
  const byteCount = texts.reduce(
    (sum, text) => sum + TEXT_HEAD_BYTES_MAX + Buffer.byteLength(text),
    0
  )
  const bytes = Buffer.alloc(byteCount)
  let at = 0
  for (const text of texts) {
    at = writeTextHead(bytes, at, Buffer.byteLength(text))
    at += bytes.write(text, at)
  }
  return { bytes: bytes.subarray(0, at), count: fields.length }
}
