// Entries [EventTime, map] as readers of HTTP bodies write them, and how far a reader came.

import { clearJsonError } from './json-string'
import { beginOutput, moveOutput, out, putByte, putTime } from './json-writer'
import { clearTime, hasTime, timeNanos, timeSeconds } from './record-rules'

const EVENT_TIME_BYTES: usize = 10
const TIMESTAMP_BYTES: usize = 15
/** Entry header, the widest time, and some. */
export const ENTRY_BYTES: usize = 32

let recordCount: u32 = 0
/** Start of the record that was being read when an error came. */
let recordAt: usize = 0
let defaultSeconds: i64 = 0
let defaultNanos: u32 = 0

export function jsonRecordCount(): u32 {
  return recordCount
}

export function jsonRecordByte(): usize {
  return recordAt
}

/** Time of records that bear none. */
export function setDefaultTime(seconds: i64, nanos: u32): void {
  defaultSeconds = seconds
  defaultNanos = nanos
}

export function beginEntries(start: usize, target: usize, targetEnd: usize): void {
  clearJsonError()
  clearTime()
  beginOutput(target, targetEnd)
  recordCount = 0
  recordAt = start
}

@inline
export function setRecordAt(p: usize): void {
  recordAt = p
}

@inline
export function countRecord(): void {
  recordCount++
}

/** The record that was written last is none. */
export function dropRecord(entry: usize): void {
  recordCount--
  moveOutput(entry)
}

/** Writes the head of an entry, for which the caller has kept ENTRY_BYTES; gives where its record begins. */
export function beginEntry(): usize {
  putByte(0x92)
  putTime(defaultSeconds, defaultNanos)
  clearTime()
  return out
}

/** Puts the record's own time in place; a wider one moves the record up (ENTRY_BYTES of room are kept for it). */
export function endEntry(entry: usize, record: usize): void {
  recordCount++
  if (!hasTime) return
  const behind = out
  const isCommon = timeSeconds >= 0 && timeSeconds <= 0xffffffff
  const timeBytes = isCommon ? EVENT_TIME_BYTES : TIMESTAMP_BYTES
  const place = entry + 1 + timeBytes
  if (place != record) memory.copy(place, record, behind - record)
  moveOutput(entry + 1)
  putTime(timeSeconds, timeNanos)
  moveOutput(place + (behind - record))
}
