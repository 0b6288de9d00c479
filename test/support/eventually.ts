// Waiting in tests against real processes: for a condition, never for a time.

import { systemClock } from '../../src/core/clock.ts'

const POLL_MS = 10

/** Resolves with the first result that is neither null nor false; fails with `what` after `limitMs`. */
export async function eventually<T>(
  what: string,
  limitMs: number,
  check: () => T | null | false | Promise<T | null | false>
): Promise<T> {
  const endMs = performance.now() + limitMs
  for (;;) {
    const result = await check()
    if (result !== null && result !== false) return result
    if (performance.now() > endMs) throw new Error(`not within ${limitMs} ms: ${what}`)
    await systemClock.sleep(POLL_MS)
  }
}
