// What all parsers share: the text they read, what a failure means, and how results go into the table: together, at the
// end, so that a parser that fails leaves the record as it was, its time included.

import {
  CONVERT_INTEGER,
  COUNT_CHANGED,
  FAILURE_DEAD_LETTER,
  FAILURE_DROP,
  FAILURE_TAG,
  FLAG_MADE,
  OPTION_FAILURE,
  OPTION_FLAGS,
  OPTION_TAG_ID,
  OPTION_TAG_TEXT,
  OPTION_TIME_FORMAT,
  OPTION_TIME_ID,
  OPTION_TYPES,
  OPTION_ZONE_SECONDS,
  PARSE_CONFLICT_KEEP,
  PARSE_CONFLICT_RENAME,
  PARSE_DROP_OTHERS,
  PARSE_KEEP_ORIGINAL,
  PARSE_KEEP_TIME,
  PARSE_MISSING_FAILS,
  REASON_ARENA,
  REASON_CONVERSION_FAILED,
  REASON_MISSING_FIELD,
  REASON_NOT_TEXT,
  REASON_TOO_MANY_FIELDS,
  ROW_GONE,
  ROW_SUB,
  ROW_TEXT
} from '../codes'
import { arenaTop, hasRoom, program, takeArena } from './areas'
import { convertRow, isPlainInteger } from './convert'
import { count } from './counters'
import { intern, keyLength, keyText, rowOf, stamp, unstamp } from './dictionary'
import { setRecordTime } from './entry'
import { FIELD_PATH, ROWS_MAX } from './limits'
import { deadLetter, drop, restart, step } from './outcome'
import { fieldRow } from './path'
import { clearPending, pendingCount, pendingRow } from './pending'
import { TEXT_FOUND, TEXT_NO_ROOM, textLength, textOf, textStart } from './row'
import { parsedNs, parsedSecond, parseTime } from './strptime'
import {
  copyRow,
  removeRow,
  rowAddress,
  rowAt,
  rowCount,
  rowLength,
  rowType,
  setRow,
  touchRow
} from './table'

/** Field that is parsed, and the options of the step. */
let sourceRef: u32 = 0
export let options: usize = 0
let next: usize = 0

// Text that is parsed.
export let parseStart: usize = 0
export let parseEnd: usize = 0

export const PARSE_READY: u32 = 1
/** There is nothing to parse: the op returns `begun`. */
export const PARSE_OVER: u32 = 0
export let begun: usize = 0

/** Finds the text of the field; `behind` is the next op. */
export function beginParse(ref: u32, optionPlace: u32, behind: usize): u32 {
  sourceRef = ref
  options = program + <usize>optionPlace
  next = behind
  hasTime = false
  clearPending()
  const row = fieldRow(ref)
  if (!row) {
    if (load<u32>(options, OPTION_FLAGS) & PARSE_MISSING_FAILS) begun = fail(REASON_MISSING_FIELD)
    else {
      count(step, REASON_MISSING_FIELD)
      begun = next
    }
    return PARSE_OVER
  }
  const found = textOf(row, false)
  if (found != TEXT_FOUND) {
    begun = fail(found == TEXT_NO_ROOM ? REASON_ARENA : REASON_NOT_TEXT)
    return PARSE_OVER
  }
  parseStart = textStart
  parseEnd = textStart + textLength
  return PARSE_READY
}

/** For steps that parse no field: options for failures, and where to go on. */
export function beginWithout(optionPlace: u32, behind: usize): void {
  sourceRef = 0
  options = program + <usize>optionPlace
  next = behind
  hasTime = false
  clearPending()
}

/** The step has failed: counted, and what its option says. */
export function fail(reason: u32): usize {
  clearPending()
  count(step, reason)
  switch (load<u32>(options, OPTION_FAILURE)) {
    case FAILURE_DEAD_LETTER:
      return deadLetter(reason)
    case FAILURE_DROP:
      return drop(reason)
    case FAILURE_TAG:
      setTag(reason)
  }
  return next
}

