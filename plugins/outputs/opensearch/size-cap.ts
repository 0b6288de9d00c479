// Step 8. Runs on: main.
// What a server's refusals teach about sizes. The cap saves the requests that would be refused again.

import type { Clock } from '../../../src/core/clock.ts'

const CAP_BYTES_MIN = 64 * 1024
/** Without a refusal for this long, the cap rises by a tenth. */
const RAISE_AFTER_MS = 10 * 60_000
/** Whole-request refusals a minute that may be the records' fault; a culprit among 20,000 rows takes 15 halvings. */
const SPLITS_PER_MINUTE_MAX = 64
const MINUTE_MS = 60_000

/** Largest body that the server takes, learned from 413. Starts out without a limit of its own. */
export class SizeCap {
  readonly #bytesMax: number
  readonly #clock: Clock
  #capBytes = Number.POSITIVE_INFINITY
  #changedMs = 0

  constructor(bytesMax: number, clock: Clock) {
    this.#bytesMax = bytesMax
    this.#clock = clock
  }

  get capBytes(): number {
    return this.#capBytes
  }

  isAbove(byteCount: number): boolean {
    return byteCount > this.#capBytes
  }

  refused(byteCount: number): void {
    this.#capBytes = Math.min(this.#capBytes, Math.max(CAP_BYTES_MIN, byteCount / 2))
    this.#changedMs = this.#clock.monotonicMs()
  }

  accepted(): void {
    const nowMs = this.#clock.monotonicMs()
    if (nowMs - this.#changedMs < RAISE_AFTER_MS) return
    this.#changedMs = nowMs
    this.#capBytes *= 1.1
    if (this.#capBytes >= this.#bytesMax) this.#capBytes = Number.POSITIVE_INFINITY
  }
}

/** How many bad requests in a row of time are still believed to be single bad records. */
export class SplitBudget {
  readonly #clock: Clock
  #minuteStartMs = Number.NEGATIVE_INFINITY
  #count = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** False when this minute has seen too many. */
  take(): boolean {
    const nowMs = this.#clock.monotonicMs()
    if (nowMs - this.#minuteStartMs >= MINUTE_MS) {
      this.#minuteStartMs = nowMs
      this.#count = 0
    }
    return ++this.#count <= SPLITS_PER_MINUTE_MAX
  }
}
