// Runs on: any.
// Points in time as people write them on the command line: absolute, relative to now, or an end of what is stored.

import { parseDuration } from './units.ts'

/** What `parseTimePoint` reads, for messages. */
export const TIME_POINT_FORMS = '2026-11-20T10:30:00Z, 2026-11-20, -2h, now, oldest or newest'

/** RFC 3339, seconds and fraction optional; a date alone is its first moment in UTC. */
const ABSOLUTE =
  /^\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:[Zz]|[+-]\d\d:\d\d))?$/

/** Milliseconds since 1970; minus or plus infinity for `oldest` and `newest`; null: no point in time. */
export function parseTimePoint(text: string, nowMs: number): number | null {
  if (text === 'oldest') return Number.NEGATIVE_INFINITY
  if (text === 'newest') return Number.POSITIVE_INFINITY
  if (text === 'now') return nowMs
  if (text.startsWith('-')) {
    const agoMs = parseDuration(text.slice(1))
    return agoMs === null ? null : nowMs - agoMs
  }
  if (!ABSOLUTE.test(text)) return null
  const timeMs = Date.parse(text.replace(' ', 'T').toUpperCase())
  return Number.isNaN(timeMs) || !isRealDay(text) ? null : timeMs
}

/** Whether the day exists: the engine takes February 30 for March 2. */
function isRealDay(text: string): boolean {
  const [year = 0, month = 0, day = 0] = text.slice(0, 10).split('-').map(Number)
  return new Date(Date.UTC(year, month - 1, day)).getUTCDate() === day
}
