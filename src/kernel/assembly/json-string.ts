// JSON strings: strict RFC 8259 and strict UTF-8, sixteen bytes at a time where they are plain ASCII.
// A lone surrogate escape has no UTF-8 form; it becomes U+FFFD.

import {
  hasRoom,
  out,
  putByte,
  putBytes,
  moveOutput,
  setTextHeader,
  textHeaderBytes
} from './json-writer'

export const JSON_CUT: u32 = 1
export const JSON_UNEXPECTED: u32 = 2
export const JSON_TOO_DEEP: u32 = 3
export const JSON_BAD_UTF8: u32 = 4
export const JSON_BAD_ESCAPE: u32 = 5
export const JSON_CONTROL: u32 = 6
export const JSON_BAD_NUMBER: u32 = 7
export const JSON_NOT_OBJECT: u32 = 8
export const JSON_NO_ROOM: u32 = 9

/** Why reading stopped, and where; 0: it has not. */
export let jsonError: u32 = 0
export let jsonErrorAt: usize = 0

export function clearJsonError(): void {
  jsonError = 0
  jsonErrorAt = 0
}

/** Notes the error; gives 0, which every reader hands up. */
export function jsonFail(reason: u32, at: usize): usize {
  jsonError = reason
  jsonErrorAt = at
  return 0
}

const REPLACEMENT: u32 = 0xfffd

/** First byte in [p, end) that is a quote, a backslash, a control character or not ASCII; `end` when there is none. */
@inline
function plainEnd(p: usize, end: usize): usize {
  const quote = i8x16.splat(0x22)
  const backslash = i8x16.splat(0x5c)
  const space = i8x16.splat(0x20)
  while (p < end) {
    const bytes = v128.load(p)
    // Signed: bytes of 80 and above are less than a space, too.
    const stop = v128.or(
      v128.or(i8x16.eq(bytes, quote), i8x16.eq(bytes, backslash)),
      i8x16.lt_s(bytes, space)
    )
    const mask = i8x16.bitmask(stop)
    if (mask) {
      p += ctz<i32>(mask)
      return p < end ? p : end
    }
    p += 16
  }
  return end
}

/** The byte behind the UTF-8 sequence at p, 0 when it is none. */
function sequenceEnd(p: usize, end: usize): usize {
  const first: u32 = load<u8>(p)
  const second: u32 = load<u8>(p, 1)
  if (first < 0xe0) {
    return first >= 0xc2 && p + 2 <= end && (second & 0xc0) == 0x80 ? p + 2 : 0
  }
  const third: u32 = load<u8>(p, 2)
  if (first < 0xf0) {
    const isGood =
      p + 3 <= end &&
      (second & 0xc0) == 0x80 &&
      (third & 0xc0) == 0x80 &&
      (first != 0xe0 || second >= 0xa0) &&
      (first != 0xed || second < 0xa0)
    return isGood ? p + 3 : 0
  }
  const isGood =
    first <= 0xf4 &&
    p + 4 <= end &&
    (second & 0xc0) == 0x80 &&
    (third & 0xc0) == 0x80 &&
    (<u32>load<u8>(p, 3) & 0xc0) == 0x80 &&
    (first != 0xf0 || second >= 0x90) &&
    (first != 0xf4 || second < 0x90)
  return isGood ? p + 4 : 0
}

