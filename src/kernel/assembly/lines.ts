// Lines of text to entries (form 1). The caller wrote a prefix, `[time, {..., key:`, with a time of 10 bytes and the count
// of a map of 16 bits; the line comes behind it as its text. One copy per line. A line that is too long becomes several
// records, cut between two characters. Lines of container runtimes bring their own time and stream (container-lines.ts).
// Frames of RFC 6587 (`123 text`) take the place of lines where their length is counted instead of an end marked.

import { LINE_FORMAT_COUNTED, LINE_FORMAT_CRI, LINE_FORMAT_DOCKER } from '../codes'
import { putCriLine, putDockerLine } from './container-lines'
import { findByte } from './find'
import { beginOutput, hasRoom, out, putBytes, putText } from './json-writer'

const LINE_FEED: u8 = 0x0a
const CARRIAGE_RETURN: u8 = 0x0d
/** A character of UTF-8 has at most three bytes behind its first. */
const CONTINUATION_MAX: i32 = 3
/** Header of a text, pairs that a format adds, and a vector that copies may pass the end by. */
const ROOM_BYTES: usize = 128
/** Text in JSON grows by its structure: a short object has wider headers than brackets. */
const JSON_GROWTH: usize = 9

let recordCount: u32 = 0
let cutCount: u32 = 0
let unreadCount: u32 = 0
let consumedAt: usize = 0
let isFull: bool = false
/** Of a counted frame that is too long: bytes of it that are still to come. */
let openBytes: u32 = 0
let isBroken: bool = false
/** Bytes that the first unfinished frame will have behind `consumedAt`; 0: not known. */
let neededBytes: u32 = 0

export function lineRecordCount(): u32 {
  return recordCount
}

/** Records whose line goes on in the next one. */
export function lineCutCount(): u32 {
  return cutCount
}

/** Lines that are not of the format, stored as they are. */
export function lineUnreadCount(): u32 {
  return unreadCount
}

export function lineConsumedByte(): usize {
  return consumedAt
}

export function lineOpenBytes(): u32 {
  return openBytes
}

/** Where a frame should begin is no count: the stream cannot be read on from lineConsumedByte. */
export function lineIsBroken(): bool {
  return isBroken
}

export function lineNeededBytes(): u32 {
  return neededBytes
}

/** The target had no room for the next record. */
export function lineIsFull(): bool {
  return isFull
}

/**
 * Takes whole lines; the rest of the text too when `isLast`, and as much of it as fills a record. Gives the byte behind
 * the last entry.
 */
export function linesToEntries(
  start: usize,
  end: usize,
  target: usize,
  targetEnd: usize,
  prefix: usize,
  prefixBytes: u32,
  lineBytesMax: u32,
  isLast: bool,
  keepsEmpty: bool,
  format: u32,
  open: u32
): usize {
  let p = start
  beginOutput(target, targetEnd)
  recordCount = 0
  cutCount = 0
  unreadCount = 0
  isFull = false
  isBroken = false
  openBytes = open
  neededBytes = 0
  if (format == LINE_FORMAT_COUNTED) {
    return framesToEntries(start, end, prefix, prefixBytes, lineBytesMax, isLast, keepsEmpty)
  }
  while (p < end) {
    const lineFeed = findByte(p, end, LINE_FEED)
    const isOpen = lineFeed == end
    let next = lineFeed + (isOpen ? 0 : 1)
    let textEnd = lineFeed
    if (!isOpen && textEnd > p && load<u8>(textEnd - 1) == CARRIAGE_RETURN) textEnd--
    const isCut = textEnd - p > lineBytesMax
    if (isCut) {
      textEnd = cutPlace(p, p + lineBytesMax)
      next = textEnd
    } else if (isOpen && !isLast) {
      break
    }
    if (textEnd == p && !keepsEmpty) {
      p = next
      continue
    }
    const growth: usize = format == LINE_FORMAT_DOCKER ? JSON_GROWTH : 1
    if (!hasRoom(prefixBytes + (textEnd - p) * growth + ROOM_BYTES)) {
      isFull = true
      break
    }
    if (isCut || !putFormatted(p, textEnd, prefix, prefixBytes, format)) {
      putBytes(prefix, prefixBytes)
      putText(p, textEnd - p)
      if (format != 0) unreadCount++
    }
    recordCount++
    if (isCut) cutCount++
    p = next
  }
  consumedAt = p
  return out
}

@inline
function putFormatted(p: usize, end: usize, prefix: usize, prefixBytes: u32, format: u32): bool {
  if (format == LINE_FORMAT_CRI) return putCriLine(p, end, prefix, prefixBytes)
  return format == LINE_FORMAT_DOCKER && putDockerLine(p, end)
}

/** Digits of a count; more would be no message. */
const COUNT_DIGITS_MAX: u32 = 9
const BLANK: u8 = 0x20
const ZERO: u32 = 0x30

/**
 * Frames with their length in front. One that is longer than a record may be goes on in the next record. Line ends and NULs
 * at the end of a message belong to nobody, nor do those between two frames, which some senders put there.
 */
function framesToEntries(
  start: usize,
  end: usize,
  prefix: usize,
  prefixBytes: u32,
  lineBytesMax: u32,
  isLast: bool,
  keepsEmpty: bool
): usize {
  let p = start
  while (p < end) {
    const frame = p
    let left = openBytes
    if (!left) {
      if (isEnding(load<u8>(p))) {
        p++
        continue
      }
      let digits: u32 = 0
      while (p < end && <u32>load<u8>(p) - ZERO <= 9 && digits <= COUNT_DIGITS_MAX) {
        left = left * 10 + (<u32>load<u8>(p++) - ZERO)
        digits++
      }
      if (!digits || digits > COUNT_DIGITS_MAX || (p < end && load<u8>(p) != BLANK)) {
        isBroken = true
        p = frame
        break
      }
      if (p == end) {
        // A count without its message is nothing that could be kept.
        if (!isLast) p = frame
        break
      }
      p++
      if (!left) continue
    }
    const isCut = left > lineBytesMax
    const wanted = <usize>min(left, lineBytesMax)
    let textEnd = p + wanted
    if (textEnd > end) {
      if (!isLast) {
        neededBytes = <u32>(p - frame + wanted)
        p = frame
        break
      }
      textEnd = end
    } else if (isCut) textEnd = cutPlace(p, textEnd)
    const next = textEnd
    const isWhole = next - p == left || next == end && isLast
    if (isWhole) while (textEnd > p && isEnding(load<u8>(textEnd - 1))) textEnd--
    if (textEnd > p || keepsEmpty) {
      if (!hasRoom(prefixBytes + (textEnd - p) + ROOM_BYTES)) {
        isFull = true
        p = frame
        break
      }
      putBytes(prefix, prefixBytes)
      putText(p, textEnd - p)
      recordCount++
      if (!isWhole) cutCount++
    }
    openBytes = left - <u32>(next - p)
    p = next
  }
  consumedAt = p
  return out
}

@inline
function isEnding(c: u8): bool {
  return c == LINE_FEED || c == CARRIAGE_RETURN || c == 0
}

/** The start of the character that `limit` stands in, unless the text is no UTF-8. */
function cutPlace(start: usize, limit: usize): usize {
  let p = limit
  for (let n = 0; n < CONTINUATION_MAX && p > start; n++) {
    if ((load<u8>(p) & 0xc0) != 0x80) return p
    p--
  }
  return p > start && (load<u8>(p) & 0xc0) != 0x80 ? p : limit
}
