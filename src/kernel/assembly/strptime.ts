// Texts to times by a compiled format (time-format.ts). "Now" is the entry's arrival, never a clock, so that a repeated
// task reads the same time from the same text.

import {
  REASON_BAD_TIME,
  REASON_TIME_RANGE,
  TIME_DATE_AND_CLOCK,
  TIME_FRACTION_DIGITS,
  TIME_FRACTION_OPTIONAL,
  TIME_LITERAL
} from '../codes'
import { arrivalSecond } from './entry'
import { digitsEnd, isDigit } from './number-text'
import { dayOf, daysOfDate, nameAt, nameLength } from './time'
import { zoneName, zoneSeconds } from './time-zone'

/** First second of 2200: later times are mistakes. */
const SECOND_END: i64 = 7258118400
const DAY_SECONDS: i64 = 86400
const UNSET: i32 = -1

/** What parseTime read. */
export let parsedSecond: i64 = 0
export let parsedNs: u32 = 0

let year: i32 = UNSET
let month: i32 = UNSET
let day: i32 = UNSET
let dayOfYear: i32 = UNSET
let hour: i32 = 0
let minute: i32 = 0
let second: i32 = 0
let half: i32 = UNSET
let fractionNs: u32 = 0
let zone: i32 = 0
/** Seconds since 1970, read as such. */
let isEpoch: bool = false
let epoch: i64 = 0

// The same text as last time gives the same answer, unless the arrival has a say in it.
const LAST_TEXT = memory.data(64 + 64, 16)
let lastLength: u32 = 0xffffffff
let lastFormat: usize = 0
let lastZone: i32 = 0
let lastSecond: i64 = 0
let lastNs: u32 = 0
let lastResult: u32 = 0

export function forgetTimes(): void {
  lastLength = 0xffffffff
}

/** 0: the time is in parsedSecond and parsedNs; else a reason. */
export function parseTime(format: usize, p: usize, n: u32, defaultZone: i32): u32 {
  if (
    n == lastLength &&
    format == lastFormat &&
    defaultZone == lastZone &&
    memory.compare(p, LAST_TEXT, n) == 0
  ) {
    parsedSecond = lastSecond
    parsedNs = lastNs
    return lastResult
  }
  const result = readTime(format, p, p + n, defaultZone)
  const isComplete = isEpoch || (year != UNSET && (dayOfYear != UNSET || (month != UNSET && day != UNSET)))
  lastLength = 0xffffffff
  if (n <= 64 && isComplete) {
    memory.copy(LAST_TEXT, p, n)
    lastLength = n
    lastFormat = format
    lastZone = defaultZone
    lastSecond = parsedSecond
    lastNs = parsedNs
    lastResult = result
  }
  return result
}

function readTime(format: usize, p: usize, end: usize, defaultZone: i32): u32 {
  year = month = day = dayOfYear = half = UNSET
  hour = minute = second = 0
  fractionNs = 0
  zone = defaultZone
  isEpoch = false
  let digits: u32 = 0
  let hasPoint = false
  while (true) {
    const c: u32 = load<u8>(format++)
    if (!c) break
    if (c >= 0x80) {
      p = readDirective(c & 0x7f, p, end, digits, hasPoint)
      if (!p) return REASON_BAD_TIME
      digits = 0
      continue
    }
    if (c == TIME_DATE_AND_CLOCK) {
      if (p + 19 > end || !readDateAndClock(p)) return REASON_BAD_TIME
      p += 19
      continue
    }
    if (c == TIME_FRACTION_DIGITS) {
      digits = load<u8>(format++)
      continue
    }
    if (c == TIME_FRACTION_OPTIONAL) {
      if (p + 1 < end && isPoint(load<u8>(p)) && isDigit(load<u8>(p, 1))) p = readFraction(p + 1, end, 0)
      continue
    }
    const wanted: u32 = c == TIME_LITERAL ? load<u8>(format++) : c
    if (p >= end || load<u8>(p) != wanted) return REASON_BAD_TIME
    hasPoint = isPoint(wanted)
    p++
  }
  return p == end ? settle() : <u32>REASON_BAD_TIME
}

/** Two digits at `p`, or a number above 99. */
@inline
function twoDigits(p: usize): u32 {
  const tens = <u32>load<u8>(p) - 48
  const ones = <u32>load<u8>(p, 1) - 48
  return tens > 9 || ones > 9 ? 1000 : tens * 10 + ones
}