/** Reads the string whose quote is at p - 1 and writes it as str; gives the byte behind its last quote, 0: error. */
export function readString(p: usize, end: usize): usize {
  const start = p
  let hasEscape = false
  for (;;) {
    p = plainEnd(p, end)
    if (p == end) return jsonFail(JSON_CUT, end)
    const c: u32 = load<u8>(p)
    if (c == 0x22) break
    if (c == 0x5c) {
      hasEscape = true
      if (p + 1 >= end) return jsonFail(JSON_CUT, end)
      // The byte behind a backslash cannot end the string; what it means is judged when it is decoded.
      if (load<u8>(p, 1) < 0x20 || load<u8>(p, 1) >= 0x80) return jsonFail(JSON_BAD_ESCAPE, p)
      p += 2
      continue
    }
    if (c < 0x20) return jsonFail(JSON_CONTROL, p)
    do {
      const next = sequenceEnd(p, end)
      if (next == 0) return jsonFail(JSON_BAD_UTF8, p)
      p = next
    } while (p < end && load<u8>(p) >= 0x80)
  }
  const rawBytes = p - start
  if (!hasRoom(rawBytes + 5)) return jsonFail(JSON_NO_ROOM, start)
  const width = textHeaderBytes(rawBytes)
  const at = out
  moveOutput(at + width)
  if (!hasEscape) putBytes(start, rawBytes)
  else if (!decode(start, p)) return 0
  setTextHeader(at, width, out - at - width)
  return p + 1
}

/** Copies the checked text [p, end) with its escapes resolved; never longer than the text. */
function decode(p: usize, end: usize): bool {
  const backslash = i8x16.splat(0x5c)
  while (p < end) {
    const bytes = v128.load(p)
    v128.store(out, bytes)
    const mask = i8x16.bitmask(i8x16.eq(bytes, backslash))
    let run: usize = mask ? <usize>ctz<i32>(mask) : 16
    if (run > end - p) run = end - p
    p += run
    moveOutput(out + run)
    if (p == end) break
    if (run == 16) continue
    const c: u32 = load<u8>(p, 1)
    if (c == 0x75) {
      p = decodeUnicode(p, end)
      if (p == 0) return false
      continue
    }
    const plain = plainEscape(c)
    if (plain == 0) {
      jsonFail(JSON_BAD_ESCAPE, p)
      return false
    }
    putByte(plain)
    p += 2
  }
  return true
}

function plainEscape(c: u32): u32 {
  switch (c) {
    case 0x22:
    case 0x5c:
    case 0x2f:
      return c
    case 0x62:
      return 8
    case 0x66:
      return 12
    case 0x6e:
      return 10
    case 0x72:
      return 13
    case 0x74:
      return 9
  }
  return 0
}

/** One \uXXXX at p, or two that are a pair; gives the byte behind, 0: error. */
function decodeUnicode(p: usize, end: usize): usize {
  const first = hexUnit(p, end)
  if (first < 0) return jsonFail(JSON_BAD_ESCAPE, p)
  p += 6
  let code: u32 = <u32>first
  if (code >= 0xd800 && code < 0xe000) {
    const second = code < 0xdc00 ? hexUnit(p, end) : -1
    if (second >= 0xdc00 && second < 0xe000) {
      code = 0x10000 + ((code - 0xd800) << 10) + (<u32>second - 0xdc00)
      p += 6
    } else {
      code = REPLACEMENT
    }
  }
  putCode(code)
  return p
}

/** The 16 bits of \uXXXX at p, -1 when there is no such escape. */
function hexUnit(p: usize, end: usize): i32 {
  if (p + 6 > end || load<u16>(p) != 0x755c) return -1
  let unit: i32 = 0
  for (let index: usize = 2; index < 6; index++) {
    const c: i32 = load<u8>(p + index)
    const letter = c | 0x20
    if (c >= 0x30 && c <= 0x39) unit = (unit << 4) | (c - 0x30)
    else if (letter >= 0x61 && letter <= 0x66) unit = (unit << 4) | (letter - 0x57)
    else return -1
  }
  return unit
}

function putCode(code: u32): void {
  if (code < 0x80) {
    putByte(code)
    return
  }
  if (code < 0x800) putByte(0xc0 | (code >> 6))
  else {
    if (code < 0x10000) putByte(0xe0 | (code >> 12))
    else {
      putByte(0xf0 | (code >> 18))
      putByte(0x80 | ((code >> 12) & 0x3f))
    }
    putByte(0x80 | ((code >> 6) & 0x3f))
  }
  putByte(0x80 | (code & 0x3f))
}
