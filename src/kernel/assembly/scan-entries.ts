// Entries of form 1: the body of a PackedForward message, or the array of a Forward message.
// Valid entries become spans; what lies between them is counted and left out. bench/micro/kernel/scan.bench.ts.

import {
  arrayStart,
  be32,
  CUT,
  headerCount,
  isArrayByte,
  isMapByte,
  isTextByte,
  metReserved,
  resetReserved,
  skipValue,
  skipValues,
  textStart,
  WRONG
} from './msgpack'
import { checkValue, checkValues, isTooDeep, resetTooDeep } from './record-check'
import {
  addMarker,
  addRecords,
  addSpan,
  boundTime,
  countInvalid,
  countTime,
  GIVEN_UP_ENTRIES,
  GIVEN_UP_INVALID,
  GIVEN_UP_SPANS,
  givenUp,
  giveUp,
  INVALID_CUT,
  INVALID_NESTED,
  INVALID_NOT_ENTRY,
  INVALID_RECORD,
  INVALID_TOO_DEEP,
  INVALID_TOO_LARGE,
  UNWRAPPED
} from './scan-results'
import { markerSeconds, readTime, setNoTime, TIME_BAD, TIME_OK, timeSeconds, timeState } from './scan-time'

/** Entry states above the reasons why an entry is invalid. */
export const RECORD: u32 = 16
const MARKER_OPEN: u32 = 17
const MARKER_CLOSE: u32 = 18

const NANOS_MAX: u32 = 999999999
/** 92 d7 00: [EventTime, ...], read as three little-endian bytes. */
const COMMON_ENTRY: u32 = 0x00d792
const COMMON_HEADER_BYTES: usize = 11
const GZIP_MAGIC: u32 = 0x8b1f
const ZSTD_MAGIC: u32 = 0xfd2fb528
const OPEN_SECONDS: u32 = 0xffffffff
const CLOSE_SECONDS: u32 = 0xfffffffe

/** Spans of one message; the tables must have room for as many before a message is begun. */
let messageSpansMax: u32 = 0
let spanBytesMax: usize = 0
let recordBytesMax: usize = 0
let invalidRunMax: u32 = 0
let entriesMax: u32 = 0

export function setEntryLimits(
  spans: u32,
  spanBytes: usize,
  recordBytes: usize,
  invalidRun: u32,
  entries: u32
): void {
  messageSpansMax = spans
  spanBytesMax = spanBytes
  recordBytesMax = recordBytes
  invalidRunMax = invalidRun
  entriesMax = entries
}

export function spansPerMessage(): u32 {
  return messageSpansMax
}

/** What entryBehind found: RECORD, MARKER_*, or why the entry is invalid. */
let entryState: u32 = 0

/** State of a record that is a complete value [p, behind). */
export function recordState(p: usize, behind: usize): u32 {
  if (!isMapByte(load<u8>(p))) return INVALID_RECORD
  if (metReserved) return INVALID_RECORD
  if (isTooDeep) return INVALID_TOO_DEEP
  return behind - p > recordBytesMax ? INVALID_TOO_LARGE : RECORD
}

/** The header [time, metadata?, ...] of an entry or message; gives the byte behind it, or CUT, WRONG. */
export function readHeader(p: usize, end: usize): usize {
  p = arrayStart(p, end)
  if (p == CUT) return CUT
  const left = headerCount
  if (left == 0) {
    setNoTime()
    return p
  }
  p = readTime(p, end)
  return p == CUT ? CUT : checkValues(p, end, left - 1, 1)
}

/** The byte behind the entry at p, with its state in entryState. CUT, or WRONG for the nesting limit. */
function entryBehind(p: usize, end: usize): usize {
  entryState = INVALID_NOT_ENTRY
  const start = p
  if (!isArrayByte(load<u8>(p))) return skipValue(p, end)
  p = arrayStart(p, end)
  if (p == CUT) return CUT
  const elements = headerCount
  if (elements < 2) return skipValues(p, end, elements)
  if (p >= end) return CUT
  const first: u32 = load<u8>(p)
  if (isTextByte(first)) {
    const second = skipValue(p, end)
    if (second == CUT || second >= end) return CUT
    const c: u32 = load<u8>(second)
    if (isArrayByte(c) || isTextByte(c)) {
      entryState = INVALID_NESTED
      return skipValue(start, end)
    }
  }
  const hasHeader = isArrayByte(first)
  p = hasHeader ? readHeader(p, end) : readTime(p, end)
  if (p <= WRONG) return p
  if (p >= end) return CUT
  const record = p
  p = checkValue(p, end)
  if (p <= WRONG) return p
  entryState = recordState(record, p)
  if (hasHeader && entryState == RECORD && markerSeconds >= CLOSE_SECONDS) {
    entryState = markerSeconds == OPEN_SECONDS ? MARKER_OPEN : MARKER_CLOSE
  }
  return elements > 2 ? skipValues(p, end, elements - 2) : p
}

