// Steps 7 and 8. Runs on: main.
// Rows of one lane that wait without a slot: to be rendered again in smaller bodies, for their key to work again, or on
// their way into the park. References only.

import type { FrameRef } from '../threads/messages.ts'
import {
  type AgainJob,
  AgainJobs,
  framesHolding,
  joinFrames,
  offsetsOf,
  type RowBatch,
  type RowOffsets
} from './again-jobs.ts'
import { HeldRows } from './held-rows.ts'
import type { Keys } from './keys.ts'
import type { TriesSoFar } from './verdicts.ts'

/** Rows of a key that works again are rendered by so many at most. */
const HELD_JOB_ROWS = 1000

/** Rows to be rendered now. */
export interface LaterJob extends AgainJob {
  /** Whose rows these are when they were held; null: rows of a body that was cut. */
  readonly key: string | null
  /** One row, to see whether its key works again. */
  readonly isTry: boolean
}

export class LaterRows {
  readonly held = new HeldRows()
  readonly #keys: Keys
  readonly #again = new AgainJobs()
  /** Keys with a held job in flight: one at a time, so that rows keep their order. */
  readonly #busy = new Set<string>()
  readonly #parking = new Map<string, RowBatch>()
  /** A working key whose rows most records from the queue would have to wait behind, or null. */
  #returning: string | null = null
  /** Frames that hold members of open groups; a row that is joined later may need them again. */
  #openFrames: readonly FrameRef[] = []

  constructor(keys: Keys) {
    this.#keys = keys
  }

  get isEmpty(): boolean {
    return this.#again.isEmpty && this.held.isEmpty && this.#parking.size === 0
  }

  get isOnlyHeld(): boolean {
    return this.#again.isEmpty && this.#parking.size === 0
  }

  /** Append time of the oldest frame with a row that waits here, or null. */
  get oldestMs(): number | null {
    let oldestMs: number | null = null
    for (const batches of [this.#again.batches(), this.held.batches(), this.#parking.values()]) {
      for (const { frames } of batches) {
        const timeMs = frames[0]?.appendTimeMs
        if (timeMs !== undefined) oldestMs = Math.min(oldestMs ?? timeMs, timeMs)
      }
    }
    return oldestMs
  }

  /** Of `rowCount` rows straight from the queue, so many had to be held behind earlier ones of their key. */
  heldBehind(key: string, heldCount: number, rowCount: number): void {
    if (heldCount * 2 >= rowCount && !this.#keys.isFailing(key)) this.#returning = key
  }

  /**
   * What is taken from the queue now would be rendered to be held behind rows of a key that works again, and be rendered
   * a second time: with one key, as after an outage, for as long as there is a backlog. Those rows go first.
   */
  get isReturning(): boolean {
    const key = this.#returning
    if (key === null) return false
    const isWaiting = this.held.has(key) || this.#busy.has(key)
    if (!isWaiting || this.#keys.isFailing(key)) this.#returning = null
    return this.#returning !== null
  }

  /** After a task: which of the frames before it the open groups still need. */
  noteOpen(frames: readonly FrameRef[], open: readonly number[]): void {
    if (open.length === 0 && this.#openFrames.length === 0) return
    const sorted = open.toSorted((one, other) => one - other)
    this.#openFrames = framesHolding(joinFrames(this.#openFrames, frames), sorted)
  }

  /** The frames of a task and those that its joined rows began in. */
  framesOf(frames: readonly FrameRef[]): readonly FrameRef[] {
    return this.#openFrames.length === 0 ? frames : joinFrames(this.#openFrames, frames)
  }

  renderAgain(
    rows: readonly RowOffsets[],
    frames: readonly FrameRef[],
    tries: TriesSoFar,
    failureCount = 0
  ): void {
    if (rows.length === 0) return
    this.#again.add({ rows, frames: framesHolding(frames, offsetsOf(rows)), tries, failureCount })
  }

  /** Rows of a job that were not rendered come first again. */
  putBack(job: LaterJob, rows: readonly RowOffsets[], failureCount: number): void {
    if (rows.length === 0) return
    const { tries } = job
    const batch = { rows, frames: framesHolding(job.frames, offsetsOf(rows)), tries }
    if (job.key === null) this.#again.putBack({ ...batch, failureCount })
    else this.held.hold(job.key, batch)
  }

  /** What may be rendered now; null: nothing. The job has to be ended. */
  next(): LaterJob | null {
    const again = this.#again.takeHalf()
    if (again !== null) return { ...again, key: null, isTry: false }
    if (this.held.isEmpty) return null
    for (const key of this.held.keys) {
      if (this.#busy.has(key) || this.#keys.isParked(key)) continue
      const may = this.#keys.beginTry(key)
      if (may === null) continue
      const batch = this.held.take(key, may === 'one' ? 1 : HELD_JOB_ROWS)
      if (batch === null) continue
      this.#busy.add(key)
      return { ...batch, failureCount: 0, key, isTry: may === 'one' }
    }
    return null
  }

  /** All bodies of the job are settled, or it was put back. */
  end({ key, isTry }: LaterJob): void {
    if (key === null) return
    this.#busy.delete(key)
    if (isTry) this.#keys.endTry(key)
  }

  /** Rows of the job that nobody waits for any more. */
  forget({ key }: LaterJob): void {
    if (key !== null && !this.held.has(key)) this.#keys.forget(key)
  }

  /** Rows of a parked key, once at a time for each key; null: none. `parked` or `unparked` has to follow. */
  nextToPark(): { readonly key: string; readonly batch: RowBatch } | null {
    for (const key of this.held.keys) {
      if (!this.#keys.isParked(key) || this.#parking.has(key) || this.#busy.has(key)) continue
      const batch = this.held.take(key, HELD_JOB_ROWS)
      if (batch === null) continue
      this.#parking.set(key, batch)
      return { key, batch }
    }
    return null
  }

  parked(key: string): void {
    this.#parking.delete(key)
  }

  unparked(key: string): void {
    const batch = this.#parking.get(key)
    this.#parking.delete(key)
    if (batch !== undefined) this.held.hold(key, batch)
  }
}
