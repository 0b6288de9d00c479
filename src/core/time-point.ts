// Runs on: any.
// Points in time as people write them on the command line: absolute, how long ago, or an end of what is stored.

import { parseDuration } from './units.ts'

/** What `parseTimePoint` reads, for messages. */
export const TIME_POINT_FORMS =
  '2026-11-20, 2026-11-20T10:30:00Z, how long ago (2h, -2h), now, oldest or newest'

/** RFC 3339; seconds and zone may be left out: a time without a zone is UTC, a server has no other. */
const ABSOLUTE =
  /^\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:[Zz]|[+-]\d\d:?\d\d)?)?$/

/** Milliseconds since 1970; minus or plus infinity for `oldest` and `newest`; null: no point in time. */
export function parseTimePoint(text: string, nowMs: number): number | null {
  if (text === 'oldest') return Number.NEGATIVE_INFINITY
  if (text === 'newest') return Number.POSITIVE_INFINITY
  if (text === 'now') return nowMs
  return ABSOLUTE.test(text) ? absoluteMs(text) : agoMs(text, nowMs)
}

function absoluteMs(text: string): number | null {
  const iso = text.replace(' ', 'T').toUpperCase()
  const hasZone = /(Z|[+-]\d\d:?\d\d)$/.test(iso.slice(10))
  const timeMs = Date.parse(iso.includes('T') && !hasZone ? `${iso}Z` : iso)
  return Number.isNaN(timeMs) || !isRealDay(text) ? null : timeMs
}

/** Whether the day exists: the engine takes February 30 for March 2. */
function isRealDay(text: string): boolean {
  const [year = 0, month = 0, day = 0] = text.slice(0, 10).split('-').map(Number)
  return new Date(Date.UTC(year, month - 1, day)).getUTCDate() === day
}

/** `2h`, `-1h30m`: a unit is needed, a bare number is an offset where places are read. */
function agoMs(text: string, nowMs: number): number | null {
  const duration = /^-?(.*[a-z])$/.exec(text)?.[1]
  const durationMs = duration === undefined ? null : parseDuration(duration)
  return durationMs === null ? null : nowMs - durationMs
}
