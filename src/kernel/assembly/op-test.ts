// Ops that test a field and jump. A missing field, a map, an array and null have no text, so no test of text holds.

import {
  COMPARE_EQUAL,
  COMPARE_GREATER,
  COMPARE_GREATER_EQUAL,
  COMPARE_LESS,
  MATCH_CONTAINS,
  MATCH_CONTAINS_ANY,
  MATCH_EQUAL,
  MATCH_PREFIX,
  MATCH_SUFFIX,
  NUMBER_DOUBLE,
  NUMBER_INT,
  NUMBER_UINT,
  REASON_ARENA,
  REASON_TEXT_TOO_LONG,
  ROW_DOUBLE,
  ROW_INT,
  ROW_JSON,
  ROW_RAW,
  ROW_SUB,
  ROW_TEXT,
  ROW_TIME,
  ROW_UINT,
  TYPE_ARRAY,
  TYPE_BOOLEAN,
  TYPE_FLOAT,
  TYPE_INTEGER,
  TYPE_MAP,
  TYPE_NULL,
  TYPE_TEXT,
  TYPE_TIME
} from '../codes'
import { code, program } from './areas'
import { count } from './counters'
import { contains } from './find'
import { source, sourceLength } from './group'
import { be16, be32, be64 } from './msgpack'
import {
  numberDouble,
  numberInt,
  numberKind,
  readNumber,
  setDoubleNumber,
  setIntNumber,
  setUintNumber
} from './number-text'
import { step } from './outcome'
import { fieldRow } from './path'
import { isTooLong, regexMatches } from './regex'
import { TEXT_FOUND, TEXT_NO_ROOM, textLength, textOf, textStart } from './row'
import { rowAddress, rowLength, rowType } from './table'
import { isContainerByte, isExtByte } from './value'

/** Operands of a jump: word to go on at, and the outcome that jumps. */
@inline
function jumpIf(hit: bool, operands: usize): usize {
  if (hit == (load<u32>(operands, 4) != 0)) return code + (<usize>load<u32>(operands) << 2)
  return operands + 8
}

/** Text of the field, in textStart and textLength. */
@inline
function fieldText(ref: u32): bool {
  const row = fieldRow(ref)
  if (!row) return false
  const found = textOf(row, false)
  if (found == TEXT_NO_ROOM) count(step, REASON_ARENA)
  return found == TEXT_FOUND
}

/** field, kind, slice, jump */
export function opMatch(pc: usize): usize {
  const hit = fieldText(load<u32>(pc, 4)) && isMatch(load<u32>(pc, 8), load<u32>(pc, 12), load<u32>(pc, 16))
  return jumpIf(hit, pc + 20)
}

function isMatch(kind: u32, address: u32, length: u32): bool {
  const literal = program + <usize>address
  const p = textStart
  const n = textLength
  switch (kind) {
    case MATCH_EQUAL:
      return n == length && memory.compare(p, literal, n) == 0
    case MATCH_PREFIX:
      return n >= length && memory.compare(p, literal, length) == 0
    case MATCH_SUFFIX:
      return n >= length && memory.compare(p + n - length, literal, length) == 0
    case MATCH_CONTAINS:
      return contains(p, n, literal, length)
    case MATCH_CONTAINS_ANY:
      for (let i: u32 = 0; i < length; i++) {
        const slice = literal + (<usize>i << 3)
        if (contains(p, n, program + <usize>load<u32>(slice), load<u32>(slice, 4))) return true
      }
  }
  return false
}

/** slice, jump: the source of an entry is the input's id, a NUL, and the address of the sender. */
export function opFromInput(pc: usize): usize {
  const length = load<u32>(pc, 8)
  const hit =
    length < sourceLength &&
    load<u8>(source + length) == 0 &&
    memory.compare(source, program + <usize>load<u32>(pc, 4), length) == 0
  return jumpIf(hit, pc + 12)
}

export function opExists(pc: usize): usize {
  return jumpIf(fieldRow(load<u32>(pc, 4)) != 0, pc + 8)
}

export function opTypeIs(pc: usize): usize {
  const row = fieldRow(load<u32>(pc, 4))
  return jumpIf(row != 0 && (typeOf(row) & load<u32>(pc, 8)) != 0, pc + 12)
}

export function opRegex(pc: usize): usize {
  let hit = false
  if (fieldText(load<u32>(pc, 4))) {
    if (isTooLong(textLength)) count(step, REASON_TEXT_TOO_LONG)
    else hit = regexMatches(load<u32>(pc, 8), textStart, textLength)
  }
  return jumpIf(hit, pc + 12)
}

/** field, relation, kind, low, high, jump */
export function opCompare(pc: usize): usize {
  const row = fieldRow(load<u32>(pc, 4))
  const hit = row != 0 && readRowNumber(row) && isRelation(load<u32>(pc, 8), load<u32>(pc, 12), pc + 16)
  return jumpIf(hit, pc + 24)
}

