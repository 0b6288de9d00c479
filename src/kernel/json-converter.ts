// Runs on: ingest.
// JSON text, and MessagePack of other shapes, to entries in the kernel: strict RFC 8259 and UTF-8, no JavaScript object per
// record. Integers of 64 bits stay exact, other numbers become float64, a number that neither can hold becomes its text.
// Keys that come twice are both kept; the last wins where records are read. Texts and results lie in blocks of the
// kernel's memory. A body may come in pieces: a result says where the next piece has to begin.

import { invariant } from '../core/invariant.ts'
import { RECORD_NESTING_MAX } from '../core/limits.ts'
import { BlockAllocator } from './blocks.ts'
import { type Kernel, type KernelImports, TAIL_BYTES } from './instance.ts'

export type JsonErrorReason =
  | 'cut_short'
  | 'unexpected_byte'
  | 'nested_too_deep'
  | 'bad_utf8'
  | 'bad_escape'
  | 'control_character'
  | 'bad_number'
  | 'not_an_object'

export interface JsonError {
  /** Where in the text reading stopped. */
  readonly byte: number
  /** Where the value begins that is not good; the results are of those before. */
  readonly valueStartByte: number
  readonly reason: JsonErrorReason
}

export interface JsonResult {
  /** Entries or messages, in a block of the kernel's memory: give it back when done. */
  readonly bytes: Buffer
  readonly valueCount: number
  readonly error: JsonError | null
  /** For `list` of the next piece; 0: no list is open. */
  readonly list: number
}

/** What is done with every record. */
export interface RecordRules {
  /** Time of records that bear none, seconds since 1970 (up to 2^32) and nanoseconds. */
  readonly timeSeconds: number
  readonly timeNanos: number
  /** Keys whose number, in seconds, or text in ISO 8601 is the time of a record; the first in the record counts. */
  readonly timeKeys?: readonly string[]
  /** The pair of the time stays in the record. Default: it is left out. */
  readonly isTimeKept?: boolean
  /** Numbers of 1e11 and above under a time key are milli-, micro- or nanoseconds. Default: true. */
  readonly isTimeUnitGuessed?: boolean
  /** Pairs in MessagePack that every record gets; they win over its own. */
  readonly extra?: ExtraPairs
}

export interface ExtraPairs {
  readonly bytes: Buffer
  readonly count: number
}

export interface JsonEntryOptions extends RecordRules {
  /** One record per line: a line feed within a record is an error there, so one bad line costs no other. */
  readonly isByLine?: boolean
  /** Where the piece before ended: its `list`. */
  readonly list?: number
}

/** Documents of equal action lines. */
export interface BulkDocuments {
  readonly entries: Buffer
  readonly count: number
  /** Bytes up to the action line at which reading stopped. */
  readonly readBytes: number
  /** Of the document behind that line. */
  readonly error: JsonError | null
}

/** State of a value whose end is looked for; the next call gets the same bytes and more. */
export class JsonProgress {
  scannedBytes = 0
  depth = 0
  state = 0
}

export interface JsonExports {
  jsonSetRules(...values: number[]): void
  jsonToEntries(start: number, end: number, target: number, targetEnd: number, list: number): number
  jsonToMessages(start: number, end: number, target: number, targetEnd: number): number
  jsonToObject(start: number, end: number, target: number, targetEnd: number): number
  jsonListState(): number
  packToEntries(start: number, end: number, target: number, targetEnd: number, list: number): number
  packListLeft(): number
  bulkToEntries(
    start: number,
    end: number,
    target: number,
    targetEnd: number,
    actionBytes: number
  ): number
  recordSetTimeRules(keys: number, keyCount: number, isKept: number, isGuessed: number): void
  recordSetExtra(pairs: number, byteCount: number, count: number): void
  jsonRecordCount(): number
  jsonErrorReason(): number
  jsonErrorByte(): number
  jsonRecordByte(): number
  jsonSplit(start: number, end: number, depth: number, state: number, depthMax: number): number
  jsonSplitByte(): number
  jsonSplitDepth(): number
  jsonSplitState(): number
}

/** What the reader of numbers asks of the host: exact conversion of many digits, rare in logs. */
export function jsonImports(memory: () => Buffer): KernelImports {
  const text = (start: number, byteCount: number) => {
    return memory().toString('latin1', start, start + byteCount)
  }
  return {
    jsonNumber: (start = 0, byteCount = 0) => Number(text(start, byteCount)),
    jsonInteger: (start = 0, byteCount = 0) => {
      const digits = text(start, byteCount)
      const value = Number(digits)
      if (!Number.isFinite(value)) return Number.NaN
      // What a float64 printed as, and what it equals, it can hold.
      return String(value) === digits || BigInt(value) === BigInt(digits) ? value : Number.NaN
    }
  }
}

