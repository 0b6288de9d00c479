// Runs on: ingest.
// Lines of text to entries in the kernel: one record per line, no JavaScript per line. Lines end with LF or CRLF; a line
// over the limit becomes several records. Texts and results lie in blocks of the kernel's memory.

import { invariant } from '../core/invariant.ts'
import { RECORD_NESTING_MAX } from '../core/limits.ts'
import { BlockAllocator } from './blocks.ts'
import * as codes from './codes.ts'
import { type Kernel, TAIL_BYTES } from './instance.ts'
import type { BlockLender, JsonExports } from './json-converter.ts'

export interface LineExports
  extends Pick<JsonExports, 'jsonSetRules' | 'recordSetTimeRules' | 'recordSetExtra'> {
  linesToEntries(...values: number[]): number
  lineRecordCount(): number
  lineCutCount(): number
  lineUnreadCount(): number
  lineConsumedByte(): number
  lineIsFull(): number
  lineIsBroken(): number
  lineOpenBytes(): number
  lineNeededBytes(): number
}

/**
 * `cri`: `time stream P|F text`. `docker`: objects with `log`, `stream` and `time`. `counted`: no lines but frames with
 * their length in front, `123 text` (RFC 6587).
 */
export type LineFormat = 'plain' | 'cri' | 'docker' | 'counted'

export interface LineRules {
  readonly format: LineFormat
  /** Of lines that bring none; seconds since 1970, up to 2^32. */
  readonly time: { readonly seconds: number; readonly nanos: number }
  /** Pairs of MessagePack that every record gets. */
  readonly fields: { readonly bytes: Buffer; readonly count: number }
  /** Key of the text, as MessagePack. Lines of `docker` bring theirs. */
  readonly key: Buffer
  /** Bytes of one record's text; a longer line goes on in the next record. */
  readonly lineBytesMax: number
  /** The text ends here: what has no line end is a line too. */
  readonly isLast: boolean
  /** Empty lines are records. */
  readonly keepsEmpty: boolean
  /** `counted`: bytes that a frame still has, of which the call before stored a part. Default: 0. */
  readonly openBytes?: number
}

export interface LineResult {
  /** Entries of form 1 in a block of the kernel's memory: give it back when done. */
  readonly bytes: Buffer
  readonly recordCount: number
  /** Records whose line goes on in the next one. */
  readonly cutCount: number
  /** Lines that are not of the format, stored as they are. */
  readonly unreadCount: number
  /** Bytes of the text that are done with: whole lines, and parts of one that is too long. */
  readonly consumedBytes: number
  /** `counted`: for the next call. */
  readonly openBytes: number
  /** `counted`: least length of what is not consumed, where that is known; 0: it is not. */
  readonly neededBytes: number
  /** `counted`: what follows is no frame. */
  readonly isBroken: boolean
}

const PREFIX_BYTES_MAX = 64 * 1024
/** `[EventTime, map with a count of 16 bits`. */
const HEAD = Buffer.from([0x92, 0xd7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xde, 0, 0])
const SECONDS_AT = 3
const NANOS_AT = 7
const COUNT_AT = 12
/** Length and text of the key of Docker's times. */
const TIME_KEY = Buffer.from('\x04\0\0\0time', 'latin1')
/** What the kernel wants free behind each record. */
const RECORD_BYTES_EXTRA = 160
/** So many times as long may entries be as the JSON that they come from. */
const JSON_GROWTH = 9
/** Entries of one call. What is left of the text is for the next. */
const TARGET_BYTES_MAX = 4 * 1024 * 1024
const USUAL_LINE_BYTES = 200
const FORMATS: Readonly<Record<LineFormat, number>> = {
  plain: codes.LINE_FORMAT_PLAIN,
  cri: codes.LINE_FORMAT_CRI,
  docker: codes.LINE_FORMAT_DOCKER,
  counted: codes.LINE_FORMAT_COUNTED
}

export class LineConverter {
  readonly #kernel: Kernel<LineExports>
  readonly #blocks: BlockLender
  readonly #prefixByte: number
  readonly #timeKeyByte: number

