import type { CancelTimer, Clock } from '../../src/core/clock.ts'

interface Timer {
  readonly dueMs: number
  readonly callback: () => void
}

/** A clock that moves only when told. Timers fire in the order of their due times. */
export class FakeClock implements Clock {
  #nowMs: number
  readonly #startMs: number
  readonly #timers = new Set<Timer>()

  constructor(startMs = 1_700_000_000_000) {
    this.#nowMs = startMs
    this.#startMs = startMs
  }

  nowMs(): number {
    return this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs - this.#startMs
  }

  get timerCount(): number {
    return this.#timers.size
  }

  after(delayMs: number, callback: () => void): CancelTimer {
    const timer = { dueMs: this.#nowMs + delayMs, callback }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const onAbort = () => {
        cancel()
        reject(signal?.reason)
      }
      const cancel = this.after(delayMs, () => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      })
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }

  /** Moves the clock and fires what falls due, in order. */
  advance(byMs: number): void {
    const untilMs = this.#nowMs + byMs
    for (;;) {
      const due = [...this.#timers]
        .filter((timer) => timer.dueMs <= untilMs)
        .sort((one, other) => one.dueMs - other.dueMs)[0]
      if (due === undefined) break
      this.#timers.delete(due)
      this.#nowMs = due.dueMs
      due.callback()
    }
    this.#nowMs = untilMs
  }

  /** Sets the wall clock without firing anything: a step of the clock. */
  jumpTo(nowMs: number): void {
    this.#nowMs = nowMs
  }
}

/** Lets everything run that is already settled. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
}