/** `<step>:<reason>` */
function setTag(reason: u32): void {
  const names = load<u32>(program, 116)
  const row = touchRow(load<u32>(options, OPTION_TAG_ID))
  if (!row) return
  const label = load<u32>(options, OPTION_TAG_TEXT + 4)
  const name = program + <usize>names + (<usize>reason << 3)
  const n = load<u32>(name, 4)
  if (!hasRoom(<u64>label + n + 1)) {
    setRow(row, ROW_TEXT, FLAG_MADE, program + <usize>load<u32>(name), n)
    return
  }
  const start = arenaTop
  memory.copy(start, program + <usize>load<u32>(options, OPTION_TAG_TEXT), label)
  store<u8>(start + label, 58)
  memory.copy(start + label + 1, program + <usize>load<u32>(name), n)
  takeArena(start + label + 1 + n)
  setRow(row, ROW_TEXT, FLAG_MADE, start, label + 1 + n)
}

let timeSecond: i64 = 0
let timeNs: u32 = 0
let hasTime: bool = false

/** The format has read the record's time itself; a field that the options name wins over it. */
export function presetTime(second: i64, ns: u32): void {
  timeSecond = second
  timeNs = ns
  hasTime = true
}

/** Puts the pending rows as the options say, below the field `into` if it is not 0; returns the next op. */
export function finishParse(into: u32): usize {
  const flags = load<u32>(options, OPTION_FLAGS)
  convertPending()
  const timeId = load<u32>(options, OPTION_TIME_ID)
  const reason = timeId ? readTimeField(timeId, flags) : NO_TIME
  if (reason && reason != NO_TIME) return fail(reason)
  if (rowCount + (into ? 1 : pendingCount) > ROWS_MAX) return fail(REASON_TOO_MANY_FIELDS)
  if (into && !hasRoom(<u64>pendingCount << 4)) return fail(REASON_ARENA)
  removeSource(flags)
  if (into) nestPending(into)
  else if (!putAll(flags)) return restart()
  if (!reason || hasTime) setRecordTime(timeSecond, timeNs)
  clearPending()
  count(step, COUNT_CHANGED)
  return next
}

/** Types of result fields. A failure leaves the text and is counted; the `-` of access logs means nothing and is none. */
function convertPending(): void {
  const types = load<u32>(options, OPTION_TYPES + 4)
  if (!types) return
  const pairs = program + <usize>load<u32>(options, OPTION_TYPES)
  const format = load<u32>(options, OPTION_TIME_FORMAT)
  // One bit per id modulo 64: most results have no type.
  let typed: u64 = 0
  for (let k: u32 = 0; k < types; k++) typed |= <u64>1 << (load<u32>(pairs + (<usize>k << 3)) & 63)
  for (let i: u32 = 0; i < pendingCount; i++) {
    const row = pendingRow(i)
    const id: u32 = load<u16>(row)
    if (!((typed >> (id & 63)) & 1)) continue
    for (let k: u32 = 0; k < types; k++) {
      const pair = pairs + (<usize>k << 3)
      if (load<u32>(pair) != id) continue
      if (load<u32>(pair, 4) == CONVERT_INTEGER && isPlainInteger(row)) continue
      const formatPlace: usize = format ? program + <usize>format : 0
      if (!convertRow(row, load<u32>(pair, 4), formatPlace, load<i32>(options, OPTION_ZONE_SECONDS)) && !isDash(row)) {
        count(step, REASON_CONVERSION_FAILED)
      }
    }
  }
}

@inline
function isDash(row: usize): bool {
  return rowType(row) == ROW_TEXT && rowLength(row) == 1 && load<u8>(rowAddress(row)) == 45
}

const NO_TIME: u32 = 0xffffffff

