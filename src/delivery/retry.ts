// Step 8. Runs on: main.
// How long to wait before the next try: exponential with full jitter, for ever. Only retention ends it.

import type { Random } from '../core/clock.ts'

export interface RetryPolicy {
  /** Ceiling of the first wait, milliseconds. */
  readonly firstDelayMs: number
  /** Ceiling of every wait, milliseconds. */
  readonly delayMsMax: number
}

/** 1 s to 60 s: soon enough after a hiccup, no storm on a destination that comes back. */
export const DEFAULT_RETRY: RetryPolicy = { firstDelayMs: 1000, delayMsMax: 60_000 }

/** Powers of two above this exceed any ceiling. */
const DOUBLINGS_MAX = 20

/**
 * Wait before the next try, milliseconds. `attempt` is 1 after the first failure. A wait that the destination asks for
 * (`Retry-After`) is a floor, up to the ceiling.
 */
export function retryDelayMs(
  policy: RetryPolicy,
  attempt: number,
  random: Random,
  retryAfterMs = 0
): number {
  const ceilingMs = Math.min(
    policy.delayMsMax,
    policy.firstDelayMs * 2 ** Math.min(attempt - 1, DOUBLINGS_MAX)
  )
  // Full jitter, but never at once: a tenth of the ceiling at the least.
  const delayMs = ceilingMs * (0.1 + 0.9 * random())
  return Math.max(delayMs, Math.min(retryAfterMs, policy.delayMsMax))
}