  constructor(kernel: Kernel<LineExports>, blocks: BlockLender) {
    this.#kernel = kernel
    this.#blocks = blocks
    this.#prefixByte = kernel.reserve(PREFIX_BYTES_MAX)
    this.#timeKeyByte = kernel.reserve(TIME_KEY.length)
    kernel.memory.set(TIME_KEY, this.#timeKeyByte)
  }

  /**
   * As many lines as fit into 4 MiB of entries; `text` lies anywhere, and is never half a record further than
   * `consumedBytes`. Null when the blocks are used up.
   */
  toEntries(text: Buffer, rules: LineRules): LineResult | null {
    const { memory } = this.#kernel
    const prefixBytes = this.#setPrefix(rules)
    const isInside = text.buffer === memory.buffer
    const copy = isInside ? null : this.#blocks.borrow(text.length + TAIL_BYTES)
    if (!isInside && copy === null) return null
    copy?.set(text)
    try {
      return this.#convert((copy ?? text).byteOffset, text.length, prefixBytes, rules)
    } finally {
      if (copy !== null) this.#blocks.giveBack(copy)
    }
  }

  /** Into a block that suits lines of 200 bytes; a bigger one when not even one record fits. */
  #convert(
    start: number,
    byteCount: number,
    prefixBytes: number,
    rules: LineRules
  ): LineResult | null {
    const { exports } = this.#kernel
    const extraBytes = prefixBytes + RECORD_BYTES_EXTRA
    const growth = rules.format === 'docker' ? JSON_GROWTH : 1
    const oneBytes = Math.min(rules.lineBytesMax, byteCount) * growth + extraBytes
    const usualBytes = byteCount + (1 + byteCount / USUAL_LINE_BYTES) * extraBytes
    const wanted = Math.max(oneBytes, Math.min(TARGET_BYTES_MAX, Math.ceil(usualBytes)))
    const block = this.#blocks.borrow(BlockAllocator.blockBytes(wanted + TAIL_BYTES))
    if (block === null) return null
    const target = block.byteOffset
    const end = exports.linesToEntries(
      start,
      start + byteCount,
      target,
      target + block.length - TAIL_BYTES,
      this.#prefixByte,
      prefixBytes,
      rules.lineBytesMax,
      rules.isLast ? 1 : 0,
      rules.keepsEmpty ? 1 : 0,
      FORMATS[rules.format],
      rules.openBytes ?? 0
    )
    const recordCount = exports.lineRecordCount()
    invariant(recordCount > 0 || exports.lineIsFull() === 0, 'a block takes not even one line')
    return {
      bytes: block.subarray(0, end - target),
      recordCount,
      cutCount: exports.lineCutCount(),
      unreadCount: exports.lineUnreadCount(),
      consumedBytes: exports.lineConsumedByte() - start,
      openBytes: exports.lineOpenBytes(),
      neededBytes: exports.lineNeededBytes(),
      isBroken: exports.lineIsBroken() !== 0
    }
  }

  /** An entry up to its text, and the rules that lines of JSON are read by. */
  #setPrefix({ fields, format, key, time }: LineRules): number {
    const { exports, memory } = this.#kernel
    const byteCount = HEAD.length + fields.bytes.length + key.length
    invariant(byteCount <= PREFIX_BYTES_MAX, `a line prefix of ${byteCount} bytes`)
    const at = this.#prefixByte
    memory.set(HEAD, at)
    memory.writeUInt32BE(time.seconds, at + SECONDS_AT)
    memory.writeUInt32BE(time.nanos, at + NANOS_AT)
    memory.writeUInt16BE(fields.count + 1, at + COUNT_AT)
    const fieldsByte = at + HEAD.length
    memory.set(fields.bytes, fieldsByte)
    memory.set(key, fieldsByte + fields.bytes.length)
    if (format === 'docker') {
      exports.jsonSetRules(RECORD_NESTING_MAX, 0, time.seconds, time.nanos)
      exports.recordSetTimeRules(this.#timeKeyByte, 1, 0, 1)
      exports.recordSetExtra(fieldsByte, fields.bytes.length, fields.count)
    }
    return byteCount
  }
}
