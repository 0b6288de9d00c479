// MessagePack bodies of HTTP to entries [EventTime, map]: maps, lists of maps, [time, map] and [[time, meta], map], one after
// another. What is none of these is copied as it is, for the scan to judge.

import { JSON_CUT, JSON_NO_ROOM, jsonFail } from './json-string'
import { hasRoom, out, putByte, putBytes, putMapHeader } from './json-writer'
import { arrayStart, be32, be64, CUT, headerCount, isArrayByte, isMapByte, isTextByte, mapStart, skipValue } from './msgpack'
import { beginEntries, beginEntry, countRecord, ENTRY_BYTES, endEntry, setRecordAt } from './record-entries'
import {
  extraBytes,
  extraCount,
  extraPairs,
  isTimeKept,
  isTimeKey,
  isUnitGuessed,
  noteTime,
  noteTimeText,
  timeKeyCount
} from './record-rules'

/** Elements of an open list that are still to come. */
let listLeft: u32 = 0

export function packListLeft(): u32 {
  return listLeft
}

/** From `left`, the elements that are left of a list that the bytes before opened. Like jsonToEntries else. */
export function packToEntries(start: usize, end: usize, target: usize, targetEnd: usize, left: u32): usize {
  beginEntries(start, target, targetEnd)
  listLeft = left
  let p = start
  setRecordAt(p)
  while (p < end) {
    setRecordAt(p)
    const c: u32 = load<u8>(p)
    const isList = !listLeft && isArrayByte(c)
    const inner = isList ? arrayStart(p, end) : p
    if (inner == CUT || inner >= end) {
      // A list without an element holds no record.
      if (inner == end && headerCount == 0) return out
      jsonFail(JSON_CUT, p)
      break
    }
    const count = headerCount
    if (isList && (count == 0 || isMapByte(load<u8>(inner)))) {
      listLeft = count
      p = inner
      continue
    }
    const behind = skipValue(p, end)
    if (behind == CUT) {
      jsonFail(JSON_CUT, p)
      break
    }
    if (!hasRoom(ENTRY_BYTES + (behind - p) + extraBytes)) {
      jsonFail(JSON_NO_ROOM, p)
      break
    }
    if (isMapByte(c)) putRecord(p, behind)
    else putEntry(p, behind, inner, isList && count == 2)
    if (listLeft) listLeft--
    p = behind
    setRecordAt(p)
  }
  return out
}

/** A map as an entry, with its own time where it has one. */
function putRecord(p: usize, end: usize): void {
  const entry = out
  const record = beginEntry()
  let pair = mapStart(p, end)
  const count = headerCount
  const first = pair
  let cutStart = end
  let cutEnd = end
  for (let left = timeKeyCount ? count : 0; left > 0; left--) {
    const value = skipValue(pair, end)
    const behind = skipValue(value, end)
    if (isTextByte(load<u8>(pair)) && isTimeKey(pair, value) && isTime(value, behind)) {
      if (!isTimeKept) {
        cutStart = pair
        cutEnd = behind
      }
      break
    }
    pair = behind
  }
  putMapHeader((cutStart < cutEnd ? count - 1 : count) + extraCount)
  putBytes(first, cutStart - first)
  putBytes(cutEnd, end - cutEnd)
  putBytes(extraPairs, extraBytes)
  endEntry(entry, record)
}

/** What has its time, with the pairs that are added; `isEntry` is false for what is none. */
function putEntry(p: usize, end: usize, inner: usize, isEntry: bool): void {
  const map = isEntry ? skipValue(inner, end) : end
  countRecord()
  if (map >= end || !isMapByte(load<u8>(map)) || !extraCount) {
    putBytes(p, end - p)
    return
  }
  putByte(0x92)
  putBytes(inner, map - inner)
  const first = mapStart(map, end)
  putMapHeader(headerCount + extraCount)
  putBytes(first, end - first)
  putBytes(extraPairs, extraBytes)
}

/** Notes the value at [p, end) as the record's time: a number, an EventTime, a timestamp of 64 bits or a text. */
function isTime(p: usize, end: usize): bool {
  const c: u32 = load<u8>(p)
  if (isTextByte(c)) return noteTimeText(p, end)
  if (c < 0x80) return noteTime(c, 0)
  switch (c) {
    case 0xca:
      return noteFloat(<f64>reinterpret<f32>(be32(p + 1)))
    case 0xcb:
      return noteFloat(reinterpret<f64>(be64(p + 1)))
    case 0xcc:
      return noteTime(load<u8>(p, 1), 0)
    case 0xcd:
      return noteTime(bswap<u16>(load<u16>(p, 1)), 0)
    case 0xce:
      return noteTime(be32(p + 1), 0)
    case 0xcf:
      return noteInteger(be64(p + 1))
    case 0xd2:
      return <i32>be32(p + 1) > 0 && noteTime(be32(p + 1), 0)
    case 0xd3:
      return <i64>be64(p + 1) > 0 && noteInteger(be64(p + 1))
    case 0xd7:
      return noteExt(p + 2, load<u8>(p, 1))
    case 0xc7:
      return load<u8>(p, 1) == 8 && noteExt(p + 3, load<u8>(p, 2))
  }
  return false
}

function noteExt(p: usize, type: u32): bool {
  if (type == 0) return noteTime(be32(p), min<u32>(be32(p + 4), 999999999))
  if (type != 0xff) return false
  const bits = be64(p)
  return noteTime(<i64>(bits & 0x3ffffffff), <u32>min<u64>(bits >> 34, 999999999))
}

function noteInteger(value: u64): bool {
  if (!isUnitGuessed || value < 100000000000) return value <= 0xffffffffff && noteTime(value, 0)
  const scale: u64 = value >= 100000000000000000 ? 1000000000 : value >= 100000000000000 ? 1000000 : 1000
  return noteTime(value / scale, <u32>((value % scale) * (1000000000 / scale)))
}

function noteFloat(value: f64): bool {
  if (!(value > 0) || value > 9e18) return false
  if (isUnitGuessed && value >= 1e11) {
    value = value >= 1e17 ? value / 1e9 : value >= 1e14 ? value / 1e6 : value / 1e3
  }
  if (value > 1e12) return false
  const seconds = Math.floor(value)
  return noteTime(<i64>seconds, <u32>((value - seconds) * 1e9))
}
