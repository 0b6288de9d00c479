// Times to text: RFC 3339 with a cached calendar part, and strftime programs (time-format.ts).

import { TIME_DATE_AND_CLOCK, TIME_FRACTION_DIGITS, TIME_FRACTION_OPTIONAL, TIME_LITERAL } from '../codes'
import { putDigits, putI64, putPair } from './number'

/** First seconds of the years 0 and 10000: what four digits of a year can say. */
const SECONDS_MIN: i64 = -62167219200
export const SECONDS_END: i64 = 253402300800
/** First second that is written: the calendar of setCalendar begins in March of the year 0. */
export const SECONDS_FIRST: i64 = SECONDS_MIN + 86400 * 60

const DAY_SECONDS: i64 = 86400

// Calendar of `calendarSecond`.
let year: u32 = 0
let month: u32 = 0
let day: u32 = 0
let secondOfDay: u32 = 0
let dayNumber: i64 = 0

@inline
export function dayOf(second: i64): i64 {
  const days = second / DAY_SECONDS
  return second - days * DAY_SECONDS < 0 ? days - 1 : days
}

/** Days since 1970 of a date of the Gregorian calendar. */
export function daysOfDate(y: i32, m: i32, d: i32): i64 {
  if (m <= 2) y--
  const era = (y >= 0 ? y : y - 399) / 400
  const yearOfEra = y - era * 400
  const dayOfYear = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1
  const dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
  return <i64>era * 146097 + dayOfEra - 719468
}

/** Sets the calendar fields; `second` lies within four-digit years. */
function setCalendar(second: i64): void {
  dayNumber = dayOf(second)
  secondOfDay = <u32>(second - dayNumber * DAY_SECONDS)
  // Counted from 0000-03-01, so that a leap day ends its year.
  const z = <u32>(dayNumber + 719468)
  const era = z / 146097
  const dayOfEra = z - era * 146097
  const yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146096) / 365
  const dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
  const shifted = (5 * dayOfYear + 2) / 153
  day = dayOfYear - (153 * shifted + 2) / 5 + 1
  month = shifted < 10 ? shifted + 3 : shifted - 9
  year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
}

/** `2026-11-20T17:05:09` of `cachedSecond`. */
const CACHED = memory.data(32, 16)
let cachedSecond: i64 = i64.MAX_VALUE

function fillCache(second: i64): void {
  // Year 0 begins before the shifted calendar's first era; its first two months are of no use to anybody.
  setCalendar(max<i64>(second, SECONDS_FIRST))
  putPair(CACHED, year / 100)
  putPair(CACHED + 2, year % 100)
  store<u8>(CACHED, 45, 4)
  putPair(CACHED + 5, month)
  store<u8>(CACHED, 45, 7)
  putPair(CACHED + 8, day)
  store<u8>(CACHED, 84, 10)
  putPair(CACHED + 11, secondOfDay / 3600)
  store<u8>(CACHED, 58, 13)
  putPair(CACHED + 14, (secondOfDay / 60) % 60)
  store<u8>(CACHED, 58, 16)
  putPair(CACHED + 17, secondOfDay % 60)
  cachedSecond = second
}

/** RFC 3339 in UTC with 0, 3, 6 or 9 digits of the fraction, cut and not rounded. */
export function putTime(o: usize, second: i64, ns: u32, digits: u32): usize {
  if (second != cachedSecond) fillCache(second)
  v128.store(o, v128.load(CACHED))
  store<u32>(o, load<u32>(CACHED, 16), 16)
  o += 19
  if (digits) {
    store<u8>(o++, 46)
    o = putFraction(o, ns, digits)
  }
  store<u8>(o, 90)
  return o + 1
}

export function putFraction(o: usize, ns: u32, digits: u32): usize {
  if (digits == 3) return putDigits(o, ns / 1000000, 3)
  if (digits == 6) return putDigits(o, ns / 1000, 6)
  return putDigits(o, ns, 9)
}

const NAMES = memory.data<u8>([
  74, 97, 110, 117, 97, 114, 121, 0, 0, 0, 70, 101, 98, 114, 117, 97, 114, 121, 0, 0, 77, 97, 114, 99, 104, 0, 0,
  0, 0, 0, 65, 112, 114, 105, 108, 0, 0, 0, 0, 0, 77, 97, 121, 0, 0, 0, 0, 0, 0, 0, 74, 117, 110, 101, 0, 0, 0, 0,
  0, 0, 74, 117, 108, 121, 0, 0, 0, 0, 0, 0, 65, 117, 103, 117, 115, 116, 0, 0, 0, 0, 83, 101, 112, 116, 101, 109,
  98, 101, 114, 0, 79, 99, 116, 111, 98, 101, 114, 0, 0, 0, 78, 111, 118, 101, 109, 98, 101, 114, 0, 0, 68, 101,
  99, 101, 109, 98, 101, 114, 0, 0, 83, 117, 110, 100, 97, 121, 0, 0, 0, 0, 77, 111, 110, 100, 97, 121, 0, 0, 0, 0,
  84, 117, 101, 115, 100, 97, 121, 0, 0, 0, 87, 101, 100, 110, 101, 115, 100, 97, 121, 0, 84, 104, 117, 114, 115,
  100, 97, 121, 0, 0, 70, 114, 105, 100, 97, 121, 0, 0, 0, 0, 83, 97, 116, 117, 114, 100, 97, 121, 0, 0, 0, 0, 0, 0,
  0, 0, 0, 0
])

