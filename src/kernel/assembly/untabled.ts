// Records that have no table: more fields than it holds, longer keys than the dictionary takes. Where a route has no
// steps they go out all the same. The table then holds the fields that the program names (time, tag, target, message);
// all others are walked, with a hash over the keys in the arena, so that a later value of a key wins here too.

import { REASON_ARENA } from '../codes'
import { arenaTop, hasRoom } from './areas'
import { findFixed, rowOf } from './dictionary'
import { KEY_BYTES_MAX } from './limits'
import { headerCount, isTextByte, mapStart, skipValue, textStart } from './msgpack'
import { putRow, putRowKey } from './row'
import { beginTable, rowKey, rowType, setRowToValue, touchRow } from './table'
import { putAnyKey, putWholeValue, setRenderFault } from './value'

/** The record's map, 0: the record has a table. */
export let untabled: usize = 0
let untabledEnd: usize = 0

export function leaveUntabled(): void {
  untabled = 0
}

/** Begins such a record: rows for the fields that the program names. */
export function enterUntabled(record: usize, end: usize): void {
  beginTable()
  untabled = record
  untabledEnd = end
  let p = mapStart(record, end)
  let left = headerCount
  while (left--) {
    readKey(p)
    const value = keyAfter
    const after = skipValue(value, end)
    if (keyIsText && keyBytes <= KEY_BYTES_MAX) {
      const id = findFixed(keyStart, keyBytes)
      const row = id ? touchRow(id) : 0
      if (row) setRowToValue(row, value, after)
    }
    p = after
  }
}

export function untabledBytes(): u64 {
  return untabledEnd - untabled
}

let keyStart: usize = 0
let keyBytes: u32 = 0
let keyAfter: usize = 0
let keyIsText: bool = false

/** The key at `p`: text without its header, anything else as its bytes. */
function readKey(p: usize): void {
  keyIsText = isTextByte(load<u8>(p))
  if (keyIsText) {
    keyStart = textStart(p, untabledEnd)
    keyBytes = headerCount
    keyAfter = keyStart + keyBytes
  } else {
    keyStart = p
    keyAfter = skipValue(p, untabledEnd)
    keyBytes = <u32>(keyAfter - p)
  }
}

function hashKey(): u32 {
  let h: u64 = keyBytes | (keyIsText ? 0x100000000 : 0)
  const end = keyStart + keyBytes
  let p = keyStart
  while (p + 8 <= end) {
    h = (rotl(h, 27) ^ load<u64>(p)) * 0x9e3779b185ebca87
    p += 8
  }
  while (p < end) h = (rotl(h, 11) ^ load<u8>(p++)) * 0xc2b2ae3d27d4eb4f
  return <u32>(h >> 35)
}

/** All fields, a comma before each; a key that comes again stands at its first place with its last value. */
export function putUntabled<T>(o: usize): usize {
  const first = mapStart(untabled, untabledEnd)
  const count = headerCount
  // Distinct keys take five bytes each, value included, but for the few of less than three bytes.
  const distinct = min<u32>(count, <u32>(untabledEnd - untabled) / 5 + 70000)
  let slots: u32 = 1024
  while (slots < distinct + distinct / 8) slots <<= 1
  if (!hasRoom(<u64>slots * 8)) {
    setRenderFault(REASON_ARENA)
    return o
  }
  const table = arenaTop
  memory.fill(table, 0, slots * 8)
  let p = first
  for (let i: u32 = 0; i < count; i++) {
    readKey(p)
    const slot = findSlot(table, slots - 1)
    if (!load<u32>(slot)) store<u32>(slot, <u32>p)
    store<u32>(slot, <u32>valueStart, 4)
    p = skipValue(valueStart, untabledEnd)
  }
  p = first
  for (let i: u32 = 0; i < count; i++) {
    readKey(p)
    const slot = findSlot(table, slots - 1)
    if (load<u32>(slot) == <u32>p) o = putPair<T>(o, p, load<u32>(slot, 4))
    readKey(p)
    p = skipValue(keyAfter, untabledEnd)
  }
  return o
}

let valueStart: usize = 0

/** The slot of the key that was read, or the free one where it goes. */
function findSlot(table: usize, mask: u32): usize {
  let index = hashKey() & mask
  const start = keyStart
  const n = keyBytes
  const isText = keyIsText
  valueStart = keyAfter
  while (true) {
    const slot = table + (<usize>index << 3)
    const known = <usize>load<u32>(slot)
    if (!known) return slot
    readKey(known)
    if (keyIsText == isText && keyBytes == n && memory.compare(keyStart, start, n) == 0) return slot
    index = (index + 1) & mask
  }
}

function putPair<T>(o: usize, key: usize, value: usize): usize {
  readKey(key)
  const id: u32 = keyIsText && keyBytes <= KEY_BYTES_MAX ? findFixed(keyStart, keyBytes) : 0
  if (id) {
    const row = rowOf(id)
    // Left out because the output has a field of that name, or moved to another name below.
    if (!row || !rowType(row)) return o
    store<u8>(o, 44)
    return putRow<T>(putRowKey<T>(o + 1, rowKey(row)), row)
  }
  store<u8>(o, 44)
  o = putAnyKey<T>(o + 1, key, untabledEnd)
  store<u8>(o, 58)
  return putWholeValue<T>(o + 1, value, untabledEnd)
}
