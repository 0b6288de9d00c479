// A record from its table to the output, framed as the output's RenderSpec says, and its row in the index.
//
// Index row, 40 bytes: start u32 (from the output's first byte), byte count u32, target u32, member list u32, offset u64,
// event time in milliseconds i64 (0: before 1970 too), bytes of the message before it was escaped u32, unused u32.

import {
  REASON_EMPTY,
  REASON_TOO_LARGE
} from '../codes'
import { output, outputEnd, program, ROW_INDEX_BYTES, rowIndex, shiftOutput } from './areas'
import { renderedKey, renderedKeyLength, rowOf, stamp, unstamp } from './dictionary'
import { entryOffset, recordNs, recordSecond } from './entry'
import { copyText, escape, escapedLength, putString } from './escape'
import { putPositionId, tag, tagLength } from './group'
import { putI64 } from './number'
import {
  closeObject,
  membersBytesMax,
  membersBytesMeasured,
  putMembers,
  TEXT_FOUND,
  textLength,
  textOf,
  textStart
} from './row'
import { removeRow } from './table'
import { currentTarget, TARGET_NO_ROOM, targetEntry, TARGETS_FULL } from './target'
import { putTime } from './time'
import { putUntabled, untabled, untabledBytes } from './untabled'
import { clearRenderFault, refuseDeepKeys, renderFault, valueLength } from './value'

/** Where the next record goes, and how many there are. */
export let outputTop: usize = 0
export let emittedCount: u32 = 0
let rowsMax: u32 = 0

// The program's rendering, read once per task.
let isLogEvents: bool = false
let timeKey: u32 = 0
let timeRenamed: u32 = 0
let timeDigits: u32 = 0
let tagKey: u32 = 0
let tagRenamed: u32 = 0
let conflict: u32 = 0
let hasId: bool = false
let messageKey: u32 = 0
let recordBytesMax: u32 = 0
let targetSpan: u32 = 0

const CONFLICT_KEEP: u32 = 0
const CONFLICT_OVERWRITE: u32 = 1

/** Outcome of emit: the record is out; the output has no room; tables have none; else a reason of a dead letter. */
export const EMIT_OUT: u32 = 0
export const EMIT_FULL: u32 = 0xffffffff
export const EMIT_TABLES: u32 = 0xfffffffe
/** Nothing to send: counts as dropped. */
export const EMIT_EMPTY: u32 = 0xfffffffd

/** Of a joined record: list of its members (0: none) and the last four characters of its id. */
let memberList: u32 = 0
let idSuffix: u32 = 0

export function setJoined(list: u32, suffix: u32): void {
  memberList = list
  idSuffix = suffix
}

export function beginOutput(rows: u32): void {
  outputTop = output
  emittedCount = 0
  rowsMax = rows
  memberList = 0
  isLogEvents = load<u32>(program, 56) != 0
  timeKey = isLogEvents ? 0 : load<u32>(program, 60)
  timeRenamed = load<u32>(program, 64)
  timeDigits = load<u32>(program, 68)
  tagKey = load<u32>(program, 72)
  tagRenamed = load<u32>(program, 76)
  conflict = load<u32>(program, 80)
  hasId = load<u32>(program, 84) != 0
  messageKey = load<u32>(program, 88)
  recordBytesMax = load<u32>(program, 92)
  targetSpan = load<u32>(program, 104)
}

/** The rendered records were taken. Places in the index go on counting from the task's first byte. */
export function takeOutput(): void {
  outputTop = shiftOutput(outputTop)
}

/** A field of the output's own meets a field of the record: whether the output's own is written. */
@inline
function ownsKey(key: u32, renamed: u32): bool {
  if (!key) return false
  const row = rowOf(key)
  if (!row) return true
  if (conflict == CONFLICT_KEEP) return false
  if (conflict == CONFLICT_OVERWRITE) {
    removeRow(row)
    return true
  }
  const other = rowOf(renamed)
  if (other) removeRow(other)
  unstamp(key)
  store<u16>(row, <u16>renamed)
  stamp(renamed, row)
  return true
}

/** Renders the record of the table. */
export function emit(): u32 {
  if (emittedCount >= rowsMax) return EMIT_FULL
  const number = currentTarget(targetSpan)
  if (number >= TARGET_NO_ROOM) return number == TARGETS_FULL ? EMIT_TABLES : REASON_TOO_LARGE
  const target = targetEntry(number)
  const refusal = load<u32>(target, 24)
  if (refusal) return refusal
  return isLogEvents ? emitLogEvent(number) : emitLine(number, target)
}

@inline
function putFields<T>(o: usize): usize {
  return untabled ? putUntabled<T>(o) : putMembers<T>(o)
}

@inline
function fieldsBytesMax<T>(): u64 {
  if (untabled) return untabledBytes() * (sizeof<T>() == 2 ? 10 : 8) + 64
  return membersBytesMax<T>()
}

@inline
function fieldsBytesMeasured<T>(): u64 {
  return untabled ? valueLength<T>(untabled, untabled + <usize>untabledBytes()) : membersBytesMeasured<T>()
}

/** Whether so many bytes fit into what is left of the output. */
@inline
function fits(bound: u64): bool {
  return <u64>outputTop + bound <= <u64>outputEnd
}