/** Reads the record's time from its field among the results; NO_TIME: there is none, the record keeps its own. */
function readTimeField(id: u32, flags: u32): u32 {
  for (let i = pendingCount; i > 0; i--) {
    const row = pendingRow(i - 1)
    if (<u32>load<u16>(row) != id) continue
    if (textOf(row, false) != TEXT_FOUND) return REASON_NOT_TEXT
    const format = program + <usize>load<u32>(options, OPTION_TIME_FORMAT)
    const reason = parseTime(format, textStart, textLength, load<i32>(options, OPTION_ZONE_SECONDS))
    if (reason) return reason
    timeSecond = parsedSecond
    timeNs = parsedNs
    if (!(flags & PARSE_KEEP_TIME)) {
      // Earlier results of the name go as well.
      for (let k: u32 = 0; k < i; k++) {
        if (<u32>load<u16>(pendingRow(k)) == id) store<u8>(pendingRow(k), ROW_GONE, 2)
      }
    }
    return 0
  }
  return NO_TIME
}

/** The parsed field and, if the results stand alone, all others. What lies below the top level stays. */
function removeSource(flags: u32): void {
  const source: usize = sourceRef && !(sourceRef & FIELD_PATH) ? rowOf(sourceRef) : 0
  if (flags & PARSE_DROP_OTHERS) {
    for (let i: u32 = 0; i < rowCount; i++) {
      const row = rowAt(i)
      if (rowType(row) && (row != source || !(flags & PARSE_KEEP_ORIGINAL))) removeRow(row)
    }
  } else if (source && !(flags & PARSE_KEEP_ORIGINAL)) removeRow(source)
}

/** False: the dictionary is full. */
function putAll(flags: u32): bool {
  const isGuarded = (flags & (PARSE_CONFLICT_KEEP | PARSE_CONFLICT_RENAME)) != 0
  const before = rowCount
  for (let i: u32 = 0; i < pendingCount; i++) {
    const from = pendingRow(i)
    if (!rowType(from)) continue
    const id: u32 = load<u16>(from)
    if (isGuarded) {
      const old = rowOf(id)
      // Rows from `before` on are results: of two with one name the last wins.
      if (old && old < rowAt(before)) {
        if (flags & PARSE_CONFLICT_KEEP) continue
        if (!moveAside(old, id)) return false
      }
    }
    const row = touchRow(id)
    if (row) copyRow(row, from)
  }
  return true
}

const SUFFIX = memory.data<u8>([95, 111, 114, 105, 103, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])

/** The existing field becomes `<key>_orig`, in its place. */
function moveAside(row: usize, id: u32): bool {
  const n = keyLength(id)
  if (!hasRoom(<u64>n + 8)) return true
  memory.copy(arenaTop, keyText(id), n)
  memory.copy(arenaTop + n, SUFFIX, 5)
  const other = intern(arenaTop, n + 5)
  if (!other) return false
  const taken = rowOf(other)
  if (taken) removeRow(taken)
  unstamp(id)
  store<u16>(row, <u16>other)
  stamp(other, row)
  return true
}

/** Bit per id: whether the nested rows have it. */
const SEEN = memory.data(512, 16)

/** All results as rows below one field. */
function nestPending(into: u32): void {
  memory.fill(SEEN, 0, 512)
  const rows = arenaTop
  let n: u32 = 0
  for (let i: u32 = 0; i < pendingCount; i++) {
    const from = pendingRow(i)
    if (!rowType(from)) continue
    const id: u32 = load<u16>(from)
    const place = SEEN + (id >> 3)
    const bit: u32 = <u32>1 << (id & 7)
    let to = rows + (<usize>n << 4)
    if (<u32>load<u8>(place) & bit) {
      to = rows
      while (<u32>load<u16>(to) != id) to += 16
    } else n++
    store<u8>(place, <u8>(<u32>load<u8>(place) | bit))
    v128.store(to, v128.load(from))
  }
  takeArena(rows + (<usize>n << 4))
  const row = touchRow(into)
  if (row) setRow(row, ROW_SUB, FLAG_MADE, rows, n)
}

