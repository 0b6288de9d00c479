// Steps 6 to 9. Runs on: main.
// One destination on one shard: take frames, have them rendered, send the bodies, finish. Tasks run one after another,
// since a task begins with the open groups of the one before; bodies of many tasks are in flight at once.
// Holds at most: frames of one task, and as many bodies as the output has slots.

import type { Clock } from '../core/clock.ts'
import { errorText } from '../core/errors.ts'
import {
  CURSOR_RANGES_MAX,
  TASK_FAILURES_MAX,
  TASK_INPUT_BYTES_MAX,
  TASK_MS_MAX
} from '../core/limits.ts'
import type { Output, OutputSizes, RenderedBody } from '../plugin/output.ts'
import type { Hole } from '../storage/segments.ts'
import type { FrameRef, SegmentRef, TaskRequest, TaskResult } from '../threads/messages.ts'
import { type AgainJob, AgainJobs, gaps } from './again-jobs.ts'
import { BodyFlight, type FlightOptions, type PassedOffsets } from './body-flight.ts'
import { CulpritSearch, isLate } from './culprit-search.ts'
import { type FrameCut, FrameWindow } from './frame-window.ts'
import { InFlight } from './in-flight.ts'
import type { SlotSource } from './lane-turns.ts'
import { RowIndex } from './row-index.ts'
import type { Slot } from './slots.ts'
import {
  type FinishSink,
  settleSteps,
  TaskSettlement,
  type WriteLetters
} from './task-settlement.ts'
import { FIRST_TRY } from './verdicts.ts'
import { WakeUp } from './wake-up.ts'

/** What the reader of a shard gives: a frame, or offsets that cannot be read. */
export type Taken = { readonly kind: 'frame'; readonly frame: FrameRef } | Hole

/** The shard as one lane sees it. */
export interface LaneSource {
  /** Next frame or hole below the visible end; null: none yet. */
  next(): Taken | null
  segment(ordinal: number): SegmentRef
  readonly watermarkMs: number
  readonly logId: Uint8Array
  /** Why offsets whose frame does not verify cannot be read. */
  judge(firstOffset: number, endOffset: number): readonly Hole[]
}

export interface LaneCursor extends FinishSink, PassedOffsets {
  /** Everything below is finished. */
  readonly lowOffset: number
  /** Finished ranges above `lowOffset`. */
  readonly rangeCount: number
  /** Finished ranges that touch [first, end). */
  finishedWithin(first: number, end: number): readonly (readonly [number, number])[]
}

export interface LaneOptions {
  readonly destination: string
  readonly generation: number
  readonly source: LaneSource
  readonly cursor: LaneCursor
  readonly slots: SlotSource
  readonly sizes: OutputSizes
  readonly output: Output
  /** Bodies of one target go one after another: tails by target, shared by the lanes of the output. */
  readonly targetTails: Map<string, Promise<void>>
  readonly pool: { run(task: TaskRequest, deadlineMs: number): Promise<TaskResult> }
  readonly writeLetters: WriteLetters
  readonly flight: Pick<FlightOptions, 'observer' | 'random' | 'retry'>
  readonly clock: Clock
  readonly signal: AbortSignal
  /** Called after anything was finished, and with the result of every task. */
  readonly onProgress: () => void
  readonly onTask: (result: TaskResult) => void
  readonly onTrouble: (error: unknown) => void
}

/** A body of a task, about to be sent. */
interface Departure {
  readonly slot: Slot
  readonly task: TaskRequest
  readonly result: TaskResult
  readonly body: RenderedBody
  readonly rows: RowIndex
  /** `passCount` of the cursor when the task was made. */
  readonly passCount: number
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
const RANGES_RESERVE = 500
/** Smallest record that a slot has index room for, bytes. */
export const ROW_BYTES_MIN = 64
/** Wait after a task that failed, milliseconds. */
const TASK_RETRY_MS = 1000

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
  /** Append time of the oldest frame of each task whose bodies are in flight. */
  readonly #flying = new Set<{ readonly oldestMs: number }>()
  readonly #inFlight = new InFlight()
  /** Members of open groups: taken, and finished only when their group closes. */
  #open: readonly number[] = []
  readonly #again = new AgainJobs()
  readonly #search = new CulpritSearch()

  constructor(options: LaneOptions) {
    this.#options = options
    this.#window = new FrameWindow((ordinal) => options.source.segment(ordinal))
    this.#nextOffset = options.cursor.lowOffset
  }

  /** Frames became visible, the watermark moved, a slot or room in the cursor became free. */
  wake(): void {
    this.#wakeUp.ring()
  }

  /** Nothing taken, nothing in flight: what the shard has shown is finished, but for open groups. */
  get isIdle(): boolean {
    return this.#flying.size === 0 && this.#window.isEmpty && this.#again.isEmpty
  }

  get openCount(): number {
    return this.#open.length
  }

  /** Parts of [first, end) that cannot be dropped now: on the wire, or being settled. */
  inFlightWithin(first: number, end: number): readonly (readonly [number, number])[] {
    return this.#inFlight.within(first, end)
  }

