// Step 7. Runs on: pool.
// A trap of the kernel is a bug of ours that one record brings out. That record goes to the dead letters and the others
// are delivered.

import type { TaskRequest } from '../threads/messages.ts'
import { GroupTrap } from './task-attempt.ts'

/** Culprits in one task before it is given up as a whole. */
export const TRAPS_MAX = 16

/** Traps of WebAssembly, and its stack running out, which engines report as a RangeError. */
export function isTrap(error: unknown): boolean {
  if (error instanceof GroupTrap) return true
  return error instanceof Error && (error.name === 'RuntimeError' || error.name === 'RangeError')
}

/**
 * The last offset of the shortest beginning of the task that traps, found by halving. `traps` runs a task that passes
 * over everything behind an offset; whether a beginning traps depends on nothing behind it.
 */
export function findCulprit(task: TaskRequest, traps: (cut: TaskRequest) => boolean): number {
  const last = task.frames.at(-1)
  const endOffset = last === undefined ? task.fromOffset : last.firstOffset + last.recordCount
  // Beginnings of `low` entries do not trap, those of `high` do.
  let low = task.fromOffset
  let high = endOffset
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    const finished = task.finished.filter(([first]) => first < middle)
    if (traps({ ...task, finished: [...finished, [middle, endOffset]] })) high = middle
    else low = middle
  }
  return high - 1
}