/** TYPE_* of a row. */
function typeOf(row: usize): u32 {
  const a = rowAddress(row)
  switch (rowType(row)) {
    case ROW_TEXT:
      return TYPE_TEXT
    case ROW_INT:
    case ROW_UINT:
      return TYPE_INTEGER
    case ROW_DOUBLE:
      return TYPE_FLOAT
    case ROW_TIME:
      return TYPE_TIME
    case ROW_SUB:
      return TYPE_MAP
    case ROW_JSON:
      return typeOfJson(a, rowLength(row))
  }
  const c: u32 = load<u8>(a)
  if (isContainerByte(c)) return (c & 0xf0) == 0x90 || c == 0xdc || c == 0xdd ? TYPE_ARRAY : TYPE_MAP
  if (isExtByte(c)) return TYPE_TIME
  if (c == 0xc0) return TYPE_NULL
  if (c == 0xc2 || c == 0xc3) return TYPE_BOOLEAN
  return c == 0xca || c == 0xcb ? TYPE_FLOAT : TYPE_INTEGER
}

function typeOfJson(p: usize, n: u32): u32 {
  switch (load<u8>(p)) {
    case 34:
      return TYPE_TEXT
    case 123:
      return TYPE_MAP
    case 91:
      return TYPE_ARRAY
    case 0x6e:
      return TYPE_NULL
    case 0x74:
    case 0x66:
      return TYPE_BOOLEAN
  }
  for (let i: u32 = 0; i < n; i++) {
    const c = load<u8>(p + i)
    if (c == 46 || (c | 32) == 101) return TYPE_FLOAT
  }
  return TYPE_INTEGER
}

/** Number of a row: numbers, and text that is one by the JSON grammar. */
function readRowNumber(row: usize): bool {
  switch (rowType(row)) {
    case ROW_INT:
      setIntNumber(load<i64>(row, 8))
      return true
    case ROW_UINT:
      setUintNumber(load<u64>(row, 8))
      return true
    case ROW_DOUBLE:
      setDoubleNumber(load<f64>(row, 8))
      return true
    case ROW_RAW:
      return readRawNumber(rowAddress(row))
  }
  return textOf(row, false) == TEXT_FOUND && readNumber(textStart, textLength)
}

function readRawNumber(p: usize): bool {
  const c: u32 = load<u8>(p++)
  if (c < 0x80) setIntNumber(c)
  else if (c >= 0xe0) setIntNumber(<i64>(<i32>c - 256))
  else {
    switch (c) {
      case 0xca:
        setDoubleNumber(<f64>reinterpret<f32>(be32(p)))
        break
      case 0xcb:
        setDoubleNumber(reinterpret<f64>(be64(p)))
        break
      case 0xcc:
        setIntNumber(load<u8>(p))
        break
      case 0xcd:
        setIntNumber(be16(p))
        break
      case 0xce:
        setIntNumber(be32(p))
        break
      case 0xcf:
        setUintNumber(be64(p))
        break
      case 0xd0:
        setIntNumber(load<i8>(p))
        break
      case 0xd1:
        setIntNumber(<i16>be16(p))
        break
      case 0xd2:
        setIntNumber(<i32>be32(p))
        break
      case 0xd3:
        setIntNumber(be64(p))
        break
      default:
        return false
    }
  }
  return true
}

/** -1, 0, 1; 2: not comparable (NaN). Integers of 64 bits are compared exactly, all else as doubles. */
function order(kind: u32, operand: usize): i32 {
  if (numberKind != NUMBER_DOUBLE && kind != NUMBER_DOUBLE) {
    const isLargeA = numberKind == NUMBER_UINT
    const isLargeB = kind == NUMBER_UINT
    const b = load<i64>(operand)
    if (isLargeA != isLargeB) return isLargeA ? 1 : -1
    // Both large, or both signed: bits of two large ones compare as unsigned, which signed order does for equal top bits.
    return numberInt < b ? -1 : numberInt > b ? 1 : 0
  }
  const a = numberKind == NUMBER_DOUBLE ? numberDouble : numberKind == NUMBER_INT ? <f64>numberInt : <f64>(<u64>numberInt)
  const b =
    kind == NUMBER_DOUBLE
      ? load<f64>(operand)
      : kind == NUMBER_INT
        ? <f64>load<i64>(operand)
        : <f64>load<u64>(operand)
  if (a < b) return -1
  if (a > b) return 1
  return a == b ? 0 : 2
}

function isRelation(relation: u32, kind: u32, operand: usize): bool {
  const o = order(kind, operand)
  if (o == 2) return false
  switch (relation) {
    case COMPARE_EQUAL:
      return o == 0
    case COMPARE_LESS:
      return o < 0
    case COMPARE_GREATER:
      return o > 0
    case COMPARE_GREATER_EQUAL:
      return o >= 0
  }
  return o <= 0
}
