// One message: its mode, its parts, its unit. A message is read whole or not at all; one whose
// end is not there leaves nothing behind.

import {
  arrayStart,
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
import { checkValue, resetTooDeep } from './record-check'
import { RECORD, readHeader, recordState, scanEntries } from './scan-entries'
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
  signal
} from './scan-option'
import {
  ERROR_ACK_TOKEN,
  ERROR_RESERVED,
  ERROR_TOO_DEEP,
  ERROR_TOO_LARGE,
  messageBytesMax,
  refusal,
  refuse
} from './scan-refusal'
import {
  addAck,
  addRecords,
  addSpan,
  addUnit,
  beginUnit,
  boundTime,
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
  spanCount
} from './scan-results'
import { readTime, TIME_BAD, TIME_OK, timeSeconds, timeState } from './scan-time'

/** Message-mode messages are put together up to this. */
let mergedBytesMax: usize = 0

export function setMergedBytesMax(bytes: usize): void {
  mergedBytesMax = bytes
}

/** The unit written last is of Message mode and may take the next message. */
let hasOpenUnit: bool = false
let openTag: usize = 0
let openTagBytes: u32 = 0
let openStart: usize = 0
let openEnd: usize = 0

/** Each scan begins with a unit of its own. */
export function closeUnit(): void {
  hasOpenUnit = false
}

/** The message at p as a unit; the byte behind it, CUT, or WRONG with the refusal set. */
export function readMessage(p: usize, end: usize): usize {
  resetReserved()
  resetTooDeep()
  clearOption()
  const firstSpan = spanCount
  const behind = readElements(p, end)
  if (behind > WRONG) return behind
  dropSpans(firstSpan)
  if (behind == WRONG && refusal == 0) {
    refuse(metReserved ? ERROR_RESERVED : ERROR_TOO_DEEP)
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
  if (metReserved) refuse(ERROR_RESERVED)
  else if (isAckTooLong()) refuse(ERROR_ACK_TOKEN)
  else if (<u64>(behind - start) > messageBytesMax) refuse(ERROR_TOO_LARGE)
  return refusal != 0
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

/** The magic decides over the option, as neither 1f nor 28 starts an entry. */
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
 * Is the array at p the [time, metadata] of a Message? CUT: not yet known; WRONG: no; else yes.
 * Entries are arrays, so an array of a time and a map is no list of entries.
 */
function timeHeaderShape(p: usize, end: usize, elements: u32): usize {
  const first = arrayStart(p, end)
  if (first == CUT) return CUT
  if (headerCount != 2 || elements < 3) return WRONG
  if (first >= end) return CUT
  if (isArrayByte(load<u8>(first))) return WRONG
  const metadata = skipValue(first, end)
  if (metadata == CUT) return CUT
  if (!isTimeLike(first)) return WRONG
  if (metadata >= end) return CUT
  if (!isMapByte(load<u8>(metadata))) return WRONG
  const record = skipValue(metadata, end)
  if (record == CUT || record >= end) return CUT
  return isMapByte(load<u8>(record)) ? record : WRONG
}

/** A number, or an extension of type 0 or -1, whatever its length. */
function isTimeLike(p: usize): bool {
  const c: u32 = load<u8>(p)
  if (c < 0x80 || c >= 0xe0 || (c >= 0xca && c <= 0xd3)) return true
  const isFixed = c >= 0xd4 && c <= 0xd8
  if (!isFixed && (c < 0xc7 || c > 0xc9)) return false
  const typeAt: usize = isFixed ? 1 : c == 0xc7 ? 2 : c == 0xc8 ? 3 : 5
  const type: u32 = load<u8>(p + typeAt)
  return type == 0 || type == 0xff
}

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
    addSpan(start, p, 1, 0, 0, 0, 0)
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
