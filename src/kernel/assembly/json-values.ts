// JSON values to MessagePack, one level of recursion per container up to the nesting limit.

import { readNumber, readTimeNumber, timeNanos, timeSeconds } from './json-number'
import {
  clearJsonError,
  JSON_CUT,
  JSON_NO_ROOM,
  JSON_TOO_DEEP,
  JSON_UNEXPECTED,
  jsonFail,
  readString
} from './json-string'
import { closeGroup, hasRoom, out, putByte, putBytes, moveOutput } from './json-writer'
import {
  extraBytes,
  extraCount,
  extraPairs,
  hasTime,
  isTimeKept,
  isTimeKey,
  isUnitGuessed,
  noteTime,
  noteTimeText,
  skipText,
  timeKeyCount
} from './record-rules'

/** More than any scalar but a string or number text needs, and the header of a container. */
const SCALAR_BYTES: usize = 32
const TRUE: u32 = 0x65757274
const NULL: u32 = 0x6c6c756e
const FALS: u32 = 0x736c6166

let nestingMax: u32 = 0
/** A line feed ends a record that is not complete: one bad line costs no other. */
let isByLine: bool = false

export function setJsonRules(nesting: u32, byLine: bool): void {
  nestingMax = nesting
  isByLine = byLine
}

@inline
export function isSpace(c: u32): bool {
  return c == 0x20 || c == 0x0a || c == 0x0d || c == 0x09
}

/** First byte that is no white space within a value; `end` is an error that the caller notes. */
@inline
function skipSpace(p: usize, end: usize): usize {
  while (p < end && isSpace(load<u8>(p)) && !(isByLine && load<u8>(p) == 0x0a)) p++
  return p
}

@inline
function fail(p: usize, end: usize): usize {
  return jsonFail(p < end ? JSON_UNEXPECTED : JSON_CUT, p)
}

/** Reads the value at p, its own container at `depth`; gives the byte behind it, 0: error. */
export function readValue(p: usize, end: usize, depth: u32): usize {
  if (p >= end) return fail(p, end)
  if (!hasRoom(SCALAR_BYTES)) return jsonFail(JSON_NO_ROOM, p)
  const c: u32 = load<u8>(p)
  if (c == 0x22) return readString(p + 1, end)
  if (c - 0x30 < 10 || c == 0x2d) return readNumber(p, end)
  if (c == 0x7b) return readObject(p, end, depth)
  if (c == 0x5b) return readArray(p, end, depth)
  return readWord(p, end)
}

function readWord(p: usize, end: usize): usize {
  const word = load<u32>(p)
  if (word == FALS && p + 5 <= end && load<u8>(p, 4) == 0x65) {
    putByte(0xc2)
    return p + 5
  }
  const isWord = p + 4 <= end && (word == TRUE || word == NULL)
  if (!isWord) return jsonFail(JSON_UNEXPECTED, p)
  putByte(word == TRUE ? 0xc3 : 0xc0)
  return p + 4
}

export function readArray(p: usize, end: usize, depth: u32): usize {
  if (depth > nestingMax) return jsonFail(JSON_TOO_DEEP, p)
  const at = out
  putByte(0)
  let count: u32 = 0
  p = skipSpace(p + 1, end)
  if (p < end && load<u8>(p) == 0x5d) p++
  else {
    for (;;) {
      p = readValue(p, end, depth + 1)
      if (p == 0) return 0
      count++
      p = skipSpace(p, end)
      if (p >= end) return fail(p, end)
      const c: u32 = load<u8>(p++)
      if (c == 0x5d) break
      if (c != 0x2c) return fail(p - 1, end)
      p = skipSpace(p, end)
    }
  }
  return closeGroup(at, count, 0x90, 0xdc) ? p : jsonFail(JSON_NO_ROOM, p)
}

/** An object; at depth 1 with a time key set, it is a record whose time may stand under it. */
export function readObject(p: usize, end: usize, depth: u32): usize {
  if (depth > nestingMax) return jsonFail(JSON_TOO_DEEP, p)
  const at = out
  putByte(0)
  let count: u32 = 0
  p = skipSpace(p + 1, end)
  if (p < end && load<u8>(p) == 0x7d) {
    p++
  } else {
    for (;;) {
      if (p >= end || load<u8>(p) != 0x22) return fail(p, end)
      if (!hasRoom(SCALAR_BYTES)) return jsonFail(JSON_NO_ROOM, p)
      const key = out
      p = readString(p + 1, end)
      if (p == 0) return 0
      const isTime = depth == 1 && timeKeyCount != 0 && !hasTime && isTimeKey(key, out)
      p = skipSpace(p, end)
      if (p >= end || load<u8>(p) != 0x3a) return fail(p, end)
      p = skipSpace(p + 1, end)
      const value = p
      p = readValue(p, end, depth + 1)
      if (p == 0) return 0
      if (isTime && isTimeValue(value, end, key) && !isTimeKept) moveOutput(key)
      else count++
      p = skipSpace(p, end)
      if (p >= end) return fail(p, end)
      const c: u32 = load<u8>(p++)
      if (c == 0x7d) break
      if (c != 0x2c) return fail(p - 1, end)
      p = skipSpace(p, end)
    }
  }
  if (depth == 1 && extraCount) {
    if (!hasRoom(extraBytes)) return jsonFail(JSON_NO_ROOM, p)
    putBytes(extraPairs, extraBytes)
    count += extraCount
  }
  return closeGroup(at, count, 0x80, 0xde) ? p : jsonFail(JSON_NO_ROOM, p)
}

/** Whether the value whose JSON is at `p`, and whose MessagePack ends at `out`, is a time; it is then noted. */
function isTimeValue(p: usize, end: usize, key: usize): bool {
  const c: u32 = load<u8>(p)
  if (c == 0x22) return noteTimeText(skipText(key), out)
  if (c - 0x30 >= 10 && c != 0x2d) return false
  if (readTimeNumber(p, end, isUnitGuessed) != 0) return noteTime(timeSeconds, timeNanos)
  // A number that is no time is a field like any other.
  clearJsonError()
  return false
}
