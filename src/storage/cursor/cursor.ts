// Step 9. Runs on: main.
// What one destination has finished of one shard, with a count for every outcome, in a file of two slots. An update
// writes the older slot in place and syncs: it needs no free space, and a torn write hits only the slot being written.
// A lost update means that records are sent again, never that one is lost.
//
// At any moment: appended = sum of all outcomes + pending, where appended counts the offsets since `origin`.

import path from 'node:path'
import { errorText, MillraceError } from '../../core/errors.ts'
import { invariant } from '../../core/invariant.ts'
import type { FrameHash } from '../format/frame.ts'
import {
  CURSOR_COUNTER_NAME_BYTES_MAX,
  CURSOR_COUNTERS_MAX,
  CURSOR_FILE_BYTES,
  CURSOR_SLOT
} from '../format/layout.ts'
import { cursorFileName, cursorSalt } from '../format/segment-names.ts'
import type { Storage } from '../storage.ts'
import { accountOf, type CursorAccount, DROPPED_NEWEST } from './account.ts'
import { FinishedRanges } from './finished-ranges.ts'
import { type CursorContent, decodeCursorSlot, encodeCursorSlot } from './slot.ts'

/**
 * What became of records. `moved`: parked, still in the store. `void`: offsets that never held an acked record. Reasons
 * are few and fixed (`filtered`, `overflow_oldest`, `corrupt`); beyond 128 they share `other`.
 */
export type Outcome =
  | 'delivered'
  | 'duplicate_suppressed'
  | 'dead_lettered'
  | 'moved'
  | 'void'
  | `dropped:${string}`
  | `lost:${string}`

export interface CursorOptions {
  readonly storage: Storage
  readonly hash: FrameHash
  readonly storeSecret: Uint8Array
  readonly logId: Uint8Array
  readonly outputId: string
  /** Shard directory. */
  readonly directory: string
}

export interface LoadedCursor {
  readonly cursor: Cursor
  /** The file was there and no slot could be read: it begins at the oldest retained offset (`cursor_reset_total`). */
  readonly wasReset: boolean
}

export class Cursor {
  readonly outputId: string
  readonly path: string
  readonly #options: CursorOptions
  readonly #salt: bigint
  readonly #file: number
  readonly #origin: number
  readonly #finished: FinishedRanges
  readonly #counts: Map<string, { records: number; bytes: number }>
  #generation: number
  /** Slot of the last update that is known to be durable; never the one that is written. */
  #goodSlot: number
  #durableLow: number
  #isChanged = false
  #finishedSincePersist = 0
  #passCount = 0
  #passReason = ''
  #persisting: Promise<void> | null = null

  private constructor(options: CursorOptions, file: number, content: CursorContent, slot: number) {
    this.outputId = options.outputId
    this.path = path.join(options.directory, cursorFileName(options.outputId))
    this.#options = options
    this.#salt = cursorSalt(options.storeSecret, options.logId, options.outputId)
    this.#file = file
    this.#origin = content.origin
    this.#finished = new FinishedRanges(content.low, content.ranges)
    this.#counts = new Map([...content.counts].map(([name, count]) => [name, { ...count }]))
    this.#generation = content.generation
    this.#goodSlot = slot
    this.#durableLow = content.low
  }

  /** Null: the destination has no cursor in this shard. A file without a valid slot restarts at `oldestOffset`. */
  static load(options: CursorOptions, oldestOffset: number): LoadedCursor | null {
    const { storage } = options
    const file = path.join(options.directory, cursorFileName(options.outputId))
    if (storage.stat(file) === null) return null
    const handle = storage.open(file, 'update')
    const found = readSlots(options, handle)
    if (found !== null) {
      // After a kill the slot may be in the page cache only; it has to outlive the other one.
      storage.datasyncNow(handle)
      return { cursor: new Cursor(options, handle, found.content, found.slot), wasReset: false }
    }
    const cursor = new Cursor(options, handle, freshContent(oldestOffset), 0)
    cursor.#writeFresh()
    return { cursor, wasReset: true }
  }

