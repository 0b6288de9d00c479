// Steps 6 to 9. Runs on: main.
// One destination on one shard: take frames, have them rendered, send the bodies, finish. Tasks run one after another,
// since a task begins with the open groups of the one before; bodies of many tasks are in flight at once.
// Holds at most: frames of one task, and as many bodies as the output has slots.

import { errorText } from '../core/errors.ts'
import {
  CURSOR_RANGES_MAX,
  TASK_FAILURES_MAX,
  TASK_INPUT_BYTES_MAX,
  TASK_MS_MAX
} from '../core/limits.ts'
import type { TaskRequest, TaskResult } from '../threads/messages.ts'
import { framesHolding, gaps, offsetsOf, type RowOffsets } from './again-jobs.ts'
import { CulpritSearch, isLate } from './culprit-search.ts'
import { cutOf, type FrameCut, FrameWindow } from './frame-window.ts'
import type { ParkRows } from './keys.ts'
import { type LaterJob, LaterRows } from './later-rows.ts'
import type { Slot } from './slots.ts'
import { TaskFlights, type TaskFlightsOptions } from './task-flights.ts'
import { FIRST_TRY } from './verdicts.ts'
import { WakeUp } from './wake-up.ts'

export interface LaneOptions extends TaskFlightsOptions {
  readonly destination: string
  readonly generation: number
  readonly pool: { run(task: TaskRequest, deadlineMs: number): Promise<TaskResult> }
  /** Rows of parked keys on their way there; null: nothing is parked. */
  readonly parkRows: ParkRows | null
  /** Called with the result of every task. */
  readonly onTask: (result: TaskResult) => void
  /** Nothing below is read; default: the low mark of the cursor. */
  readonly startOffset?: number
}

/** First guess of rendered bytes per stored byte; high, so that first bodies fit. */
const GROWTH_GUESS = 1.6
/** Weight of the newest task in the running growth. */
const GROWTH_WEIGHT = 0.3
/** Growth of records that steps remove. */
const GROWTH_MIN = 0.05
/** Share of a body that a task aims at: a little less than full leaves room for records that grow more. */
const FILL_SHARE = 0.96
/** Room for open members and bodies in flight below the ceiling of a cursor. */
export const RANGES_RESERVE = 500
/** Smallest record that a slot has index room for, bytes. */
export const ROW_BYTES_MIN = 64
/** Wait after a task that failed, milliseconds. */
const TASK_RETRY_MS = 1000
/** Wait after the park took nothing, milliseconds. */
const PARK_RETRY_MS = 1000

export class Lane {
  readonly #options: LaneOptions
  readonly #window: FrameWindow
  readonly #wakeUp = new WakeUp()
  readonly #onSlot = () => this.#wakeUp.ring()
  #nextOffset: number
  #growth = GROWTH_GUESS
  #carry: Uint8Array | null = null
  #dueMs: number | null = null
  /** When the frames in the window began to wait for more, monotonic. */
  #waitingSinceMs: number | null = null
  /** Members of open groups: taken, and finished only when their group closes. */
  #open: readonly number[] = []
  readonly #later: LaterRows
  readonly #flights: TaskFlights
  #isParkPaused = false
  /** Rows that had waited are with the pool. */
  #isRenderingLater = false
  #isEnded = false
  readonly #search = new CulpritSearch()

  constructor(options: LaneOptions) {
    this.#options = options
    this.#window = new FrameWindow((ordinal) => options.source.segment(ordinal))
    this.#nextOffset = options.startOffset ?? options.cursor.lowOffset
    this.#later = new LaterRows(options.keys)
    this.#flights = new TaskFlights(options, this.#later, () => this.#wakeUp.ring())
  }

  /** Frames became visible, the watermark moved, a slot or room in the cursor became free. */
  wake(): void {
    this.#wakeUp.ring()
  }

