// Values and pairs of OTLP (AnyValue, KeyValue) to MessagePack; bounded in depth, the caller has made room.

import {
  closeGroup,
  moveOutput,
  out,
  putByte,
  putBytes,
  putFloat,
  putNegative,
  putText,
  putUnsigned
} from './json-writer'
import { bits, bytesEnd, bytesStart, field, nextField, WIRE_64, WIRE_BYTES, WIRE_VARINT, wire } from './protobuf'

let nestingMax: u32 = 0
/** Why a call failed: the value nests too deep. Else its message is malformed. */
export let isTooDeep: bool = false

export function setNestingMax(nesting: u32): void {
  nestingMax = nesting
}

export function clearTooDeep(): void {
  isTooDeep = false
}

// The one value of an AnyValue.
export let valueField: u32 = 0
export let valueStart: usize = 0
export let valueEnd: usize = 0
let valueBits: u64 = 0

/** Finds the value that counts, the last one. */
export function lastValue(p: usize, end: usize): bool {
  valueField = 0
  while (p < end) {
    p = nextField(p, end)
    if (p == 0) return false
    // A field of another type is as one that is not known.
    if (field > 7 || wire != wireOf(field)) continue
    valueField = field
    valueBits = bits
    valueStart = bytesStart
    valueEnd = bytesEnd
  }
  return true
}

@inline
function wireOf(number: u32): u32 {
  if (number == 2 || number == 3) return WIRE_VARINT
  return number == 4 ? WIRE_64 : WIRE_BYTES
}

/** The AnyValue [p, end). */
export function putValue(p: usize, end: usize, depth: u32): bool {
  if (!lastValue(p, end)) return false
  switch (valueField) {
    case 1:
      putText(valueStart, valueEnd - valueStart)
      return true
    case 2:
      putByte(valueBits ? 0xc3 : 0xc2)
      return true
    case 3:
      if (<i64>valueBits < 0) putNegative(0 - valueBits)
      else putUnsigned(valueBits)
      return true
    case 4:
      putFloat(reinterpret<f64>(valueBits))
      return true
    case 5:
      return putArray(valueStart, valueEnd, depth)
    case 6:
      return putMap(valueStart, valueEnd, depth)
    case 7:
      putBinary(valueStart, valueEnd - valueStart)
      return true
  }
  putByte(0xc0)
  return true
}

function putMap(p: usize, end: usize, depth: u32): bool {
  const map = out
  putByte(0x80)
  const count = putPairs(p, end, 1, depth + 1)
  return count >= 0 && closeGroup(map, <u32>count, 0x80, 0xde)
}

function putArray(p: usize, end: usize, depth: u32): bool {
  if (depth >= nestingMax) {
    isTooDeep = true
    return false
  }
  const list = out
  let count: u32 = 0
  putByte(0x90)
  while (p < end) {
    p = nextField(p, end)
    if (p == 0) return false
    if (field != 1 || wire != WIRE_BYTES) continue
    if (!putValue(bytesStart, bytesEnd, depth + 1)) return false
    count++
  }
  return closeGroup(list, count, 0x90, 0xdc)
}

/** The KeyValues that the message holds as `number`; gives how many, -1: malformed or too deep. */
export function putPairs(p: usize, end: usize, number: u32, depth: u32): i32 {
  if (depth > nestingMax) {
    isTooDeep = true
    return -1
  }
  let count: i32 = 0
  while (p < end) {
    p = nextField(p, end)
    if (p == 0) return -1
    if (field != number || wire != WIRE_BYTES) continue
    if (!putPair(bytesStart, bytesEnd, depth)) return -1
    count++
  }
  return count
}

function putPair(p: usize, end: usize, depth: u32): bool {
  let keyStart: usize = 0
  let keyEnd: usize = 0
  let start: usize = 0
  let behind: usize = 0
  while (p < end) {
    p = nextField(p, end)
    if (p == 0) return false
    if (wire != WIRE_BYTES) continue
    if (field == 1) {
      keyStart = bytesStart
      keyEnd = bytesEnd
    } else if (field == 2) {
      start = bytesStart
      behind = bytesEnd
    }
  }
  putText(keyStart, keyEnd - keyStart)
  return putValue(start, behind, depth)
}

/** A key of at most 31 ASCII characters. */
export function putName(name: string): void {
  const count = name.length
  putByte(0xa0 | count)
  for (let index = 0; index < count; index++) putByte(name.charCodeAt(index))
}

/** Ids of zeros are none. */
export function isId(p: usize, end: usize): bool {
  for (; p < end; p++) if (load<u8>(p)) return true
  return false
}

export function putHex(p: usize, end: usize): void {
  const byteCount = (end - p) * 2
  if (byteCount < 32) putByte(0xa0 | <u32>byteCount)
  else if (byteCount < 256) {
    putByte(0xd9)
    putByte(<u32>byteCount)
  } else {
    putByte(0xdb)
    store<u32>(out, bswap<u32>(<u32>byteCount))
    moveOutput(out + 4)
  }
  for (; p < end; p++) {
    const c: u32 = load<u8>(p)
    putByte(hexDigit(c >> 4))
    putByte(hexDigit(c & 15))
  }
}

@inline
function hexDigit(value: u32): u32 {
  return value < 10 ? 0x30 + value : 0x57 + value
}

function putBinary(p: usize, byteCount: usize): void {
  putByte(0xc6)
  store<u32>(out, bswap<u32>(<u32>byteCount))
  moveOutput(out + 4)
  putBytes(p, byteCount)
}