  /** A new destination, from `startOffset` on. Durable with its name when it returns. */
  static create(options: CursorOptions, startOffset: number): Cursor {
    const { storage } = options
    const file = path.join(options.directory, cursorFileName(options.outputId))
    const handle = storage.open(file, 'create')
    const cursor = new Cursor(options, handle, freshContent(startOffset), 0)
    cursor.#writeFresh()
    storage.dirsyncNow(options.directory)
    return cursor
  }

  /** Every offset below is finished. */
  get lowOffset(): number {
    return this.#finished.low
  }

  /** As `lowOffset`, and a crash cannot take it back: what segments are deleted by. */
  get durableLowOffset(): number {
    return this.#durableLow
  }

  /** Offset after the highest finished one: no later record may get an offset below it. */
  get highOffset(): number {
    return this.#finished.high
  }

  get origin(): number {
    return this.#origin
  }

  get generation(): number {
    return this.#generation
  }

  /** Finished ranges [first, end) above the low mark. */
  get ranges(): readonly (readonly [number, number])[] {
    return this.#finished.ranges
  }

  /** False: so many ranges are open that the window must not grow. */
  get hasRoom(): boolean {
    return this.#finished.hasRoom
  }

  get counts(): ReadonlyMap<string, { readonly records: number; readonly bytes: number }> {
    return this.#counts
  }

  /** Whether something is not on disk yet. */
  get isChanged(): boolean {
    return this.#isChanged
  }

  get finishedSincePersist(): number {
    return this.#finishedSincePersist
  }

  has(offset: number): boolean {
    return this.#finished.has(offset)
  }

  /** Parts of [first, end) that are not finished. */
  missing(first: number, end: number): [number, number][] {
    return this.#finished.missing(first, end)
  }

  /** Whether `finish` can remember the range. A range at or touching the low mark or another one always can. */
  canFinish(first: number, end: number): boolean {
    return this.#finished.canAdd(first, end)
  }

