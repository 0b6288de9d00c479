// Step 2. Runs on: ingest.
// Bytes of a body -> entries in kernel memory, while they come: what is complete is converted window by window, so a body is
// never held as text. What cannot be read is kept for the dead letters, the rest stands. Entries above PIECES_BYTES_MAX go to
// a spool file, from which they are stored when the body is whole.
// Limits: WINDOW_BYTES_MAX for one record as text, REFUSED_BYTES_MAX of what cannot be read (more is only counted).

import { MillraceError } from '../../../src/core/errors.ts'
import { CONSECUTIVE_INVALID_MAX } from '../../../src/core/limits.ts'
import type { JsonError, JsonResult, RecordRules } from '../../../src/kernel/json-converter.ts'
import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'
import type { InputContext, Spools } from '../../../src/plugin/input.ts'
import type { BodyForm } from './body-form.ts'
import { LongEntries } from './long-entries.ts'
import { type BodyTarget, WholeBody } from './whole-body.ts'

const MIB = 1024 * 1024
/** Text that is converted at once: a turn of the event loop of about 2 ms. */
const WINDOW_BYTES = MIB
const WINDOW_BYTES_MAX = 16 * MIB
const REFUSED_BYTES_MAX = 8 * MIB
/** Entries in memory. */
const PIECES_BYTES_MAX = 8 * MIB
/** A word, an escape or a character that the end of a window may cut. */
const CUT_BYTES = 12
const LINE_FEED = 0x0a

export class RecordGatherer implements BodyTarget {
  /** Entries [EventTime, map], in blocks that are given back by `release`. */
  readonly pieces: Buffer[] = []
  readonly refused: Buffer[] = []
  /** All entries, when they are too many for memory; null: `pieces` has them. */
  long: LongEntries | null = null
  /** What is wrong first, and where in the body. */
  firstError: string | null = null
  readonly #kernel: ScanKernel
  readonly #spools: Spools
  readonly #form: BodyForm
  readonly #rules: RecordRules
  readonly #window: WholeBody
  readonly #windowBytes: number
  #convertAtBytes: number
  /** Bytes of the body before the window. */
  #passedBytes = 0
  /** A list that windows before have opened. */
  #list = 0
  #badLines = 0
  #isGivenUp = false
  #pieceBytes = 0
  #refusedBytes = 0

  constructor(
    { kernel, spools }: Pick<InputContext<ScanKernel>, 'kernel' | 'spools'>,
    form: BodyForm,
    rules: RecordRules,
    windowBytes = WINDOW_BYTES
  ) {
    this.#kernel = kernel
    this.#spools = spools
    this.#form = form
    this.#rules = rules
    this.#window = new WholeBody(kernel)
    this.#windowBytes = windowBytes
    this.#convertAtBytes = windowBytes
  }

  get heldBytes(): number {
    return this.#window.heldBytes + this.#pieceBytes + this.#refusedBytes
  }

