// JSON text to entries [EventTime, map] (form 1), or to messages that the scanner then reads like any other.
// bench/micro/kernel/scan.bench.ts measures it.

import { timeNanos, timeSeconds } from './json-number'
import {
  clearJsonError,
  JSON_CUT,
  JSON_NO_ROOM,
  JSON_NOT_OBJECT,
  JSON_UNEXPECTED,
  jsonError,
  jsonErrorAt,
  jsonFail
} from './json-string'
import { clearTime, hasTime, isSpace, readArray, readObject, setJsonRules } from './json-values'
import { beginOutput, hasRoom, out, putByte, putTime, moveOutput } from './json-writer'

const EVENT_TIME_BYTES: usize = 10
const TIMESTAMP_BYTES: usize = 15
/** Entry header, the widest time, and some. */
const ENTRY_BYTES: usize = 32

let recordCount: u32 = 0
/** Start of the record that was being read when an error came. */
let recordAt: usize = 0
let defaultSeconds: i64 = 0
let defaultNanos: u32 = 0

export function jsonRecordCount(): u32 {
  return recordCount
}

export function jsonErrorReason(): u32 {
  return jsonError
}

export function jsonErrorByte(): usize {
  return jsonErrorAt
}

export function jsonRecordByte(): usize {
  return recordAt
}

export function jsonSetRules(
  nesting: u32,
  isByLine: bool,
  timeKey: usize,
  timeKeyBytes: usize,
  isUnitGuessed: bool,
  seconds: f64,
  nanos: u32
): void {
  setJsonRules(nesting, isByLine, timeKey, timeKeyBytes, isUnitGuessed)
  defaultSeconds = <i64>seconds
  defaultNanos = nanos
}

function begin(start: usize, target: usize, targetEnd: usize): void {
  clearJsonError()
  clearTime()
  beginOutput(target, targetEnd)
  recordCount = 0
  recordAt = start
}

/** First byte between records that is no white space. */
function between(p: usize, end: usize): usize {
  while (p < end && isSpace(load<u8>(p))) p++
  return p
}

/** Objects and arrays of objects, one after another; gives the byte behind the last entry written. */
export function jsonToEntries(start: usize, end: usize, target: usize, targetEnd: usize): usize {
  begin(start, target, targetEnd)
  let p = between(start, end)
  while (p < end) {
    recordAt = p
    const isList = load<u8>(p) == 0x5b
    p = isList ? readList(p + 1, end) : readRecord(p, end)
    if (p == 0) break
    p = between(p, end)
  }
  return out
}

function readList(p: usize, end: usize): usize {
  p = between(p, end)
  if (p < end && load<u8>(p) == 0x5d) return p + 1
  p = readRecord(p, end)
  while (p) {
    p = between(p, end)
    if (p >= end) return jsonFail(JSON_CUT, p)
    const c: u32 = load<u8>(p++)
    if (c == 0x5d) break
    if (c != 0x2c) return jsonFail(JSON_UNEXPECTED, p - 1)
    p = readRecord(between(p, end), end)
  }
  return p
}

function readRecord(p: usize, end: usize): usize {
  recordAt = p
  if (p >= end) return jsonFail(JSON_CUT, p)
  if (load<u8>(p) != 0x7b) return jsonFail(JSON_NOT_OBJECT, p)
  if (!hasRoom(ENTRY_BYTES)) return jsonFail(JSON_NO_ROOM, p)
  const entry = out
  putByte(0x92)
  putTime(defaultSeconds, defaultNanos)
  const record = out
  clearTime()
  p = readObject(p, end, 1)
  if (p == 0) {
    moveOutput(entry)
    return 0
  }
  if (hasTime && (timeSeconds | timeNanos)) setTime(entry, record)
  recordCount++
  return p
}

/** Puts the record's own time in place; a wider one moves the record up (ENTRY_BYTES of room are kept for it). */
function setTime(entry: usize, record: usize): void {
  const behind = out
  const isCommon = timeSeconds >= 0 && timeSeconds <= 0xffffffff
  const timeBytes = isCommon ? EVENT_TIME_BYTES : TIMESTAMP_BYTES
  const place = entry + 1 + timeBytes
  if (place != record) memory.copy(place, record, behind - record)
  moveOutput(entry + 1)
  putTime(timeSeconds, timeNanos)
  moveOutput(place + (behind - record))
}

/** Arrays, one after another, as MessagePack values: messages in JSON. */
export function jsonToMessages(start: usize, end: usize, target: usize, targetEnd: usize): usize {
  begin(start, target, targetEnd)
  let p = between(start, end)
  while (p < end) {
    recordAt = p
    const message = out
    if (!hasRoom(ENTRY_BYTES)) {
      jsonFail(JSON_NO_ROOM, p)
      break
    }
    p = load<u8>(p) == 0x5b ? readArray(p, end, 1) : jsonFail(JSON_UNEXPECTED, p)
    if (p == 0) {
      moveOutput(message)
      break
    }
    recordCount++
    p = between(p, end)
  }
  return out
}
