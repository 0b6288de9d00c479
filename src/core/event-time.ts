// Runs on: any.
// Event time: whole seconds since 1970 and nanoseconds, kept apart so that no digit is lost; and strftime over it, UTC.

import { MillraceError } from './errors.ts'

export interface EventTime {
  /** May be negative. */
  readonly seconds: number
  /** 0 to 999,999,999. */
  readonly nanoseconds: number
}

const DAY_NAMES = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const MONTH_NAMES = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December'
]
const DAY_MS = 86_400_000
/** What `Date` can hold: years -271821 to 275760. */
const SECONDS_MAX = 8_640_000_000_000

export const eventTimeMs = (time: EventTime): number =>
  time.seconds * 1000 + Math.floor(time.nanoseconds / 1_000_000)

export function eventTimeOfMs(timeMs: number): EventTime {
  const seconds = Math.floor(timeMs / 1000)
  return { seconds, nanoseconds: Math.round((timeMs - seconds * 1000) * 1_000_000) }
}

/** `2026-11-20T17:05:09.123Z` with the given count of fraction digits, cut and not rounded. */
export function formatRfc3339(time: EventTime, precision: 0 | 3 | 6 | 9): string {
  const text = dateOf(time.seconds).toISOString().slice(0, -5)
  if (precision === 0) return `${text}Z`
  return `${text}.${pad(time.nanoseconds, 9).slice(0, precision)}Z`
}

/** Writes one piece of the text of a time. */
type TimePart = (date: Date, time: EventTime) => string

const pad = (value: number, width: number, fill = '0'): string =>
  String(value).padStart(width, fill)
const name = (names: readonly string[], index: number): string => names[index] ?? ''
const hour12 = (date: Date): number => date.getUTCHours() % 12 || 12

const DIRECTIVES: Readonly<Record<string, TimePart>> = {
  Y: (date) => pad(date.getUTCFullYear(), 4),
  y: (date) => pad(date.getUTCFullYear() % 100, 2),
  m: (date) => pad(date.getUTCMonth() + 1, 2),
  d: (date) => pad(date.getUTCDate(), 2),
  e: (date) => pad(date.getUTCDate(), 2, ' '),
  j: (date) => pad(dayOfYear(date), 3),
  H: (date) => pad(date.getUTCHours(), 2),
  I: (date) => pad(hour12(date), 2),
  p: (date) => (date.getUTCHours() < 12 ? 'AM' : 'PM'),
  M: (date) => pad(date.getUTCMinutes(), 2),
  S: (date) => pad(date.getUTCSeconds(), 2),
  L: (_, time) => pad(time.nanoseconds, 9).slice(0, 3),
  f: (_, time) => pad(time.nanoseconds, 9).slice(0, 6),
  N: (_, time) => pad(time.nanoseconds, 9),
  a: (date) => name(DAY_NAMES, date.getUTCDay()).slice(0, 3),
  A: (date) => name(DAY_NAMES, date.getUTCDay()),
  b: (date) => name(MONTH_NAMES, date.getUTCMonth()).slice(0, 3),
  B: (date) => name(MONTH_NAMES, date.getUTCMonth()),
  u: (date) => String(date.getUTCDay() || 7),
  w: (date) => String(date.getUTCDay()),
  V: (date) => pad(isoWeek(date).week, 2),
  G: (date) => pad(isoWeek(date).year, 4),
  z: () => '+0000',
  Z: () => 'UTC',
  s: (_, time) => String(time.seconds),
  Q: (_, time) => String(eventTimeMs(time)),
  '%': () => '%'
}

/** Directives that a time format may use, without the percent sign. */
export const TIME_DIRECTIVES: readonly string[] = Object.keys(DIRECTIVES)

export type FormatTime = (time: EventTime) => string

/** Compiles a strftime format once. Throws MR_CONFIG_TEMPLATE for a directive that is not known. */
export function compileTimeFormat(format: string): FormatTime {
  const parts: TimePart[] = []
  for (const [piece, fractionDigits, letter] of format.matchAll(/%([369])N|%(.?)|[^%]+/gs)) {
    if (fractionDigits !== undefined) {
      const digits = Number(fractionDigits)
      parts.push((_, time) => pad(time.nanoseconds, 9).slice(0, digits))
    } else if (letter === undefined) {
      parts.push(() => piece)
    } else {
      const part = DIRECTIVES[letter]
      if (part === undefined) {
        const known = TIME_DIRECTIVES.map((directive) => `%${directive}`).join(' ')
        throw new MillraceError(
          'MR_CONFIG_TEMPLATE',
          `time format "${format}" uses ${piece}, known are ${known}`
        )
      }
      parts.push(part)
    }
  }
  return (time) => {
    const date = dateOf(time.seconds)
    let text = ''
    for (const part of parts) text += part(date, time)
    return text
  }
}

/** A time beyond what a calendar holds reads as its nearest end: senders write what they like into the time. */
function dateOf(seconds: number): Date {
  return new Date(Math.max(-SECONDS_MAX, Math.min(SECONDS_MAX, seconds)) * 1000)
}

function dayOfYear(date: Date): number {
  return Math.floor((date.getTime() - Date.UTC(date.getUTCFullYear(), 0, 1)) / DAY_MS) + 1
}

/** ISO 8601 week: the one that holds the Thursday. */
function isoWeek(date: Date): { year: number; week: number } {
  const thursday = new Date(date.getTime() + (4 - (date.getUTCDay() || 7)) * DAY_MS)
  return { year: thursday.getUTCFullYear(), week: Math.ceil(dayOfYear(thursday) / 7) }
}