  add(bytes: Buffer): boolean {
    if (this.#isGivenUp) {
      this.#refuse(bytes)
      return true
    }
    if (!this.#window.add(bytes)) return false
    return this.#window.byteCount < this.#convertAtBytes || this.#convert(false)
  }

  /** The body is whole. False: no memory. */
  finish(): boolean {
    if (!this.#isGivenUp && !this.#convert(true)) return false
    if (this.#list !== 0) this.#note('cut_short', this.#passedBytes)
    this.#window.release()
    return this.long === null || this.#spool()
  }

  release(): void {
    this.#window.release()
    this.#releasePieces()
    this.long?.release()
  }

  #releasePieces(): void {
    for (const piece of this.pieces.splice(0)) this.#kernel.giveBack(piece)
    this.#pieceBytes = 0
  }

  #convert(isLast: boolean): boolean {
    const isByLine = this.#form === 'ndjson'
    const held = this.#window.bytes
    // Only whole lines, so that what is wrong in one is wrong.
    const text = isByLine && !isLast ? held.subarray(0, held.lastIndexOf(LINE_FEED) + 1) : held
    let start = 0
    while (start < text.length && !this.#isGivenUp) {
      const result = this.#read(text.subarray(start))
      if (result === null || !this.#keep(result)) return false
      this.#list = result.list
      if (result.error === null) start = text.length
      else if (!isLast && !isByLine && isCut(result.error, text.length - start)) {
        start += result.error.valueStartByte
        break
      } else start = this.#passBad(text, start, result)
    }
    // A line that has only begun goes with those before it.
    if (this.#isGivenUp) this.#refuse(held.subarray(text.length))
    this.#window.dropFirst(start)
    this.#passedBytes += start
    const wantedBytes = Math.max(this.#windowBytes, this.#window.byteCount * 2)
    this.#convertAtBytes = Math.min(wantedBytes, WINDOW_BYTES_MAX + 1)
    if (this.#window.byteCount > WINDOW_BYTES_MAX) this.#giveUp(this.#window.bytes, 'too_large')
    if (this.#isGivenUp) this.#window.release()
    return true
  }

  #read(text: Buffer): JsonResult | null {
    const { json } = this.#kernel
    const options = { ...this.#rules, list: this.#list }
    if (this.#form === 'msgpack') return json.packToEntries(text, options)
    return json.toEntries(text, { ...options, isByLine: this.#form === 'ndjson' })
  }

  /** False: no memory. */
  #keep({ bytes, valueCount, error }: JsonResult): boolean {
    if (valueCount === 0) {
      this.#kernel.giveBack(bytes)
      return true
    }
    // It was read into a block for all of the rest, and a body may have many bad lines.
    const piece = error === null ? bytes : this.#shrunk(bytes)
    if (piece === null) return false
    this.pieces.push(piece)
    this.#pieceBytes += piece.length
    return this.#pieceBytes <= PIECES_BYTES_MAX || this.#spool()
  }

  /** Puts the entries away. False: the volume has no room for them, or fails. */
  #spool(): boolean {
    try {
      this.long ??= new LongEntries(this.#kernel, this.#spools)
      for (const piece of this.pieces) {
        const refused = this.long.add(piece)
        if (refused === 'full') return false
        if (refused !== null) this.#refuse(refused)
      }
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error
      return false
    }
    this.#releasePieces()
    return true
  }

  #shrunk(bytes: Buffer): Buffer | null {
    const block = this.#kernel.borrow(bytes.length)
    if (block !== null) bytes.copy(block)
    this.#kernel.giveBack(bytes)
    return block?.subarray(0, bytes.length) ?? null
  }

  /** Passes over what is wrong, a line or all of the rest; gives where reading goes on. */
  #passBad(text: Buffer, start: number, { error, valueCount }: JsonResult): number {
    if (error === null) return text.length
    const badStart = start + error.valueStartByte
    this.#badLines = valueCount > 0 ? 1 : this.#badLines + 1
    const lineEnd = this.#form === 'ndjson' ? text.indexOf(LINE_FEED, badStart) : -1
    this.#note(error.reason, this.#passedBytes + start + error.byte)
    if (lineEnd < 0 || this.#badLines > CONSECUTIVE_INVALID_MAX) {
      this.#giveUp(text.subarray(badStart), error.reason)
      return text.length
    }
    this.#refuse(text.subarray(badStart, lineEnd + 1))
    this.#list = 0
    return lineEnd + 1
  }

  #giveUp(rest: Buffer, reason: string): void {
    this.#note(reason, this.#passedBytes)
    this.#refuse(rest)
    this.#isGivenUp = true
    this.#list = 0
  }

  #note(reason: string, byte: number): void {
    this.firstError ??= `${reason.replaceAll('_', ' ')} at byte ${byte}`
  }

  #refuse(bytes: Buffer): void {
    const kept = bytes.subarray(0, REFUSED_BYTES_MAX - this.#refusedBytes)
    if (kept.length === 0) return
    this.refused.push(Buffer.from(kept))
    this.#refusedBytes += kept.length
  }
}

/** Whether more bytes may mend the error. */
function isCut(error: JsonError, byteCount: number): boolean {
  return error.reason === 'cut_short' || error.byte >= byteCount - CUT_BYTES
}
