// A MessagePack value to JSON text. The value is complete (skipValue walked it), so headers are not checked against an end.
// Nesting costs stack, so it is counted and refused beyond NESTING_MAX.

import { REASON_ARENA, REASON_NESTING } from '../codes'
import { arenaTop, hasRoom } from './areas'
import { escapedLength, putQuote, putString, SCRATCH } from './escape'
import { NESTING_MAX } from './limits'
import { be16, be32, be64, isTextByte, headerCount, skipValue, skipValues, textStart } from './msgpack'
import { putDouble, putI64, putNull, putU64 } from './number'
import { SECONDS_END, SECONDS_FIRST, putTime } from './time'

/** Reason why the last record cannot be rendered, 0: none. Set while rendering, looked at once per record. */
export let renderFault: u32 = 0

@inline
export function clearRenderFault(): void {
  renderFault = 0
}

export function setRenderFault(reason: u32): void {
  renderFault = reason
}

/** Place behind the value that putValue read. */
let valueEnd: usize = 0
let depth: u32 = 0
/** Within a map key that is a map or array: its quotes double with each level, so there is one level. */
let isInKey: bool = false
/** While a record is rendered whose length was measured: the measure does not know such keys. */
let areDeepKeysRefused: bool = false

export function refuseDeepKeys(isRefused: bool): void {
  areDeepKeysRefused = isRefused
}

/** Writes the value at `p`, which ends at `end` or before. */
@inline
export function putWholeValue<T>(o: usize, p: usize, end: usize): usize {
  depth = 0
  isInKey = areDeepKeysRefused
  return putValue<T>(o, p, end)
}

function putValue<T>(o: usize, p: usize, end: usize): usize {
  const c: u32 = load<u8>(p++)
  if ((c & 0xe0) == 0xa0) return putStringValue<T>(o, p, c & 31)
  if (c < 0x80) {
    valueEnd = p
    return putU64(o, c)
  }
  if (c >= 0xe0) {
    valueEnd = p
    return putI64(o, <i64>(<i32>c - 256))
  }
  if (c < 0x90) return putMap<T>(o, p, end, c & 15)
  if (c < 0xa0) return putArray<T>(o, p, end, c & 15)
  switch (c) {
    case 0xc2:
      store<u64>(o, 0x65736c6166)
      valueEnd = p
      return o + 5
    case 0xc3:
      store<u32>(o, 0x65757274)
      valueEnd = p
      return o + 4
    case 0xc4:
    case 0xd9:
      return putStringValue<T>(o, p + 1, load<u8>(p))
    case 0xc5:
    case 0xda:
      return putStringValue<T>(o, p + 2, be16(p))
    case 0xc6:
    case 0xdb:
      return putStringValue<T>(o, p + 4, be32(p))
    case 0xdc:
      return putArray<T>(o, p + 2, end, be16(p))
    case 0xdd:
      return putArray<T>(o, p + 4, end, be32(p))
    case 0xde:
      return putMap<T>(o, p + 2, end, be16(p))
    case 0xdf:
      return putMap<T>(o, p + 4, end, be32(p))
  }
  if (c >= 0xca && c <= 0xd3) return putNumber(o, p, c)
  if ((c >= 0xc7 && c <= 0xc9) || (c >= 0xd4 && c <= 0xd8)) return putExt<T>(o, p, c)
  valueEnd = p
  return putNull(o)
}

@inline
function putStringValue<T>(o: usize, p: usize, n: u32): usize {
  valueEnd = p + n
  return putString<T>(o, p, n)
}

