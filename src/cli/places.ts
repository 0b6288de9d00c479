// Runs on: any.
// A place in a queue as people write it on the command line: an offset, a time, or an end.

import { InvalidArgumentError } from 'commander'
import { OFFSET_MAX } from '../core/position.ts'
import { parseDuration } from '../core/units.ts'

export type Place =
  | { readonly kind: 'offset'; readonly offset: number }
  /** By append time. */
  | { readonly kind: 'time'; readonly timeMs: number }
  | { readonly kind: 'oldest' }
  | { readonly kind: 'newest' }

export const PLACE_HELP =
  'an offset (1200), a time (2026-11-20, 2026-11-20T10:30:00Z), how long ago (2h), oldest or newest'

const DATE = /^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?)?$/

/** `nowMs` is what durations count back from. A time without a zone is UTC: a server has no other. */
export function parsePlace(text: string, nowMs: number): Place {
  if (text === 'oldest' || text === 'newest') return { kind: text }
  if (/^\d+$/.test(text)) {
    const offset = Number(text)
    if (offset <= OFFSET_MAX) return { kind: 'offset', offset }
  }
  const timeMs = DATE.test(text) ? dateMs(text) : agoMs(text, nowMs)
  if (timeMs === null) throw new InvalidArgumentError(`write ${PLACE_HELP}`)
  return { kind: 'time', timeMs }
}

function dateMs(text: string): number | null {
  const iso = text.replace(' ', 'T')
  const hasZone = /(Z|[+-]\d{2}:?\d{2})$/.test(iso.slice(10))
  const timeMs = Date.parse(iso.includes('T') && !hasZone ? `${iso}Z` : iso)
  return Number.isNaN(timeMs) ? null : timeMs
}

/** `2h`, `-2h`, `1h30m`: a unit is needed, a bare number is an offset. */
function agoMs(text: string, nowMs: number): number | null {
  const duration = /^-?(.*[a-z])$/.exec(text)?.[1]
  const durationMs = duration === undefined ? null : parseDuration(duration)
  return durationMs === null ? null : nowMs - durationMs
}