/** `2026-11-20T17:05:09`; a blank may stand for the T. */
function readDateAndClock(p: usize): bool {
  const separator = load<u8>(p, 10)
  if (load<u8>(p, 4) != 45 || load<u8>(p, 7) != 45 || (separator != 84 && separator != 32)) return false
  if (load<u8>(p, 13) != 58 || load<u8>(p, 16) != 58) return false
  const century = twoDigits(p)
  const yearOfCentury = twoDigits(p + 2)
  const m = twoDigits(p + 5)
  const d = twoDigits(p + 8)
  const h = twoDigits(p + 11)
  const min = twoDigits(p + 14)
  const s = twoDigits(p + 17)
  if (century > 99 || yearOfCentury > 99 || m - 1 > 11 || d - 1 > 30 || h > 23 || min > 59 || s > 60) return false
  year = century * 100 + yearOfCentury
  month = m
  day = d
  hour = h
  minute = min
  second = s
  return true
}

@inline
function isPoint(c: u32): bool {
  return c == 46 || c == 44
}

/** Value of the digits that readDigits passed. */
let value: i32 = 0

/** Behind one to `most` digits, or 0. */
function readDigits(p: usize, end: usize, most: u32): usize {
  value = 0
  let n: u32 = 0
  while (n < most && p < end && isDigit(load<u8>(p))) {
    value = value * 10 + (load<u8>(p++) - 48)
    n++
  }
  return n ? p : 0
}

@inline
function skipBlank(p: usize, end: usize): usize {
  return p < end && load<u8>(p) == 32 ? p + 1 : p
}

/** Digits of a fraction, cut behind the ninth; `most` 0: all that are there. */
function readFraction(p: usize, end: usize, most: u32): usize {
  let n: u32 = 0
  let v: u32 = 0
  const start = p
  while (p < end && isDigit(load<u8>(p)) && (!most || n < most)) {
    if (n < 9) v = v * 10 + (load<u8>(p) - 48)
    n++
    p++
  }
  for (let i = n; i < 9; i++) v *= 10
  fractionNs = v
  return p == start ? 0 : p
}

/** Behind a name of the table from `first`, full or of three letters; its index in `value`. */
function readName(p: usize, end: usize, first: u32, count: u32): usize {
  for (let i: u32 = 0; i < count; i++) {
    const name = nameAt(first + i)
    const n = nameLength(name)
    if (!isSame(p, end, name, 3)) continue
    value = i
    return isSame(p, end, name, n) ? p + n : p + 3
  }
  return 0
}

function isSame(p: usize, end: usize, name: usize, n: u32): bool {
  if (p + n > end) return false
  for (let i: u32 = 0; i < n; i++) {
    if ((load<u8>(p + i) | 32) != (load<u8>(name + i) | 32)) return false
  }
  return true
}

function readDirective(letter: u32, p: usize, end: usize, digits: u32, hasPoint: bool): usize {
  switch (letter) {
    case 0x59: {
      // Y
      const q = readDigits(p, end, 4)
      year = value
      return q == p + 4 ? q : 0
    }
    case 0x79: // y
      p = readDigits(p, end, 2)
      year = value < 69 ? 2000 + value : 1900 + value
      return p
    case 0x6d: // m
      p = readDigits(p, end, 2)
      month = value
      return value >= 1 && value <= 12 ? p : 0
    case 0x64: // d
    case 0x65: // e
      p = readDigits(skipBlank(p, end), end, 2)
      day = value
      return value >= 1 && value <= 31 ? p : 0
    case 0x6a: // j
      p = readDigits(p, end, 3)
      dayOfYear = value
      return value >= 1 && value <= 366 ? p : 0
    case 0x62: // b
    case 0x42: // B
    case 0x68: // h
      p = readName(p, end, 0, 12)
      month = value + 1
      return p
    case 0x61: // a
    case 0x41: // A
      return readName(p, end, 12, 7)
    case 0x75: // u
    case 0x77: // w
      return readDigits(p, end, 1)
    case 0x48: // H
    case 0x6b: // k
      p = readDigits(skipBlank(p, end), end, 2)
      hour = value
      return value <= 23 ? p : 0
    case 0x49: // I
    case 0x6c: // l
      p = readDigits(skipBlank(p, end), end, 2)
      hour = value
      return value >= 1 && value <= 12 ? p : 0
    case 0x4d: // M
      p = readDigits(p, end, 2)
      minute = value
      return value <= 59 ? p : 0
    case 0x53: // S
      p = readDigits(p, end, 2)
      second = value
      return value <= 60 ? p : 0
    case 0x70: // p
    case 0x50: // P
      return readHalf(p, end)
    case 0x4c: // L
    case 0x66: // f
    case 0x4e: // N
      if (!hasPoint && p < end && isPoint(load<u8>(p))) p++
      return readFraction(p, end, digits)
    case 0x7a: // z
      return readZone(p, end)
    case 0x5a: // Z
      p = zoneName(p, end)
      zone = zoneSeconds
      return p
  }
  return readEpoch(letter, p, end)
}

