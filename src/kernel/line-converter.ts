// Runs on: ingest.
// Lines of text to entries in the kernel: one record per line, no JavaScript per line. Lines end with LF or CRLF; a line
// over the limit becomes several records. Texts and results lie in blocks of the kernel's memory.

import { invariant } from '../core/invariant.ts'
import { BlockAllocator } from './blocks.ts'
import { type Kernel, TAIL_BYTES } from './instance.ts'
import type { BlockLender } from './json-converter.ts'

export interface LineExports {
  linesToEntries(...values: number[]): number
  lineRecordCount(): number
  lineCutCount(): number
  lineConsumedByte(): number
  lineIsFull(): number
}

export interface LineRules {
  /** Entry up to the text: see linePrefix. */
  readonly prefix: Buffer
  /** Bytes of one record's text; a longer line goes on in the next record. */
  readonly lineBytesMax: number
  /** The text ends here: what has no line end is a line too. */
  readonly isLast: boolean
  /** Empty lines are records. */
  readonly keepsEmpty: boolean
}

export interface LineResult {
  /** Entries of form 1 in a block of the kernel's memory: give it back when done. */
  readonly bytes: Buffer
  readonly recordCount: number
  /** Records whose line goes on in the next one. */
  readonly cutCount: number
  /** Bytes of the text that are done with: whole lines, and parts of one that is too long. */
  readonly consumedBytes: number
}

const PREFIX_BYTES_MAX = 64 * 1024
/** Widest header of a text and what the kernel wants free behind each record. */
const RECORD_BYTES_EXTRA = 32
/** Entries of one call. What is left of the text is for the next. */
const TARGET_BYTES_MAX = 4 * 1024 * 1024

export class LineConverter {
  readonly #kernel: Kernel<LineExports>
  readonly #blocks: BlockLender
  readonly #prefixByte: number

  constructor(kernel: Kernel<LineExports>, blocks: BlockLender) {
    this.#kernel = kernel
    this.#blocks = blocks
    this.#prefixByte = kernel.reserve(PREFIX_BYTES_MAX)
  }

  /**
   * As many lines as fit into 4 MiB of entries; `text` lies anywhere, and is never half a record further than
   * `consumedBytes`. Null when the blocks are used up.
   */
  toEntries(text: Buffer, rules: LineRules): LineResult | null {
    const { memory } = this.#kernel
    const { prefix } = rules
    invariant(prefix.length <= PREFIX_BYTES_MAX, `a line prefix of ${prefix.length} bytes`)
    memory.set(prefix, this.#prefixByte)
    const isInside = text.buffer === memory.buffer
    const copy = isInside ? null : this.#blocks.borrow(text.length + TAIL_BYTES)
    if (!isInside && copy === null) return null
    copy?.set(text)
    try {
      return this.#convert((copy ?? text).byteOffset, text.length, rules)
    } finally {
      if (copy !== null) this.#blocks.giveBack(copy)
    }
  }

  /** Into a block that suits lines of 200 bytes; a bigger one when not even one record fits. */
  #convert(start: number, byteCount: number, rules: LineRules): LineResult | null {
    const { exports } = this.#kernel
    const oneRecordBytes = rules.prefix.length + rules.lineBytesMax + RECORD_BYTES_EXTRA
    const usualBytes =
      byteCount + (1 + byteCount / 200) * (rules.prefix.length + RECORD_BYTES_EXTRA)
    const oneBytes = Math.min(oneRecordBytes, byteCount + rules.prefix.length + RECORD_BYTES_EXTRA)
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
      rules.prefix.length,
      rules.lineBytesMax,
      rules.isLast ? 1 : 0,
      rules.keepsEmpty ? 1 : 0
    )
    const recordCount = exports.lineRecordCount()
    invariant(recordCount > 0 || exports.lineIsFull() === 0, 'a block takes not even one line')
    return {
      bytes: block.subarray(0, end - target),
      recordCount,
      cutCount: exports.lineCutCount(),
      consumedBytes: exports.lineConsumedByte() - start
    }
  }
}
