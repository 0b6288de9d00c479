// What is done with every record that comes by HTTP, whatever its form: the time under one of some keys, and pairs that
// are added. The first of the keys in the order of the record that holds a time gives it.

import { be16, be32 } from './msgpack'
import { isIsoTime, isoNanos, isoSeconds } from './iso-time'

/** Keys one after another: length in 32 bits, then the bytes. */
let timeKeys: usize = 0
export let timeKeyCount: u32 = 0
/** The pair stays in the record. */
export let isTimeKept: bool = false
/** Numbers of 1e11 and above are milli-, micro- or nanoseconds. */
export let isUnitGuessed: bool = true
/** Pairs in MessagePack that are put behind those of the record, so that they win. */
export let extraPairs: usize = 0
export let extraBytes: usize = 0
export let extraCount: u32 = 0

/** The record just read had a usable time. */
export let hasTime: bool = false
export let timeSeconds: i64 = 0
export let timeNanos: u32 = 0

export function recordSetTimeRules(
  keys: usize,
  keyCount: u32,
  isKept: bool,
  guessUnit: bool
): void {
  timeKeys = keys
  timeKeyCount = keyCount
  isTimeKept = isKept
  isUnitGuessed = guessUnit
}

export function recordSetExtra(pairs: usize, byteCount: usize, count: u32): void {
  extraPairs = pairs
  extraBytes = byteCount
  extraCount = count
}

export function clearTime(): void {
  hasTime = false
}

/** Zero stands for the time of arrival. */
export function noteTime(seconds: i64, nanos: u32): bool {
  timeSeconds = seconds
  timeNanos = nanos
  hasTime = (seconds | nanos) != 0
  return true
}

/** The str or bin at `at` up to `end` as a time of ISO 8601. */
export function noteTimeText(at: usize, end: usize): bool {
  const text = textOf(at)
  return text <= end && isIsoTime(text, end - text) && noteTime(isoSeconds, isoNanos)
}

/** First byte of the str or bin whose header is at `at`. Its header may be wider than it needs to be. */
@inline
function textOf(at: usize): usize {
  const c: u32 = load<u8>(at)
  if ((c & 0xe0) == 0xa0) return at + 1
  return at + (c == 0xd9 || c == 0xc4 ? 2 : c == 0xda || c == 0xc5 ? 3 : 5)
}

/** The byte behind the str at `at`. */
export function skipText(at: usize): usize {
  const c: u32 = load<u8>(at)
  if ((c & 0xe0) == 0xa0) return at + 1 + (c & 31)
  if (c == 0xd9 || c == 0xc4) return at + 2 + load<u8>(at, 1)
  return c == 0xda || c == 0xc5 ? at + 3 + be16(at + 1) : at + 5 + be32(at + 1)
}

/** Is the str or bin at [at, end) one of the time keys? */
export function isTimeKey(at: usize, end: usize): bool {
  const text = textOf(at)
  if (text > end) return false
  const byteCount = end - text
  let key = timeKeys
  for (let index: u32 = 0; index < timeKeyCount; index++) {
    const keyBytes: usize = load<u32>(key)
    key += 4
    if (keyBytes == byteCount && memory.compare(text, key, byteCount) == 0) return true
    key += keyBytes
  }
  return false
}
