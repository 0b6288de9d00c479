// Step 7, seen from main. Runs on: main.
// Rows that have to be rendered again, fewer at once: their body could not be cut in its slot, or was too large. Holds
// references; the records are in the queue.

import type { FrameRef } from '../threads/messages.ts'
import type { TriesSoFar } from './verdicts.ts'

/** Offsets of all records that one row was made of, the row's own first. */
export type RowOffsets = readonly number[]

/** Rows with the frames that hold their records; `segment` of a frame is the ordinal. */
export interface RowBatch {
  /** In the order of the queue. A row is never parted from its members. */
  readonly rows: readonly RowOffsets[]
  /** In order, each once; they may hold other records too. */
  readonly frames: readonly FrameRef[]
  readonly tries: TriesSoFar
}

export interface AgainJob extends RowBatch {
  readonly failureCount: number
}

export class AgainJobs {
  readonly #jobs: AgainJob[] = []

  get isEmpty(): boolean {
    return this.#jobs.length === 0
  }

  batches(): Iterable<RowBatch> {
    return this.#jobs
  }

  add(job: AgainJob): void {
    this.#jobs.push({ ...job, rows: job.rows.toSorted(byOwner) })
  }

  /** Half of the next job; the other half stays. */
  takeHalf(): AgainJob | null {
    const job = this.#jobs.shift()
    if (job === undefined) return null
    const count = Math.max(1, job.rows.length >>> 1)
    const rest = job.rows.slice(count)
    if (rest.length > 0) this.#jobs.push({ ...job, rows: rest })
    return { ...job, rows: job.rows.slice(0, count) }
  }

  /** A half that was not rendered comes next again. */
  putBack(job: AgainJob): void {
    this.#jobs.unshift(job)
  }
}

export const byOwner = (one: RowOffsets, other: RowOffsets): number =>
  (one[0] ?? 0) - (other[0] ?? 0)

/** Offsets of all records of the rows, ascending. Those of one line may stand between those of another. */
export function offsetsOf(rows: readonly RowOffsets[]): number[] {
  return rows.flat().sort((one, other) => one - other)
}

/** Of the frames those that hold one of the offsets, which ascend. */
export function framesHolding(frames: readonly FrameRef[], offsets: readonly number[]): FrameRef[] {
  const holding: FrameRef[] = []
  let at = 0
  for (const frame of frames) {
    while (at < offsets.length && (offsets[at] ?? 0) < frame.firstOffset) at++
    if ((offsets[at] ?? Number.POSITIVE_INFINITY) < frame.firstOffset + frame.recordCount) {
      holding.push(frame)
    }
  }
  return holding
}

/** Frames of both lists in order, each once. */
export function joinFrames(one: readonly FrameRef[], other: readonly FrameRef[]): FrameRef[] {
  const byOffset = new Map<number, FrameRef>()
  for (const frame of [...one, ...other]) byOffset.set(frame.firstOffset, frame)
  return [...byOffset.values()].sort((a, b) => a.firstOffset - b.firstOffset)
}

/** Ranges between the offsets, up to the end of the frames: what a task has to pass over. */
export function gaps(offsets: readonly number[], frames: readonly FrameRef[]): [number, number][] {
  const ranges: [number, number][] = []
  let next = offsets[0] ?? 0
  for (const offset of offsets) {
    if (offset > next) ranges.push([next, offset])
    next = offset + 1
  }
  const last = frames.at(-1)
  const end = last === undefined ? next : last.firstOffset + last.recordCount
  if (end > next) ranges.push([next, end])
  return ranges
}
