// JSON text to entries [EventTime, map] (form 1), or to messages that the scanner then reads like any other.
// bench/micro/kernel/scan.bench.ts measures it.

import {
  JSON_CUT,
  JSON_NO_ROOM,
  JSON_NOT_OBJECT,
  JSON_UNEXPECTED,
  jsonError,
  jsonErrorAt,
  jsonFail
} from './json-string'
import { isSpace, readArray, readObject, readValue, setJsonRules } from './json-values'
import { hasRoom, moveOutput, out } from './json-writer'
import {
  beginEntries,
  beginEntry,
  countRecord,
  dropRecord,
  ENTRY_BYTES,
  endEntry,
  jsonRecordByte,
  setDefaultTime,
  setRecordAt
} from './record-entries'

export function jsonErrorReason(): u32 {
  return jsonError
}

export function jsonErrorByte(): usize {
  return jsonErrorAt
}

export function jsonSetRules(nesting: u32, isByLine: bool, seconds: f64, nanos: u32): void {
  setJsonRules(nesting, isByLine)
  setDefaultTime(<i64>seconds, nanos)
}

/** First byte between records that is no white space. */
function between(p: usize, end: usize): usize {
  while (p < end && isSpace(load<u8>(p))) p++
  return p
}

/** Between a list and the next record of it there may be the end of the bytes: where reading goes on. */
const OUTSIDE: u32 = 0
/** Behind the opening bracket. */
const FIRST: u32 = 1
/** Behind a comma. */
const NEXT: u32 = 2
/** Behind a record of the list. */
const AFTER: u32 = 3

let listState: u32 = OUTSIDE

export function jsonListState(): u32 {
  return listState
}

/**
 * Objects and arrays of objects, one after another, from `list` on, the state that the bytes before left. Gives the byte
 * behind the last entry written; unless an error came, everything up to `end` is read.
 */
export function jsonToEntries(
  start: usize,
  end: usize,
  target: usize,
  targetEnd: usize,
  list: u32
): usize {
  beginEntries(start, target, targetEnd)
  listState = list
  let p = start
  for (;;) {
    p = between(p, end)
    setRecordAt(p)
    if (p >= end) break
    const c: u32 = load<u8>(p)
    if (listState == AFTER) {
      if (c != 0x2c && c != 0x5d) {
        jsonFail(JSON_UNEXPECTED, p)
        break
      }
      listState = c == 0x2c ? NEXT : OUTSIDE
      p++
    } else if (listState == FIRST && c == 0x5d) {
      listState = OUTSIDE
      p++
    } else if (listState == OUTSIDE && c == 0x5b) {
      listState = FIRST
      p++
    } else {
      p = readRecord(p, end)
      if (p == 0) break
      if (listState != OUTSIDE) listState = AFTER
    }
  }
  return out
}

function readRecord(p: usize, end: usize): usize {
  setRecordAt(p)
  if (p >= end) return jsonFail(JSON_CUT, p)
  if (load<u8>(p) != 0x7b) return jsonFail(JSON_NOT_OBJECT, p)
  if (!hasRoom(ENTRY_BYTES)) return jsonFail(JSON_NO_ROOM, p)
  const entry = out
  const record = beginEntry()
  p = readObject(p, end, 1)
  if (p == 0) {
    moveOutput(entry)
    return 0
  }
  endEntry(entry, record)
  return p
}

/**
 * Documents of a `_bulk` body: lines in pairs, from the action line at `start` on as long as action lines are the same.
 * Reading stopped at the action line that jsonRecordByte tells: another one, or one whose document is not good.
 */
export function bulkToEntries(
  start: usize,
  end: usize,
  target: usize,
  targetEnd: usize,
  actionBytes: u32
): usize {
  beginEntries(start, target, targetEnd)
  let p = start
  while (p < end) {
    setRecordAt(p)
    const action = p + actionBytes
    if (action > end || memory.compare(p, start, actionBytes) != 0) break
    // What is longer is another action.
    const line = lineEnd(action, end)
    if (line == 0) break
    p = document(line, end)
    if (p == 0) break
    setRecordAt(p)
  }
  return out
}

/** Behind the line feed that follows white space; 0: there is something else. */
function lineEnd(p: usize, end: usize): usize {
  while (p < end && isSpace(load<u8>(p))) if (load<u8>(p++) == 0x0a) return p
  return p < end ? 0 : p
}

function document(p: usize, end: usize): usize {
  const entry = out
  const action = jsonRecordByte()
  const behind = readRecord(p, end)
  setRecordAt(action)
  if (behind == 0) return 0
  const next = lineEnd(behind, end)
  if (next == 0) {
    dropRecord(entry)
    return jsonFail(JSON_UNEXPECTED, behind)
  }
  return next
}

/** Arrays, one after another, as MessagePack values: messages in JSON. */
export function jsonToMessages(start: usize, end: usize, target: usize, targetEnd: usize): usize {
  beginEntries(start, target, targetEnd)
  let p = between(start, end)
  while (p < end) {
    setRecordAt(p)
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
    countRecord()
    p = between(p, end)
  }
  return out
}

/** One object as MessagePack, for readers of a shape that is not ours. */
export function jsonToObject(start: usize, end: usize, target: usize, targetEnd: usize): usize {
  beginEntries(start, target, targetEnd)
  let p = between(start, end)
  if (p >= end || load<u8>(p) != 0x7b) jsonFail(p < end ? JSON_NOT_OBJECT : JSON_CUT, p)
  else p = readValue(p, end, 1)
  if (!jsonError && between(p, end) < end) jsonFail(JSON_UNEXPECTED, between(p, end))
  if (!jsonError) countRecord()
  return out
}
