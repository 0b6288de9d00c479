// JSON numbers: integers of 64 bits exact, others float64, and what neither holds as its text. A number that float64
// can hold only by correct rounding of many digits is left to the host (jsonNumber), which has an exact conversion.

import { JSON_BAD_NUMBER, JSON_CUT, JSON_NO_ROOM, jsonFail } from './json-string'
import { hasRoom, putFloat, putNegative, putText, putUnsigned } from './json-writer'

/** The float64 nearest to the decimal text. */
@external('env', 'jsonNumber')
declare function jsonNumber(start: usize, byteCount: usize): f64

/** The same of an integer, NaN when float64 neither equals it nor prints as it. */
@external('env', 'jsonInteger')
declare function jsonInteger(start: usize, byteCount: usize): f64

const MANTISSA_DIGITS_MAX: u32 = 19
/** Up to here a float64 holds every integer and every power of ten exactly, so that one operation rounds right. */
const EXACT_INTEGER: u64 = 9007199254740992
const EXACT_POWER: i32 = 22
const POWERS = memory.data<f64>([
  1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
  1e17, 1e18, 1e19, 1e20, 1e21, 1e22
])

let isNegative: bool = false
let isInteger: bool = false
/** Significant digits, the first MANTISSA_DIGITS_MAX of them in `mantissa`. */
let digits: u32 = 0
let mantissa: u64 = 0
/** mantissa x 10^power is the number, as long as it has no more digits. */
let power: i32 = 0
/** Digits before the point, and its place. */
let pointAt: usize = 0

@inline
function isDigit(p: usize, end: usize): bool {
  return p < end && <u32>load<u8>(p) - 0x30 < 10
}

function readDigits(p: usize, end: usize, isFraction: bool): usize {
  while (isDigit(p, end)) {
    const digit = <u64>load<u8>(p++) - 0x30
    if (digits < MANTISSA_DIGITS_MAX) {
      mantissa = mantissa * 10 + digit
      if (mantissa) digits++
      if (isFraction) power--
    } else {
      digits++
      if (!isFraction) power++
    }
  }
  return p
}

/** Reads the number at p into the variables above; gives the byte behind it, 0: error. */
function parse(p: usize, end: usize): usize {
  isNegative = load<u8>(p) == 0x2d
  if (isNegative) p++
  digits = 0
  mantissa = 0
  power = 0
  isInteger = true
  if (!isDigit(p, end)) return jsonFail(p < end ? JSON_BAD_NUMBER : JSON_CUT, p)
  if (load<u8>(p) == 0x30) p++
  else p = readDigits(p, end, false)
  if (isDigit(p, end)) return jsonFail(JSON_BAD_NUMBER, p)
  pointAt = p
  if (p < end && load<u8>(p) == 0x2e) {
    isInteger = false
    p++
    if (!isDigit(p, end)) return jsonFail(p < end ? JSON_BAD_NUMBER : JSON_CUT, p)
    p = readDigits(p, end, true)
  }
  return p < end && (load<u8>(p) | 0x20) == 0x65 ? parseExponent(p + 1, end) : p
}

function parseExponent(p: usize, end: usize): usize {
  isInteger = false
  const isDown = p < end && load<u8>(p) == 0x2d
  if (isDown || (p < end && load<u8>(p) == 0x2b)) p++
  if (!isDigit(p, end)) return jsonFail(p < end ? JSON_BAD_NUMBER : JSON_CUT, p)
  let exponent: i32 = 0
  while (isDigit(p, end)) {
    if (exponent < 100000) exponent = exponent * 10 + (<i32>load<u8>(p) - 0x30)
    p++
  }
  power += isDown ? -exponent : exponent
  return p
}

