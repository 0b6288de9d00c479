// Step 7, seen from main. Runs on: main.
// Rows that have to be rendered again, fewer at once: their body could not be cut in its slot, or was too large. Holds
// references; the records are in the queue.

import type { FrameRef, SegmentRef } from '../threads/messages.ts'

export interface AgainJob {
  readonly frames: readonly FrameRef[]
  readonly segments: readonly SegmentRef[]
  /** In order; at least one. */
  readonly offsets: readonly number[]
  readonly failureCount: number
}

export class AgainJobs {
  readonly #jobs: AgainJob[] = []

  get isEmpty(): boolean {
    return this.#jobs.length === 0
  }

  add(frames: readonly FrameRef[], segments: readonly SegmentRef[], offsets: readonly number[]) {
    if (offsets.length === 0) return
    const sorted = offsets.toSorted((one, other) => one - other)
    this.#jobs.push({ frames, segments, offsets: sorted, failureCount: 0 })
  }

  /** Half of the next job; the other half stays. */
  takeHalf(): AgainJob | null {
    const job = this.#jobs.shift()
    if (job === undefined) return null
    const count = Math.max(1, job.offsets.length >>> 1)
    const rest = job.offsets.slice(count)
    if (rest.length > 0) this.#jobs.push({ ...job, offsets: rest })
    return { ...job, offsets: job.offsets.slice(0, count) }
  }

  /** A half that was not rendered comes next again. */
  putBack(job: AgainJob, failureCount: number): void {
    this.#jobs.unshift({ ...job, failureCount })
  }
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
