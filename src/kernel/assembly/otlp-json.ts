// OTLP logs in JSON (OTLP 1.x, "JSON Protobuf Encoding") to protobuf: the object, read as MessagePack, is written as the message
// that it stands for, so that one reader serves both. Lengths are varints of a fixed width, filled in afterwards. Names that
// are not known are left out, as the specification says.

import { hasRoom, moveOutput, out, beginOutput, putByte, putBytes } from './json-writer'
import {
  arrayStart,
  be16,
  be32,
  be64,
  headerCount,
  isArrayByte,
  isMapByte,
  isTextByte,
  mapStart,
  skipValue,
  textStart
} from './msgpack'

// Messages, as the walk names them.
const REQUEST: u32 = 0
const RESOURCE_LOGS: u32 = 1
const RESOURCE: u32 = 2
const SCOPE_LOGS: u32 = 3
const SCOPE: u32 = 4
const RECORD: u32 = 5
const KEY_VALUE: u32 = 6
const ANY_VALUE: u32 = 7
const ARRAY_VALUE: u32 = 8
const KEY_VALUE_LIST: u32 = 9

// What a field holds, above the numbers of messages.
const TEXT: u32 = 16
const HEX: u32 = 17
const BASE64: u32 = 18
const VARINT: u32 = 19
const FIXED_64: u32 = 20
const FIXED_32: u32 = 21
const DOUBLE: u32 = 22
const BOOL: u32 = 23

const LENGTH_BYTES: usize = 5

let isMalformed: bool = false
let isFull: bool = false
let nameStart: usize = 0
let nameBytes: usize = 0

/** Behind the message written to `target`; 0: the object is of another shape, 1: there is no room. */
export function otlpJsonToProtobuf(start: usize, end: usize, target: usize, targetEnd: usize): usize {
  beginOutput(target, targetEnd)
  isMalformed = isFull = false
  putMessage(start, end, REQUEST)
  return isFull ? 1 : isMalformed ? 0 : out
}

function isName(name: string): bool {
  const count = name.length
  if (nameBytes != count) return false
  for (let index = 0; index < count; index++) {
    if (load<u8>(nameStart + index) != name.charCodeAt(index)) return false
  }
  return true
}

@inline
function fieldOf(number: u32, kind: u32): u32 {
  return (number << 8) | kind
}

/** Number and kind of the member of a message that is named so; 0: none. */
function memberOf(message: u32): u32 {
  switch (message) {
    case REQUEST:
      return isName('resourceLogs') ? fieldOf(1, RESOURCE_LOGS) : 0
    case RESOURCE_LOGS:
      return isName('resource') ? fieldOf(1, RESOURCE) : isName('scopeLogs') ? fieldOf(2, SCOPE_LOGS) : 0
    case RESOURCE:
      return isName('attributes') ? fieldOf(1, KEY_VALUE) : 0
    case SCOPE_LOGS:
      return isName('scope') ? fieldOf(1, SCOPE) : isName('logRecords') ? fieldOf(2, RECORD) : 0
    case SCOPE:
      if (isName('name')) return fieldOf(1, TEXT)
      return isName('version') ? fieldOf(2, TEXT) : isName('attributes') ? fieldOf(3, KEY_VALUE) : 0
    case RECORD:
      return memberOfRecord()
    case KEY_VALUE:
      return isName('key') ? fieldOf(1, TEXT) : isName('value') ? fieldOf(2, ANY_VALUE) : 0
    case ANY_VALUE:
      return memberOfValue()
    case ARRAY_VALUE:
      return isName('values') ? fieldOf(1, ANY_VALUE) : 0
    case KEY_VALUE_LIST:
      return isName('values') ? fieldOf(1, KEY_VALUE) : 0
  }
  return 0
}

function memberOfRecord(): u32 {
  if (isName('timeUnixNano')) return fieldOf(1, FIXED_64)
  if (isName('severityNumber')) return fieldOf(2, VARINT)
  if (isName('severityText')) return fieldOf(3, TEXT)
  if (isName('body')) return fieldOf(5, ANY_VALUE)
  if (isName('attributes')) return fieldOf(6, KEY_VALUE)
  if (isName('flags')) return fieldOf(8, FIXED_32)
  if (isName('traceId')) return fieldOf(9, HEX)
  if (isName('spanId')) return fieldOf(10, HEX)
  if (isName('observedTimeUnixNano')) return fieldOf(11, FIXED_64)
  return isName('eventName') ? fieldOf(12, TEXT) : 0
}

