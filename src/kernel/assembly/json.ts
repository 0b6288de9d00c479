// Strict validation of JSON (RFC 8259, UTF-8 without overlong forms and surrogates), and its repair for one line.

import { FLAG_ESCAPED, FLAG_NEWLINE } from '../codes'
import { sequenceLength } from './escape'
import { hex4 } from './json-text'
import { JSON_NESTING_MAX } from './limits'
import { jsonNumberEnd } from './number-text'

/** What the value that was validated holds: FLAG_ESCAPED, FLAG_NEWLINE, LONE_SURROGATE. The caller resets it. */
export let jsonFlags: u32 = 0
/** Half of a surrogate pair, which is to become U+FFFD. */
export const LONE_SURROGATE: u32 = 8

@inline
export function resetJsonFlags(): void {
  jsonFlags = 0
}

/** Behind the whitespace at `p`; most often there is none. */
@inline
export function jsonSpace(p: usize, end: usize): usize {
  return p < end && load<u8>(p) > 32 ? p : spaceEnd(p, end)
}

function spaceEnd(p: usize, end: usize): usize {
  while (p < end) {
    const c = load<u8>(p)
    if (c > 32) break
    if (c == 10 || c == 13) jsonFlags |= FLAG_NEWLINE
    else if (c != 32 && c != 9) break
    p++
  }
  return p
}

/** Behind the string whose content begins at `p`, or 0. */
export function jsonStringEnd(p: usize, end: usize): usize {
  const quote = i8x16.splat(34)
  const slash = i8x16.splat(92)
  const low = i8x16.splat(32)
  while (p < end) {
    const v = v128.load(p)
    const mask: u32 = i8x16.bitmask(
      v128.or(v128.or(i8x16.eq(v, quote), i8x16.eq(v, slash)), i8x16.lt_s(v, low))
    )
    if (!mask) {
      p += 16
      continue
    }
    p += ctz<u32>(mask)
    if (p >= end) return 0
    const c: u32 = load<u8>(p)
    if (c == 34) return p + 1
    if (c < 0x20) return 0
    if (c == 92) p = escapeEnd(p + 1, end)
    else {
      const n = sequenceLength(p, end - p)
      if (!n) return 0
      p += n
      // Text that is not ASCII comes in runs.
      while (p < end && load<u8>(p) >= 0x80) {
        const more = sequenceLength(p, end - p)
        if (!more) return 0
        p += more
      }
    }
    if (!p) return 0
  }
  return 0
}

@inline
function isHex(c: u32): bool {
  return c - 48 <= 9 || (c | 32) - 97 <= 5
}

/** Behind the escape whose letter is at `p`, or 0. */
function escapeEnd(p: usize, end: usize): usize {
  jsonFlags |= FLAG_ESCAPED
  if (p >= end) return 0
  switch (load<u8>(p++)) {
    case 0x22:
    case 0x5c:
    case 0x2f:
    case 0x62:
    case 0x66:
    case 0x6e:
    case 0x72:
    case 0x74:
      return p
    case 0x75:
      break
    default:
      return 0
  }
  if (!isUnit(p, end)) return 0
  const unit = hex4(p)
  p += 4
  if ((unit & 0xf800) != 0xd800) return p
  // A high half wants its low half right behind.
  if (unit < 0xdc00 && p + 6 <= end && load<u16>(p) == 0x755c && isUnit(p + 2, end)) {
    if ((hex4(p + 2) & 0xfc00) == 0xdc00) return p + 6
  }
  jsonFlags |= LONE_SURROGATE
  return p
}

function isUnit(p: usize, end: usize): bool {
  if (p + 4 > end) return false
  return isHex(load<u8>(p)) && isHex(load<u8>(p, 1)) && isHex(load<u8>(p, 2)) && isHex(load<u8>(p, 3))
}

/** Behind the value at `p`, or 0. `depth` counts the containers around it. */
export function jsonEnd(p: usize, end: usize, depth: u32): usize {
  if (p >= end) return 0
  const c: u32 = load<u8>(p)
  if (c == 34) return jsonStringEnd(p + 1, end)
  if (c == 123 || c == 91) {
    if (depth >= JSON_NESTING_MAX) return 0
    return c == 123 ? objectEnd(p + 1, end, depth + 1) : arrayEnd(p + 1, end, depth + 1)
  }
  if (c == 0x74) return p + 4 <= end && load<u32>(p) == 0x65757274 ? p + 4 : 0
  if (c == 0x6e) return p + 4 <= end && load<u32>(p) == 0x6c6c756e ? p + 4 : 0
  if (c == 0x66) return p + 5 <= end && load<u32>(p, 1) == 0x65736c61 ? p + 5 : 0
  return jsonNumberEnd(p, end)
}

function objectEnd(p: usize, end: usize, depth: u32): usize {
  p = jsonSpace(p, end)
  if (p < end && load<u8>(p) == 125) return p + 1
  while (true) {
    if (p >= end || load<u8>(p) != 34) return 0
    p = jsonStringEnd(p + 1, end)
    if (!p) return 0
    p = jsonSpace(p, end)
    if (p >= end || load<u8>(p) != 58) return 0
    p = jsonEnd(jsonSpace(p + 1, end), end, depth)
    if (!p) return 0
    p = jsonSpace(p, end)
    if (p >= end) return 0
    const c = load<u8>(p++)
    if (c == 125) return p
    if (c != 44) return 0
    p = jsonSpace(p, end)
  }
}

function arrayEnd(p: usize, end: usize, depth: u32): usize {
  p = jsonSpace(p, end)
  if (p < end && load<u8>(p) == 93) return p + 1
  while (true) {
    p = jsonEnd(p, end, depth)
    if (!p) return 0
    p = jsonSpace(p, end)
    if (p >= end) return 0
    const c = load<u8>(p++)
    if (c == 93) return p
    if (c != 44) return 0
    p = jsonSpace(p, end)
  }
}

/** Copies a valid value without whitespace between tokens and without halves of surrogate pairs; never longer. */
export function rewriteJson(o: usize, p: usize, end: usize): usize {
  let isString = false
  while (p < end) {
    const c: u32 = load<u8>(p++)
    if (!isString) {
      if (c <= 32) continue
      isString = c == 34
    } else if (c == 34) isString = false
    else if (c == 92) {
      o = rewriteEscape(o, p, end)
      p = rewritten
      continue
    }
    store<u8>(o++, <u8>c)
  }
  return o
}

let rewritten: usize = 0

function rewriteEscape(o: usize, p: usize, end: usize): usize {
  const c: u32 = load<u8>(p)
  store<u8>(o, 92)
  store<u8>(o, <u8>c, 1)
  rewritten = p + 1
  if (c != 0x75) return o + 2
  const unit = hex4(p + 1)
  const isPair =
    (unit & 0xfc00) == 0xd800 &&
    p + 11 <= end &&
    load<u16>(p + 5) == 0x755c &&
    isUnit(p + 7, end) &&
    (hex4(p + 7) & 0xfc00) == 0xdc00
  const n: u32 = isPair ? 10 : 4
  rewritten = p + 1 + n
  if ((unit & 0xf800) == 0xd800 && !isPair) {
    store<u32>(o, 0x64666666, 2)
    return o + 6
  }
  memory.copy(o + 2, p + 1, n)
  return o + 2 + n
}