/** Name of a month (0 to 11) or weekday (12 to 18, from Sunday): ten bytes, filled with zeros. */
@inline
export function nameAt(index: u32): usize {
  return NAMES + <usize>index * 10
}

@inline
export function nameLength(name: usize): u32 {
  let n: u32 = 0
  while (n < 10 && load<u8>(name + n)) n++
  return n
}

@inline
function putName(o: usize, index: u32, isFull: bool): usize {
  const name = nameAt(index)
  const n: u32 = isFull ? nameLength(name) : 3
  memory.copy(o, name, n)
  return o + n
}

@inline
function weekday(): u32 {
  const d = <i32>((dayNumber + 4) % 7)
  return d < 0 ? d + 7 : d
}

/** Day of the year from 1. */
@inline
function dayOfYear(): u32 {
  return <u32>(dayNumber - daysOfDate(year, 1, 1)) + 1
}

/** Week of ISO 8601, or its year: the week belongs to the year of its Thursday. */
function isoWeek(isYear: bool): u32 {
  const fromMonday = (weekday() + 6) % 7
  const thursday = dayNumber - fromMonday + 3
  let y = <i32>year
  if (thursday < daysOfDate(y, 1, 1)) y--
  else if (thursday >= daysOfDate(y + 1, 1, 1)) y++
  return isYear ? y : <u32>(thursday - daysOfDate(y, 1, 1)) / 7 + 1
}

/** Longest text of a format of `n` program bytes. */
@inline
export function formattedBytesMax(n: u32): u32 {
  return n * 24
}

/** A time by a compiled format, in UTC. */
export function putFormatted(o: usize, format: usize, second: i64, ns: u32): usize {
  setCalendar(min<i64>(max<i64>(second, SECONDS_FIRST), SECONDS_END - 1))
  let digits: u32 = 9
  while (true) {
    const c: u32 = load<u8>(format++)
    if (!c) return o
    if (c == TIME_LITERAL) store<u8>(o++, load<u8>(format++))
    else if (c == TIME_FRACTION_DIGITS) digits = load<u8>(format++)
    else if (c == TIME_FRACTION_OPTIONAL) {
      if (ns) {
        store<u8>(o++, 46)
        o = putFraction(o, ns, 9)
      }
    } else if (c == TIME_DATE_AND_CLOCK) o = putTime(o, second, 0, 0) - 1
    else if (c < 0x80) store<u8>(o++, <u8>c)
    else {
      o = putDirective(o, c & 0x7f, second, ns, digits)
      digits = 9
    }
  }
}

@inline
function putTwo(o: usize, v: u32): usize {
  putPair(o, v)
  return o + 2
}

function putDirective(o: usize, letter: u32, second: i64, ns: u32, digits: u32): usize {
  const hour = secondOfDay / 3600
  switch (letter) {
    case 0x59: // Y
      return putDigits(o, year, 4)
    case 0x79: // y
      return putTwo(o, year % 100)
    case 0x6d: // m
      return putTwo(o, month)
    case 0x64: // d
      return putTwo(o, day)
    case 0x65: // e
      putPair(o, day)
      if (day < 10) store<u8>(o, 32)
      return o + 2
    case 0x6a: // j
      return putDigits(o, dayOfYear(), 3)
    case 0x62: // b
    case 0x68: // h
      return putName(o, month - 1, false)
    case 0x42: // B
      return putName(o, month - 1, true)
    case 0x61: // a
      return putName(o, 12 + weekday(), false)
    case 0x41: // A
      return putName(o, 12 + weekday(), true)
    case 0x75: // u
      return putDigits(o, weekday() ? weekday() : 7, 1)
    case 0x77: // w
      return putDigits(o, weekday(), 1)
    case 0x56: // V
      return putTwo(o, isoWeek(false))
    case 0x47: // G
      return putDigits(o, isoWeek(true), 4)
    case 0x48: // H
    case 0x6b: // k
      putPair(o, hour)
      if (letter == 0x6b && hour < 10) store<u8>(o, 32)
      return o + 2
    case 0x49: // I
    case 0x6c: {
      // l
      const h = hour % 12 ? hour % 12 : 12
      putPair(o, h)
      if (letter == 0x6c && h < 10) store<u8>(o, 32)
      return o + 2
    }
    case 0x4d: // M
      return putTwo(o, (secondOfDay / 60) % 60)
    case 0x53: // S
      return putTwo(o, secondOfDay % 60)
    case 0x70: // p
    case 0x50: // P
      store<u16>(o, (hour < 12 ? 0x4d41 : 0x4d50) | (letter == 0x50 ? 0x2020 : 0))
      return o + 2
    case 0x4c: // L
      return putFraction(o, ns, 3)
    case 0x66: // f
      return putFraction(o, ns, 6)
    case 0x4e: // N
      return putFraction(o, ns, digits)
    case 0x7a: // z
      store<u32>(o, 0x3030302b)
      store<u8>(o, 48, 4)
      return o + 5
    case 0x5a: // Z
      store<u32>(o, 0x435455)
      return o + 3
    case 0x73: // s
      return putI64(o, second)
    case 0x51: // Q
      return putI64(o, second * 1000 + ns / 1000000)
    case 0x71: // q
      return putI64(o, second * 1000000000 + ns)
    case 0x76: // v
      o = putI64(o, second)
      store<u8>(o++, 46)
      return putFraction(o, ns, 9)
  }
  return o
}
