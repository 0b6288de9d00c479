// Finds messages in a stream, checks them and describes them as units (forward.md 2). Each byte is read a bounded
// number of times: a message that is not complete is only skipped over (scannedBytes, valuesLeft), however many
// pieces it comes in, and checked once when its end is known. bench/micro/kernel/scan.bench.ts measures it.

import {
  arrayStart,
  be16,
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
import {
  checkValue,
  resetTooDeep,
  setRecordNestingMax
} from './record-check'
import {
  readHeader,
  RECORD,
  recordState,
  scanEntries,
  setEntryLimits,
  spansPerMessage
} from './scan-entries'
import {
  ackBytes,
  ackStart,
  clearOption,
  COMPRESSION_GZIP,
  COMPRESSION_NONE,
  COMPRESSION_UNKNOWN,
  COMPRESSION_ZSTD,
  compression,
  isAckTooLong,
  readOption,
  setAckBytesMax,
  signal
} from './scan-option'
import {
  ackCount,
  acksMax,
  addAck,
  addRecords,
  addSpan,
  addUnit,
  beginUnit,
  boundTime,
  clearResults,
  countInvalid,
  countTime,
  dropSpans,
  INVALID_MESSAGE,
  KIND_ENTRIES,
  KIND_GZIP,
  KIND_INVALID,
  KIND_MESSAGES,
  KIND_SKIPPED,
  KIND_ZSTD,
  mergeMessage,
  setTables,
  spanCount,
  spansMax,
  unitCount,
  unitsMax
} from './scan-results'
import { readTime, setTimeUnitGuess, TIME_BAD, TIME_OK, timeSeconds, timeState } from './scan-time'

const DONE: u32 = 0
const FULL: u32 = 1
const FAILED: u32 = 2
/** The first byte of the connection starts no message: another protocol, or none. */
const UNDECIDED: u32 = 3

const ERROR_NOT_ARRAY: u32 = 1
const ERROR_RESERVED: u32 = 2
const ERROR_TOO_LARGE: u32 = 3
const ERROR_TOO_DEEP: u32 = 4
const ERROR_ACK_TOKEN: u32 = 5

let messageBytesMax: u64 = 33554432
let mergedBytesMax: usize = 262144

let consumedBytes: usize = 0
let neededBytes: u64 = 0
let scannedBytes: u64 = 0
let valuesLeft: u64 = 0
let errorReason: u32 = 0
let isDecided: u32 = 0

export function scanConsumedBytes(): u32 {
  return <u32>consumedBytes
}

/** Least length of the first message that is not complete; 0 when there is none. */
export function scanNeededBytes(): u32 {
  return <u32>neededBytes
}

export function scanScannedBytes(): u32 {
  return <u32>scannedBytes
}

export function scanValuesLeft(): u32 {
  return <u32>valuesLeft
}

export function scanErrorReason(): u32 {
  return errorReason
}

export function scanIsDecided(): u32 {
  return isDecided
}

export function scanUnitCount(): u32 {
  return unitCount
}

export function scanSetTables(
  units: usize,
  unitLimit: u32,
  spans: usize,
  spanLimit: u32,
  acks: usize,
  ackLimit: u32
): void {
  setTables(units, unitLimit, spans, spanLimit, acks, ackLimit)
}

export function scanSetLimits(
  messageBytes: u32,
  mergedBytes: u32,
  messageSpans: u32,
  spanBytes: u32,
  recordBytes: u32,
  recordNesting: u32,
  invalidRun: u32,
  entries: u32,
  ackToken: u32,
  isTimeUnitGuessed: bool
): void {
  messageBytesMax = messageBytes
  mergedBytesMax = mergedBytes
  setEntryLimits(messageSpans, spanBytes, recordBytes, invalidRun, entries)
  setRecordNestingMax(recordNesting)
  setAckBytesMax(ackToken)
  setTimeUnitGuess(isTimeUnitGuessed)
}

/** Scans [start, end); what came before of the first message is told by `scanned` and `left`. */
export function scanStream(start: usize, end: usize, scanned: u32, left: u32, decided: u32): u32 {
  clearResults(start)
  consumedBytes = 0
  neededBytes = 0
  scannedBytes = scanned
  valuesLeft = left
  errorReason = 0
  isDecided = decided
  if ((scanned || left) && !skipMessage(start, end)) return errorReason ? FAILED : DONE
  hasOpenUnit = false
  let p = start
  while (p < end) {
    const c: u32 = load<u8>(p)
    if (!isArrayByte(c)) {
      if (c != 0xc0 && c != 0) {
        errorReason = ERROR_NOT_ARRAY
        return isDecided ? FAILED : UNDECIDED
      }
      p++
      consumedBytes = p - start
      continue
    }
    isDecided = 1
    if (
      unitCount == unitsMax ||
      ackCount == acksMax ||
      spanCount + spansPerMessage() > spansMax
    ) {
      return FULL
    }
    const behind = readMessage(p, end)
    if (behind == CUT) {
      scannedBytes = 0
      valuesLeft = 1
      skipMessage(p, end)
      return errorReason ? FAILED : DONE
    }
    if (behind == WRONG) return FAILED
    p = behind
    consumedBytes = p - start
  }
  return DONE
}

/** Body of a message, decompressed: one unit of entries. */
export function scanBody(start: usize, end: usize): u32 {
  clearResults(start)
  beginUnit()
  scanEntries(start, end, 0xffffffff, false)
  addUnit(KIND_ENTRIES, start, 0, start, end, start, end, 0, 0, false, 0)
  return DONE
}

/**
 * Goes on over the values of the message at `start` from scannedBytes. True when its end is known and there.
 * A count or length that the message cannot hold within its limit is an error at once.
 */
function skipMessage(start: usize, end: usize): bool {
  const available: u64 = end - start
  let at = scannedBytes
  let left = valuesLeft
  let missing: u64 = 0
  while (left && at < available) {
    const p = start + <usize>at
    const c: u32 = load<u8>(p)
    const header = headerBytes(c)
    if (at + header > available) {
      missing = header - 1
      break
    }
    at += header
    left--
    if (c >= 0xc4 && c <= 0xdb) at += payloadBytes(p, c)
    else if ((c & 0xe0) == 0xa0) at += c & 31
    else if ((c & 0xf0) == 0x80) left += (c & 15) << 1
    else if ((c & 0xf0) == 0x90) left += c & 15
    else if (c == 0xdc) left += be16(p + 1)
    else if (c == 0xdd) left += be32(p + 1)
    else if (c == 0xde) left += <u64>be16(p + 1) << 1
    else if (c == 0xdf) left += <u64>be32(p + 1) << 1
    else if (c == 0xc1) {
      errorReason = ERROR_RESERVED
      return false
    }
    if (at + left > messageBytesMax) {
      errorReason = ERROR_TOO_LARGE
      return false
    }
  }
  const isComplete = left == 0 && at <= available
  scannedBytes = isComplete ? 0 : at
  valuesLeft = left
  neededBytes = isComplete ? 0 : at + left + missing
  return isComplete
}

/** Bytes that must be there before a value's length or count is known. */
function headerBytes(c: u32): u64 {
  switch (c) {
    case 0xc4:
    case 0xd9:
      return 2
    case 0xc5:
    case 0xda:
    case 0xc7:
    case 0xdc:
    case 0xde:
      return 3
    case 0xc8:
      return 4
    case 0xc6:
    case 0xdb:
    case 0xdd:
    case 0xdf:
      return 5
    case 0xc9:
      return 6
  }
  return 1
}

/** Bytes behind the header of a scalar c4 to db. */
function payloadBytes(p: usize, c: u32): u64 {
  switch (c) {
    case 0xc4:
    case 0xd9:
    case 0xc7:
      return load<u8>(p, 1)
    case 0xc5:
    case 0xda:
    case 0xc8:
      return be16(p + 1)
    case 0xc6:
    case 0xdb:
    case 0xc9:
      return be32(p + 1)
    case 0xcc:
    case 0xd0:
      return 1
    case 0xcd:
    case 0xd1:
    case 0xd4:
      return 2
    case 0xd5:
      return 3
    case 0xca:
    case 0xce:
    case 0xd2:
      return 4
    case 0xd6:
      return 5
    case 0xcb:
    case 0xcf:
    case 0xd3:
      return 8
    case 0xd7:
      return 9
    case 0xd8:
      return 17
  }
  return 0
}

/** The message at p as a unit; the byte behind it, CUT, or WRONG with errorReason set. */
function readMessage(p: usize, end: usize): usize {
  resetReserved()
  resetTooDeep()
  clearOption()
  const firstSpan = spanCount
  const behind = readElements(p, end)
  if (behind > WRONG) return behind
  dropSpans(firstSpan)
  if (behind == WRONG && errorReason == 0) {
    errorReason = metReserved ? ERROR_RESERVED : ERROR_TOO_DEEP
  }
  return behind
}

function readElements(p: usize, end: usize): usize {
  const start = p
  p = arrayStart(p, end)
  if (p == CUT) return CUT
  const elements = headerCount
  if (elements == 0) return addInvalid(start, p)
  let tag = textStart(p, end)
  if (tag == CUT) return CUT
  let tagBytes: u32 = headerCount
  const isTagged = tag != WRONG
  if (isTagged) {
    if (tagBytes > <u32>(end - tag)) return CUT
    p = tag + tagBytes
  } else {
    p = skipValue(p, end)
    if (p == CUT) return CUT
    if (metReserved) return WRONG
    tag = start
    tagBytes = 0
  }
  if (elements == 1) return addInvalid(start, p)
  if (p >= end) return CUT
  const c: u32 = load<u8>(p)
  if (isTextByte(c)) return readPacked(start, tag, tagBytes, isTagged, p, end, elements - 2)
  if (isArrayByte(c)) {
    const shape = timeHeaderShape(p, end, elements)
    if (shape == CUT) return CUT
    if (shape == WRONG) return readForward(start, tag, tagBytes, isTagged, p, end, elements - 2)
  }
  return readSingle(start, tag, tagBytes, isTagged, p, end, elements)
}

/** Option and extra elements; the byte behind the message. */
function readRest(p: usize, end: usize, elements: u32): usize {
  if (elements == 0) return p
  p = readOption(p, end)
  if (p <= WRONG || elements == 1) return p
  return skipValues(p, end, elements - 1)
}

/** What is known only when the message is complete and still refuses the whole stream. */
function isRefused(start: usize, behind: usize): bool {
  if (metReserved) errorReason = ERROR_RESERVED
  else if (isAckTooLong()) errorReason = ERROR_ACK_TOKEN
  else if (<u64>(behind - start) > messageBytesMax) errorReason = ERROR_TOO_LARGE
  return errorReason != 0
}

function addInvalid(start: usize, behind: usize): usize {
  if (isRefused(start, behind)) return WRONG
  beginUnit()
  countInvalid(INVALID_MESSAGE)
  add(KIND_INVALID, start, 0, start, behind, start, behind, spanCount, false)
  return behind
}

function add(
  kind: u32,
  tag: usize,
  tagBytes: u32,
  start: usize,
  end: usize,
  body: usize,
  bodyEnd: usize,
  firstSpan: u32,
  isMismatch: bool
): void {
  hasOpenUnit = false
  const acks: u32 = ackBytes ? 1 : 0
  if (acks) addAck(ackStart, ackBytes)
  const isSkipped = signal != 0 && kind != KIND_INVALID
  if (isSkipped) {
    dropSpans(firstSpan)
    beginUnit()
  }
  addUnit(
    isSkipped ? KIND_SKIPPED : kind,
    tag,
    tagBytes,
    start,
    end,
    body,
    bodyEnd,
    firstSpan,
    acks,
    isMismatch,
    signal
  )
}

/** [tag, text, option?]: entries in one piece, perhaps compressed. */
function readPacked(
  start: usize,
  tag: usize,
  tagBytes: u32,
  isTagged: bool,
  p: usize,
  end: usize,
  restElements: u32
): usize {
  const body = textStart(p, end)
  if (body == CUT) return CUT
  const bodyBytes = headerCount
  if (bodyBytes > <u32>(end - body)) return CUT
  const bodyEnd = body + bodyBytes
  const behind = readRest(bodyEnd, end, restElements)
  if (behind <= WRONG) return behind
  if (!isTagged) return addInvalid(start, behind)
  if (isRefused(start, behind)) return WRONG
  const kind = bodyKind(body, bodyBytes)
  const said =
    compression == COMPRESSION_GZIP
      ? KIND_GZIP
      : compression == COMPRESSION_ZSTD
        ? KIND_ZSTD
        : KIND_ENTRIES
  const isMismatch = bodyBytes != 0 && (kind != said || compression == COMPRESSION_UNKNOWN)
  const firstSpan = spanCount
  beginUnit()
  if (kind == KIND_ENTRIES && signal == 0) {
    scanEntries(body, bodyEnd, 0xffffffff, false)
    resetReserved()
  }
  add(kind, tag, tagBytes, start, behind, body, bodyEnd, firstSpan, isMismatch)
  return behind
}

/** The magic decides over the option, as neither 1f nor 28 starts an entry (forward.md 3). */
function bodyKind(body: usize, bodyBytes: u32): u32 {
  if (bodyBytes >= 2 && load<u16>(body) == 0x8b1f) return KIND_GZIP
  if (bodyBytes >= 4 && load<u32>(body) == 0xfd2fb528) return KIND_ZSTD
  if (compression == COMPRESSION_NONE || compression == COMPRESSION_UNKNOWN) return KIND_ENTRIES
  if (bodyBytes == 0 || isArrayByte(load<u8>(body))) return KIND_ENTRIES
  // Said to be compressed and neither: decompression will refuse it, and it goes to the dead letters as it is.
  return compression == COMPRESSION_GZIP ? KIND_GZIP : KIND_ZSTD
}

/** [tag, [entry, ...], option?]. */
function readForward(
  start: usize,
  tag: usize,
  tagBytes: u32,
  isTagged: bool,
  p: usize,
  end: usize,
  restElements: u32
): usize {
  const firstSpan = spanCount
  const body = arrayStart(p, end)
  if (body == CUT) return CUT
  const entries = headerCount
  beginUnit()
  const bodyEnd = isTagged ? scanEntries(body, end, entries, true) : skipValue(p, end)
  if (bodyEnd <= WRONG) return bodyEnd
  if (metReserved) return WRONG
  const behind = readRest(bodyEnd, end, restElements)
  if (behind <= WRONG) return behind
  if (!isTagged) return addInvalid(start, behind)
  if (isRefused(start, behind)) return WRONG
  const isMismatch = compression != COMPRESSION_NONE
  add(KIND_ENTRIES, tag, tagBytes, start, behind, body, bodyEnd, firstSpan, isMismatch)
  return behind
}

/**
 * Is the array at p the [time, metadata] of a Message (forward.md 2.2)? CUT: not yet known; WRONG: no; else yes.
 * Entries are arrays, so an array of a time and a map is no list of entries.
 */
function timeHeaderShape(p: usize, end: usize, elements: u32): usize {
  const first = arrayStart(p, end)
  if (first == CUT) return CUT
  if (headerCount != 2 || elements < 3) return WRONG
  if (first + 3 > end) return first < end && isArrayByte(load<u8>(first)) ? WRONG : CUT
  const c: u32 = load<u8>(first)
  const isNumber = c < 0x80 || c >= 0xe0 || (c >= 0xca && c <= 0xd3)
  const type: u32 =
    c == 0xd6 || c == 0xd7 ? load<u8>(first, 1) : c == 0xc7 ? load<u8>(first, 2) : 1
  if (!isNumber && type != 0 && type != 0xff) return WRONG
  const metadata = skipValue(first, end)
  if (metadata == CUT || metadata >= end) return CUT
  if (!isMapByte(load<u8>(metadata))) return WRONG
  const record = skipValue(metadata, end)
  if (record == CUT || record >= end) return CUT
  return isMapByte(load<u8>(record)) ? record : WRONG
}

let hasOpenUnit: bool = false
let openTag: usize = 0
let openTagBytes: u32 = 0
let openStart: usize = 0
let openEnd: usize = 0

/** [tag, time, record, option?] or [tag, [time, metadata], record, option?]. */
function readSingle(
  start: usize,
  tag: usize,
  tagBytes: u32,
  isTagged: bool,
  p: usize,
  end: usize,
  elements: u32
): usize {
  p = isArrayByte(load<u8>(p)) ? readHeader(p, end) : readTime(p, end)
  if (p <= WRONG) return p
  if (elements < 3) return addInvalid(start, p)
  if (p >= end) return CUT
  const record = p
  p = checkValue(p, end)
  if (p <= WRONG) return p
  const recordBehind = p
  p = readRest(p, end, elements - 3)
  if (p <= WRONG) return p
  if (!isTagged) return addInvalid(start, p)
  if (isRefused(start, p)) return WRONG
  // After the option: its metadata belongs to the record, so its depth counts too.
  const state = recordState(record, recordBehind)
  const isValid = state == RECORD
  if (isValid && signal == 0 && isMergeable(start, p, tag, tagBytes)) {
    openEnd = p
    if (ackBytes) addAck(ackStart, ackBytes)
    mergeMessage(p, ackBytes ? 1 : 0, timeState != TIME_OK, timeState == TIME_BAD, timeSeconds)
    return p
  }
  beginUnit()
  const firstSpan = spanCount
  if (isValid) {
    addRecords(1)
    addSpan(start, p, 1, 0, 0)
    if (timeState != TIME_OK) countTime(timeState == TIME_BAD)
    else boundTime(timeSeconds, timeSeconds)
    add(KIND_MESSAGES, tag, tagBytes, start, p, start, p, firstSpan, false)
    hasOpenUnit = signal == 0
    openTag = tag
    openTagBytes = tagBytes
    openStart = start
    openEnd = p
  } else {
    countInvalid(state)
    add(KIND_MESSAGES, tag, tagBytes, start, p, start, p, firstSpan, false)
  }
  return p
}

/** Messages of one tag that lie side by side become one unit, up to the size of a frame. */
function isMergeable(start: usize, end: usize, tag: usize, tagBytes: u32): bool {
  return (
    hasOpenUnit &&
    openEnd == start &&
    openTagBytes == tagBytes &&
    end - openStart <= mergedBytesMax &&
    isSameText(tag, openTag, tagBytes)
  )
}

function isSameText(a: usize, b: usize, byteCount: u32): bool {
  const end = a + byteCount
  while (a + 8 <= end) {
    if (load<u64>(a) != load<u64>(b)) return false
    a += 8
    b += 8
  }
  while (a < end) {
    if (load<u8>(a++) != load<u8>(b++)) return false
  }
  return true
}
