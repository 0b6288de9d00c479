// Step 8. Runs on: main.
// A destination that answers nothing useful gets one request at a time, with growing pauses, until one works. What waits
// meanwhile goes on at once: nobody sits out a pause of its own after the destination came back. One per output.

import type { CancelTimer, Clock, Random } from '../core/clock.ts'
import { type RetryPolicy, retryDelayMs } from './retry.ts'

/** Requests that failed in a row before the circuit opens. */
const FAILURES_MAX = 5

/** Right to send one request. */
export type Pass = 'free' | 'probe'

export class Circuit {
  readonly #clock: Clock
  readonly #random: Random
  readonly #policy: RetryPolicy
  /** In the order of coming: another request is tried each time, as one may be at fault itself. */
  readonly #waiting: (() => void)[] = []
  readonly #onClose = new Set<() => void>()
  #failureCount = 0
  #isOpen = false
  #isProbing = false
  #probeCount = 0
  #dueMs = 0
  #cancelTimer: CancelTimer | null = null

  constructor(clock: Clock, random: Random, policy: RetryPolicy) {
    this.#clock = clock
    this.#random = random
    this.#policy = policy
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  /** Calls back whenever the destination answers again. */
  onClose(callback: () => void): void {
    this.#onClose.add(callback)
  }

  /** Settles when a request may be sent; null: the signal aborted. Each pass has to be given back. */
  async enter(signal: AbortSignal): Promise<Pass | null> {
    while (this.#isOpen && !signal.aborted) {
      const waitMs = this.#dueMs - this.#clock.monotonicMs()
      if (!this.#isProbing && waitMs <= 0) {
        this.#isProbing = true
        return 'probe'
      }
      await this.#turn(signal)
    }
    return signal.aborted ? null : 'free'
  }

  /** The request was answered: somebody is there, whatever was said about its rows. */
  worked(): void {
    this.#failureCount = 0
    this.#isProbing = false
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#probeCount = 0
    for (const wake of this.#waiting.splice(0)) wake()
    for (const callback of this.#onClose) callback()
  }

  /** Nothing of the request was settled. */
  failed(pass: Pass, retryAfterMs: number): void {
    this.#failureCount++
    if (this.#isOpen ? pass !== 'probe' : this.#failureCount < FAILURES_MAX) return
    this.#isOpen = true
    this.#isProbing = false
    this.#probeCount++
    const delayMs = retryDelayMs(this.#policy, this.#probeCount, this.#random, retryAfterMs)
    this.#dueMs = this.#clock.monotonicMs() + delayMs
    this.#schedule()
  }

  /** The pass was not used. */
  unused(pass: Pass): void {
    if (pass === 'free') return
    this.#isProbing = false
    this.#schedule()
  }

  /** Wakes the first that waits when its turn has come. The timer lives only as long as somebody waits. */
  #schedule(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = null
    if (this.#waiting.length === 0 || this.#isProbing || !this.#isOpen) return
    const waitMs = Math.max(0, this.#dueMs - this.#clock.monotonicMs())
    this.#cancelTimer = this.#clock.after(waitMs, () => {
      this.#cancelTimer = null
      if (!this.#isProbing) this.#waiting.shift()?.()
    })
  }

  async #turn(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const wake = () => resolve()
    this.#waiting.push(wake)
    signal.addEventListener('abort', wake, { once: true })
    this.#schedule()
    await promise
    signal.removeEventListener('abort', wake)
    const at = this.#waiting.indexOf(wake)
    if (at >= 0) this.#waiting.splice(at, 1)
    if (signal.aborted || this.#waiting.length === 0) this.#schedule()
  }
}
