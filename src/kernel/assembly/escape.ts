// Text to JSON string bytes. `T` says how often the result is quoted: u8 for JSON, u16 for JSON within a JSON string
// (CloudWatch events), where both escapes are made in one pass. Stores may overshoot the result by 32 bytes.
// Speed: render.bench.ts; 16 bytes at a time, quotes and backslashes are put in by two shuffles without a branch.

/** For each of 256 masks of 8 bytes: where each byte goes, and the backslashes to put in. */
const SPREAD = memory.data(8192, 16)

/** Bytes that were no UTF-8 and became U+FFFD, over the task. */
export let invalidBytes: u64 = 0

export function resetInvalidBytes(): void {
  invalidBytes = 0
}

export function initEscape(): void {
  for (let mask: u32 = 0; mask < 256; mask++) {
    const entry = SPREAD + mask * 32
    let place: usize = 0
    memory.fill(entry, 0x80, 16)
    memory.fill(entry + 16, 0, 16)
    for (let i: u32 = 0; i < 8; i++) {
      if (mask & (1 << i)) store<u8>(entry + 16 + place++, 0x5c)
      store<u8>(entry + place++, <u8>i)
    }
  }
}

@inline
function hexDigit(v: u32): u8 {
  return <u8>(v < 10 ? 48 + v : 87 + v)
}

/** Letter of the short escape of a control character, or 0. */
@inline
function shortEscape(c: u32): u32 {
  switch (c) {
    case 8:
      return 0x62
    case 9:
      return 0x74
    case 10:
      return 0x6e
    case 12:
      return 0x66
    case 13:
      return 0x72
  }
  return 0
}

/** Length of the well-formed UTF-8 sequence at `s`, whose first byte is above 0x7f; 0: there is none. */
export function sequenceLength(s: usize, left: usize): u32 {
  const c: u32 = load<u8>(s)
  if (c < 0xc2 || c > 0xf4) return 0
  const w = load<u32>(s)
  const c1 = (w >> 8) & 0xff
  if (c < 0xe0) return left >= 2 && (c1 & 0xc0) == 0x80 ? 2 : 0
  if (c < 0xf0) {
    if (left < 3 || (w & 0x00c0c000) != 0x00808000) return 0
    return (c == 0xe0 && c1 < 0xa0) || (c == 0xed && c1 > 0x9f) ? 0 : 3
  }
  if (left < 4 || (w & 0xc0c0c000) != 0x80808000) return 0
  return (c == 0xf0 && c1 < 0x90) || (c == 0xf4 && c1 > 0x8f) ? 0 : 4
}

/** Place behind what escapeOne wrote. */
let written: usize = 0

/** Writes the one character at `s` that is no plain ASCII; returns the place behind it. */
function escapeOne<T>(o: usize, s: usize, end: usize): usize {
  const c: u32 = load<u8>(s)
  if (c >= 0x80) {
    const n = sequenceLength(s, end - s)
    if (n) {
      store<u32>(o, load<u32>(s))
      written = o + n
      return s + n
    }
    invalidBytes++
    store<u32>(o, 0xbdbfef)
    written = o + 3
    return s + 1
  }
  if (sizeof<T>() == 2) {
    store<u8>(o++, 0x5c)
  }
  store<u8>(o++, 0x5c)
  if (c == 34 || c == 92) {
    if (sizeof<T>() == 2) store<u8>(o++, 0x5c)
    store<u8>(o, c)
    written = o + 1
    return s + 1
  }
  const letter = shortEscape(c)
  if (letter) {
    store<u8>(o, letter)
    written = o + 1
  } else {
    store<u32>(o, 0x30303075)
    store<u8>(o, hexDigit(c >> 4), 3)
    store<u8>(o, hexDigit(c & 15), 4)
    written = o + 5
  }
  return s + 1
}

