// Step 7, seen from main. Runs on: main.
// A task that fails is a task over some record that fails it, or the machine is in trouble. Repeats it a few times, then
// halves it until one record is alone. Invariant: only a record that failed a task of its own is called the culprit, and
// never for an error of the system (a disk that cannot be read is no record's fault).

import { errnoOf, errorText, MillraceError } from '../core/errors.ts'
import { TASK_FAILURES_MAX, TASK_MS_MAX, TASK_PART_MS_MAX } from '../core/limits.ts'

/** What to do after a failure: the same once more after a pause, a smaller one at once, or give up the only record. */
export type AfterFailure = 'repeat' | 'halve' | 'culprit'

export class CulpritSearch {
  /** The task that failed last. */
  #from = -1
  #end = -1
  #failureCount = 0
  /** Some record below this fails tasks; null: nothing is known to. */
  #until: number | null = null

  get isSearching(): boolean {
    return this.#until !== null
  }

  /** Where a task that begins at `from` has to end, at most `end`. */
  endOf(from: number, end: number): number {
    if (this.#until !== null && from >= this.#until) this.clear()
    if (this.#until === null) return end
    return Math.min(end, from + Math.max(1, (this.#until - from) >>> 1))
  }

  /** Half a task that is late is late soon; what is alone gets all the time there is. */
  deadlineMs(from: number, end: number): number {
    return this.#until !== null && end - from > 1 ? TASK_PART_MS_MAX : TASK_MS_MAX
  }

  /** The task over [from, end) failed. */
  failed(from: number, end: number, error: unknown): AfterFailure {
    if (isSystemTrouble(error)) return 'repeat'
    const isSame = from === this.#from && end === this.#end
    this.#failureCount = isSame ? this.#failureCount + 1 : 1
    this.#from = from
    this.#end = end
    const isAlone = end - from <= 1
    const isPart = this.#until !== null && !isAlone
    if (!isPart && !isLate(error) && this.#failureCount < TASK_FAILURES_MAX) return 'repeat'
    if (isAlone) return 'culprit'
    this.#until = end
    return 'halve'
  }

  /** Nothing is suspected any more. */
  clear(): void {
    this.#until = null
    this.#from = -1
    this.#end = -1
    this.#failureCount = 0
  }
}

export function isLate(error: unknown): boolean {
  return error instanceof MillraceError && error.code === 'MR_TASK_LATE'
}

/** Errors lose their code on the way from another thread; the text of the system's begins with it. */
function isSystemTrouble(error: unknown): boolean {
  return /^E[A-Z0-9]+$/.test(errnoOf(error)) || /^E[A-Z0-9]+: /.test(errorText(error))
}
