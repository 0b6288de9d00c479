// The join of a route, as the kernel's part of it: show entries to JavaScript, which owns the groups, and lay the joined
// text over the first member's record. A route without open groups pays one look-up per record.

import { FLAG_MADE, JOIN_HELD, JOIN_STOP, ROW_JSON, ROW_TEXT } from '../codes'
import { rowOf } from './dictionary'
import { entryOffset } from './entry'
import { source, sourceLength, tag, tagLength } from './group'
import {
  end,
  OUTCOME_HELD,
  OUTCOME_HELD_STOP,
  OUTCOME_OUT,
  OUTCOME_STOP
} from './outcome'
import { fieldRow } from './path'
import { TEXT_FOUND, textLength, textOf, textStart } from './row'
import { removeRow, setRow, touchRow } from './table'

/** Asks JavaScript about the entry at joinPlace(): JOIN_* bits. */
@external('env', 'join')
declare function askJoin(): u32

const FIELDS_MAX: u32 = 64
/** Words for JavaScript, see join-entry.ts: entry, end, form, finished | offset | tag | source | count, 0 | fields. */
const SHOWN = memory.data(48 + 64 * 8, 16)
const TRUE = memory.data<u8>([116, 114, 117, 101, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])

let isAnyOpen: bool = false
let entryStart: usize = 0
let entryEnd: usize = 0
let entryForm: u32 = 0
let isFinished: bool = false

// The joined record that is rendered, if one is.
let isJoined: bool = false
let joinedText: usize = 0
let joinedBytes: u32 = 0
let isIncomplete: bool = false

export function setOpenGroups(isAny: bool): void {
  isAnyOpen = isAny
}

export function joinPlace(): usize {
  return SHOWN
}

@inline
export function setEntryPlace(start: usize, endPlace: usize, form: u32, finished: bool): void {
  entryStart = start
  entryEnd = endPlace
  entryForm = form
  isFinished = finished
}

/** Following records are joined ones, until leaveJoined. */
export function enterJoined(text: usize, bytes: u32, incomplete: bool): void {
  isJoined = true
  joinedText = text
  joinedBytes = bytes
  isIncomplete = incomplete
}

export function leaveJoined(): void {
  isJoined = false
}

/** present, text, incomplete, clear count, count of those that go always, ids, field count, fields */
export function opJoin(pc: usize): usize {
  const clearCount = load<u32>(pc, 16)
  const fields = pc + 24 + (<usize>clearCount << 2)
  const next = fields + 4 + (<usize>load<u32>(fields) << 2)
  if (isJoined) {
    layJoined(pc, clearCount)
    return next
  }
  const present = load<u32>(pc, 4)
  if (isAnyOpen || !present || rowOf(present)) {
    const answer = show(fields)
    if (answer & JOIN_STOP) {
      return end(answer & JOIN_HELD ? OUTCOME_HELD_STOP : OUTCOME_STOP, 0)
    }
    if (answer & JOIN_HELD) return end(OUTCOME_HELD, 0)
  }
  // A finished entry has done its duty: the steps behind the join are not for it.
  return isFinished ? end(OUTCOME_OUT, 0) : next
}

function show(fields: usize): u32 {
  const count = min<u32>(load<u32>(fields), FIELDS_MAX)
  for (let i: u32 = 0; i < count; i++) {
    const row = fieldRow(load<u32>(fields + 4 + (<usize>i << 2)))
    const place = SHOWN + 48 + (<usize>i << 3)
    const isText = row && textOf(row, false) == TEXT_FOUND
    store<u32>(place, isText ? <u32>textStart : 0)
    store<u32>(place, isText ? textLength : 0, 4)
  }
  store<u32>(SHOWN, <u32>entryStart)
  store<u32>(SHOWN, <u32>entryEnd, 4)
  store<u32>(SHOWN, entryForm, 8)
  store<u32>(SHOWN, isFinished ? 1 : 0, 12)
  store<u64>(SHOWN, entryOffset, 16)
  store<u32>(SHOWN, <u32>tag, 24)
  store<u32>(SHOWN, tagLength, 28)
  store<u32>(SHOWN, <u32>source, 32)
  store<u32>(SHOWN, sourceLength, 36)
  store<u32>(SHOWN, count, 40)
  return askJoin()
}

/** The joined text over the first member's, without the fields of a part. */
function layJoined(pc: usize, clearCount: u32): void {
  const text = touchRow(load<u32>(pc, 8))
  if (text) setRow(text, ROW_TEXT, FLAG_MADE, joinedText, joinedBytes)
  const cleared = isIncomplete ? load<u32>(pc, 20) : clearCount
  for (let i: u32 = 0; i < cleared; i++) {
    const row = rowOf(load<u32>(pc + 24 + (<usize>i << 2)))
    if (row) removeRow(row)
  }
  const mark = load<u32>(pc, 12)
  if (!isIncomplete || !mark) return
  const row = touchRow(mark)
  if (row) setRow(row, ROW_JSON, FLAG_MADE, TRUE, 4)
}
