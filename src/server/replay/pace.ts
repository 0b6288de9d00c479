// Runs on: main.
// How fast a replay goes: so many records per second on average, without bursts.

import type { Clock } from '../../core/clock.ts'

/** Parts of a second that one batch is worth. */
const BATCHES_PER_SECOND = 4

export class Pace {
  /** Records that go at once. */
  readonly batchMax: number
  readonly #clock: Clock
  readonly #perSecond: number | null
  #nextMs: number

  /** `perSecond` null: as fast as the destination takes them. */
  constructor(clock: Clock, perSecond: number | null) {
    this.#clock = clock
    this.#perSecond = perSecond
    this.#nextMs = clock.monotonicMs()
    this.batchMax =
      perSecond === null
        ? Number.POSITIVE_INFINITY
        : Math.max(1, Math.ceil(perSecond / BATCHES_PER_SECOND))
  }

  /** How long until more may go; 0: now. */
  get waitMs(): number {
    return this.#perSecond === null ? 0 : Math.max(0, this.#nextMs - this.#clock.monotonicMs())
  }

  /** So many go now. */
  spend(recordCount: number): void {
    if (this.#perSecond === null) return
    const fromMs = Math.max(this.#nextMs, this.#clock.monotonicMs())
    this.#nextMs = fromMs + (recordCount * 1000) / this.#perSecond
  }

  /** Waits for the turn of a batch; rejects when the signal aborts. */
  async wait(recordCount: number, signal: AbortSignal): Promise<void> {
    const { waitMs } = this
    if (waitMs > 0) await this.#clock.sleep(waitMs, signal)
    this.spend(recordCount)
  }
}
