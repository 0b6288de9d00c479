// The field table: one 16-byte row per top-level field of the record.
// Row: key id u16, type u8, flags u8, aux u32, then an address and a length, or 64 bits of value.

import { ROW_GONE, ROW_RAW, ROW_TEXT } from '../codes'
import { arenaTop, hasRoom, resetArena, takeArena } from './areas'
import { intern, nextGeneration, rowOf, stamp, unstamp } from './dictionary'
import { KEY_BYTES_MAX, ROWS_MAX } from './limits'
import { be16, headerCount, isTextByte, mapStart, skipValue, textStart, WRONG } from './msgpack'
import { putWholeValue } from './value'

export const ROWS = memory.data(1024 * 16, 16)
/** Rows of values that are no top-level fields: found by a path, or about to be put. */
export const TEMP_ROWS = memory.data(64 * 16, 16)

/** Rows in use, removed ones included. */
export let rowCount: u32 = 0

/** Why buildTable gave up. */
export let buildFault: u32 = 0
/** No map, or cut. */
export const BUILD_DAMAGED: u32 = 1
/** Too many fields or too long a key: this record has no table. */
export const BUILD_TOO_MANY: u32 = 2
/** The dictionary is full: flush it and begin again. */
export const BUILD_DICTIONARY: u32 = 3

@inline
export function rowAt(index: u32): usize {
  return ROWS + (<usize>index << 4)
}

@inline
export function rowKey(row: usize): u32 {
  return load<u16>(row)
}

@inline
export function rowType(row: usize): u32 {
  return load<u8>(row, 2)
}

@inline
export function rowFlags(row: usize): u32 {
  return load<u8>(row, 3)
}

@inline
export function rowAddress(row: usize): usize {
  return load<u32>(row, 8)
}

@inline
export function rowLength(row: usize): u32 {
  return load<u32>(row, 12)
}

/** Type, flags, address and length of a row; its key stays. */
@inline
export function setRow(row: usize, type: u32, flags: u32, address: usize, length: u32): void {
  store<u16>(row, <u16>(type | (flags << 8)), 2)
  store<u32>(row, 0, 4)
  store<u32>(row, <u32>address, 8)
  store<u32>(row, length, 12)
}

/** Type, aux and the 64-bit value of a row. */
@inline
export function setRowValue(row: usize, type: u32, aux: u32, value: i64): void {
  store<u16>(row, <u16>type, 2)
  store<u32>(row, aux, 4)
  store<i64>(row, value, 8)
}

/** The row of a key, made at the end if there is none; 0: the table is full. */
@inline
export function touchRow(id: u32): usize {
  const known = rowOf(id)
  if (known) return known
  if (rowCount >= ROWS_MAX) return 0
  const row = rowAt(rowCount++)
  store<u16>(row, <u16>id)
  stamp(id, row)
  return row
}

/** Everything of a row but its key. */
@inline
export function copyRow(to: usize, from: usize): void {
  store<u16>(to, load<u16>(from, 2), 2)
  store<u32>(to, load<u32>(from, 4), 4)
  store<u64>(to, load<u64>(from, 8), 8)
}

@inline
export function removeRow(row: usize): void {
  store<u8>(row, ROW_GONE, 2)
  // The stamp goes too, or the next `set` of this key would write into the removed row.
  unstamp(rowKey(row))
}

/** Makes the value at `p`, which ends at `end`, the content of a row. */
@inline
export function setRowToValue(row: usize, p: usize, end: usize): void {
  if (isTextByte(load<u8>(p))) {
    const text = textStart(p, end)
    setRow(row, ROW_TEXT, 0, text, headerCount)
  } else setRow(row, ROW_RAW, 0, p, <u32>(end - p))
}

@inline
function fault(reason: u32): usize {
  buildFault = reason
  return 0
}

/** An empty table. */
@inline
export function beginTable(): void {
  nextGeneration()
  resetArena()
  rowCount = 0
}

/** Text of the key that readKey read: in the input, or its JSON in the arena. */
export let keyStart: usize = 0
export let keyBytes: u32 = 0

/** Reads the key of any type at `p`, which is complete; returns the place of its value, 0: no room in the arena. */
export function readKey(p: usize, end: usize): usize {
  if (isTextByte(load<u8>(p))) {
    keyStart = textStart(p, end)
    keyBytes = headerCount
    return keyStart + keyBytes
  }
  const after = skipValue(p, end)
  return after && putKeyText(p, after) ? after : 0
}

/** Makes the JSON of the value at `p` a key. False: no room in the arena. */
function putKeyText(p: usize, after: usize): bool {
  if (!hasRoom(<u64>(after - p) * 8)) return false
  let key = arenaTop
  let textEnd = putWholeValue<u8>(key, p, after)
  takeArena(textEnd + 1)
  // A value whose JSON is a string already (ext) stands for its text.
  if (load<u8>(key) == 34) {
    key++
    textEnd--
  }
  keyStart = key
  keyBytes = <u32>(textEnd - key)
  return true
}

/**
 * Rows of the map at `p`; returns the place behind the map, 0: see buildFault. A key that comes again takes the later
 * value at its first place.
 */
export function buildTable(p: usize, end: usize): usize {
  beginTable()
  p = mapStart(p, end)
  if (p <= WRONG) return fault(BUILD_DAMAGED)
  let left = headerCount
  if (left > ROWS_MAX) return fault(BUILD_TOO_MANY)
  while (left--) {
    // Key. Short strings first: nearly all keys are.
    if (p >= end) return fault(BUILD_DAMAGED)
    let c: u32 = load<u8>(p)
    let key: usize
    let n: u32
    if ((c & 0xe0) == 0xa0) {
      key = p + 1
      n = c & 31
      p = key + n
    } else if (isTextByte(c)) {
      key = textStart(p, end)
      n = headerCount
      if (key <= WRONG || n > <u32>(end - key)) return fault(BUILD_DAMAGED)
      p = key + n
    } else {
      const after = skipValue(p, end)
      if (!after) return fault(BUILD_DAMAGED)
      if (!putKeyText(p, after)) return fault(BUILD_TOO_MANY)
      key = keyStart
      n = keyBytes
      p = after
    }
    if (n > KEY_BYTES_MAX) return fault(BUILD_TOO_MANY)
    if (p >= end) return fault(BUILD_DAMAGED)
    const id = intern(key, n)
    if (!id) return fault(BUILD_DICTIONARY)
    const row = touchRow(id)
    // Value: text is a slice of the input, anything else is skipped once and read when it is needed.
    c = load<u8>(p)
    let text: usize
    let length: u32
    if ((c & 0xe0) == 0xa0) {
      text = p + 1
      length = c & 31
    } else if (c == 0xd9) {
      text = p + 2
      length = load<u8>(p, 1)
    } else if (c == 0xda) {
      text = p + 3
      length = be16(p + 1)
    } else if (isTextByte(c)) {
      text = textStart(p, end)
      length = headerCount
      if (text <= WRONG) return fault(BUILD_DAMAGED)
    } else {
      const after = skipValue(p, end)
      if (!after) return fault(BUILD_DAMAGED)
      setRow(row, ROW_RAW, 0, p, <u32>(after - p))
      p = after
      continue
    }
    if (text > end || length > <u32>(end - text)) return fault(BUILD_DAMAGED)
    setRow(row, ROW_TEXT, 0, text, length)
    p = text + length
  }
  return p
}