/** Value of the number just parsed, [start, behind). */
function floatOf(start: usize, behind: usize): f64 {
  const isExact =
    digits <= MANTISSA_DIGITS_MAX &&
    mantissa <= EXACT_INTEGER &&
    power >= -EXACT_POWER &&
    power <= EXACT_POWER
  if (!isExact) return jsonNumber(start, behind - start)
  const factor = load<f64>(POWERS + (<usize>(power < 0 ? -power : power) << 3))
  const value = power < 0 ? <f64>mantissa / factor : <f64>mantissa * factor
  return isNegative ? -value : value
}

/** Reads the number at p and writes it; gives the byte behind it, 0: error. */
export function readNumber(p: usize, end: usize): usize {
  const start = p
  p = parse(p, end)
  if (p == 0) return 0
  if (!hasRoom(p - start + 9)) return jsonFail(JSON_NO_ROOM, start)
  const isWhole = isInteger && (mantissa || !isNegative)
  if (isWhole && putInteger(p)) return p
  const value = isWhole ? jsonInteger(start, p - start) : floatOf(start, p)
  const isLost = value - value != 0 || (value == 0 && mantissa != 0)
  if (isLost) putText(start, p - start)
  else putFloat(value)
  return p
}

/** False when the integer that ends before `behind` has more than 64 bits. */
function putInteger(behind: usize): bool {
  let magnitude = mantissa
  if (digits > MANTISSA_DIGITS_MAX) {
    if (digits > MANTISSA_DIGITS_MAX + 1) return false
    const digit = <u64>load<u8>(behind - 1) - 0x30
    if (magnitude > u64.MAX_VALUE / 10) return false
    magnitude *= 10
    if (magnitude > u64.MAX_VALUE - digit) return false
    magnitude += digit
  }
  if (!isNegative) {
    putUnsigned(magnitude)
    return true
  }
  if (magnitude > 0x8000000000000000) return false
  putNegative(magnitude)
  return true
}

export let timeSeconds: i64 = 0
export let timeNanos: u32 = 0

/** Reads the number at p as seconds since 1970, to the nanosecond; gives the byte behind it, 0: error. */
export function readTimeNumber(p: usize, end: usize, isUnitGuessed: bool): usize {
  const start = p
  p = parse(p, end)
  if (p == 0) return 0
  // Nanoseconds in one integer of 64 bits reach to the year 2554; what is beyond goes by float64.
  const scale = isUnitGuessed ? unitScale(floatOf(start, p)) : 9
  // Digits that the mantissa has no room for lie below the nanosecond: they are cut.
  const shift = power + scale
  if (shift >= -<i32>MANTISSA_DIGITS_MAX && shift <= <i32>MANTISSA_DIGITS_MAX) {
    const factor = tenTo(shift < 0 ? -shift : shift)
    const fits = shift < 0 || mantissa <= <u64>i64.MAX_VALUE / factor
    if (fits) {
      setNanos(shift < 0 ? mantissa / factor : mantissa * factor)
      return p
    }
  }
  const seconds = floatOf(start, p) / Math.pow(10, <f64>(9 - scale))
  if (seconds - seconds != 0 || Math.abs(seconds) > 9e15) return jsonFail(JSON_BAD_NUMBER, start)
  const floor = Math.floor(seconds)
  timeSeconds = <i64>floor
  timeNanos = <u32>((seconds - floor) * 1e9)
  return p
}

/** 10^exponent, exponent at most 19. */
function tenTo(exponent: i32): u64 {
  let value: u64 = 1
  while (exponent-- > 0) value *= 10
  return value
}

/** Digits from the number's unit down to nanoseconds. */
function unitScale(value: f64): i32 {
  return value >= 1e17 ? 0 : value >= 1e14 ? 3 : value >= 1e11 ? 6 : 9
}

function setNanos(total: u64): void {
  const seconds = <i64>(total / 1000000000)
  const nanos = <u32>(total % 1000000000)
  timeSeconds = !isNegative ? seconds : nanos ? -seconds - 1 : -seconds
  timeNanos = isNegative && nanos ? 1000000000 - nanos : nanos
}