/** Blocks of kernel memory, lent and given back by their start. */
export interface BlockLender {
  borrow(byteCount: number): Buffer | null
  giveBack(block: Buffer): void
}

const TIME_KEYS_BYTES_MAX = 4096
const EXTRA_BYTES_MAX = 256 * 1024
const NO_KEYS: readonly string[] = []
/** A message [tag, [[time, record], ...], option] holds its records this much deeper. */
const MESSAGE_NESTING_MAX = RECORD_NESTING_MAX + 4
/** Containers of an object that is read for another reader. */
const OBJECT_NESTING_MAX = 600
/** Entries are about as long as their text; an empty object grows most, from 1 byte of MessagePack to 17. */
const GROWTH_MAX = 17
/** Words of assembly/json-string.ts. */
const NO_ROOM = 9
const REASONS: readonly (JsonErrorReason | null)[] = [
  null,
  'cut_short',
  'unexpected_byte',
  'nested_too_deep',
  'bad_utf8',
  'bad_escape',
  'control_character',
  'bad_number',
  'not_an_object'
]

export class JsonConverter {
  readonly #kernel: Kernel<JsonExports>
  readonly #blocks: BlockLender
  readonly #timeKeysByte: number
  readonly #extraByte: number
  /** What the area of keys holds. */
  #timeKeys = NO_KEYS

  constructor(kernel: Kernel<JsonExports>, blocks: BlockLender) {
    this.#kernel = kernel
    this.#blocks = blocks
    this.#timeKeysByte = kernel.reserve(TIME_KEYS_BYTES_MAX)
    this.#extraByte = kernel.reserve(EXTRA_BYTES_MAX)
  }

  /**
   * Objects, arrays of objects, or any sequence of these, to entries [time, map] of form 1. The text lies anywhere.
   * Null when the blocks are used up. scanBody over the result gives its spans and the bounds of its times, and leaves
   * out what is over the limit of a record. The end of the text within a list is no error: see `list`.
   */
  toEntries(text: Buffer, options: JsonEntryOptions): JsonResult | null {
    const { exports } = this.#kernel
    const { timeSeconds, timeNanos, isByLine = false, list = 0 } = options
    exports.jsonSetRules(RECORD_NESTING_MAX, isByLine ? 1 : 0, timeSeconds, timeNanos)
    const extraBytes = this.#setRecordRules(options)
    return this.#convert(text, extraBytes, exports.jsonToEntries, exports.jsonListState, list)
  }

  /**
   * The same of MessagePack: maps, lists of maps, and what is an entry already. The error is `cut_short` or none; what is no
   * record is left for scanBody.
   */
  packToEntries(
    bytes: Buffer,
    options: RecordRules & { readonly list?: number }
  ): JsonResult | null {
    const { exports } = this.#kernel
    exports.jsonSetRules(RECORD_NESTING_MAX, 0, options.timeSeconds, options.timeNanos)
    const extraBytes = this.#setRecordRules(options)
    const list = options.list ?? 0
    return this.#convert(bytes, extraBytes, exports.packToEntries, exports.packListLeft, list)
  }

  /**
   * Documents of a `_bulk` body in the kernel's memory, behind equal action lines; the first of these is `actionBytes` long
   * without its end. Entries are written to `target`; null: it has no room for the first.
   */
  bulkToEntries(
    body: Buffer,
    actionBytes: number,
    target: Buffer,
    rules: RecordRules
  ): BulkDocuments | null {
    const { exports } = this.#kernel
    exports.jsonSetRules(RECORD_NESTING_MAX, 1, rules.timeSeconds, rules.timeNanos)
    this.#setRecordRules(rules)
    const start = body.byteOffset
    const to = target.byteOffset
    const end = exports.bulkToEntries(
      start,
      start + body.length,
      to,
      to + target.length - TAIL_BYTES,
      actionBytes
    )
    const isFull = exports.jsonErrorReason() === NO_ROOM
    if (isFull && exports.jsonRecordCount() === 0) return null
    const { bytes, error, valueCount } = this.#result(target.subarray(0, end - to), start, 0)
    const readBytes = exports.jsonRecordByte() - start
    return { entries: bytes, count: valueCount, readBytes, error: isFull ? null : error }
  }

  /** Arrays, one after another, to the MessagePack messages that they stand for, for scan. */
  toMessages(text: Buffer): JsonResult | null {
    const { exports } = this.#kernel
    exports.jsonSetRules(MESSAGE_NESTING_MAX, 0, 0, 0)
    exports.recordSetExtra(0, 0, 0)
    return this.#convert(text, 0, exports.jsonToMessages, noList, 0)
  }

  /** One object as MessagePack. */
  toObject(text: Buffer): JsonResult | null {
    const { exports } = this.#kernel
    exports.jsonSetRules(OBJECT_NESTING_MAX, 0, 0, 0)
    exports.recordSetTimeRules(0, 0, 0, 0)
    exports.recordSetExtra(0, 0, 0)
    return this.#convert(text, 0, exports.jsonToObject, noList, 0)
  }

