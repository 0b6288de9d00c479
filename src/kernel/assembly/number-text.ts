// Texts that are numbers.

import { NUMBER_DOUBLE, NUMBER_INT, NUMBER_UINT } from '../codes'

/** The double that a JSON number means, by the engine. */
@external('env', 'numberOf')
declare function numberOf(text: usize, length: u32): f64

// The number that was read last.
export let numberKind: u32 = 0
/** Value of NUMBER_INT, bits of NUMBER_UINT. */
export let numberInt: i64 = 0
export let numberDouble: f64 = 0

@inline
export function isDigit(c: u32): bool {
  return c - 48 <= 9
}

export function setIntNumber(v: i64): void {
  numberKind = NUMBER_INT
  numberInt = v
}

export function setUintNumber(v: u64): void {
  numberKind = <i64>v < 0 ? NUMBER_UINT : NUMBER_INT
  numberInt = <i64>v
}

/** A whole double within 64 bits is that integer. */
export function setDoubleNumber(v: f64): void {
  if (v > -9223372036854775808.0 && v < 9223372036854775808.0 && Math.trunc(v) == v) {
    return setIntNumber(<i64>v)
  }
  numberKind = NUMBER_DOUBLE
  numberDouble = v
}

/** Behind the JSON number at `p`, or 0. */
export function jsonNumberEnd(p: usize, end: usize): usize {
  if (p < end && load<u8>(p) == 45) p++
  if (p >= end) return 0
  if (load<u8>(p) == 48) p++
  else {
    const digits = p
    p = digitsEnd(p, end)
    if (p == digits) return 0
  }
  if (p < end && load<u8>(p) == 46) {
    const digits = p + 1
    p = digitsEnd(digits, end)
    if (p == digits) return 0
  }
  if (p < end && (load<u8>(p) | 32) == 101) {
    p++
    if (p < end && (load<u8>(p) == 43 || load<u8>(p) == 45)) p++
    const digits = p
    p = digitsEnd(p, end)
    if (p == digits) return 0
  }
  return p
}

@inline
export function digitsEnd(p: usize, end: usize): usize {
  while (p < end && isDigit(load<u8>(p))) p++
  return p
}

/** Reads a JSON number exactly: as an integer where 64 bits hold it, else as a double. False: it is none. */
export function readNumber(p: usize, n: u32): bool {
  const end = p + n
  if (!n || jsonNumberEnd(p, end) != end) return false
  const isNegative = load<u8>(p) == 45
  const digits = isNegative ? p + 1 : p
  const count = <u32>(end - digits)
  if (digitsEnd(digits, end) == end && count <= 20) {
    let v: u64 = 0
    let isExact = true
    for (let q = digits; q < end; q++) {
      const d = <u64>(load<u8>(q) - 48)
      if (v > 1844674407370955161 || (v == 1844674407370955161 && d > 5)) isExact = false
      v = v * 10 + d
    }
    if (isExact && !isNegative) {
      setUintNumber(v)
      return true
    }
    if (isExact && v <= 0x8000000000000000) {
      setIntNumber(0 - <i64>v)
      return true
    }
  }
  setDoubleNumber(numberOf(p, n))
  return true
}
