// Numbers to JSON text.

import { SCRATCH } from './escape'

/** Shortest text of a finite double, as JavaScript writes it; returns its length. */
@external('env', 'doubleText')
declare function doubleText(v: f64, o: usize): u32

/** `00` to `99`. */
const PAIRS = memory.data(200 + 16, 16)

export function initNumbers(): void {
  for (let i: u32 = 0; i < 100; i++) {
    store<u8>(PAIRS + i * 2, 48 + i / 10)
    store<u8>(PAIRS + i * 2, 48 + (i % 10), 1)
  }
}

@inline
export function putPair(o: usize, v: u32): void {
  store<u16>(o, load<u16>(PAIRS + (v << 1)))
}

export function putU64(o: usize, v: u64): usize {
  if (v < 10) {
    store<u8>(o, 48 + <u32>v)
    return o + 1
  }
  // Backwards into a place of 20 bytes, two digits at a time.
  let place = SCRATCH + 32
  while (v > 0xffffffff) {
    const rest = v / 100
    place -= 2
    putPair(place, <u32>(v - rest * 100))
    v = rest
  }
  let w = <u32>v
  while (w >= 100) {
    const rest = w / 100
    place -= 2
    putPair(place, w - rest * 100)
    w = rest
  }
  place -= 2
  putPair(place, w)
  if (w < 10) place++
  const n = SCRATCH + 32 - place
  v128.store(o, v128.load(place))
  store<u64>(o, load<u64>(place, 16), 16)
  return o + n
}

@inline
export function putI64(o: usize, v: i64): usize {
  if (v >= 0) return putU64(o, <u64>v)
  store<u8>(o, 45)
  return putU64(o + 1, 0 - <u64>v)
}

/** `n` digits with leading zeros. */
export function putDigits(o: usize, v: u32, n: u32): usize {
  let place = o + n
  while (place > o + 1) {
    const rest = v / 100
    place -= 2
    putPair(place, v - rest * 100)
    v = rest
  }
  if (place > o) store<u8>(o, 48 + (v % 10))
  return o + n
}

@inline
export function putNull(o: usize): usize {
  store<u32>(o, 0x6c6c756e)
  return o + 4
}

/**
 * A double as JavaScript's JSON writes it. Whole numbers and those of up to six decimals and 15 digits are written here:
 * a decimal of at most 15 digits that rounds to the double is its only shortest text. The rest leaves to the engine.
 */
export function putDouble(o: usize, v: f64): usize {
  const a = Math.abs(v)
  if (!(a < 1e15)) return isFinite<f64>(v) ? o + doubleText(v, o) : putNull(o)
  if (Math.floor(a) == a) return putI64(o, <i64>v)
  let power: f64 = 10
  for (let digits: u32 = 1; digits <= 6; digits++) {
    const scaled = nearest<f64>(a * power)
    if (scaled >= 1e15) break
    if (scaled / power == a) {
      if (v < 0) store<u8>(o++, 45)
      const whole = <u64>scaled
      const unit = <u64>power
      o = putU64(o, whole / unit)
      store<u8>(o++, 46)
      return putDigits(o, <u32>(whole % unit), digits)
    }
    power *= 10
  }
  return o + doubleText(v, o)
}