  /** Nothing taken, nothing in flight: what the shard has shown is finished, but for open groups. */
  get isIdle(): boolean {
    const isTaken = !this.#window.isEmpty || this.#isRenderingLater
    return !isTaken && this.#flights.isEmpty && this.#later.isEmpty
  }

  /** Append time of the oldest record that has no slot yet, or null: none is read ahead. */
  get unrenderedSinceMs(): number | null {
    return this.#window.oldestMs
  }

  /** `run` returns. Only for an idle lane whose source gives nothing more. */
  end(): void {
    this.#isEnded = true
    this.#wakeUp.ring()
  }

  /** Nothing but rows of failing keys is left of what was taken. */
  get isQuiet(): boolean {
    return this.#flights.isEmpty && this.#window.isEmpty && this.#later.isOnlyHeld
  }

  get openCount(): number {
    return this.#open.length
  }

  /** Parts of [first, end) that cannot be dropped now: on the wire, or being settled. */
  inFlightWithin(first: number, end: number): readonly (readonly [number, number])[] {
    return this.#flights.inFlight.within(first, end)
  }

  /** Append time of the oldest frame that is taken and not finished, or null. */
  get oldestMs(): number | null {
    const times = this.#flights.oldestMs
    for (const oldest of [this.#later.oldestMs, this.#window.oldestMs]) {
      if (oldest !== null) times.push(oldest)
    }
    return times.length === 0 ? null : Math.min(...times)
  }

  /** Runs until the signal aborts; flights end by themselves, `settledFlights` waits for them. */
  async run(): Promise<void> {
    const { signal } = this.#options
    while (!signal.aborted && !this.#isEnded) {
      try {
        await this.#turn()
      } catch (error) {
        if (signal.aborted) return
        // A task is pure: what failed is repeated. Nothing was finished by it.
        this.#options.onTrouble(error)
        await this.#options.clock.sleep(TASK_RETRY_MS, signal).catch(() => undefined)
      }
    }
  }

  async #turn(): Promise<void> {
    this.#parkHeld()
    const job = this.#later.next()
    if (job !== null) {
      this.#isRenderingLater = true
      return await this.#renderLater(job).finally(() => {
        this.#isRenderingLater = false
      })
    }
    if (this.#later.isReturning) return await this.#wakeUp.wait(this.#options.signal)
    // Read before the visible end: every line with an earlier stamp is then below that end (joins close groups by it).
    const { watermarkMs } = this.#options.source
    const isDrained = this.#take()
    this.#passFinished()
    const waitMs = this.#waitMs()
    if (waitMs > 0) return await this.#sleep(waitMs)
    const slot = await this.#slot()
    if (slot === null) return
    let isGiven = false
    try {
      const cut = this.#window.cut(this.#inputBytesMax())
      const { passCount } = this.#options.cursor
      const isAtEnd = isDrained && cut.byteCount === this.#window.byteCount
      const task = this.#task(slot, cut, isAtEnd, watermarkMs)
      const result = await this.#run(task, cut)
      if (result === null) return
      const frames = this.#later.framesOf(cut.refs)
      this.#later.noteOpen(cut.refs, result.open)
      this.#learn(cut, task.fromOffset, result)
      isGiven = true
      await this.#flights.depart({ slot, task, result, frames, passCount, job: null })
    } finally {
      if (!isGiven) this.#options.slots.give(slot)
    }
  }

  /** Fills the window from the reader; holes are finished at once. True: nothing more is visible. */
  #take(): boolean {
    const { cursor, source } = this.#options
    while (this.#window.byteCount < this.#inputBytesMax()) {
      if (!this.#hasRoomToTake()) return false
      const taken = source.next()
      if (taken === null) return true
      if (taken.kind === 'hole') {
        cursor.finish(taken.firstOffset, taken.endOffset, { kind: 'lost', reason: taken.reason })
        this.#options.onProgress()
        continue
      }
      const { firstOffset, recordCount } = taken.frame
      if (firstOffset + recordCount <= cursor.lowOffset) continue
      if (this.#window.isEmpty) {
        this.#nextOffset = Math.max(firstOffset, cursor.lowOffset)
        this.#waitingSinceMs ??= this.#options.clock.monotonicMs()
      }
      this.#window.push(taken.frame)
    }
    return false
  }

  /** What fails must not be read ahead of without end. */
  #hasRoomToTake(): boolean {
    const { cursor, keys } = this.#options
    const { held } = this.#later
    const { rangeCount } = cursor
    if (held.isCrowded || (!held.isEmpty && rangeCount > CURSOR_RANGES_MAX / 2)) keys.crowded()
    return !held.isFull && rangeCount <= CURSOR_RANGES_MAX - RANGES_RESERVE
  }

  /** Frames whose records were finished by somebody else (dropped to make room) are taken out: their file is gone. */
  #passFinished(): void {
    const low = this.#options.cursor.lowOffset
    if (low <= this.#nextOffset || this.#window.isEmpty) return
    this.#nextOffset = low
    this.#window.dropBelow(low)
  }

  #inputBytesMax(): number {
    const { bodyBytesMax } = this.#options.sizes
    const filling = Math.floor((bodyBytesMax * FILL_SHARE) / this.#growth)
    return Math.max(1, Math.min(TASK_INPUT_BYTES_MAX, filling))
  }

  /** How long to wait before the next task; 0: run one now. */
  #waitMs(): number {
    const { clock, sizes, source } = this.#options
    if (this.#window.byteCount >= this.#inputBytesMax() * FILL_SHARE) return 0
    if (!this.#window.isEmpty) {
      const waitedMs = clock.monotonicMs() - (this.#waitingSinceMs ?? 0)
      return Math.max(0, sizes.lingerMs - waitedMs)
    }
    // Nothing but open groups: an empty task closes those that are due by the shard's own time.
    if (this.#dueMs !== null && source.watermarkMs >= this.#dueMs) return 0
    return Number.POSITIVE_INFINITY
  }

  async #sleep(waitMs: number): Promise<void> {
    const { clock, signal } = this.#options
    if (waitMs === Number.POSITIVE_INFINITY) return await this.#wakeUp.wait(signal)
    const cancel = clock.after(waitMs, () => this.#wakeUp.ring())
    await this.#wakeUp.wait(signal)
    cancel()
  }

  /** null: woken by shutdown. */
  async #slot(): Promise<Slot | null> {
    const { slots, signal } = this.#options
    for (;;) {
      const slot = signal.aborted ? null : slots.take()
      if (slot !== null || signal.aborted) {
        // A turn that is kept and not used would be another lane's.
        slots.forget(this.#onSlot)
        return slot
      }
      slots.whenFree(this.#onSlot)
      await this.#wakeUp.wait(signal)
    }
  }

  /** null: the task failed in a way that says what to do next. */
  async #run(whole: TaskRequest, cut: FrameCut): Promise<TaskResult | null> {
    const { pool } = this.#options
    const { fromOffset: from } = whole
    const end = this.#search.endOf(from, cut.endOffset)
    const isPart = end < cut.endOffset
    const finished = isPart ? [...whole.finished, [end, cut.endOffset] as const] : whole.finished
    const task = isPart ? { ...whole, finished: rangesOf(finished), isAtEnd: false } : whole
    try {
      const result = await pool.run(task, this.#search.deadlineMs(from, end))
      return isPart ? { ...result, resumeOffset: Math.min(result.resumeOffset, end) } : result
    } catch (error) {
      if (this.#options.signal.aborted) throw error
      const wasSearching = this.#search.isSearching
      const next = this.#search.failed(from, end, error)
      if (next === 'repeat') throw error
      if (!wasSearching) this.#options.onTrouble(error)
      if (next === 'culprit') await this.#giveUp(task, from, end, error)
      return null
    }
  }

  /** The record alone fails its task, or the open groups that it came to do. They become dead letters. */
  async #giveUp(task: TaskRequest, from: number, end: number, error: unknown): Promise<void> {
    const offsets = [...this.#open]
    if (end > from && task.carry !== null) {
      const isOwnFault = await this.#options.pool.run({ ...task, carry: null }, TASK_MS_MAX).then(
        () => false,
        () => true
      )
      if (isOwnFault) offsets.length = 0
    }
    if (end > from) offsets.push(from)
    await this.#refuse(offsets, error)
    if (offsets.length > 1 || end <= from) {
      this.#carry = null
      this.#dueMs = null
      this.#open = []
    }
    this.#nextOffset = Math.max(this.#nextOffset, end)
    this.#window.dropBelow(this.#nextOffset)
    this.#search.clear()
  }

  /** Dead letters of records that fail every task. */
  async #refuse(offsets: readonly number[], error: unknown): Promise<void> {
    const { cursor, onProgress, writeLetters } = this.#options
    const left = offsets.filter((offset) => cursor.finishedWithin(offset, offset + 1).length === 0)
    const text = errorText(error)
    const letter = { reason: 'task_failed', step: '', status: null, text, target: '' }
    const tries = FIRST_TRY
    await this.#flights.inFlight.whileSettling(left, () =>
      writeLetters(left.map((offset) => ({ ...letter, tries, offsets: [offset] })))
    )
    for (const offset of left) cursor.finish(offset, offset + 1, { kind: 'dead_lettered' })
    onProgress()
  }

  #task(
    slot: Slot,
    cut: Pick<FrameCut, 'frames' | 'segments' | 'endOffset'>,
    isAtEnd: boolean,
    watermarkMs: number,
    fromOffset = this.#nextOffset
  ): TaskRequest {
    const { frames, segments, endOffset } = cut
    const { cursor, destination, generation, sizes, source } = this.#options
    return {
      kind: 'task',
      generation,
      destination,
      logId: source.logId,
      segments,
      frames,
      fromOffset,
      finished: cursor.finishedWithin(fromOffset, endOffset),
      slot: { startByte: slot.startByte, byteCount: slot.byteCount },
      bodyBytesMax: sizes.bodyBytesMax,
      rowsMax: Math.floor(sizes.bodyBytesMax / ROW_BYTES_MIN),
      carry: this.#carry,
      watermarkMs,
      isAtEnd
    }
  }

  #learn({ byteCount, endOffset, frames }: FrameCut, fromOffset: number, result: TaskResult): void {
    const renderedBytes = result.bodies.reduce((sum, body) => sum + body.byteCount, 0)
    // A task may begin and end within a frame: records stand for the bytes that it looked at.
    const recordCount = endOffset - (frames[0]?.firstOffset ?? endOffset)
    const lookedCount = Math.min(result.resumeOffset, endOffset) - fromOffset
    if (result.rowCount > 0 && lookedCount > 0 && recordCount > 0) {
      const growth = renderedBytes / ((byteCount * lookedCount) / recordCount)
      this.#growth += (Math.max(GROWTH_MIN, growth) - this.#growth) * GROWTH_WEIGHT
    }
    this.#carry = result.carry
    this.#dueMs = result.dueMs
    this.#open = result.open
    this.#nextOffset = Math.max(this.#nextOffset, result.resumeOffset)
    this.#window.dropBelow(this.#nextOffset)
    this.#waitingSinceMs = this.#window.isEmpty ? null : this.#options.clock.monotonicMs()
    this.#options.onTask(result)
  }

  /** A task over the frames of a job with everything passed over but its rows. */
  async #renderLater(whole: LaterJob): Promise<void> {
    const slot = await this.#slot()
    const { cursor, pool, slots } = this.#options
    // What was dropped meanwhile is counted.
    const rows = whole.rows.flatMap((row) => {
      const left = row.filter((offset) => !cursor.has(offset))
      return left.length === 0 ? [] : [left]
    })
    if (slot === null || rows.length === 0) {
      this.#later.putBack(whole, rows, whole.failureCount)
      this.#later.end(whole)
      if (slot === null) return
      this.#later.forget(whole)
      return slots.give(slot)
    }
    const job = { ...whole, rows }
    const { passCount } = cursor
    const task = this.#laterTask(slot, job)
    try {
      const result = await pool.run(task, TASK_MS_MAX)
      this.#later.putBack(job, unrendered(rows, result), 0)
      await this.#flights.depart({ slot, task, result, frames: job.frames, passCount, job })
    } catch (error) {
      slots.give(slot)
      this.#later.end(job)
      await this.#afterFailedLater(job, error)
    }
  }

  #laterTask(slot: Slot, job: LaterJob): TaskRequest {
    const offsets = offsetsOf(job.rows)
    const frames = framesHolding(job.frames, offsets)
    const endOffset = (offsets.at(-1) ?? 0) + 1
    // The end of time closes what the task joins: no later one takes its open groups.
    const endMs = Number.MAX_SAFE_INTEGER
    const cut = { ...cutOf(frames, (ordinal) => this.#options.source.segment(ordinal)), endOffset }
    const request = this.#task(slot, cut, true, endMs, offsets[0])
    return { ...request, carry: null, finished: gaps(offsets, frames) }
  }

  /** A job is halved by its repetition; one that is down to one row is given up in the end. */
  async #afterFailedLater(job: LaterJob, error: unknown): Promise<void> {
    const failureCount = job.failureCount + 1
    const isOver = isLate(error) || failureCount >= TASK_FAILURES_MAX
    if (job.rows.length === 1 && isOver && !this.#options.signal.aborted) {
      return await this.#refuse(offsetsOf(job.rows), error)
    }
    this.#later.renderAgain(job.rows, job.frames, job.tries, failureCount)
    throw new Error(`rendering again failed: ${errorText(error)}`, { cause: error })
  }

  /** Sends rows of parked keys to the park, each key in order; they are finished when they are durable there. */
  #parkHeld(): void {
    const { clock, cursor, onProgress, onTrouble, parkRows } = this.#options
    if (parkRows === null || this.#isParkPaused) return
    for (let next = this.#later.nextToPark(); next !== null; next = this.#later.nextToPark()) {
      const { key, batch } = next
      const rows = batch.rows
        .map((row) => row.filter((offset) => !cursor.has(offset)))
        .filter((row) => row.length > 0)
      const offsets = offsetsOf(rows)
      const park = async () => {
        if (!(await parkRows(key, rows))) throw new Error('the park takes nothing now')
        for (const offset of offsets) cursor.finish(offset, offset + 1, { kind: 'moved' })
        this.#later.parked(key)
        onProgress()
      }
      this.#flights.inFlight
        .whileSettling(offsets, park)
        .catch((error) => {
          this.#later.unparked(key)
          this.#isParkPaused = true
          if (!this.#options.signal.aborted) onTrouble(error)
          return clock.sleep(PARK_RETRY_MS, this.#options.signal).catch(() => undefined)
        })
        .finally(() => {
          this.#isParkPaused = false
          this.#wakeUp.ring()
        })
    }
  }
}

/** Rows that the task did not come to, or whose group it left open. */
function unrendered(rows: readonly RowOffsets[], result: TaskResult): RowOffsets[] {
  const open = new Set(result.open)
  return rows.filter((row) =>
    row.some((offset) => offset >= result.resumeOffset || open.has(offset))
  )
}

/** Finished ranges in order, those that touch joined. */
function rangesOf(ranges: readonly (readonly [number, number])[]): [number, number][] {
  const joined: [number, number][] = []
  for (const [first, end] of ranges.toSorted((one, other) => one[0] - other[0])) {
    const last = joined.at(-1)
    if (last !== undefined && first <= last[1]) last[1] = Math.max(last[1], end)
    else joined.push([first, end])
  }
  return joined
}
