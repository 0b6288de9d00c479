// Times of ISO 8601 with date, clock and, where it is not UTC, an offset: what JSON libraries and log shippers write.

import { daysOfDate } from './time'

/** Valid when isIsoTime said so. */
export let isoSeconds: i64 = 0
export let isoNanos: u32 = 0

/** `2026-11-20T17:05:09`, the least there is. */
const CLOCK_BYTES: usize = 19

/** The number of `count` digits at p; 10000 or more: there is another byte. */
function digitsAt(p: usize, count: u32): u32 {
  let value: u32 = 0
  for (let index: u32 = 0; index < count; index++) {
    const digit = <u32>load<u8>(p + index) - 0x30
    if (digit > 9) return 10000
    value = value * 10 + digit
  }
  return value
}

/** Reads [p, p + byteCount) whole: date, `T`, `t` or a space, clock, perhaps a fraction, perhaps `Z` or an offset. */
export function isIsoTime(p: usize, byteCount: usize): bool {
  if (byteCount < CLOCK_BYTES) return false
  const end = p + byteCount
  const between: u32 = load<u8>(p, 10)
  const isMarked =
    load<u8>(p, 4) == 0x2d &&
    load<u8>(p, 7) == 0x2d &&
    (between == 0x20 || (between | 0x20) == 0x74) &&
    load<u8>(p, 13) == 0x3a &&
    load<u8>(p, 16) == 0x3a
  if (!isMarked) return false
  const year = digitsAt(p, 4)
  const month = digitsAt(p + 5, 2)
  const day = digitsAt(p + 8, 2)
  const hour = digitsAt(p + 11, 2)
  const minute = digitsAt(p + 14, 2)
  const second = digitsAt(p + 17, 2)
  const isDate = year < 10000 && month - 1 < 12 && day - 1 < 31
  if (!isDate || hour > 23 || minute > 59 || second > 60) return false
  const days = daysOfDate(year, month, day)
  // The 31st of a month that has 30 days is no date.
  if (day > 28 && daysOfDate(month == 12 ? year + 1 : year, month == 12 ? 1 : month + 1, 1) <= days) return false
  isoSeconds = days * 86400 + <i64>(hour * 3600 + minute * 60 + second)
  p = fractionEnd(p + CLOCK_BYTES, end)
  return p != 0 && isOffset(p, end)
}

/** Behind the fraction, whose digits below the nanosecond are cut; 0: it has none. */
function fractionEnd(p: usize, end: usize): usize {
  isoNanos = 0
  if (p >= end || (load<u8>(p) != 0x2e && load<u8>(p) != 0x2c)) return p
  const start = ++p
  let factor: u32 = 100000000
  while (p < end) {
    const digit = <u32>load<u8>(p) - 0x30
    if (digit > 9) break
    isoNanos += digit * factor
    factor /= 10
    p++
  }
  return p == start ? 0 : p
}

/** `Z`, `+02:00`, `+0200`, `+02` or nothing, which is UTC; moves the seconds. */
function isOffset(p: usize, end: usize): bool {
  const byteCount = end - p
  if (byteCount == 0) return true
  const sign: u32 = load<u8>(p)
  if ((sign | 0x20) == 0x7a) return byteCount == 1
  if ((sign != 0x2b && sign != 0x2d) || (byteCount != 3 && byteCount != 5 && byteCount != 6)) return false
  if (byteCount == 6 && load<u8>(p, 3) != 0x3a) return false
  const hours = digitsAt(p + 1, 2)
  const minutes = byteCount == 3 ? 0 : digitsAt(end - 2, 2)
  if (hours > 23 || minutes > 59) return false
  const offset = <i64>(hours * 3600 + minutes * 60)
  isoSeconds += sign == 0x2b ? -offset : offset
  return true
}
