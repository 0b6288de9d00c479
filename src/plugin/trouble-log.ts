// Runs on: main.
// What an output says about its destination: one line when trouble begins, at most one a minute and reason while it
// lasts, one when it is over. Reasons are words of our own; no answer and no record is printed.

import type { Clock } from '../core/clock.ts'
import type { FlushOutcome, OutputLog, Verdict } from './output.ts'

const REPEAT_MS = 60_000
/** Reasons that are remembered; they come from closed lists. */
const REASONS_MAX = 100

export class TroubleLog {
  readonly #log: OutputLog
  readonly #clock: Clock
  /** Reason -> when it was last printed, and how often it came since. */
  readonly #reasons = new Map<string, { printedMs: number; count: number }>()
  #failingSinceMs: number | null = null

  constructor(log: OutputLog, clock: Clock) {
    this.#log = log
    this.#clock = clock
  }

  /** Looks at one outcome; `detail` says more than the verdict's reason. */
  note(outcome: FlushOutcome, detail?: string): void {
    const troubles = troublesOf(outcome)
    if (troubles.size === 0) {
      this.#recovered()
      return
    }
    this.#failingSinceMs ??= this.#clock.monotonicMs()
    for (const [reason, rowCount] of troubles) this.#print(reason, rowCount, detail)
  }

  #print(reason: string, rowCount: number, detail: string | undefined): void {
    const nowMs = this.#clock.monotonicMs()
    const known = this.#reasons.get(reason)
    if (known !== undefined && nowMs - known.printedMs < REPEAT_MS) {
      known.count += rowCount
      return
    }
    if (this.#reasons.size >= REASONS_MAX) this.#reasons.clear()
    this.#reasons.set(reason, { printedMs: nowMs, count: 0 })
    this.#log.warn(
      {
        event: 'output.trouble',
        reason,
        count: rowCount + (known?.count ?? 0),
        ...(detail === undefined ? {} : { detail })
      },
      'destination did not take everything'
    )
  }

  #recovered(): void {
    if (this.#failingSinceMs === null) return
    const failedMs = this.#clock.monotonicMs() - this.#failingSinceMs
    this.#failingSinceMs = null
    this.#reasons.clear()
    this.#log.info(
      { event: 'output.recovered', failedMs: Math.round(failedMs) },
      'destination takes everything again'
    )
  }
}

/** Rows per reason that are not stored; a body that is refused or tried again as a whole counts once. */
function troublesOf(outcome: FlushOutcome): Map<string, number> {
  const troubles = new Map<string, number>()
  const add = (verdict: Verdict) => {
    if (verdict.kind !== 'stored') {
      troubles.set(verdict.reason, (troubles.get(verdict.reason) ?? 0) + 1)
    }
  }
  if (outcome.kind === 'rows') outcome.verdicts.forEach(add)
  else if (outcome.kind === 'all') add(outcome.verdict)
  else troubles.set(outcome.reason, 1)
  return troubles
}