function readHalf(p: usize, end: usize): usize {
  if (p + 2 > end || (load<u8>(p, 1) | 32) != 0x6d) return 0
  const c = load<u8>(p) | 32
  half = c == 0x70 ? 1 : 0
  return c == 0x61 || c == 0x70 ? p + 2 : 0
}

/** `Z`, `+09`, `+0900`, `+09:00` */
function readZone(p: usize, end: usize): usize {
  if (p >= end) return 0
  const sign: u32 = load<u8>(p++)
  if ((sign | 32) == 0x7a) {
    zone = 0
    return p
  }
  if (sign != 43 && sign != 45) return 0
  const hours = readDigits(p, end, 2)
  if (hours != p + 2 || value > 23) return 0
  let seconds = value * 3600
  p = hours
  if (p < end && load<u8>(p) == 58) p++
  if (p < end && isDigit(load<u8>(p))) {
    const minutes = readDigits(p, end, 2)
    if (minutes != p + 2 || value > 59) return 0
    seconds += value * 60
    p = minutes
  } else if (p != hours) return 0
  zone = sign == 45 ? -seconds : seconds
  return p
}

/** s: seconds, Q: milliseconds, q: nanoseconds, v: seconds with a fraction. */
function readEpoch(letter: u32, p: usize, end: usize): usize {
  const start = p
  p = digitsEnd(p, end)
  if (p == start || p - start > 19) return 0
  let v: u64 = 0
  for (let q = start; q < p; q++) v = v * 10 + (load<u8>(q) - 48)
  isEpoch = true
  switch (letter) {
    case 0x73:
      epoch = v
      return p
    case 0x51:
      epoch = v / 1000
      fractionNs = <u32>(v % 1000) * 1000000
      return p
    case 0x71:
      epoch = v / 1000000000
      fractionNs = <u32>(v % 1000000000)
      return p
    case 0x76:
      epoch = v
      if (p < end && load<u8>(p) == 46) return readFraction(p + 1, end, 0)
      return p
  }
  return 0
}

/** From the parts to the time. */
function settle(): u32 {
  parsedNs = fractionNs
  if (isEpoch) parsedSecond = epoch
  else {
    if (half != UNSET) {
      if (hour > 12) return REASON_BAD_TIME
      hour = (hour % 12) + half * 12
    }
    const date = dateOf()
    if (date == i64.MIN_VALUE) return REASON_BAD_TIME
    parsedSecond = date * DAY_SECONDS + hour * 3600 + minute * 60 + second - zone
  }
  return parsedSecond < 0 || parsedSecond >= SECOND_END ? <u32>REASON_TIME_RANGE : 0
}

/** Days since 1970, or i64.MIN_VALUE for a date that there is not. */
function dateOf(): i64 {
  if (dayOfYear != UNSET && year != UNSET) {
    const first = daysOfDate(year, 1, 1)
    const date = first + dayOfYear - 1
    return date < daysOfDate(year + 1, 1, 1) ? date : i64.MIN_VALUE
  }
  // Without a date: the day of the arrival, as that zone counts it.
  if (month == UNSET && day == UNSET && year == UNSET) return dayOf(arrivalSecond + zone)
  if (month == UNSET) month = 1
  if (day == UNSET) day = 1
  if (year != UNSET) return dateIn(year)
  // Without a year: the latest that is not more than a day ahead of the arrival.
  const limit = arrivalSecond + DAY_SECONDS
  let y = <i32>(1970 + dayOf(limit) / 365) + 1
  for (let i = 0; i < 12; i++) {
    const date = dateIn(y)
    if (date != i64.MIN_VALUE) {
      const time = date * DAY_SECONDS + hour * 3600 + minute * 60 + second - zone
      if (time <= limit) return date
    }
    y--
  }
  return i64.MIN_VALUE
}

function dateIn(y: i32): i64 {
  const date = daysOfDate(y, month, day)
  // A day that the month does not have lands in the next one.
  const next = month == 12 ? daysOfDate(y + 1, 1, 1) : daysOfDate(y, month + 1, 1)
  return date < next ? date : i64.MIN_VALUE
}
