// The op that lays the members of a map beside the fields of the record: entry metadata.

import { REASON_TOO_MANY_FIELDS, ROW_RAW, SET_IF_MISSING } from '../codes'
import { count } from './counters'
import { intern, rowOf } from './dictionary'
import { KEY_BYTES_MAX } from './limits'
import { headerCount, isMapByte, mapStart, skipValue } from './msgpack'
import { restart, step } from './outcome'
import { fieldRow } from './path'
import { keyBytes, keyStart, readKey, rowAddress, rowAt, rowCount, rowLength, rowType, setRowToValue, touchRow } from './table'

/** Members of a MessagePack map only; of two with one key the last stands, as in records. */
export function opMerge(pc: usize): usize {
  const from = fieldRow(load<u32>(pc, 4))
  if (!from || rowType(from) != ROW_RAW || !isMapByte(load<u8>(rowAddress(from)))) return pc + 12
  const isGuarded = (load<u32>(pc, 8) & SET_IF_MISSING) != 0
  const end = rowAddress(from) + rowLength(from)
  const before = rowCount
  let p = mapStart(rowAddress(from), end)
  let left = headerCount
  while (left--) {
    const value = readKey(p, end)
    // The map is whole, so a key without a place has no room in the arena.
    if (!value || keyBytes > KEY_BYTES_MAX) {
      count(step, REASON_TOO_MANY_FIELDS)
      p = skipValue(skipValue(p, end), end)
      continue
    }
    const after = skipValue(value, end)
    p = after
    const id = intern(keyStart, keyBytes)
    if (!id) return restart()
    const old = rowOf(id)
    if (isGuarded && old && old < rowAt(before)) continue
    const row = touchRow(id)
    if (row) setRowToValue(row, value, after)
    else count(step, REASON_TOO_MANY_FIELDS)
  }
  return pc + 12
}
