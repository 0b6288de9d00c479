// Rows to JSON, and rows to the text that templates, parsers and comparisons work on.

import {
  FLAG_ESCAPED,
  ROW_DOUBLE,
  ROW_INT,
  ROW_JSON,
  ROW_RAW,
  ROW_SUB,
  ROW_TEXT,
  ROW_TIME,
  ROW_UINT
} from '../codes'
import { arenaTop, hasRoom, takeArena } from './areas'
import {
  areKeysQuotedTwice,
  keyLength,
  keyText,
  renderedKey,
  renderedKeyLength
} from './dictionary'
import { copyText, escape, escapedLength, putQuote, putString } from './escape'
import { unescapeJson } from './json-text'
import { putDouble, putI64, putNull, putU64 } from './number'
import { rowAddress, rowAt, rowCount, rowFlags, rowKey, rowLength, rowType } from './table'
import { putTime } from './time'
import { isContainerByte, putWholeValue, valueLength } from './value'

/** `"key":` */
export function putRowKey<T>(o: usize, id: u32): usize {
  return hasRenderedKeys<T>() ? copyText(o, renderedKey(id), renderedKeyLength(id)) : putKeyAnew<T>(o, id)
}

/** The dictionary's form fits when it was quoted as often as this output. */
@inline
function hasRenderedKeys<T>(): bool {
  return (sizeof<T>() == 2) == areKeysQuotedTwice()
}

function putKeyAnew<T>(o: usize, id: u32): usize {
  o = putString<T>(o, keyText(id), keyLength(id))
  store<u8>(o, 58)
  return o + 1
}

/** The value of a row. */
export function putRow<T>(o: usize, row: usize): usize {
  const a = rowAddress(row)
  const n = rowLength(row)
  switch (rowType(row)) {
    case ROW_TEXT:
      return putString<T>(o, a, n)
    case ROW_RAW:
      return putWholeValue<T>(o, a, a + n)
    case ROW_JSON:
      return sizeof<T>() == 1 ? copyText(o, a, n) : escape<u8>(o, a, n)
    case ROW_INT:
      return putI64(o, load<i64>(row, 8))
    case ROW_UINT:
      return putU64(o, load<u64>(row, 8))
    case ROW_DOUBLE:
      return putDouble(o, load<f64>(row, 8))
    case ROW_TIME:
      return putQuote<T>(putTime(putQuote<T>(o), load<i64>(row, 8), load<u32>(row, 4), 9))
    case ROW_SUB:
      return putSub<T>(o, a, n)
  }
  return putNull(o)
}

function putSub<T>(o: usize, rows: usize, n: u32): usize {
  const start = o
  for (let i: u32 = 0; i < n; i++) {
    const row = rows + (<usize>i << 4)
    if (!rowType(row)) continue
    store<u8>(o++, 44)
    o = putRow<T>(putRowKey<T>(o, rowKey(row)), row)
  }
  return closeObject(start, o)
}

/** The first comma becomes the opening brace. */
@inline
export function closeObject(start: usize, o: usize): usize {
  store<u8>(start, 123)
  if (o == start) o++
  store<u8>(o, 125)
  return o + 1
}

/** All fields, a comma before each. */
export function putMembers<T>(o: usize): usize {
  const isRendered = hasRenderedKeys<T>()
  const end = rowAt(rowCount)
  for (let row = rowAt(0); row < end; row += 16) {
    const type = rowType(row)
    if (!type) continue
    store<u8>(o++, 44)
    const id = rowKey(row)
    o = isRendered
      ? copyText(o, renderedKey(id), renderedKeyLength(id))
      : putKeyAnew<T>(o, id)
    // The two kinds that most rows are, without a call.
    if (type == ROW_TEXT) o = putString<T>(o, rowAddress(row), rowLength(row))
    else if (type == ROW_JSON && sizeof<T>() == 1) o = copyText(o, rowAddress(row), rowLength(row))
    else o = putRow<T>(o, row)
  }
  return o
}