/** The run of valid entries that is being read. */
let spanStart: usize = 0
let spanRecords: u32 = 0
let spanMarker: usize = 0
let spanMarkerEnd: usize = 0
let spans: u32 = 0
/** The group marker that is open, 0: none. */
export let marker: usize = 0
export let markerEnd: usize = 0
/** Tag of the batch within the batch that is being read, 0: none. */
let innerTag: usize = 0
let innerTagBytes: u32 = 0
export let entriesRead: u32 = 0
/** Invalid entries in a row. */
export let invalidRun: u32 = 0
/** The body comes in parts: an entry without an end belongs to the next one. */
let isPart: bool = false
/** Of a part: where it was left, and entries of the array that are behind it. */
export let partEnd: usize = 0
export let partLeft: u32 = 0

function openSpan(p: usize): void {
  spanStart = p
  spanRecords = 0
  spanMarker = marker
  spanMarkerEnd = markerEnd
}

/** Ends the run before `p`; markers alone make no span. */
function closeSpan(p: usize): void {
  if (spanRecords == 0) return
  addSpan(
    spanStart,
    p,
    spanRecords,
    spanMarker,
    spanMarkerEnd,
    innerTag,
    innerTagBytes
  )
  addRecords(spanRecords)
  spans++
  spanRecords = 0
}

function beginEntries(p: usize): void {
  marker = 0
  spans = 0
  invalidRun = 0
  entriesRead = 0
  innerTag = 0
  innerTagBytes = 0
  openSpan(p)
}

@inline
function isCommonEntry(p: usize, end: usize): bool {
  return (
    (load<u32>(p) & 0xffffff) == COMMON_ENTRY &&
    p + COMMON_HEADER_BYTES < end &&
    isMapByte(load<u8>(p, COMMON_HEADER_BYTES))
  )
}

/** The byte behind [EventTime, map] at p, with its state in entryState. */
@inline
function commonBehind(p: usize, end: usize): usize {
  const record = p + COMMON_HEADER_BYTES
  const behind = checkValue(record, end)
  if (behind > WRONG) entryState = recordState(record, behind)
  return behind
}

/** In a body, an entry without an end is the last, and one that nests too deep is passed over. */
function defectBehind(p: usize, end: usize, found: usize): usize {
  const behind = found == CUT ? CUT : skipValue(p, end)
  entryState = behind == CUT ? INVALID_CUT : INVALID_TOO_DEEP
  return behind == CUT ? end : behind
}

/** Leaves the entry [entry, behind) out; true when the rest is given up. */
function leaveOut(entry: usize, behind: usize): bool {
  countInvalid(entryState)
  closeSpan(entry)
  openSpan(behind)
  invalidRun++
  if (invalidRun < invalidRunMax && spans < messageSpansMax - 1) return false
  giveUp(invalidRun == invalidRunMax ? GIVEN_UP_INVALID : GIVEN_UP_SPANS, behind)
  return true
}

/** Cuts a span that has grown too long before `entry`; true when the rest is given up. */
function cutSpan(entry: usize): bool {
  closeSpan(entry)
  openSpan(entry)
  if (spans < messageSpansMax - 1) return false
  giveUp(GIVEN_UP_SPANS, entry)
  return true
}

function noteMarker(entry: usize, behind: usize): void {
  addMarker()
  marker = entryState == MARKER_OPEN ? entry : 0
  markerEnd = behind
}

function noteTime(): void {
  if (timeState != TIME_OK) countTime(timeState == TIME_BAD)
  else boundTime(timeSeconds, timeSeconds)
}

/**
 * Reads [tag, entries] in the place of an entry as entries of that tag. False when it is no batch
 * that can be read here: one within another, a compressed one, or one within a body that comes in parts.
 */
