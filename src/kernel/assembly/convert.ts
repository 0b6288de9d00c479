// Values to other types, in place. What cannot be converted stays what it was.

import {
  CONVERT_BOOLEAN,
  CONVERT_FLOAT,
  CONVERT_INTEGER,
  CONVERT_JSON,
  CONVERT_TEXT,
  CONVERT_TIME,
  FLAG_ESCAPED,
  FLAG_MADE,
  FLAG_NEWLINE,
  NUMBER_DOUBLE,
  ROW_DOUBLE,
  ROW_INT,
  ROW_JSON,
  ROW_RAW,
  ROW_TEXT,
  ROW_TIME,
  ROW_UINT
} from '../codes'
import { arenaTop, hasRoom, takeArena } from './areas'
import { jsonEnd, jsonFlags, jsonSpace, LONE_SURROGATE, resetJsonFlags, rewriteJson } from './json'
import {
  digitsEnd,
  isDigit,
  jsonNumberEnd,
  numberInt,
  numberKind,
  readNumber
} from './number-text'
import { TEXT_FOUND, textLength, textOf, textStart } from './row'
import { parsedNs, parsedSecond, parseTime } from './strptime'
import { rowAddress, rowLength, rowType, setRow, setRowValue } from './table'

const LITERALS = memory.data<u8>([
  116, 114, 117, 101, 0, 0, 0, 0, 102, 97, 108, 115, 101, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
])

/** Longest integer text that is kept as it is: 18 digits never leave 64 bits. */
const DIGITS_MAX: usize = 18

/** False: the value stays as it was. `format` and `zone` belong to CONVERT_TIME. */
export function convertRow(row: usize, type: u32, format: usize, zone: i32): bool {
  if (type == CONVERT_TEXT) {
    if (rowType(row) == ROW_TEXT) return true
    if (textOf(row, true) != TEXT_FOUND) return false
    setRow(row, ROW_TEXT, FLAG_MADE, textStart, textLength)
    return true
  }
  if (isOfType(row, type)) return true
  if (textOf(row, false) != TEXT_FOUND) return false
  const p = textStart
  const end = p + textLength
  switch (type) {
    case CONVERT_INTEGER:
      return toInteger(row, p, end)
    case CONVERT_FLOAT:
      return toFloat(row, p, end)
    case CONVERT_BOOLEAN:
      return toBoolean(row, p, end)
    case CONVERT_TIME:
      if (!format || parseTime(format, p, textLength, zone)) return false
      setRowValue(row, ROW_TIME, parsedNs, parsedSecond)
      return true
    case CONVERT_JSON:
      return toJson(row, p, end)
  }
  return false
}

/** Numbers from the wire stay raw, so that their digits stay exact. */
function isOfType(row: usize, type: u32): bool {
  const kind = rowType(row)
  if (type == CONVERT_TIME) return kind == ROW_TIME
  if (type == CONVERT_INTEGER) {
    if (kind == ROW_INT || kind == ROW_UINT) return true
    if (kind != ROW_RAW) return false
    const c: u32 = load<u8>(rowAddress(row))
    return c < 0x80 || c >= 0xe0 || (c >= 0xcc && c <= 0xd3)
  }
  if (type == CONVERT_FLOAT) {
    if (kind == ROW_INT || kind == ROW_UINT || kind == ROW_DOUBLE) return true
    if (kind != ROW_RAW) return false
    const c: u32 = load<u8>(rowAddress(row))
    return c < 0x80 || c >= 0xe0 || (c >= 0xca && c <= 0xd3)
  }
  if (type == CONVERT_BOOLEAN && kind == ROW_RAW) {
    const c: u32 = load<u8>(rowAddress(row))
    return c == 0xc2 || c == 0xc3
  }
  return type == CONVERT_JSON && kind != ROW_TEXT && kind != ROW_JSON
}

/** Text of up to 18 digits without a leading zero becomes JSON in place: what nearly all numbers in texts are. */
export function isPlainInteger(row: usize): bool {
  const n = rowLength(row)
  if (rowType(row) != ROW_TEXT || n - 1 >= <u32>DIGITS_MAX) return false
  const p = rowAddress(row)
  if (load<u8>(p) == 48 && n > 1) return false
  for (let i: u32 = 0; i < n; i++) {
    if (!isDigit(load<u8>(p + i))) return false
  }
  store<u16>(row, ROW_JSON, 2)
  return true
}

