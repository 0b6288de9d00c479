// Lines of text to entries (form 1). The caller wrote a prefix, `[time, {..., key:`, with a time of 10 bytes and the count
// of a map of 16 bits; the line comes behind it as its text. One copy per line. A line that is too long becomes several
// records, cut between two characters. Lines of container runtimes bring their own time and stream (container-lines.ts).

import { LINE_FORMAT_CRI, LINE_FORMAT_DOCKER } from '../codes'
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
  format: u32
): usize {
  let p = start
  beginOutput(target, targetEnd)
  recordCount = 0
  cutCount = 0
  unreadCount = 0
  isFull = false
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

/** The start of the character that `limit` stands in, unless the text is no UTF-8. */
function cutPlace(start: usize, limit: usize): usize {
  let p = limit
  for (let n = 0; n < CONTINUATION_MAX && p > start; n++) {
    if ((load<u8>(p) & 0xc0) != 0x80) return p
    p--
  }
  return p > start && (load<u8>(p) & 0xc0) != 0x80 ? p : limit
}
