// Step 9. Runs on: main.
// How old stored records are, by clocks that may step. Append times are wall-clock times; a wall clock that jumps ahead
// must not make a backlog old in one moment. Wall clock and monotonic clock are compared once a second: what the wall clock
// gains over the other in one jump of more than an hour is taken off the age of every record from before it. A clock that
// jumps back makes records younger than they are, which erases nothing.
//
// A restart leaves no monotonic clock to compare with: whether the time since the newest stored record passed or was
// skipped cannot be known. More than an hour of it does not count as age.

import type { Clock } from '../../core/clock.ts'

/** Difference of the clocks that is a jump and no adjustment. */
export const CLOCK_JUMP_MS_MIN = 3_600_000
/** After a jump nothing is dropped for its age for this long. */
export const AGE_PAUSE_MS = 600_000
/** Jumps that are remembered; older ones count as one. */
const JUMPS_MAX = 16

/** The wall clock went ahead by `byMs`; whatever bears an append time below `untilMs` is from before. */
interface Jump {
  readonly untilMs: number
  byMs: number
}

export class AgeClock {
  readonly #clock: Clock
  readonly #jumps: Jump[] = []
  /** Wall clock minus monotonic clock, as far as it is known. */
  #baseMs: number
  #pausedUntilMs = Number.NEGATIVE_INFINITY
  #jumpCount = 0
  #untoldMs = 0

  constructor(clock: Clock) {
    this.#clock = clock
    this.#baseMs = clock.nowMs() - clock.monotonicMs()
  }

  /** Jumps of more than an hour since the start, either way. */
  get jumpCount(): number {
    return this.#jumpCount
  }

  /** Whether a jump was so recent that nothing is dropped for its age. */
  get isPaused(): boolean {
    return this.#clock.monotonicMs() < this.#pausedUntilMs
  }

  /** Time that the store cannot vouch for: from the newest stored record to the start. Returns what is not counted. */
  began(newestAppendMs: number): number {
    const nowMs = this.#clock.nowMs()
    const gapMs = nowMs - newestAppendMs
    if (newestAppendMs <= 0 || gapMs <= CLOCK_JUMP_MS_MIN) return 0
    this.#jumps.push({ untilMs: nowMs, byMs: gapMs })
    return gapMs
  }

  /** Compares the clocks; called once a second. Returns the jumps since the last call in milliseconds, 0 without one. */
  look(): number {
    this.#compare()
    const jumpMs = this.#untoldMs
    this.#untoldMs = 0
    return jumpMs
  }

  #compare(): void {
    const monotonicMs = this.#clock.monotonicMs()
    const nowMs = this.#clock.nowMs()
    const jumpMs = nowMs - monotonicMs - this.#baseMs
    if (Math.abs(jumpMs) <= CLOCK_JUMP_MS_MIN) return
    this.#baseMs += jumpMs
    this.#pausedUntilMs = monotonicMs + AGE_PAUSE_MS
    this.#jumpCount++
    this.#untoldMs += jumpMs
    if (jumpMs > 0) this.#goneAhead(nowMs, jumpMs)
    else this.#goneBack(-jumpMs)
  }

  /** Age of what was appended at `appendMs`, milliseconds. Compares the clocks first, so that no jump is missed. */
  ageMs(appendMs: number): number {
    this.#compare()
    let ageMs = this.#clock.nowMs() - appendMs
    for (const { byMs, untilMs } of this.#jumps) if (appendMs < untilMs) ageMs -= byMs
    return ageMs
  }

  #goneAhead(nowMs: number, byMs: number): void {
    if (this.#jumps.length >= JUMPS_MAX) {
      const [first, second] = this.#jumps.splice(0, 2)
      const jumped = (first?.byMs ?? 0) + (second?.byMs ?? 0)
      this.#jumps.unshift({ untilMs: second?.untilMs ?? nowMs, byMs: jumped })
    }
    // What was stamped on either side of the jump within the last second lies on either side of its middle.
    this.#jumps.push({ untilMs: nowMs - byMs / 2, byMs })
  }

  /** Jumps ahead that a jump back took back. */
  #goneBack(byMs: number): void {
    let leftMs = byMs
    for (
      let last = this.#jumps.at(-1);
      last !== undefined && leftMs > 0;
      last = this.#jumps.at(-1)
    ) {
      const takenMs = Math.min(leftMs, last.byMs)
      last.byMs -= takenMs
      leftMs -= takenMs
      if (last.byMs > 0) return
      this.#jumps.pop()
    }
  }
}