/** A control character, or a run of text that is not ASCII: pairs of three-byte characters at once, the rest one by one. */
@inline
function escapeRun<T>(o: usize, s: usize, end: usize): usize {
  if (load<u8>(s) < 0x80) return escapeOne<T>(o, s, end)
  do {
    const from = s
    while (s + 8 <= end) {
      const w = load<u64>(s)
      // Two times lead E1..EF without ED, and two continuation bytes: nothing else to check.
      if ((w & 0xc0c0f0c0c0f0) != 0x8080e08080e0) break
      const a = <u32>w & 15
      const b = <u32>(w >> 24) & 15
      if (a == 0 || a == 13 || b == 0 || b == 13) break
      store<u64>(o, w)
      s += 6
      o += 6
    }
    if (s >= end || load<u8>(s) < 0x80) break
    s = escapeOne<T>(o, s, end)
    o = written
  } while (s < end && load<u8>(s) >= 0x80)
  written = o
  return s
}

/** Escapes `n` bytes; returns the place behind the result. */
export function escape<T>(o: usize, s: usize, n: u32): usize {
  const end = s + n
  const quote = i8x16.splat(34)
  const slash = i8x16.splat(92)
  const low = i8x16.splat(32)
  while (s < end) {
    const v = v128.load(s)
    const marks = v128.or(i8x16.eq(v, quote), i8x16.eq(v, slash))
    // Signed: below 0x20 and from 0x80 on.
    const others = i8x16.lt_s(v, low)
    v128.store(o, v)
    const left = end - s
    let other: u32 = 0
    let mark: u32 = 0
    if (v128.any_true(v128.or(marks, others))) {
      other = i8x16.bitmask(others)
      mark = i8x16.bitmask(marks)
      if (left < 16) {
        const own: u32 = (1 << <u32>left) - 1
        other &= own
        mark &= own
      }
    }
    if (!(other | mark)) {
      if (left <= 16) return o + left
      s += 16
      o += 16
      continue
    }
    if (other || sizeof<T>() == 2) {
      const k = ctz<u32>(other | mark)
      s += k
      o += k
      if (other & (1 << k)) s = escapeRun<T>(o, s, end)
      else s = escapeOne<T>(o, s, end)
      o = written
      continue
    }
    o = spread(o, v, mark, left)
    s += 16
  }
  return o
}

/** 16 bytes with a backslash before each marked one. */
@inline
function spread(o: usize, v: v128, mark: u32, left: usize): usize {
  const first = SPREAD + (mark & 255) * 32
  v128.store(o, v128.or(i8x16.swizzle(v, v128.load(first)), v128.load(first, 16)))
  if (left < 8) return o + left + popcnt<u32>(mark)
  o += 8 + popcnt<u32>(mark & 255)
  const upper = i8x16.shuffle(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15)
  const second = SPREAD + (mark >> 8) * 32
  v128.store(o, v128.or(i8x16.swizzle(upper, v128.load(second)), v128.load(second, 16)))
  return o + (left < 16 ? left - 8 : 8) + popcnt<u32>(mark >> 8)
}

/** The quote of a string: one byte, or an escaped one. */
@inline
export function putQuote<T>(o: usize): usize {
  if (sizeof<T>() == 2) {
    store<u16>(o, 0x225c)
    return o + 2
  }
  store<u8>(o, 34)
  return o + 1
}

@inline
export function putString<T>(o: usize, s: usize, n: u32): usize {
  return putQuote<T>(escape<T>(putQuote<T>(o), s, n))
}

/** Copies in vectors; may overshoot by 15 bytes on both sides. */
@inline
export function copyText(o: usize, s: usize, n: u32): usize {
  let i: usize = 0
  do {
    v128.store(o + i, v128.load(s + i))
    i += 16
  } while (i < n)
  return o + n
}

/** Bytes that `n` bytes of text become, without writing them: escaped in pieces into the scratch area. */
export function escapedLength<T>(s: usize, n: u32): u64 {
  const end = s + n
  let sum: u64 = 0
  const countBefore = invalidBytes
  while (s < end) {
    let pieceEnd = min(s + 1024, end)
    // A piece ends before a character, so that none is cut.
    for (let back = 0; back < 3 && pieceEnd < end && (load<u8>(pieceEnd) & 0xc0) == 0x80; back++) pieceEnd--
    sum += escape<T>(SCRATCH, s, <u32>(pieceEnd - s)) - SCRATCH
    s = pieceEnd
  }
  invalidBytes = countBefore
  return sum
}

/** For pieces that are only measured, and for numbers. */
export const SCRATCH = memory.data(8192 + 64, 16)