function putNumber(o: usize, p: usize, c: u32): usize {
  switch (c) {
    case 0xca:
      valueEnd = p + 4
      return putDouble(o, <f64>reinterpret<f32>(be32(p)))
    case 0xcb:
      valueEnd = p + 8
      return putDouble(o, reinterpret<f64>(be64(p)))
    case 0xcc:
      valueEnd = p + 1
      return putU64(o, load<u8>(p))
    case 0xcd:
      valueEnd = p + 2
      return putU64(o, be16(p))
    case 0xce:
      valueEnd = p + 4
      return putU64(o, be32(p))
    case 0xcf:
      valueEnd = p + 8
      return putU64(o, be64(p))
    case 0xd0:
      valueEnd = p + 1
      return putI64(o, load<i8>(p))
    case 0xd1:
      valueEnd = p + 2
      return putI64(o, <i16>be16(p))
    case 0xd2:
      valueEnd = p + 4
      return putI64(o, <i32>be32(p))
  }
  valueEnd = p + 8
  return putI64(o, <i64>be64(p))
}

/** Refuses what is nested too deep: the value becomes null and the record is given up. */
function tooDeep(o: usize, p: usize, end: usize, left: u64): usize {
  renderFault = REASON_NESTING
  const after = skipValues(p, end, left)
  valueEnd = after ? after : end
  return putNull(o)
}

function putArray<T>(o: usize, p: usize, end: usize, n: u32): usize {
  if (depth >= NESTING_MAX) return tooDeep(o, p, end, n)
  depth++
  store<u8>(o++, 91)
  for (let i: u32 = 0; i < n; i++) {
    if (i) store<u8>(o++, 44)
    o = putValue<T>(o, p, end)
    p = valueEnd
  }
  depth--
  store<u8>(o, 93)
  valueEnd = p
  return o + 1
}

function putMap<T>(o: usize, p: usize, end: usize, n: u32): usize {
  if (depth >= NESTING_MAX) return tooDeep(o, p, end, <u64>n << 1)
  depth++
  store<u8>(o++, 123)
  for (let i: u32 = 0; i < n; i++) {
    if (i) store<u8>(o++, 44)
    const k: u32 = load<u8>(p)
    if ((k & 0xe0) == 0xa0) {
      o = putString<T>(o, p + 1, k & 31)
      p += 1 + (k & 31)
    } else {
      o = putKey<T>(o, p, end)
      p = valueEnd
    }
    store<u8>(o++, 58)
    o = putValue<T>(o, p, end)
    p = valueEnd
  }
  depth--
  store<u8>(o, 125)
  valueEnd = p
  return o + 1
}

/** The key at `p` by itself. */
export function putAnyKey<T>(o: usize, p: usize, end: usize): usize {
  depth = 0
  isInKey = areDeepKeysRefused
  return putKey<T>(o, p, end)
}

/** A key of any type as a string: text as it is, other values as their JSON text. */
function putKey<T>(o: usize, p: usize, end: usize): usize {
  const c: u32 = load<u8>(p)
  if (isTextByte(c) || isExtByte(c)) return putValue<T>(o, p, end)
  if (!isContainerByte(c)) return putQuote<T>(putValue<T>(putQuote<T>(o), p, end))
  const after = skipValue(p, end)
  const n = after - p
  if (isInKey || !hasRoom(<u64>n * 8)) {
    renderFault = isInKey ? REASON_NESTING : REASON_ARENA
    valueEnd = after
    return putQuote<T>(putQuote<T>(o))
  }
  const text = arenaTop
  isInKey = true
  const textEnd = putValue<u8>(text, p, end)
  isInKey = false
  o = putString<T>(o, text, <u32>(textEnd - text))
  valueEnd = after
  return o
}

@inline
export function isContainerByte(c: u32): bool {
  return (c & 0xe0) == 0x80 || (c >= 0xdc && c <= 0xdf)
}

@inline
export function isExtByte(c: u32): bool {
  return (c >= 0xc7 && c <= 0xc9) || (c >= 0xd4 && c <= 0xd8)
}

// What readExt found.
let extType: i32 = 0
let extData: usize = 0
let extLength: u32 = 0

