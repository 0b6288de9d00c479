// Lines of text to entries (form 1): a prefix that the caller wrote (`[time, {..., key:`) and the line as its text. One
// copy per line. A line that is too long becomes several records, cut between two characters.

import { findByte } from './find'

const LINE_FEED: u8 = 0x0a
const CARRIAGE_RETURN: u8 = 0x0d
/** Header of a text at its widest, and a vector that copies may pass the end by. */
const ROOM_BYTES: usize = 5 + 16
/** A character of UTF-8 has at most three bytes behind its first. */
const CONTINUATION_MAX: i32 = 3

let recordCount: u32 = 0
let cutCount: u32 = 0
let consumedAt: usize = 0
let isFull: bool = false

export function lineRecordCount(): u32 {
  return recordCount
}

/** Records whose line goes on in the next one. */
export function lineCutCount(): u32 {
  return cutCount
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
  keepsEmpty: bool
): usize {
  let p = start
  let out = target
  recordCount = 0
  cutCount = 0
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
    const textBytes = <u32>(textEnd - p)
    if (out + prefixBytes + textBytes + ROOM_BYTES > targetEnd) {
      isFull = true
      break
    }
    memory.copy(out, prefix, prefixBytes)
    out = putText(out + prefixBytes, p, textBytes)
    recordCount++
    if (isCut) cutCount++
    p = next
  }
  consumedAt = p
  return out
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

function putText(out: usize, text: usize, byteCount: u32): usize {
  if (byteCount < 32) {
    store<u8>(out++, 0xa0 | byteCount)
  } else if (byteCount < 0x100) {
    store<u8>(out, 0xd9)
    store<u8>(out + 1, byteCount)
    out += 2
  } else if (byteCount < 0x10000) {
    store<u8>(out, 0xda)
    store<u16>(out + 1, bswap<u16>(<u16>byteCount))
    out += 3
  } else {
    store<u8>(out, 0xdb)
    store<u32>(out + 1, bswap<u32>(byteCount))
    out += 5
  }
  memory.copy(out, text, byteCount)
  return out + byteCount
}
