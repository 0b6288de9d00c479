// Field references of a program: a top-level key, or a path through MessagePack maps, JSON text and rows that steps made.

import {
  FLAG_ESCAPED,
  ROW_JSON,
  ROW_RAW,
  ROW_SUB,
  SEGMENT_INDEX
} from '../codes'
import { program } from './areas'
import { keyLength, keyText, rowOf } from './dictionary'
import { jsonElement, jsonMember, jsonValueEnd, metBackslash } from './json-walk'
import { FIELD_PATH } from './limits'
import { arrayStart, headerCount, mapStart, skipValue, skipValues, textStart, WRONG } from './msgpack'
import {
  copyRow,
  rowAddress,
  rowKey,
  rowLength,
  rowType,
  setRow,
  setRowToValue,
  TEMP_ROWS
} from './table'

/** Metadata map of the entry, or 0. */
let meta: usize = 0
let metaEnd: usize = 0

@inline
export function setMeta(start: usize, end: usize): void {
  meta = start
  metaEnd = end
}

const PATH_ROW = TEMP_ROWS

/** The row of a field reference, or 0. The row of a path is valid until the next call. */
@inline
export function fieldRow(ref: u32): usize {
  return ref & FIELD_PATH ? pathRow(ref & 0x7fffffff) : rowOf(ref)
}

function pathRow(index: u32): usize {
  const path = program + <usize>load<u32>(program, 32) + <usize>index * 16
  const root = load<u32>(path)
  const segments = program + <usize>load<u32>(path, 4)
  const count = load<u32>(path, 8)
  if (root) {
    const row = rowOf(root)
    if (!row) return 0
    copyRow(PATH_ROW, row)
  } else {
    if (!meta) return 0
    setRow(PATH_ROW, ROW_RAW, 0, meta, <u32>(metaEnd - meta))
  }
  for (let i: u32 = 0; i < count; i++) {
    const segment = segments + <usize>i * 8
    if (!stepInto(load<u32>(segment), load<u32>(segment, 4))) return 0
  }
  return PATH_ROW
}

/** Replaces PATH_ROW by its member; false: there is none. */
function stepInto(name: u32, n: u32): bool {
  const isIndex = n == SEGMENT_INDEX
  const a = rowAddress(PATH_ROW)
  const length = rowLength(PATH_ROW)
  switch (rowType(PATH_ROW)) {
    case ROW_RAW: {
      const end = a + length
      const p = isIndex ? rawElement(a, end, name) : rawMember(a, end, program + name, n)
      if (!p) return false
      setRowToValue(PATH_ROW, p, skipValue(p, end))
      return true
    }
    case ROW_JSON: {
      const end = a + length
      const p = isIndex ? jsonElement(a, end, name) : jsonMember(a, end, program + name, n)
      if (!p) return false
      const after = jsonValueEnd(p, end)
      setRow(PATH_ROW, ROW_JSON, metBackslash ? FLAG_ESCAPED : 0, p, <u32>(after - p))
      return true
    }
    case ROW_SUB:
      return !isIndex && subMember(a, length, program + name, n)
  }
  return false
}

/** Value of the first pair with this key in the map at `p`, or 0. */
function rawMember(p: usize, end: usize, name: usize, n: u32): usize {
  p = mapStart(p, end)
  if (p <= WRONG) return 0
  let left = headerCount
  while (left--) {
    const key = textStart(p, end)
    if (key > WRONG) {
      const value = key + headerCount
      if (headerCount == n && memory.compare(key, name, n) == 0) return value
      p = skipValue(value, end)
    } else p = skipValues(p, end, 2)
    if (!p) return 0
  }
  return 0
}

function rawElement(p: usize, end: usize, index: u32): usize {
  p = arrayStart(p, end)
  if (p <= WRONG || index >= headerCount) return 0
  return index ? skipValues(p, end, index) : p
}

function subMember(rows: usize, count: u32, name: usize, n: u32): bool {
  for (let i: u32 = 0; i < count; i++) {
    const row = rows + (<usize>i << 4)
    const id = rowKey(row)
    if (!rowType(row) || keyLength(id) != n || memory.compare(keyText(id), name, n) != 0) continue
    copyRow(PATH_ROW, row)
    return true
  }
  return false
}