  /**
   * Finishes offsets [first, end) with one outcome. Offsets that were finished before keep theirs; of `byteCount` the
   * share of the others is counted. Returns how many were newly finished.
   */
  finish(first: number, end: number, outcome: Outcome, byteCount = 0): number {
    invariant(first >= 0 && end >= first, `range ${first} to ${end} of a cursor`)
    invariant(this.#finished.canAdd(first, end), 'cursor has no room for another range')
    const records = this.#finished.add(first, end)
    if (records === 0) return 0
    const count = this.#countOf(outcome)
    count.records += records
    count.bytes += Math.round((byteCount * records) / (end - first))
    this.#isChanged = true
    this.#finishedSincePersist += records
    return records
  }

  /** How often `pass` finished something. */
  get passCount(): number {
    return this.#passCount
  }

  /** Reason of the last `pass`. */
  get passReason(): string {
    return this.#passReason
  }

  /** Records that never had an offset, because `drop_newest` let them go. */
  addDroppedNewest(recordCount: number): void {
    if (recordCount === 0) return
    this.#countOf(DROPPED_NEWEST).records += recordCount
    this.#isChanged = true
  }

  /** As `finish`, by somebody else than the delivery of the records: to make room, or because of their age. */
  pass(first: number, end: number, reason: string, byteCount: number): number {
    const count = this.finish(first, end, `dropped:${reason}`, byteCount)
    if (count > 0) {
      this.#passCount++
      this.#passReason = reason
    }
    return count
  }

  /** The identity up to `endOffset`, the end of the log as readers see it. */
  account(endOffset: number): CursorAccount {
    const { countAboveLow, high, low } = this.#finished
    const known = { origin: this.#origin, low, high, countAboveLow, counts: this.#counts }
    return accountOf(known, endOffset)
  }

  /** Writes what changed and syncs it. Calls while one runs join the next. Rejects when the disk refuses. */
  persist(): Promise<void> {
    const again = () => this.persist()
    if (this.#persisting !== null) return this.#persisting.then(again, again)
    if (!this.#isChanged) return Promise.resolve()
    this.#persisting = this.#persistNow().finally(() => {
      this.#persisting = null
    })
    return this.#persisting
  }

  /** Blocks; for stops and tools. No `persist` may be running. */
  persistNow(): void {
    invariant(this.#persisting === null, 'persistNow during persist')
    if (!this.#isChanged) return
    const update = this.#writeOtherSlot()
    try {
      this.#options.storage.datasyncNow(this.#file)
    } catch (error) {
      this.#isChanged = true
      throw error
    }
    this.#settle(update)
  }

  close(): void {
    this.#options.storage.close(this.#file)
  }

  #countOf(outcome: Outcome): { records: number; bytes: number } {
    const known = this.#counts.get(outcome)
    if (known !== undefined) return known
    const kind = outcome.split(':', 1)[0] ?? outcome
    // Room is kept for the seven kinds, so that every reason can be counted somewhere.
    const isTooMuch =
      outcome.length > CURSOR_COUNTER_NAME_BYTES_MAX || this.#counts.size >= CURSOR_COUNTERS_MAX - 8
    const name = isTooMuch && outcome.includes(':') ? `${kind}:other` : outcome
    const count = this.#counts.get(name) ?? { records: 0, bytes: 0 }
    this.#counts.set(name, count)
    return count
  }

  async #persistNow(): Promise<void> {
    const update = this.#writeOtherSlot()
    try {
      await this.#options.storage.datasync(this.#file)
    } catch (error) {
      this.#isChanged = true
      throw error
    }
    this.#settle(update)
  }

  #settle(update: { readonly low: number; readonly slot: number }): void {
    this.#durableLow = update.low
    this.#goodSlot = update.slot
  }

  /**
   * Writes the slot that is not the good one. After a failed sync that is the same slot again: writing its pages anew
   * makes them dirty again, so the next sync tells the truth about them.
   */
  #writeOtherSlot(): { low: number; slot: number } {
    const slot = 1 - this.#goodSlot
    this.#generation++
    this.#writeSlot(slot)
    this.#isChanged = false
    this.#finishedSincePersist = 0
    return { low: this.#finished.low, slot }
  }

  #writeSlot(slot: number): void {
    const content = {
      generation: this.#generation,
      origin: this.#origin,
      low: this.#finished.low,
      ranges: this.#finished.ranges,
      counts: this.#counts
    }
    const bytes = encodeCursorSlot(content, this.#options.hash, this.#salt)
    const atByte = slot * CURSOR_SLOT.byteCount
    const written = this.#options.storage.writev(this.#file, [bytes], atByte)
    if (written === bytes.length) return
    throw new MillraceError(
      'MR_STORE_FULL',
      `cursor ${this.path}: ${written} of ${bytes.length} bytes written; free space on the volume`
    )
  }

  /** Takes all the room that the file will ever need, so that later updates work on a full volume. */
  #writeFresh(): void {
    const { storage } = this.#options
    const zeros = Buffer.alloc(CURSOR_FILE_BYTES)
    const written = storage.writev(this.#file, [zeros], 0)
    if (written !== zeros.length) {
      throw new MillraceError(
        'MR_STORE_FULL',
        `cursor ${this.path}: no room for ${zeros.length} bytes; free space on the volume`
      )
    }
    this.#writeSlot(0)
    storage.datasyncNow(this.#file)
  }
}

/** A cursor that has finished nothing. */
export function freshContent(offset: number): CursorContent {
  return { generation: 1, origin: offset, low: offset, ranges: [], counts: new Map() }
}

function readSlots(
  options: CursorOptions,
  file: number
): { content: CursorContent; slot: number } | null {
  const bytes = Buffer.alloc(CURSOR_FILE_BYTES)
  try {
    options.storage.pread(file, bytes, 0)
  } catch (error) {
    throw new MillraceError(
      'MR_STORE_IO',
      `cursor of ${options.outputId} in ${options.directory}: ${errorText(error)}`,
      { cause: error }
    )
  }
  const salt = cursorSalt(options.storeSecret, options.logId, options.outputId)
  let best: { content: CursorContent; slot: number } | null = null
  for (let slot = 0; slot < 2; slot++) {
    const slotBytes = bytes.subarray(
      slot * CURSOR_SLOT.byteCount,
      (slot + 1) * CURSOR_SLOT.byteCount
    )
    const content = decodeCursorSlot(slotBytes, options.hash, salt)
    if (content === null) continue
    if (best === null || content.generation > best.content.generation) best = { content, slot }
  }
  return best
}
