// Step 2. Runs on: ingest.
// The journal export format in pieces of any size: `NAME=text\n`, or `NAME\n`, 64-bit little-endian length, bytes, `\n`; an
// empty line ends an entry. Fields that nobody wants are passed over without being kept, however long they are (a core
// dump is one field). What is over the limits below is cut off and counted, and never ends the reading.

import { MillraceError } from '../../../src/core/errors.ts'

/** Bytes of one value. */
export const FIELD_BYTES_MAX = 1024 * 1024
/** Bytes of what one entry keeps, with its names and FIELD_EXTRA_BYTES for each. */
export const ENTRY_BYTES_MAX = 1536 * 1024
/** What MessagePack has besides name and value: two heads of 5 bytes. */
const FIELD_EXTRA_BYTES = 10
/** Fields that one entry keeps; journald takes no more in one. */
export const FIELDS_MAX = 1024
/** journald takes names of 64 bytes at most. */
const NAME_BYTES_MAX = 255
const SIZE_BYTES = 8
const LINE_FEED = 0x0a
const EQUALS_SIGN = 0x3d
const EMPTY: Buffer = Buffer.alloc(0)

export interface JournalEntry {
  /** In the order of the journal; of a field that comes several times the first. */
  readonly fields: ReadonlyMap<string, Buffer>
  /** Fields that were cut or left out. */
  readonly cutCount: number
}

type Place = 'name' | 'text' | 'size' | 'binary' | 'behind binary'

export class ExportReader {
  readonly #isWanted: (name: string) => boolean
  #chunk: Buffer = EMPTY
  #at = 0
  #place: Place = 'name'
  /** A name or a length that is not whole yet. */
  #begun: Buffer = EMPTY
  #name = ''
  #binaryBytesLeft = 0
  /** Value of the field; null: it is passed over. */
  #parts: Buffer[] | null = null
  #room = 0
  #isCut = false
  #hasFields = false
  #fields = new Map<string, Buffer>()
  #entryBytes = 0
  #cutCount = 0

  constructor(isWanted: (name: string) => boolean) {
    this.#isWanted = isWanted
  }

  /** Views of the bytes are kept. */
  push(bytes: Buffer): void {
    const rest = this.#chunk.subarray(this.#at)
    this.#chunk = rest.length === 0 ? bytes : Buffer.concat([rest, bytes])
    this.#at = 0
  }

  /** Null: none is whole yet. Throws MR_INPUT_MESSAGE when the bytes are no export of a journal. */
  next(): JournalEntry | null {
    while (this.#at < this.#chunk.length) {
      if (this.#place === 'name') {
        if (this.#readName()) return this.#finishEntry()
      } else if (this.#place === 'text') this.#readText()
      else if (this.#place === 'size') this.#readSize()
      else if (this.#place === 'binary') this.#readBinary()
      else this.#readEndOfBinary()
    }
    this.#chunk = EMPTY
    this.#at = 0
    return null
  }

  /** True: an empty line behind fields. */
  #readName(): boolean {
    const chunk = this.#chunk
    let end = this.#at
    while (end < chunk.length && chunk[end] !== LINE_FEED && chunk[end] !== EQUALS_SIGN) end++
    if (this.#begun.length + end - this.#at > NAME_BYTES_MAX) throw broken('a name without an end')
    const bytes = this.#joinBegun(end)
    if (end === chunk.length) {
      this.#begun = bytes
      this.#at = end
      return false
    }
    this.#at = end + 1
    this.#begun = EMPTY
    const isText = chunk[end] === EQUALS_SIGN
    if (bytes.length === 0) {
      if (isText) throw broken('a field without a name')
      return this.#hasFields
    }
    this.#beginField(bytes.toString('latin1'))
    this.#place = isText ? 'text' : 'size'
    return false
  }

  #readText(): void {
    const end = this.#chunk.indexOf(LINE_FEED, this.#at)
    this.#keep(end < 0 ? this.#chunk.length : end)
    if (end < 0) return
    this.#at = end + 1
    this.#finishField()
  }

  #readSize(): void {
    const end = Math.min(this.#chunk.length, this.#at + SIZE_BYTES - this.#begun.length)
    const bytes = this.#joinBegun(end)
    this.#at = end
    this.#begun = bytes
    if (bytes.length < SIZE_BYTES) return
    this.#begun = EMPTY
    const byteCount = bytes.readBigUInt64LE()
    if (byteCount > Number.MAX_SAFE_INTEGER) throw broken(`a field of ${byteCount} bytes`)
    this.#binaryBytesLeft = Number(byteCount)
    this.#place = byteCount === 0n ? 'behind binary' : 'binary'
  }

  #readBinary(): void {
    const end = Math.min(this.#chunk.length, this.#at + this.#binaryBytesLeft)
    this.#binaryBytesLeft -= end - this.#at
    this.#keep(end)
    if (this.#binaryBytesLeft === 0) this.#place = 'behind binary'
  }

  #readEndOfBinary(): void {
    if (this.#chunk[this.#at] !== LINE_FEED) throw broken('a field longer than its length')
    this.#at++
    this.#finishField()
  }

  #joinBegun(end: number): Buffer {
    const bytes = this.#chunk.subarray(this.#at, end)
    return this.#begun.length === 0 ? bytes : Buffer.concat([this.#begun, bytes])
  }

  #beginField(name: string): void {
    this.#name = name
    this.#hasFields = true
    this.#parts = null
    this.#isCut = false
    if (!this.#isWanted(name) || this.#fields.has(name)) return
    const room = ENTRY_BYTES_MAX - this.#entryBytes - name.length - FIELD_EXTRA_BYTES
    if (room < 0 || this.#fields.size === FIELDS_MAX) {
      this.#cutCount++
      return
    }
    this.#parts = []
    this.#room = Math.min(room, FIELD_BYTES_MAX)
  }

  /** The value goes on up to `end`. */
  #keep(end: number): void {
    const byteCount = Math.min(end - this.#at, this.#room)
    if (this.#parts !== null && byteCount > 0) {
      this.#parts.push(this.#chunk.subarray(this.#at, this.#at + byteCount))
    }
    if (byteCount < end - this.#at) this.#isCut = true
    this.#room -= byteCount
    this.#at = end
  }

  #finishField(): void {
    this.#place = 'name'
    const parts = this.#parts
    if (parts === null) return
    const whole = parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts)
    const value = this.#isCut ? withoutCutCharacter(whole) : whole
    if (this.#isCut) this.#cutCount++
    this.#fields.set(this.#name, value)
    this.#entryBytes += this.#name.length + FIELD_EXTRA_BYTES + value.length
    this.#parts = null
  }

  #finishEntry(): JournalEntry {
    const entry = { fields: this.#fields, cutCount: this.#cutCount }
    this.#fields = new Map()
    this.#entryBytes = 0
    this.#cutCount = 0
    this.#hasFields = false
    return entry
  }
}

const broken = (what: string): MillraceError =>
  new MillraceError('MR_INPUT_MESSAGE', `no export of a journal: ${what}`)

/** Without the first bytes of a UTF-8 character whose others were cut off. */
function withoutCutCharacter(bytes: Buffer): Buffer {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back] ?? 0
    if (byte < 0x80) return bytes
    if (byte < 0xc0) continue
    const needed = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
    return needed > back ? bytes.subarray(0, -back) : bytes
  }
  return bytes
}