function memberOfValue(): u32 {
  if (isName('stringValue')) return fieldOf(1, TEXT)
  if (isName('boolValue')) return fieldOf(2, BOOL)
  if (isName('intValue')) return fieldOf(3, VARINT)
  if (isName('doubleValue')) return fieldOf(4, DOUBLE)
  if (isName('arrayValue')) return fieldOf(5, ARRAY_VALUE)
  if (isName('kvlistValue')) return fieldOf(6, KEY_VALUE_LIST)
  return isName('bytesValue') ? fieldOf(7, BASE64) : 0
}

/** Writes the members of the map at p. The nesting of the JSON is bounded, and so is this recursion. */
function putMessage(p: usize, end: usize, message: u32): void {
  if (!isMapByte(load<u8>(p))) {
    isMalformed = true
    return
  }
  p = mapStart(p, end)
  for (let left = headerCount; left > 0 && !isMalformed && !isFull; left--) {
    nameStart = textStart(p, end)
    nameBytes = headerCount
    const member = memberOf(message)
    const value = nameStart + nameBytes
    p = skipValue(value, end)
    // null stands for a member that is not there.
    if (member && load<u8>(value) != 0xc0) putMember(value, p, member >> 8, member & 0xff)
  }
}

function putMember(p: usize, end: usize, number: u32, kind: u32): void {
  const isRepeated = kind < TEXT && isArrayByte(load<u8>(p))
  if (!isRepeated) {
    putField(p, end, number, kind)
    return
  }
  p = arrayStart(p, end)
  for (let left = headerCount; left > 0 && !isMalformed && !isFull; left--) {
    const behind = skipValue(p, end)
    putField(p, behind, number, kind)
    p = behind
  }
}

function putField(p: usize, end: usize, number: u32, kind: u32): void {
  if (!hasRoom(end - p + 32)) {
    isFull = true
    return
  }
  if (kind < TEXT) {
    const length = openField(number)
    putMessage(p, end, kind)
    closeField(length)
  } else if (kind <= BASE64) putTextField(p, end, number, kind)
  else putNumberField(p, number, kind)
}

function openField(number: u32): usize {
  putByte((number << 3) | 2)
  moveOutput(out + LENGTH_BYTES)
  return out - LENGTH_BYTES
}

function closeField(length: usize): void {
  let byteCount = <u32>(out - length - LENGTH_BYTES)
  for (let index: usize = 0; index < LENGTH_BYTES; index++) {
    const isLast = index == LENGTH_BYTES - 1
    store<u8>(length + index, isLast ? byteCount & 127 : (byteCount & 127) | 128)
    byteCount >>= 7
  }
}

function putTextField(p: usize, end: usize, number: u32, kind: u32): void {
  if (!isTextByte(load<u8>(p))) {
    isMalformed = true
    return
  }
  const text = textStart(p, end)
  const length = openField(number)
  if (kind == TEXT) putBytes(text, end - text)
  else if (kind == HEX) putHexBytes(text, end)
  else putBase64Bytes(text, end)
  closeField(length)
}

function putHexBytes(p: usize, end: usize): void {
  if ((end - p) & 1) isMalformed = true
  for (; p + 1 < end; p += 2) {
    const high = hexValue(load<u8>(p))
    const low = hexValue(load<u8>(p, 1))
    if (high > 15 || low > 15) isMalformed = true
    putByte((high << 4) | low)
  }
}

function hexValue(c: u32): u32 {
  if (c - 0x30 < 10) return c - 0x30
  const letter = (c | 0x20) - 0x61
  return letter < 6 ? letter + 10 : 99
}

