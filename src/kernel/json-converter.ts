// Runs on: ingest.
// JSON text to MessagePack in the kernel: strict RFC 8259 and UTF-8, no JavaScript object per record. Integers of 64 bits
// stay exact, other numbers become float64, a number that neither can hold becomes its text. Keys that come twice are
// both kept; the last wins where records are read. Texts and results lie in blocks of the kernel's memory.

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
}

export interface JsonEntryOptions {
  /** Time of each record, seconds since 1970 (up to 2^32) and nanoseconds. */
  readonly timeSeconds: number
  readonly timeNanos: number
  /** Key of a record whose number, in seconds, is its time; the pair is then left out. Default: none. */
  readonly timeKey?: string
  /** Numbers of 1e11 and above under timeKey are milli-, micro- or nanoseconds. Default: true. */
  readonly isTimeUnitGuessed?: boolean
  /** One record per line: a line feed within a record is an error there, so one bad line costs no other. */
  readonly isByLine?: boolean
}

/** State of a value whose end is looked for; the next call gets the same bytes and more. */
export class JsonProgress {
  scannedBytes = 0
  depth = 0
  state = 0
}

export interface JsonExports {
  jsonSetRules(...values: number[]): void
  jsonToEntries(start: number, end: number, target: number, targetEnd: number): number
  jsonToMessages(start: number, end: number, target: number, targetEnd: number): number
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

const TIME_KEY_BYTES_MAX = 256
/** A message [tag, [[time, record], ...], option] holds its records this much deeper. */
const MESSAGE_NESTING_MAX = RECORD_NESTING_MAX + 4
/** Entries are about as long as their text; an empty object grows most, from 2 bytes to 17. */
const GROWTH_MAX = 9
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
  readonly #timeKeyByte: number

  constructor(kernel: Kernel<JsonExports>, blocks: BlockLender) {
    this.#kernel = kernel
    this.#blocks = blocks
    this.#timeKeyByte = kernel.reserve(TIME_KEY_BYTES_MAX)
  }

  /**
   * Objects, arrays of objects, or any sequence of these, to entries [time, map] of form 1. The text lies anywhere.
   * Null when the blocks are used up. scanBody over the result gives its spans and the bounds of its times, and leaves
   * out what is over the limit of a record.
   */
  toEntries(text: Buffer, options: JsonEntryOptions): JsonResult | null {
    const { memory, exports } = this.#kernel
    const keyBytes = memory.write(options.timeKey ?? '', this.#timeKeyByte, TIME_KEY_BYTES_MAX)
    invariant(
      keyBytes === Buffer.byteLength(options.timeKey ?? ''),
      `time key is over ${TIME_KEY_BYTES_MAX} bytes`
    )
    exports.jsonSetRules(
      RECORD_NESTING_MAX,
      options.isByLine ? 1 : 0,
      this.#timeKeyByte,
      keyBytes,
      options.isTimeUnitGuessed === false ? 0 : 1,
      options.timeSeconds,
      options.timeNanos
    )
    return this.#convert(text, exports.jsonToEntries)
  }

  /** Arrays, one after another, to the MessagePack messages that they stand for, for scan. */
  toMessages(text: Buffer): JsonResult | null {
    const { exports } = this.#kernel
    exports.jsonSetRules(MESSAGE_NESTING_MAX, 0, 0, 0, 0, 0, 0)
    return this.#convert(text, exports.jsonToMessages)
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

  #convert(text: Buffer, run: JsonExports['jsonToEntries']): JsonResult | null {
    const isInside = text.buffer === this.#kernel.memory.buffer
    const copy = isInside ? null : this.#blocks.borrow(text.length + TAIL_BYTES)
    if (!isInside && copy === null) return null
    copy?.set(text)
    const start = (copy ?? text).byteOffset
    try {
      return this.#convertInto(start, text.length, run)
    } finally {
      if (copy) this.#blocks.giveBack(copy)
    }
  }

  /** Into the smallest block that usually does; a bigger one when it does not. */
  #convertInto(
    start: number,
    byteCount: number,
    run: JsonExports['jsonToEntries']
  ): JsonResult | null {
    const { exports } = this.#kernel
    const wantedMax = byteCount * GROWTH_MAX + 4 * TAIL_BYTES
    let wanted = Math.min(wantedMax, BlockAllocator.blockBytes(byteCount + (byteCount >> 2) + 256))
    for (;;) {
      const block = this.#blocks.borrow(wanted)
      if (block === null) return null
      const target = block.byteOffset
      const end = run(start, start + byteCount, target, target + block.length - TAIL_BYTES)
      if (exports.jsonErrorReason() !== NO_ROOM) {
        return this.#result(block.subarray(0, end - target), start)
      }
      this.#blocks.giveBack(block)
      invariant(wanted < wantedMax, `JSON text of ${byteCount} bytes grew over ${wantedMax}`)
      wanted = Math.min(wantedMax, block.length * 2)
    }
  }

  #result(bytes: Buffer, start: number): JsonResult {
    const { exports } = this.#kernel
    const reason = REASONS[exports.jsonErrorReason()] ?? null
    const error = reason && {
      byte: exports.jsonErrorByte() - start,
      valueStartByte: exports.jsonRecordByte() - start,
      reason
    }
    return { bytes, valueCount: exports.jsonRecordCount(), error }
  }
}