function unwrap(batch: usize, behind: usize): bool {
  if (isPart || innerTag || spans >= messageSpansMax - 3) return false
  const tag = textStart(arrayStart(batch, behind), behind)
  const tagBytes = headerCount
  let p = tag + tagBytes
  let end = behind
  let count: u32 = 0xffffffff
  if (isTextByte(load<u8>(p))) {
    p = textStart(p, behind)
    end = p + headerCount
    if (headerCount >= 4 && (load<u16>(p) == GZIP_MAGIC || load<u32>(p) == ZSTD_MAGIC)) return false
  } else {
    p = arrayStart(p, behind)
    count = headerCount
  }
  const outerMarker = marker
  const outerMarkerEnd = markerEnd
  closeSpan(batch)
  marker = 0
  innerTag = tag
  innerTagBytes = tagBytes
  openSpan(p)
  readEntries(p, end, count, false)
  // A c1 in a body of text is that body's affair.
  resetReserved()
  innerTag = 0
  innerTagBytes = 0
  marker = outerMarker
  markerEnd = outerMarkerEnd
  openSpan(behind)
  countInvalid(UNWRAPPED)
  return true
}

/**
 * Reads `count` entries, or as many as there are before `end`. In a stream a cut entry means that more bytes come
 * (CUT) and a broken one that there is no way on (WRONG); in a body both are one invalid entry.
 */
export function scanEntries(p: usize, end: usize, count: u32, isStream: bool): usize {
  beginEntries(p)
  return readEntries(p, end, count, isStream)
}

/**
 * One part of a long body, in the order of its parts: whole entries are read, one that goes on behind `end` is left for
 * the next part. `openMarker` is the marker that was open before, copied to where places of this part can point.
 */
export function scanEntriesPart(
  p: usize,
  end: usize,
  count: u32,
  isStream: bool,
  openMarker: usize,
  openMarkerEnd: usize,
  invalidBefore: u32,
  entriesBefore: u32
): usize {
  beginEntries(p)
  marker = openMarker
  markerEnd = openMarkerEnd
  spanMarker = marker
  spanMarkerEnd = markerEnd
  invalidRun = invalidBefore
  entriesRead = entriesBefore
  isPart = true
  const behind = readEntries(p, end, count, isStream)
  isPart = false
  return behind
}

function readEntries(p: usize, end: usize, count: u32, isStream: bool): usize {
  let lowest: u32 = 0xffffffff
  let highest: u32 = 0
  let left = count
  while (left) {
    if (p >= end) {
      if (isStream && !isPart) return CUT
      break
    }
    const entry = p
    if (entriesRead++ == entriesMax) {
      giveUp(GIVEN_UP_ENTRIES, entry)
      break
    }
    resetTooDeep()
    resetReserved()
    const isCommon = isCommonEntry(entry, end)
    p = isCommon ? commonBehind(entry, end) : entryBehind(entry, end)
    if (p <= WRONG) {
      if (p == CUT && isPart) {
        p = entry
        entriesRead--
        break
      }
      if (isStream) return p
      p = defectBehind(entry, end, p)
      if (isPart && entryState == INVALID_CUT) {
        p = entry
        entriesRead--
        break
      }
    } else if (metReserved) {
      if (isStream) return WRONG
      entryState = INVALID_RECORD
    }
    left--
    if (entryState < RECORD) {
      const isBatch = entryState == INVALID_NESTED && unwrap(entry, p)
      if (isBatch ? givenUp != 0 : leaveOut(entry, p)) break
      continue
    }
    invalidRun = 0
    if (p - spanStart > spanBytesMax && spanRecords && cutSpan(entry)) {
      p = entry
      left++
      break
    }
    if (entryState != RECORD) {
      noteMarker(entry, p)
      continue
    }
    spanRecords++
    const seconds = be32(entry + 3)
    const nanos = be32(entry + 7)
    if (isCommon && nanos <= NANOS_MAX && (seconds | nanos) != 0) {
      if (seconds < lowest) lowest = seconds
      if (seconds > highest) highest = seconds
      continue
    }
    if (isCommon) readTime(entry + 1, end)
    noteTime()
  }
  closeSpan(p)
  if (lowest <= highest) boundTime(<f64>lowest, <f64>highest)
  if (isPart) {
    partEnd = p
    partLeft = left
    return p
  }
  // A message that is given up ends where it says it does.
  return isStream ? skipValues(p, end, left) : end
}