/** Bytes that the value of a row can become at most: each input byte eight, or ten when quoted twice. */
export function rowBytesMax<T>(row: usize): u64 {
  const n = <u64>rowLength(row)
  switch (rowType(row)) {
    case ROW_TEXT:
    case ROW_RAW:
      return n * (sizeof<T>() == 2 ? 10 : 8) + 16
    case ROW_JSON:
      return n * (sizeof<T>() == 2 ? 2 : 1) + 16
    case ROW_SUB: {
      let sum: u64 = 16
      const rows = rowAddress(row)
      for (let i: u32 = 0; i < <u32>n; i++) {
        const sub = rows + (<usize>i << 4)
        sum += <u64>keyLength(rowKey(sub)) * 8 + 16 + rowBytesMax<T>(sub)
      }
      return sum
    }
  }
  return 64
}

/** Bytes that all fields can become at most. */
export function membersBytesMax<T>(): u64 {
  let sum: u64 = 64
  const end = rowAt(rowCount)
  for (let row = rowAt(0); row < end; row += 16) {
    const type = rowType(row)
    if (!type) continue
    sum += <u64>renderedKeyLength(rowKey(row)) * 2 + 32
    if (type <= <u32>ROW_JSON) sum += <u64>rowLength(row) * (sizeof<T>() == 2 ? 10 : 8)
    else sum += rowBytesMax<T>(row)
  }
  return sum
}

/** Like membersBytesMax, but text is measured: for records whose worst case is larger than the output. */
export function membersBytesMeasured<T>(): u64 {
  let sum: u64 = 64
  for (let i: u32 = 0; i < rowCount; i++) {
    const row = rowAt(i)
    const type = rowType(row)
    if (!type) continue
    sum += <u64>renderedKeyLength(rowKey(row)) * 2 + 16
    if (type == ROW_TEXT) sum += escapedLength<T>(rowAddress(row), rowLength(row)) + 16
    else if (type == ROW_RAW) sum += valueLength<T>(rowAddress(row), rowAddress(row) + rowLength(row)) + 16
    else sum += rowBytesMax<T>(row)
  }
  return sum
}

/** What textOf found. */
export let textStart: usize = 0
export let textLength: u32 = 0

export const TEXT_FOUND: u32 = 1
/** The row is a map, an array or null: text only for templates. */
export const TEXT_NONE: u32 = 0
/** The arena is full. */
export const TEXT_NO_ROOM: u32 = 2

@inline
function found(start: usize, n: u32): u32 {
  textStart = start
  textLength = n
  return TEXT_FOUND
}

/**
 * Text of a row: str and bin as they are, numbers and booleans as JSON, times as RFC 3339. With `all` (templates) null is
 * empty and maps and arrays are their JSON text.
 */
export function textOf(row: usize, all: bool): u32 {
  const type = rowType(row)
  const a = rowAddress(row)
  const n = rowLength(row)
  if (type == ROW_TEXT) return found(a, n)
  if (type == ROW_JSON) return textOfJson(row, a, n, all)
  if (type == ROW_RAW) {
    const c: u32 = load<u8>(a)
    if (c == 0xc0) return all ? found(a, 0) : TEXT_NONE
    if (isContainerByte(c) && !all) return TEXT_NONE
  } else if (type == ROW_SUB && !all) return TEXT_NONE
  if (!hasRoom(rowBytesMax<u8>(row))) return TEXT_NO_ROOM
  let start = arenaTop
  let end = putRow<u8>(start, row)
  takeArena(end)
  if (load<u8>(start) == 34) {
    start++
    end--
  }
  return found(start, <u32>(end - start))
}

function textOfJson(row: usize, a: usize, n: u32, all: bool): u32 {
  const c: u32 = load<u8>(a)
  if (c == 34) {
    if (!(rowFlags(row) & FLAG_ESCAPED)) return found(a + 1, n - 2)
    if (!hasRoom(n)) return TEXT_NO_ROOM
    const start = arenaTop
    const end = unescapeJson(start, a + 1, a + n - 1)
    takeArena(end)
    return found(start, <u32>(end - start))
  }
  if (c == 0x6e) return all ? found(a, 0) : TEXT_NONE
  if ((c == 123 || c == 91) && !all) return TEXT_NONE
  return found(a, n)
}