function emitLine(number: u32, target: usize): u32 {
  const prefixLength = load<u32>(target, 12)
  const afterLength = load<u32>(target, 20)
  const ownsTime = ownsKey(timeKey, timeRenamed)
  const ownsTag = ownsKey(tagKey, tagRenamed)
  const constant = <u64>prefixLength + afterLength + 2048 + (ownsTag ? <u64>tagLength * 6 : 0)
  if (!fits(fieldsBytesMax<u8>() + constant)) {
    // A big record: measured, when it is alone in the output. Else the next output begins with it.
    if (outputTop != output) return EMIT_FULL
    if (!fits(fieldsBytesMeasured<u8>() + constant)) return REASON_TOO_LARGE
    refuseDeepKeys(true)
  }
  const start = outputTop
  let o = copyText(start, load<u32>(target, 8), prefixLength)
  if (hasId) {
    o = putPositionId(o, entryOffset)
    if (memberList) {
      store<u8>(o, 46)
      store<u32>(o, idSuffix, 1)
      o += 5
    }
  }
  o = copyText(o, load<u32>(target, 16), afterLength)
  const object = o
  if (ownsTime) {
    store<u8>(o, 44)
    o = copyText(o + 1, renderedKey(timeKey), renderedKeyLength(timeKey))
    store<u8>(o, 34)
    o = putTime(o + 1, recordSecond, recordNs, timeDigits)
    store<u8>(o++, 34)
  }
  if (ownsTag) {
    store<u8>(o, 44)
    o = copyText(o + 1, renderedKey(tagKey), renderedKeyLength(tagKey))
    o = putString<u8>(o, tag, tagLength)
  }
  o = closeObject(object, putFields<u8>(o))
  store<u8>(o++, 10)
  refuseDeepKeys(false)
  return finish(number, start, o, <u32>(o - start))
}

function emitLogEvent(number: u32): u32 {
  const row: usize = messageKey ? rowOf(messageKey) : 0
  if (row && textOf(row, true) != TEXT_FOUND) return REASON_TOO_LARGE
  const start = outputTop
  const constant: u64 = 2048
  let o: usize
  let message: usize
  if (row) {
    if (!textLength) return EMIT_EMPTY
    if (!fits(<u64>textLength * 6 + constant)) {
      if (outputTop != output) return EMIT_FULL
      if (!fits(escapedLength<u8>(textStart, textLength) + constant)) return REASON_TOO_LARGE
    }
    message = putEventHead(start)
    o = escape<u8>(message, textStart, textLength)
  } else {
    const ownsTag = ownsKey(tagKey, tagRenamed)
    const bound = constant + (ownsTag ? <u64>tagLength * 7 : 0)
    if (!fits(fieldsBytesMax<u16>() + bound)) {
      if (outputTop != output) return EMIT_FULL
      if (!fits(fieldsBytesMeasured<u16>() + bound)) return REASON_TOO_LARGE
      refuseDeepKeys(true)
    }
    message = putEventHead(start)
    o = message
    if (ownsTag) {
      store<u8>(o, 44)
      o = copyText(o + 1, renderedKey(tagKey), renderedKeyLength(tagKey))
      o = putString<u16>(o, tag, tagLength)
    }
    o = closeObject(message, putFields<u16>(o))
    refuseDeepKeys(false)
  }
  const bytes = unescapedLength(message, o)
  return finish(number, start, putEventTail(o), bytes)
}

/** {"message":" */
@inline
function putEventHead(o: usize): usize {
  store<u64>(o, 0x67617373656d227b)
  store<u32>(o, 0x223a2265, 8)
  return o + 12
}

/** Not before 1970: CloudWatch calls a time of 0 too old, and refuses the whole batch for a negative one. */
@inline
function eventMs(): i64 {
  return max<i64>(recordSecond * 1000 + recordNs / 1000000, 0)
}

/** ","timestamp":1234}, */
@inline
function putEventTail(o: usize): usize {
  store<u64>(o, 0x73656d6974222c22)
  store<u64>(o, 0x3a22706d6174, 8)
  o = putI64(o + 14, eventMs())
  store<u16>(o, 0x2c7d)
  return o + 2
}

/** Bytes of the text whose escaped form is [p, end): each escape stands for one byte, `\u00XX` too. */
function unescapedLength(p: usize, end: usize): u32 {
  let n = <u32>(end - p)
  const slash = i8x16.splat(92)
  while (p < end) {
    let mask: u32 = i8x16.bitmask(i8x16.eq(v128.load(p), slash))
    if (!mask) {
      p += 16
      continue
    }
    p += ctz<u32>(mask)
    if (p >= end) break
    if (load<u8>(p, 1) == 0x75) {
      n -= 5
      p += 6
    } else {
      n--
      p += 2
    }
  }
  return n
}

@inline
function finish(number: u32, start: usize, o: usize, messageBytes: u32): u32 {
  if (renderFault) {
    const reason = renderFault
    clearRenderFault()
    return reason
  }
  const n = <u32>(o - start)
  if (n > recordBytesMax) return REASON_TOO_LARGE
  const row = rowIndex + <usize>emittedCount * ROW_INDEX_BYTES
  store<u32>(row, <u32>(start - output))
  store<u32>(row, n, 4)
  store<u32>(row, number, 8)
  store<u32>(row, memberList, 12)
  store<u64>(row, entryOffset, 16)
  store<i64>(row, eventMs(), 24)
  store<u32>(row, messageBytes, 32)
  outputTop = o
  emittedCount++
  return EMIT_OUT
}
