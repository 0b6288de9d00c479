// Runs on: any.
// A place in a queue as people write it on the command line: an offset, a time, or an end.

import { InvalidArgumentError } from 'commander'
import { OFFSET_MAX } from '../core/position.ts'
import { parseTimePoint, TIME_POINT_FORMS } from '../core/time-point.ts'

export type Place =
  | { readonly kind: 'offset'; readonly offset: number }
  /** By append time. */
  | { readonly kind: 'time'; readonly timeMs: number }
  | { readonly kind: 'oldest' }
  | { readonly kind: 'newest' }

export const PLACE_HELP = `an offset (1200), or a time: ${TIME_POINT_FORMS}`

/** `nowMs` is what durations count back from. */
export function parsePlace(text: string, nowMs: number): Place {
  if (text === 'oldest' || text === 'newest') return { kind: text }
  if (/^\d+$/.test(text)) {
    const offset = Number(text)
    if (offset <= OFFSET_MAX) return { kind: 'offset', offset }
  }
  const timeMs = parseTimePoint(text, nowMs)
  if (timeMs === null) throw new InvalidArgumentError(`write ${PLACE_HELP}`)
  return { kind: 'time', timeMs }
}
