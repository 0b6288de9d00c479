// Step 1. Runs on: ingest.
// Log lines about what one connection sends: the first of a kind at once, then at most one a minute that says how many there
// were. The input bounds those of all connections. Kinds are a dozen texts of our own.

import type { Clock } from '../../../src/core/clock.ts'

const REPEAT_MS = 60_000

export class PeerWarnings {
  readonly #clock: Clock
  readonly #print: (fields: object, message: string) => void
  /** By text: when it was last printed, and how often it came since. */
  readonly #kinds = new Map<string, { printedMs: number; leftOut: number }>()

  constructor(clock: Clock, print: (fields: object, message: string) => void) {
    this.#clock = clock
    this.#print = print
  }

  warn(fields: object, message: string): void {
    const nowMs = this.#clock.monotonicMs()
    const kind = this.#kinds.get(message)
    if (kind === undefined) {
      this.#kinds.set(message, { printedMs: nowMs, leftOut: 0 })
      this.#print(fields, message)
    } else if (nowMs - kind.printedMs < REPEAT_MS) {
      kind.leftOut++
    } else {
      this.#print({ ...fields, left_out: kind.leftOut }, message)
      kind.printedMs = nowMs
      kind.leftOut = 0
    }
  }
}