/** Both alphabets, with padding or without. */
function putBase64Bytes(p: usize, end: usize): void {
  let value: u32 = 0
  let bitCount: u32 = 0
  while (end > p && load<u8>(end - 1) == 0x3d) end--
  for (; p < end; p++) {
    const six = base64Value(load<u8>(p))
    if (six > 63) isMalformed = true
    value = (value << 6) | (six & 63)
    bitCount += 6
    if (bitCount >= 8) {
      bitCount -= 8
      putByte((value >> bitCount) & 0xff)
    }
  }
}

function base64Value(c: u32): u32 {
  if (c - 0x41 < 26) return c - 0x41
  if (c - 0x61 < 26) return c - 0x61 + 26
  if (c - 0x30 < 10) return c - 0x30 + 52
  if (c == 0x2b || c == 0x2d) return 62
  return c == 0x2f || c == 0x5f ? 63 : 99
}

function putNumberField(p: usize, number: u32, kind: u32): void {
  if (kind == DOUBLE) {
    putByte((number << 3) | 1)
    store<u64>(out, reinterpret<u64>(doubleAt(p)))
    moveOutput(out + 8)
    return
  }
  const value = kind == BOOL ? boolAt(p) : integerAt(p)
  if (kind == FIXED_64) {
    putByte((number << 3) | 1)
    store<u64>(out, value)
    moveOutput(out + 8)
  } else if (kind == FIXED_32) {
    putByte((number << 3) | 5)
    store<u32>(out, <u32>value)
    moveOutput(out + 4)
  } else {
    putByte(number << 3)
    let rest = value
    while (rest >= 128) {
      putByte(<u32>(rest & 127) | 128)
      rest >>= 7
    }
    putByte(<u32>rest)
  }
}

function boolAt(p: usize): u64 {
  const c: u32 = load<u8>(p)
  if (c != 0xc2 && c != 0xc3) isMalformed = true
  return c & 1
}

/** An integer as the JSON reader writes it, or its digits as text: 64 bits, exact. */
function integerAt(p: usize): u64 {
  const c: u32 = load<u8>(p)
  if (c < 0x80) return c
  if (c >= 0xe0) return <u64>(<i64>(<i8>c))
  switch (c) {
    case 0xcc:
      return load<u8>(p, 1)
    case 0xcd:
      return be16(p + 1)
    case 0xce:
      return be32(p + 1)
    case 0xcf:
    case 0xd3:
      return be64(p + 1)
    case 0xd0:
      return <u64>(<i64>load<i8>(p, 1))
    case 0xd1:
      return <u64>(<i64>(<i16>be16(p + 1)))
    case 0xd2:
      return <u64>(<i64>(<i32>be32(p + 1)))
  }
  if (c == 0xcb) return wholeAt(p)
  if (isTextByte(c)) return digitsAt(p)
  isMalformed = true
  return 0
}

/** `1e3` or `5.0` stands for an integer too. */
function wholeAt(p: usize): u64 {
  const value = reinterpret<f64>(be64(p + 1))
  if (value != Math.floor(value) || Math.abs(value) >= 9e18) isMalformed = true
  return isMalformed ? 0 : <u64>(<i64>value)
}

function digitsAt(p: usize): u64 {
  let at = textStart(p, p + 32)
  const end = at + headerCount
  const isNegative = load<u8>(at) == 0x2d
  if (isNegative) at++
  if (at >= end || end - at > 20) {
    isMalformed = true
    return 0
  }
  let value: u64 = 0
  for (; at < end; at++) {
    const digit = <u64>load<u8>(at) - 0x30
    const isTooLarge = value > 1844674407370955161 || (value == 1844674407370955161 && digit > 5)
    if (digit > 9 || isTooLarge) {
      isMalformed = true
      return 0
    }
    value = value * 10 + digit
  }
  return isNegative ? 0 - value : value
}

/** A number, or one of the names that JSON has no number for. */
function doubleAt(p: usize): f64 {
  const c: u32 = load<u8>(p)
  if (c == 0xcb) return reinterpret<f64>(be64(p + 1))
  if (!isTextByte(c)) return c == 0xcf ? <f64>integerAt(p) : <f64>(<i64>integerAt(p))
  nameStart = textStart(p, p + 32)
  nameBytes = headerCount
  if (isName('Infinity')) return Infinity
  if (isName('-Infinity')) return -Infinity
  if (!isName('NaN')) isMalformed = true
  return NaN
}