  /** Gives the bytes that every record grows by. */
  #setRecordRules({
    timeKeys = NO_KEYS,
    isTimeKept,
    isTimeUnitGuessed,
    extra
  }: RecordRules): number {
    const { exports, memory } = this.#kernel
    if (timeKeys !== this.#timeKeys) {
      let at = this.#timeKeysByte
      for (const key of timeKeys) {
        const bytes = Buffer.from(key)
        const isInside = at + 4 + bytes.length <= this.#timeKeysByte + TIME_KEYS_BYTES_MAX
        invariant(isInside, `time keys are over ${TIME_KEYS_BYTES_MAX} bytes`)
        memory.writeUInt32LE(bytes.length, at)
        bytes.copy(memory, at + 4)
        at += 4 + bytes.length
      }
      this.#timeKeys = timeKeys
    }
    const isGuessed = isTimeUnitGuessed === false ? 0 : 1
    exports.recordSetTimeRules(this.#timeKeysByte, timeKeys.length, isTimeKept ? 1 : 0, isGuessed)
    if (extra === undefined || extra.count === 0) {
      exports.recordSetExtra(0, 0, 0)
      return 0
    }
    invariant(extra.bytes.length <= EXTRA_BYTES_MAX, `extra pairs of ${extra.bytes.length} bytes`)
    extra.bytes.copy(memory, this.#extraByte)
    exports.recordSetExtra(this.#extraByte, extra.bytes.length, extra.count)
    return extra.bytes.length
  }

  /**
   * The byte behind the first array or object in `bytes` (in the kernel's memory), 0 while it is not there to its end,
   * -1 when the bytes begin something else or nest too deep. Brackets are counted, not judged.
   */
  findEnd(bytes: Buffer, progress: JsonProgress): number {
    const { memory, exports } = this.#kernel
    invariant(bytes.buffer === memory.buffer, 'bytes lie outside the kernel memory')
    const outcome = exports.jsonSplit(
      bytes.byteOffset + progress.scannedBytes,
      bytes.byteOffset + bytes.length,
      progress.depth,
      progress.state,
      MESSAGE_NESTING_MAX
    )
    const stoppedAt = exports.jsonSplitByte() - bytes.byteOffset
    const isOpen = outcome === 0
    progress.scannedBytes = isOpen ? stoppedAt : 0
    progress.depth = isOpen ? exports.jsonSplitDepth() : 0
    progress.state = isOpen ? exports.jsonSplitState() : 0
    if (isOpen) return 0
    return outcome === 1 ? stoppedAt : -1
  }

  #convert(
    text: Buffer,
    extraBytes: number,
    run: JsonExports['jsonToEntries'],
    listOf: () => number,
    list: number
  ): JsonResult | null {
    const isInside = text.buffer === this.#kernel.memory.buffer
    const copy = isInside ? null : this.#blocks.borrow(text.length + TAIL_BYTES)
    if (!isInside && copy === null) return null
    copy?.set(text)
    const start = (copy ?? text).byteOffset
    try {
      return this.#convertInto(start, text.length, extraBytes, run, listOf, list)
    } finally {
      if (copy) this.#blocks.giveBack(copy)
    }
  }

  /** Into the smallest block that usually does; a bigger one when it does not. */
  #convertInto(
    start: number,
    byteCount: number,
    extraBytes: number,
    run: JsonExports['jsonToEntries'],
    listOf: () => number,
    list: number
  ): JsonResult | null {
    const { exports } = this.#kernel
    const wantedMax = byteCount * (GROWTH_MAX + extraBytes) + 4 * TAIL_BYTES + extraBytes
    let wanted = Math.min(
      wantedMax,
      BlockAllocator.blockBytes(byteCount + (byteCount >> 2) + 256 + extraBytes)
    )
    for (;;) {
      const block = this.#blocks.borrow(wanted)
      if (block === null) return null
      const target = block.byteOffset
      const end = run(start, start + byteCount, target, target + block.length - TAIL_BYTES, list)
      if (exports.jsonErrorReason() !== NO_ROOM) {
        return this.#result(block.subarray(0, end - target), start, listOf())
      }
      this.#blocks.giveBack(block)
      invariant(wanted < wantedMax, `JSON text of ${byteCount} bytes grew over ${wantedMax}`)
      wanted = Math.min(wantedMax, block.length * 2)
    }
  }

  #result(bytes: Buffer, start: number, list: number): JsonResult {
    const { exports } = this.#kernel
    const reason = REASONS[exports.jsonErrorReason()] ?? null
    const error = reason && {
      byte: exports.jsonErrorByte() - start,
      valueStartByte: exports.jsonRecordByte() - start,
      reason
    }
    return { bytes, valueCount: exports.jsonRecordCount(), error, list }
  }
}

const noList = () => 0
