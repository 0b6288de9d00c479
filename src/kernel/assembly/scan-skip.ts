// Skips over a message that is not complete, however many pieces it comes in: two numbers are all that is kept.

import { be16, be32 } from './msgpack'
import { ERROR_RESERVED, ERROR_TOO_LARGE, messageBytesMax, refuse } from './scan-refusal'

/** Bytes of the message that need no second look; may lie behind those that are there. */
export let scannedBytes: u64 = 0
/** Values that begin at scannedBytes. */
export let valuesLeft: u64 = 0
/** Least length of the message, 0 when it is complete. */
export let neededBytes: u64 = 0
/** Where the last skip stopped; may lie behind the bytes that were there. */
export let skippedBytes: u64 = 0

export function setSkip(scanned: u64, left: u64): void {
  scannedBytes = scanned
  valuesLeft = left
  neededBytes = 0
}

/**
 * Goes on over the values of the message at `start` from scannedBytes. True when its end is known and there.
 * A count or length that the message cannot hold within its limit is an error at once.
 */
export function skipMessage(start: usize, end: usize): bool {
  return skipWithin(start, end, messageBytesMax)
}

/** The same under another limit. */
export function skipWithin(start: usize, end: usize, bytesMax: u64): bool {
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
      refuse(ERROR_RESERVED)
      return false
    }
    if (at + left > bytesMax) {
      refuse(ERROR_TOO_LARGE)
      return false
    }
  }
  const isComplete = left == 0 && at <= available
  skippedBytes = at
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
