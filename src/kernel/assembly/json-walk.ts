// Reading within JSON values that are known to be valid.

import { arenaTop, hasRoom } from './areas'
import { unescapeJson } from './json-text'

/** Whether the value that jsonValueEnd passed over holds a backslash. */
export let metBackslash: bool = false

@inline
export function skipSpace(p: usize, end: usize): usize {
  while (p < end && load<u8>(p) <= 32) p++
  return p
}

/** Behind the string whose content begins at `p`. */
function stringEnd(p: usize, end: usize): usize {
  while (p < end) {
    const c = load<u8>(p++)
    if (c == 34) return p
    if (c == 92) {
      metBackslash = true
      p++
    }
  }
  return end
}

/** Behind the value at `p`. */
export function jsonValueEnd(p: usize, end: usize): usize {
  metBackslash = false
  let depth: u32 = 0
  while (p < end) {
    const c = load<u8>(p)
    if (c == 34) p = stringEnd(p + 1, end)
    else if (c == 123 || c == 91) {
      depth++
      p++
      continue
    } else if (c == 125 || c == 93) {
      if (!depth) return p
      depth--
      p++
    } else if (c == 44 || c == 58 || c <= 32) {
      if (!depth) return p
      p++
      continue
    } else {
      while (p < end && isScalarByte(load<u8>(p))) p++
    }
    if (!depth) return p
  }
  return end
}

@inline
function isScalarByte(c: u32): bool {
  return c > 32 && c != 44 && c != 125 && c != 93
}

/** Value of the member with this name, or 0. Of several the last counts, as for all JSON that is spliced. */
export function jsonMember(p: usize, end: usize, name: usize, n: u32): usize {
  if (load<u8>(p) != 123) return 0
  let found: usize = 0
  p = skipSpace(p + 1, end)
  while (p < end && load<u8>(p) == 34) {
    const key = p + 1
    metBackslash = false
    p = stringEnd(key, end)
    const isHit = isKey(key, p - 1, name, n)
    p = skipSpace(skipSpace(p, end) + 1, end)
    if (isHit) found = p
    p = skipSpace(jsonValueEnd(p, end), end)
    if (p >= end || load<u8>(p) != 44) break
    p = skipSpace(p + 1, end)
  }
  return found
}

@inline
function isKey(key: usize, keyEnd: usize, name: usize, n: u32): bool {
  if (!metBackslash) return keyEnd - key == n && memory.compare(key, name, n) == 0
  if (!hasRoom(<u64>(keyEnd - key))) return false
  const textEnd = unescapeJson(arenaTop, key, keyEnd)
  return textEnd - arenaTop == n && memory.compare(arenaTop, name, n) == 0
}

export function jsonElement(p: usize, end: usize, index: u32): usize {
  if (load<u8>(p) != 91) return 0
  p = skipSpace(p + 1, end)
  while (p < end && load<u8>(p) != 93) {
    if (!index--) return p
    p = skipSpace(jsonValueEnd(p, end), end)
    if (p >= end || load<u8>(p) != 44) return 0
    p = skipSpace(p + 1, end)
  }
  return 0
}