/** Canonical digits are JSON as they stand; others of at most 18 digits become a number. */
function toInteger(row: usize, p: usize, end: usize): bool {
  const start = p
  if (p < end && (load<u8>(p) == 45 || load<u8>(p) == 43)) p++
  const digits = p
  if (digits == end) return false
  if (digitsEnd(digits, end) != end) return toWholeNumber(row, start, end)
  const count = end - digits
  if (count > DIGITS_MAX) return false
  const hasPlus = load<u8>(start) == 43
  if (!hasPlus && (load<u8>(digits) != 48 || (count == 1 && digits == start))) {
    setRow(row, ROW_JSON, 0, start, <u32>(end - start))
    return true
  }
  let v: i64 = 0
  for (let q = digits; q < end; q++) v = v * 10 + (load<u8>(q) - 48)
  setRowValue(row, ROW_INT, 0, load<u8>(start) == 45 ? -v : v)
  return true
}

/** A number that happens to be whole: `5e2`, `12.0`. */
function toWholeNumber(row: usize, p: usize, end: usize): bool {
  if (!readNumber(p, <u32>(end - p)) || numberKind == NUMBER_DOUBLE) return false
  setRowValue(row, ROW_INT, 0, numberInt)
  return true
}

/** JSON numbers are copied; `.5`, `5.` and `+1` are rewritten. */
function toFloat(row: usize, p: usize, end: usize): bool {
  if (p < end && load<u8>(p) == 43) p++
  const n = <u32>(end - p)
  if (n && jsonNumberEnd(p, end) == end) {
    setRow(row, ROW_JSON, 0, p, n)
    return true
  }
  if (!n || !hasRoom(<u64>n + 2)) return false
  // A zero before a leading point, none of a trailing one.
  const start = arenaTop
  let o = start
  if (load<u8>(p) == 45) {
    store<u8>(o++, 45)
    p++
  }
  while (p + 1 < end && load<u8>(p) == 48 && isDigit(load<u8>(p, 1))) p++
  if (p < end && load<u8>(p) == 46 && p + 1 < end) store<u8>(o++, 48)
  while (p < end) {
    const c = load<u8>(p)
    const isTrailing = c == 46 && (p + 1 == end || (load<u8>(p, 1) | 32) == 101)
    if (!isTrailing) store<u8>(o++, c)
    p++
  }
  if (o == start || jsonNumberEnd(start, o) != o) return false
  takeArena(o)
  setRow(row, ROW_JSON, FLAG_MADE, start, <u32>(o - start))
  return true
}

function toBoolean(row: usize, p: usize, end: usize): bool {
  const n = <u32>(end - p)
  if (!n || n > 5) return false
  let word: u64 = 0
  for (let i: u32 = 0; i < n; i++) {
    const c: u64 = load<u8>(p + i)
    word |= (c >= 65 && c <= 90 ? c | 32 : c) << (i << 3)
  }
  // true yes on 1
  if (word == 0x65757274 || word == 0x736579 || word == 0x6e6f || word == 0x31) {
    setRow(row, ROW_JSON, FLAG_MADE, LITERALS, 4)
    return true
  }
  // false no off 0
  if (word == 0x65736c6166 || word == 0x6f6e || word == 0x66666f || word == 0x30) {
    setRow(row, ROW_JSON, FLAG_MADE, LITERALS + 8, 5)
    return true
  }
  return false
}

function toJson(row: usize, p: usize, end: usize): bool {
  resetJsonFlags()
  p = jsonSpace(p, end)
  resetJsonFlags()
  const after = jsonEnd(p, end, 0)
  if (!after) return false
  const flags = jsonFlags
  return jsonSpace(after, end) == end && setJsonRow(row, p, after, flags)
}

/** A validated JSON value as the content of a row, on one line and without halves of surrogate pairs. */
@inline
export function setJsonRow(row: usize, p: usize, end: usize, flags: u32): bool {
  if (flags & (FLAG_NEWLINE | LONE_SURROGATE)) return setRewritten(row, p, end, flags)
  setRow(row, ROW_JSON, flags & FLAG_ESCAPED, p, <u32>(end - p))
  return true
}

function setRewritten(row: usize, p: usize, end: usize, flags: u32): bool {
  if (!hasRoom(<u64>(end - p))) return false
  const start = arenaTop
  const o = rewriteJson(start, p, end)
  takeArena(o)
  setRow(row, ROW_JSON, (flags & FLAG_ESCAPED) | FLAG_MADE, start, <u32>(o - start))
  return true
}