  /** Append time of the oldest frame that is taken and not finished, or null. */
  get oldestMs(): number | null {
    const times = [...this.#flying].map(({ oldestMs }) => oldestMs)
    const { oldestMs } = this.#window
    if (oldestMs !== null) times.push(oldestMs)
    return times.length === 0 ? null : Math.min(...times)
  }

  /** Runs until the signal aborts; flights end by themselves, `settledFlights` waits for them. */
  async run(): Promise<void> {
    const { signal } = this.#options
    while (!signal.aborted) {
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
    if (!this.#again.isEmpty) return await this.#renderAgain()
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
      this.#learn(cut, task.fromOffset, result)
      isGiven = true
      await this.#deliver(slot, task, result, passCount)
    } finally {
      if (!isGiven) this.#options.slots.give(slot)
    }
  }

  /** Fills the window from the reader; holes are finished at once. True: nothing more is visible. */
  #take(): boolean {
    const { cursor, source } = this.#options
    while (this.#window.byteCount < this.#inputBytesMax()) {
      if (cursor.rangeCount > CURSOR_RANGES_MAX - RANGES_RESERVE) return false
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
    await this.#inFlight.whileSettling(left, () =>
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

  /** Settles what the steps decided, and lets the bodies fly. The slot is given back when all are settled. */
  async #deliver(
    slot: Slot,
    task: TaskRequest,
    result: TaskResult,
    passCount: number
  ): Promise<void> {
    const { cursor, slots, source, writeLetters } = this.#options
    const flight = { oldestMs: task.frames[0]?.appendTimeMs ?? this.#options.clock.nowMs() }
    this.#flying.add(flight)
    const rows = new RowIndex(
      slot.bytes,
      result.rowIndexStartByte,
      result.rowCount,
      task.fromOffset
    )
    const flights = result.bodies.map((body) =>
      this.#fly({ slot, task, result, body, rows, passCount })
    )
    const done = Promise.all(flights).finally(() => {
      this.#flying.delete(flight)
      slots.give(slot)
      this.#options.onProgress()
      this.#wakeUp.ring()
    })
    // Flights report their own trouble; nothing is left to reject but a bug, which onTrouble shows.
    done.catch((error) => this.#options.onTrouble(error))
    const letters = result.deadLetters.flatMap(({ members, offset }) => [
      offset,
      ...(members ?? [])
    ])
    await this.#inFlight.whileSettling(letters, () =>
      settleSteps(result, cursor, writeLetters, (first, end) => source.judge(first, end))
    )
    if (result.bodies.length === 0) this.#options.onProgress()
  }

  #fly({ slot, task, result, body, rows, passCount }: Departure): Promise<void> {
    const { clock, cursor, onProgress, output, signal, sizes, writeLetters } = this.#options
    const settlement = new TaskSettlement({
      rows,
      sink: cursor,
      writeLetters,
      target: body.target,
      joined: result.joined,
      onRenderAgain: (offsets) => {
        this.#again.add(task.frames, task.segments, offsets)
        this.#wakeUp.ring()
      }
    })
    const options: FlightOptions = {
      ...this.#options.flight,
      output,
      slot: slot.bytes,
      rows,
      settlement,
      clock,
      signal,
      flushTimeoutMs: sizes.flushTimeoutMs,
      passed: cursor,
      passCount
    }
    const fly = () => this.#inFlight.run(new BodyFlight(body, options)).then(onProgress)
    return sizes.isOrderedPerTarget ? this.#inTurn(body.target, fly) : fly()
  }

  #inTurn(target: string, fly: () => Promise<void>): Promise<void> {
    const { targetTails } = this.#options
    const turn = (targetTails.get(target) ?? Promise.resolve()).then(fly)
    const tail = turn.catch(() => undefined)
    targetTails.set(target, tail)
    // Targets come and go; a tail that nobody waits for is forgotten.
    void tail.then(() => {
      if (targetTails.get(target) === tail) targetTails.delete(target)
    })
    return turn
  }

  /** A task over the same frames with everything passed over but the offsets that are left; half of them at once. */
  async #renderAgain(): Promise<void> {
    const half = this.#again.takeHalf()
    if (half === null) return
    const slot = await this.#slot()
    if (slot === null) return
    const { cursor } = this.#options
    const { passCount } = cursor
    // What was dropped meanwhile is counted.
    const job = { ...half, offsets: half.offsets.filter((offset) => !cursor.has(offset)) }
    const first = job.offsets[0]
    if (first === undefined) return this.#options.slots.give(slot)
    const endOffset = (job.offsets.at(-1) ?? first) + 1
    // The end of time closes what the task joins: no later one takes its open groups.
    const endMs = Number.MAX_SAFE_INTEGER
    const request = this.#task(slot, { ...job, endOffset }, true, endMs, first)
    const task = { ...request, carry: null, finished: gaps(job.offsets, job.frames) }
    try {
      const result = await this.#options.pool.run(task, TASK_MS_MAX)
      await this.#deliver(slot, task, result, passCount)
    } catch (error) {
      this.#options.slots.give(slot)
      await this.#afterFailedAgain(job, error)
    }
  }

  /** A job is halved by its repetition; one that is down to one record is given up in the end. */
  async #afterFailedAgain(job: AgainJob, error: unknown): Promise<void> {
    const failureCount = job.failureCount + 1
    const isOver = isLate(error) || failureCount >= TASK_FAILURES_MAX
    if (job.offsets.length === 1 && isOver && !this.#options.signal.aborted) {
      return await this.#refuse(job.offsets, error)
    }
    this.#again.putBack(job, failureCount)
    throw new Error(`rendering again failed: ${errorText(error)}`, { cause: error })
  }
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
