// Lines of files that container runtimes write: CRI (`time stream P|F text`) and Docker's json-file. Parts of a long line
// get the field that Docker's driver gives them, so that they are joined by the same rules.

import { findByte } from './find'
import { isIsoTime, isoNanos, isoSeconds } from './iso-time'
import { clearJsonError } from './json-string'
import { isSpace, readObject } from './json-values'
import { moveOutput, out, putBytes, putText } from './json-writer'
import { be16, skipValue } from './msgpack'
import { beginEntry, endEntry } from './record-entries'

/** Longest time: nanoseconds and an offset. */
const TIME_BYTES_MAX: usize = 40
const STREAM_BYTES: usize = 6
/** Places in the prefix: seconds of the time, count of pairs. */
const TIME_AT: usize = 3
const COUNT_AT: usize = 12

// stream
const STREAM_KEY = memory.data<u8>([0xa6, 115, 116, 114, 101, 97, 109, 0, 0, 0, 0, 0, 0, 0, 0, 0])
const STREAM_KEY_BYTES: usize = 7
// partial_message: true
const PARTIAL_PAIR = memory.data<u8>([
  0xaf, 112, 97, 114, 116, 105, 97, 108, 95, 109, 101, 115, 115, 97, 103, 101, 0xa4, 116, 114, 117, 101, 0, 0, 0, 0,
  0, 0, 0, 0, 0, 0, 0
])
const PARTIAL_PAIR_BYTES: usize = 21
/** `log` with its header, as a number. */
const LOG_KEY: u32 = 0x676f6ca3

/** False: the line is not of this form, and nothing was written. */
export function putCriLine(p: usize, end: usize, prefix: usize, prefixBytes: u32): bool {
  const timeEnd = findByte(p, min<usize>(end, p + TIME_BYTES_MAX), 32)
  const stream = timeEnd + 1
  const flag = stream + STREAM_BYTES + 1
  if (flag >= end || load<u8>(flag - 1) != 32 || !isStream(stream)) return false
  const flagEnd = findByte(flag, end, 32)
  const kind: u32 = load<u8>(flag)
  // Further flags may follow behind a colon.
  const isFlag = flagEnd == flag + 1 || load<u8>(flag, 1) == 58
  if ((kind != 70 && kind != 80) || !isFlag || !isIsoTime(p, timeEnd - p)) return false
  const entry = out
  putBytes(prefix, prefixBytes)
  if (isoSeconds >= 0 && isoSeconds <= 0xffffffff) {
    store<u32>(entry, bswap<u32>(<u32>isoSeconds), TIME_AT)
    store<u32>(entry, bswap<u32>(isoNanos), TIME_AT + 4)
  }
  const isPart = kind == 80
  const count = be16(entry + COUNT_AT) + (isPart ? 2 : 1)
  store<u16>(entry, bswap<u16>(<u16>count), COUNT_AT)
  const text = min<usize>(flagEnd + 1, end)
  putText(text, end - text)
  putBytes(STREAM_KEY, STREAM_KEY_BYTES)
  putText(stream, STREAM_BYTES)
  if (isPart) putBytes(PARTIAL_PAIR, PARTIAL_PAIR_BYTES)
  return true
}

/** `stdout` or `stderr`. */
@inline
function isStream(p: usize): bool {
  if (load<u32>(p) == 0x6f647473) return load<u16>(p, 4) == 0x7475
  return load<u32>(p) == 0x65647473 && load<u16>(p, 4) == 0x7272
}

/** The same for an object with `log`, `stream` and `time`; the rules of records (record-rules.ts) are set. */
export function putDockerLine(p: usize, end: usize): bool {
  if (load<u8>(p) != 0x7b) return false
  const entry = out
  const record = beginEntry()
  let behind = readObject(p, end, 1)
  while (behind != 0 && behind < end && isSpace(load<u8>(behind))) behind++
  if (behind != end || !endLog(record)) {
    clearJsonError()
    moveOutput(entry)
    return false
  }
  endEntry(entry, record)
  return true
}

/** Takes the line feed off the end of `log`; without one it is a part. False: there is no text `log`. */
function endLog(record: usize): bool {
  if (load<u8>(record) == 0xdf) return false
  const isWide = load<u8>(record) == 0xde
  const count: u32 = isWide ? be16(record + 1) : <u32>load<u8>(record) & 15
  let p = record + (isWide ? 3 : 1)
  for (let pair: u32 = 0; pair < count; pair++) {
    const value = skipValue(p, out)
    if (load<u32>(p) != LOG_KEY) {
      p = skipValue(value, out)
      continue
    }
    const c: u32 = load<u8>(value)
    if ((c & 0xe0) != 0xa0 && (c < 0xd9 || c > 0xdb)) return false
    const behind = skipValue(value, out)
    const hasText = behind > value + 1
    if (hasText && load<u8>(behind - 1) == 10) shortenText(value, behind)
    else addPartial(record, count)
    return true
  }
  return false
}

/** The last byte of the text goes; its header keeps its width. */
function shortenText(value: usize, behind: usize): void {
  const c: u32 = load<u8>(value)
  if (c == 0xd9) store<u8>(value, load<u8>(value, 1) - 1, 1)
  else if (c == 0xda) store<u16>(value, bswap<u16>(<u16>(be16(value + 1) - 1)), 1)
  else if (c == 0xdb) store<u32>(value, bswap<u32>(bswap<u32>(load<u32>(value, 1)) - 1), 1)
  else store<u8>(value, c - 1)
  memory.copy(behind - 1, behind, out - behind)
  moveOutput(out - 1)
}

function addPartial(record: usize, count: u32): void {
  putBytes(PARTIAL_PAIR, PARTIAL_PAIR_BYTES)
  if (count < 15) {
    store<u8>(record, 0x80 | (count + 1))
    return
  }
  if (count == 15) {
    memory.copy(record + 3, record + 1, out - record - 1)
    moveOutput(out + 2)
    store<u8>(record, 0xde)
  }
  store<u16>(record, bswap<u16>(<u16>(count + 1)), 1)
}
