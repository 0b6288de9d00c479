// Step 7, seen from main. Runs on: main.
// Tasks for pool threads, one per thread at a time, in the order in which they came. Each has a deadline from the moment
// it is given to a thread: a thread that is late is ended and replaced, and its task fails only when the thread is gone,
// so that nobody writes into a slot that has a new owner.

import type { Clock } from '../core/clock.ts'
import { MillraceError } from '../core/errors.ts'
import type { TaskRequest, TaskResult } from './messages.ts'

/** The part of piscina that is used. */
export interface TaskThreads<Task = TaskRequest, Result = TaskResult> {
  run(task: Task, options: { signal: AbortSignal }): Promise<Result>
  readonly threads: readonly { terminate(): Promise<number> }[]
}

export class TurnPool<Task = TaskRequest, Result = TaskResult> {
  readonly #threads: TaskThreads<Task, Result>
  readonly #threadCount: number
  readonly #clock: Clock
  readonly #waiting: (() => void)[] = []
  #busyCount = 0

  constructor(threads: TaskThreads<Task, Result>, threadCount: number, clock: Clock) {
    this.#threads = threads
    this.#threadCount = threadCount
    this.#clock = clock
  }

  /** Rejects with MR_TASK_LATE when the task took longer than `deadlineMs`. */
  async run(task: Task, deadlineMs: number): Promise<Result> {
    if (this.#busyCount < this.#threadCount) this.#busyCount++
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      return await this.#runNow(task, deadlineMs)
    } finally {
      // The turn goes to the next one, or is given back.
      const next = this.#waiting.shift()
      if (next === undefined) this.#busyCount--
      else next()
    }
  }

  async #runNow(task: Task, deadlineMs: number): Promise<Result> {
    const abort = new AbortController()
    let before: TaskThreads['threads'] = []
    const cancel = this.#clock.after(deadlineMs, () => {
      before = [...this.#threads.threads]
      abort.abort()
    })
    try {
      return await this.#threads.run(task, { signal: abort.signal })
    } catch (error) {
      if (!abort.signal.aborted) throw error
      const { threads } = this.#threads
      const ended = before.filter((thread) => !threads.includes(thread))
      await Promise.all(ended.map((thread) => thread.terminate()))
      throw new MillraceError('MR_TASK_LATE', `the task was not done within ${deadlineMs} ms`)
    } finally {
      cancel()
    }
  }
}
