// A JSON object to pending rows: its members' values are taken as they stand, never built.

import {
  FLAG_ESCAPED,
  OPTION_PREFIX,
  REASON_ARENA,
  REASON_BAD_JSON,
  REASON_NOT_OBJECT,
  REASON_TOO_MANY_FIELDS,
  ROW_GONE
} from '../codes'
import { arenaTop, hasRoom, program, takeArena } from './areas'
import { setJsonRow } from './convert'
import { intern, isJsonKey, keyLength } from './dictionary'
import {
  jsonEnd,
  jsonFlags,
  jsonSpace,
  jsonStringEnd,
  LONE_SURROGATE,
  resetJsonFlags
} from './json'
import { unescapeJson } from './json-text'
import { KEY_BYTES_MAX } from './limits'
import { addPending } from './pending'

/** The dictionary is full: the record begins again. */
export const SPLICE_RESTART: u32 = 0xffffffff

/** A member whose value is null is pending as ROW_GONE: it removes the field. */
export const SPLICE_NULL_REMOVES: u32 = 1
/** Strings that are objects themselves become objects. */
export const SPLICE_NESTED: u32 = 2

/** Ids of the members of the text before: senders write their members in one order. */
const EXPECTED = memory.data(64 * 2, 16)
const EXPECTED_MAX: u32 = 64

let keyStart: usize = 0
let keyBytes: u32 = 0

/** 0: all members are pending; else the reason of the failure, or SPLICE_RESTART. */
export function spliceJson(p: usize, end: usize, options: usize, mode: u32): u32 {
  // A byte order mark says nothing.
  if (end - p >= 3 && (load<u32>(p) & 0xffffff) == 0xbfbbef) p += 3
  p = jsonSpace(p, end)
  if (p >= end) return REASON_BAD_JSON
  if (load<u8>(p) != 123) {
    const after = jsonEnd(p, end, 0)
    return after && jsonSpace(after, end) == end ? REASON_NOT_OBJECT : REASON_BAD_JSON
  }
  p = jsonSpace(p + 1, end)
  if (p < end && load<u8>(p) == 125) return jsonSpace(p + 1, end) == end ? 0 : REASON_BAD_JSON
  // A fault of the text counts before one of the record: the member that found no room is judged at the end.
  let fault: u32 = 0
  let member: u32 = 0
  const prefixBytes: u32 = options ? load<u32>(options, OPTION_PREFIX + 4) : 0
  while (true) {
    if (p >= end || load<u8>(p) != 34) return REASON_BAD_JSON
    const key = p + 1
    const place = EXPECTED + (<usize>member << 1)
    let row: usize = 0
    if (!fault && !prefixBytes && isJsonKey(load<u16>(place), key, end)) {
      const id: u32 = load<u16>(place)
      row = memberRow(id)
      p = key + keyLength(id) + 1
    } else {
      resetJsonFlags()
      p = jsonStringEnd(key, end)
      if (!p) return REASON_BAD_JSON
      keyStart = key
      keyBytes = <u32>(p - 1 - key)
      if (!fault && (prefixBytes || keyBytes > KEY_BYTES_MAX || jsonFlags)) fault = readKey(options)
      if (!fault) {
        const id = intern(keyStart, keyBytes)
        store<u16>(place, <u16>id)
        row = id ? memberRow(id) : ROW_NO_ID
      }
    }
    member = min<u32>(member + 1, EXPECTED_MAX - 1)
    p = jsonSpace(p, end)
    if (p >= end || load<u8>(p) != 58) return REASON_BAD_JSON
    p = jsonSpace(p + 1, end)
    resetJsonFlags()
    const value = p
    p = p < end && load<u8>(p) == 34 ? jsonStringEnd(p + 1, end) : jsonEnd(p, end, 1)
    if (!p) return REASON_BAD_JSON
    if (row == ROW_FULL) fault = REASON_TOO_MANY_FIELDS
    else if (row == ROW_NO_ID) fault = SPLICE_RESTART
    else if (row && !setMember(row, value, p, mode)) fault = REASON_ARENA
    p = jsonSpace(p, end)
    if (p >= end) return REASON_BAD_JSON
    const c = load<u8>(p++)
    if (c == 125) break
    if (c != 44) return REASON_BAD_JSON
    p = jsonSpace(p, end)
  }
  return jsonSpace(p, end) == end ? fault : REASON_BAD_JSON
}

/** Text of the member's key, decoded and with the step's prefix; a reason if there is no room for it. */
function readKey(options: usize): u32 {
  const p = keyStart
  const end = p + keyBytes
  const prefixBytes: u32 = options ? load<u32>(options, OPTION_PREFIX + 4) : 0
  const isDecoded = (jsonFlags & FLAG_ESCAPED) != 0
  if (isDecoded || prefixBytes) {
    if (!hasRoom(<u64>keyBytes + prefixBytes)) return REASON_ARENA
    const start = arenaTop
    memory.copy(start, program + <usize>(options ? load<u32>(options, OPTION_PREFIX) : 0), prefixBytes)
    let o = start + prefixBytes
    if (isDecoded) o = unescapeJson(o, p, end)
    else {
      memory.copy(o, p, keyBytes)
      o += keyBytes
    }
    takeArena(o)
    keyStart = start
    keyBytes = <u32>(o - start)
  }
  return keyBytes > KEY_BYTES_MAX ? <u32>REASON_TOO_MANY_FIELDS : 0
}

const ROW_FULL: usize = 1
const ROW_NO_ID: usize = 2

@inline
function memberRow(id: u32): usize {
  const row = addPending(id)
  return row ? row : ROW_FULL
}

@inline
function setMember(row: usize, p: usize, end: usize, mode: u32): bool {
  return mode ? setModal(row, p, end, mode) : setJsonRow(row, p, end, jsonFlags)
}

function setModal(row: usize, p: usize, end: usize, mode: u32): bool {
  const flags = jsonFlags
  if (mode & SPLICE_NULL_REMOVES && end - p == 4 && load<u32>(p) == 0x6c6c756e) {
    store<u8>(row, ROW_GONE, 2)
    return true
  }
  if (mode & SPLICE_NESTED && load<u8>(p) == 34 && setNested(row, p + 1, end - 1, flags)) return true
  return setJsonRow(row, p, end, flags)
}

/** A string that is an object: its content becomes the value. */
function setNested(row: usize, p: usize, end: usize, flags: u32): bool {
  if (flags & (FLAG_ESCAPED | LONE_SURROGATE)) {
    if (!hasRoom(<u64>(end - p))) return false
    const start = arenaTop
    end = unescapeJson(start, p, end)
    p = start
  }
  resetJsonFlags()
  p = jsonSpace(p, end)
  if (p >= end || load<u8>(p) != 123) return false
  const after = jsonEnd(p, end, 1)
  const valueFlags = jsonFlags
  if (!after || jsonSpace(after, end) != end) return false
  if (flags & (FLAG_ESCAPED | LONE_SURROGATE)) takeArena(end)
  return setJsonRow(row, p, after, valueFlags)
}