/** Reads the header of an ext value: type, data, length. `p` is behind the first byte. */
function readExt(p: usize, c: u32): void {
  let width: u32 = 0
  if (c == 0xc7) {
    extLength = load<u8>(p)
    width = 1
  } else if (c == 0xc8) {
    extLength = be16(p)
    width = 2
  } else if (c == 0xc9) {
    extLength = be32(p)
    width = 4
  } else extLength = 1 << (c - 0xd4)
  extType = load<i8>(p + width)
  extData = p + width + 1
}

/** Time of the ext value that extTime read. */
export let extSecond: i64 = 0
export let extNs: u32 = 0

/** Whether the ext value whose first byte is at `p` is a time: EventTime, timestamp, or Go's time. */
export function extTime(p: usize): bool {
  const c: u32 = load<u8>(p)
  if (!isExtByte(c)) return false
  readExt(p + 1, c)
  const d = extData
  if (extType == 0 && extLength == 8) {
    extSecond = be32(d)
    extNs = be32(d + 4)
  } else if (extType == -1 && extLength == 4) {
    extSecond = be32(d)
    extNs = 0
  } else if (extType == -1 && extLength == 8) {
    const v = be64(d)
    extSecond = v & 0x3ffffffff
    extNs = <u32>(v >> 34)
  } else if (extType == -1 && extLength == 12) {
    extNs = be32(d)
    extSecond = be64(d + 4)
  } else if (extType == 5 && extLength == 12) {
    extSecond = be64(d)
    extNs = be32(d + 8)
  } else return false
  // Nanoseconds above a second count on, as Fluentd reads them.
  extSecond += extNs / 1000000000
  extNs = extNs % 1000000000
  return extSecond >= SECONDS_FIRST && extSecond < SECONDS_END
}

function putExt<T>(o: usize, p: usize, c: u32): usize {
  const isTime = extTime(p - 1)
  readExt(p, c)
  valueEnd = extData + extLength
  o = putQuote<T>(o)
  o = isTime ? putTime(o, extSecond, extNs, 9) : putBase64(o, extData, extLength)
  return putQuote<T>(o)
}

const BASE64 = memory.data<u8>([
  65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 97, 98,
  99, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 114, 115, 116, 117, 118, 119, 120, 121,
  122, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 43, 47
])

@inline
function digit64(v: u32): u8 {
  return load<u8>(BASE64 + (v & 63))
}

function putBase64(o: usize, p: usize, n: u32): usize {
  while (n) {
    const b0: u32 = load<u8>(p)
    const b1: u32 = n > 1 ? load<u8>(p, 1) : 0
    const b2: u32 = n > 2 ? load<u8>(p, 2) : 0
    store<u8>(o, digit64(b0 >> 2))
    store<u8>(o, digit64((b0 << 4) | (b1 >> 4)), 1)
    store<u8>(o, n > 1 ? digit64((b1 << 2) | (b2 >> 6)) : 61, 2)
    store<u8>(o, n > 2 ? digit64(b2) : 61, 3)
    o += 4
    p += 3
    n -= min<u32>(n, 3)
  }
  return o
}

/** Exact length of the text of the value in [p, end), for records whose worst case does not fit. */
export function valueLength<T>(p: usize, end: usize): u64 {
  let sum: u64 = 0
  // Punctuation: each value but containers' ends brings at most a comma or colon, each container two brackets.
  while (p < end) {
    const c: u32 = load<u8>(p)
    sum++
    if (isContainerByte(c)) {
      sum += 1
      p += (c & 0xe0) == 0x80 ? 1 : c & 1 ? 5 : 3
    } else if (isTextByte(c)) {
      const s = textStart(p, end)
      sum += escapedLength<T>(s, headerCount) + 4
      p = s + headerCount
    } else if (isExtByte(c)) {
      readExt(p + 1, c)
      sum += 40 + <u64>extLength * 2
      p = extData + extLength
    } else {
      // A number may be a key, which adds quotes.
      sum += <u64>(putValue<T>(SCRATCH + 4096, p, end) - (SCRATCH + 4096)) + 4
      p = valueEnd
    }
  }
  return sum
}
