// Step 8. Runs on: main.
// Rows of keys that cannot be stored just now, by key, in the order of the queue. They hold no slot: what stands here are
// offsets, and the records are read again when the key is tried or parked.
// Holds at most: `HELD_ROWS_MAX` rows and a few more, then the lane takes no further frames.

import { HELD_ROWS_MAX, TASK_FRAMES_MAX } from '../core/limits.ts'
import { byOwner, framesHolding, joinFrames, offsetsOf, type RowBatch } from './again-jobs.ts'
import { joinTries, UNTRIED } from './verdicts.ts'

export class HeldRows {
  readonly #byKey = new Map<string, RowBatch[]>()
  #rowCount = 0

  get isEmpty(): boolean {
    return this.#byKey.size === 0
  }

  get isFull(): boolean {
    return this.#rowCount >= HELD_ROWS_MAX
  }

  /** So many that they will soon be in the way of other keys. */
  get isCrowded(): boolean {
    return this.#rowCount >= HELD_ROWS_MAX / 2
  }

  get keys(): Iterable<string> {
    return this.#byKey.keys()
  }

  has(key: string): boolean {
    return this.#byKey.has(key)
  }

  *batches(): Iterable<RowBatch> {
    for (const batches of this.#byKey.values()) yield* batches
  }

  hold(key: string, batch: RowBatch): void {
    if (batch.rows.length === 0) return
    const rows = batch.rows.toSorted(byOwner)
    const sorted = { ...batch, rows, frames: framesHolding(batch.frames, offsetsOf(rows)) }
    const batches = this.#byKey.get(key) ?? []
    this.#byKey.set(key, batches)
    // Bodies fail in any order; rows are tried in the order of the queue.
    const place = batches.findLastIndex((each) => ownerOf(each) <= ownerOf(sorted))
    batches.splice(place + 1, 0, sorted)
    this.#rowCount += rows.length
  }

  /** The first rows of a key, at least one, with no more frames than a task may have; null: none are held. */
  take(key: string, rowCountMax: number): RowBatch | null {
    const batches = this.#byKey.get(key)
    if (batches === undefined) return null
    const rows: (readonly number[])[] = []
    let frames: RowBatch['frames'] = []
    let tries = UNTRIED
    for (let batch = batches.shift(); batch !== undefined; batch = batches.shift()) {
      const taken = batch.rows.slice(0, rowCountMax - rows.length)
      const joined = joinFrames(frames, framesHolding(batch.frames, offsetsOf(taken)))
      if (rows.length > 0 && joined.length > TASK_FRAMES_MAX) {
        batches.unshift(batch)
        break
      }
      rows.push(...taken)
      frames = joined
      tries = joinTries(tries, batch.tries)
      const left = batch.rows.slice(taken.length)
      if (left.length > 0) batches.unshift({ ...batch, rows: left })
      if (rows.length >= rowCountMax) break
    }
    if (batches.length === 0) this.#byKey.delete(key)
    this.#rowCount -= rows.length
    return { rows, frames, tries }
  }
}

const ownerOf = ({ rows }: RowBatch): number => rows[0]?.[0] ?? 0
