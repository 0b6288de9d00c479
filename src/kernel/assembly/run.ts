// The loop of a task: groups of a frame, entries of a group, and for each entry table, steps, rendering, verdict.

import {
  REASON_DICTIONARY_RESET,
  REASON_EMPTY,
  REASON_NOT_A_RECORD,
  REASON_TOO_MANY_FIELDS,
  STOP_DAMAGED,
  STOP_END,
  STOP_FULL,
  STOP_JOIN,
  STOP_TABLES,
  VERDICT_DEAD_LETTER,
  VERDICT_DROPPED,
  VERDICT_FINISHED,
  VERDICT_HELD,
  VERDICT_OUT
} from '../codes'
import { code, finishedRanges, program } from './areas'
import { beginCounting, count, uncount } from './counters'
import { dictionaryHasLearned, flushDictionary } from './dictionary'
import {
  arrivalNs,
  arrivalSecond,
  closeEntry,
  ENTRY_CUT,
  ENTRY_MARKER,
  ENTRY_WRONG,
  entryOffset,
  openEntry,
  setArrival,
  setEntryOffset,
  skipRecord
} from './entry'
import { EMIT_EMPTY, EMIT_FULL, EMIT_OUT, EMIT_TABLES, emit, setJoined } from './emit'
import { setGroup, source, sourceLength, tag, tagLength } from './group'
import { skipValue } from './msgpack'
import { enterJoined, leaveJoined, setEntryPlace } from './op-join'
import { execute } from './ops'
import {
  OUTCOME_DEAD,
  OUTCOME_DROPPED,
  OUTCOME_HELD,
  OUTCOME_HELD_STOP,
  OUTCOME_OUT,
  OUTCOME_RESTART,
  OUTCOME_STOP,
  outcomeReason,
  outcomeStep
} from './outcome'
import { BUILD_DICTIONARY, BUILD_TOO_MANY, buildFault, buildTable } from './table'
import { enterUntabled, leaveUntabled } from './untabled'
import { addVerdict, hasVerdictRoom } from './verdicts'
import { clearRenderFault } from './value'

/** Bytes of a group's header in a frame. */
const GROUP_HEADER_BYTES: usize = 16

// Where the run is: frame, group, entry.
let frameEnd: usize = 0
let nextGroup: usize = 0
let groupEnd: usize = 0
let groupForm: u32 = 0
let groupEndOffset: u64 = 0
let place: usize = 0
let hasSteps: bool = false
let hasJoin: bool = false
let wantsOption: bool = false

// Finished ranges: the one that the run is in or comes to next.
let rangeCount: u32 = 0
let rangeIndex: u32 = 0
let finishedFrom: u64 = u64.MAX_VALUE
let finishedEnd: u64 = 0
let fromOffset: u64 = 0

export function setFinished(from: u64, ranges: u32): void {
  fromOffset = from
  rangeCount = ranges
  rangeIndex = 0
  nextRange()
}

function nextRange(): void {
  if (rangeIndex < rangeCount) {
    const range = finishedRanges + (<usize>rangeIndex << 4)
    rangeIndex++
    finishedFrom = load<u64>(range)
    finishedEnd = load<u64>(range, 8)
  } else finishedFrom = u64.MAX_VALUE
}

@inline
function isFinished(offset: u64): bool {
  if (offset < fromOffset) return true
  while (offset >= finishedFrom) {
    if (offset < finishedEnd) return true
    nextRange()
  }
  return false
}

/** Steps or join of the program in use: asked once per task. */
export function beginRun(): void {
  hasSteps = load<u32>(program, 112) != 0
  hasJoin = load<u32>(program, 52) != 0
  wantsOption = load<u32>(program, 108) != 0
}

/** Begins a frame's payload. */
export function beginFrame(start: usize, end: usize, firstOffset: u64, appendTimeMs: i64): void {
  frameEnd = end
  nextGroup = start
  place = start
  groupEnd = start
  setEntryOffset(firstOffset)
  groupEndOffset = firstOffset
  setArrivalMs(appendTimeMs)
}

function setArrivalMs(timeMs: i64): void {
  const second = timeMs / 1000
  setArrival(second, <u32>(timeMs - second * 1000) * 1000000)
}

export function resumeOffset(): u64 {
  return entryOffset
}

/** Goes on until the frame ends or something stops it: STOP_*. */
export function runFrame(): u32 {
  while (true) {
    if (place >= groupEnd) {
      // A group that held other than it said would shift every offset behind it.
      if (entryOffset != groupEndOffset) return STOP_DAMAGED
      if (nextGroup >= frameEnd) return STOP_END
      if (!openGroup()) return STOP_DAMAGED
      continue
    }
    const stop = runEntry()
    if (stop != STOP_END) return stop
  }
}

function openGroup(): bool {
  const g = nextGroup
  if (frameEnd - g < GROUP_HEADER_BYTES) return false
  const bytes = load<u32>(g)
  const tagBytes: u32 = load<u16>(g, 8)
  const head = <u32>GROUP_HEADER_BYTES + tagBytes + load<u16>(g, 10) + load<u16>(g, 12)
  if (bytes < head || bytes > <u32>(frameEnd - g)) return false
  const text = g + GROUP_HEADER_BYTES
  const sourceBytes: u32 = load<u16>(g, 12)
  setGroup(text, tagBytes, text + tagBytes + load<u16>(g, 10), sourceBytes)
  groupForm = load<u8>(g, 14)
  groupEndOffset = entryOffset + load<u32>(g, 4)
  place = g + head
  groupEnd = g + bytes
  nextGroup = groupEnd
  return true
}

@inline
function judge(verdict: u32, step: u32, reason: u32, next: usize): void {
  addVerdict(entryOffset, verdict, step, reason)
  setEntryOffset(entryOffset + 1)
  place = next
}

/** One entry at `place`. */
function runEntry(): u32 {
  if (!hasVerdictRoom()) return STOP_TABLES
  const start = place
  const record = openEntry(start, groupEnd, groupForm, wantsOption)
  if (record <= ENTRY_WRONG) {
    if (record == ENTRY_CUT) return STOP_DAMAGED
    const after = skipValue(start, groupEnd)
    if (!after) return STOP_DAMAGED
    if (record == ENTRY_MARKER) place = after
    else judge(VERDICT_DEAD_LETTER, 0, REASON_NOT_A_RECORD, after)
    return STOP_END
  }
  const finished = isFinished(entryOffset)
  if (finished && !hasJoin) {
    const after = skipRecord(record, groupEnd)
    if (!after) return STOP_DAMAGED
    judge(VERDICT_FINISHED, 0, 0, after)
    return STOP_END
  }
  return runRecord(start, record, finished)
}

function runRecord(start: usize, record: usize, finished: bool): u32 {
  clearRenderFault()
  beginCounting()
  let hasFlushed = false
  while (true) {
    let fault: u32 = 0
    const behind = buildTable(record, groupEnd)
    if (behind) {
      const next = closeEntry(behind, groupEnd)
      if (!next) return STOP_DAMAGED
      setEntryPlace(start, next, groupForm, finished)
      const outcome = execute(code)
      if (outcome != OUTCOME_RESTART) return settle(outcome, finished, next)
      fault = BUILD_DICTIONARY
    } else fault = buildFault
    if (fault == BUILD_DICTIONARY && !hasFlushed && dictionaryHasLearned()) {
      // Nothing has left the table, so the record may begin again with an empty dictionary.
      hasFlushed = true
      uncount()
      flushDictionary()
      count(0, REASON_DICTIONARY_RESET)
      beginCounting()
      continue
    }
    if (fault != BUILD_DICTIONARY && fault != BUILD_TOO_MANY) return STOP_DAMAGED
    uncount()
    return runUntabled(record, finished)
  }
}

/** Outcomes of runJoined. */
const JOINED_OUT: u32 = 0
const JOINED_DROPPED: u32 = 1
const JOINED_DEAD: u32 = 2
const JOINED_FULL: u32 = 3
let joinedWord: u32 = 0

export function joinedReason(): u32 {
  return joinedWord
}

/** Offset, arrival and group of the first member of the record that runJoined renders next. */
export function setJoinedPlace(
  offset: u64,
  appendTimeMs: i64,
  tag: usize,
  tagBytes: u32,
  source: usize,
  sourceBytes: u32
): void {
  joinedOffset = offset
  joinedArrivalMs = appendTimeMs
  joinedTag = tag
  joinedTagBytes = tagBytes
  joinedSource = source
  joinedSourceBytes = sourceBytes
}

let joinedOffset: u64 = 0
let joinedArrivalMs: i64 = 0
let joinedTag: usize = 0
let joinedTagBytes: u32 = 0
let joinedSource: usize = 0
let joinedSourceBytes: u32 = 0

/** Renders a joined record between two entries of the frame; the run's place is as before afterwards. */
export function runJoined(
  entry: usize,
  entryEnd: usize,
  form: u32,
  text: usize,
  textBytes: u32,
  isIncomplete: bool,
  memberList: u32,
  idSuffix: u32
): u32 {
  const offset = entryOffset
  const second = arrivalSecond
  const ns = arrivalNs
  const tagBefore = tag
  const tagLengthBefore = tagLength
  const sourceBefore = source
  const sourceLengthBefore = sourceLength
  setEntryOffset(joinedOffset)
  setArrivalMs(joinedArrivalMs)
  setGroup(joinedTag, joinedTagBytes, joinedSource, joinedSourceBytes)
  setJoined(memberList, idSuffix)
  enterJoined(text, textBytes, isIncomplete)
  const result = renderEntry(entry, entryEnd, form)
  leaveJoined()
  setJoined(0, 0)
  setGroup(tagBefore, tagLengthBefore, sourceBefore, sourceLengthBefore)
  setArrival(second, ns)
  setEntryOffset(offset)
  return result
}

@inline
function refuseJoined(stepNumber: u32, reason: u32): u32 {
  joinedWord = stepNumber | (reason << 8)
  return JOINED_DEAD
}

function renderEntry(entry: usize, entryEnd: usize, form: u32): u32 {
  const record = openEntry(entry, entryEnd, form, wantsOption)
  if (record <= ENTRY_WRONG) return refuseJoined(0, REASON_NOT_A_RECORD)
  clearRenderFault()
  beginCounting()
  setEntryPlace(entry, entryEnd, form, false)
  for (let round = 0; round < 2; round++) {
    const behind = buildTable(record, entryEnd)
    if (!behind && buildFault != BUILD_DICTIONARY) return refuseJoined(0, REASON_TOO_MANY_FIELDS)
    const outcome = behind ? execute(code) : OUTCOME_RESTART
    if (outcome == OUTCOME_RESTART) {
      uncount()
      flushDictionary()
      continue
    }
    if (outcome == OUTCOME_OUT) {
      const result = emit()
      if (result == EMIT_OUT) return JOINED_OUT
      if (result == EMIT_FULL || result == EMIT_TABLES) {
        uncount()
        return JOINED_FULL
      }
      joinedWord = REASON_EMPTY << 8
      return result == EMIT_EMPTY ? JOINED_DROPPED : refuseJoined(0, result)
    }
    refuseJoined(outcomeStep, outcomeReason)
    return outcome == OUTCOME_DROPPED ? JOINED_DROPPED : JOINED_DEAD
  }
  return refuseJoined(1, REASON_TOO_MANY_FIELDS)
}

/** A record that has no table: rendered as it is where no step could be skipped, else a failure of the first step. */
function runUntabled(record: usize, finished: bool): u32 {
  const behind = skipValue(record, groupEnd)
  const next: usize = behind ? closeEntry(behind, groupEnd) : 0
  if (!next) return STOP_DAMAGED
  if (finished) judge(VERDICT_FINISHED, 0, 0, next)
  else if (hasSteps) {
    count(1, REASON_TOO_MANY_FIELDS)
    judge(VERDICT_DEAD_LETTER, 1, REASON_TOO_MANY_FIELDS, next)
  } else {
    enterUntabled(record, behind)
    const result = emit()
    leaveUntabled()
    return settleEmit(result, next)
  }
  return STOP_END
}

/** Verdict of a record whose steps have run. */
@inline
function settle(outcome: u32, finished: bool, next: usize): u32 {
  if (finished) {
    if (outcome == OUTCOME_STOP) return STOP_JOIN
    judge(VERDICT_FINISHED, 0, 0, next)
    return outcome == OUTCOME_HELD_STOP ? STOP_JOIN : STOP_END
  }
  if (outcome == OUTCOME_OUT) return settleEmit(emit(), next)
  return settleOther(outcome, next)
}

function settleOther(outcome: u32, next: usize): u32 {
  switch (outcome) {
    case OUTCOME_DROPPED:
      judge(VERDICT_DROPPED, outcomeStep, outcomeReason, next)
      return STOP_END
    case OUTCOME_DEAD:
      judge(VERDICT_DEAD_LETTER, outcomeStep, outcomeReason, next)
      return STOP_END
    case OUTCOME_HELD:
      judge(VERDICT_HELD, outcomeStep, 0, next)
      return STOP_END
    case OUTCOME_HELD_STOP:
      judge(VERDICT_HELD, outcomeStep, 0, next)
      return STOP_JOIN
  }
  // OUTCOME_STOP: asked again when the run goes on.
  uncount()
  return STOP_JOIN
}

@inline
function settleEmit(result: u32, next: usize): u32 {
  if (result == EMIT_OUT) {
    judge(VERDICT_OUT, 0, 0, next)
    return STOP_END
  }
  return settleUnsent(result, next)
}

function settleUnsent(result: u32, next: usize): u32 {
  if (result == EMIT_FULL || result == EMIT_TABLES) {
    uncount()
    return result == EMIT_FULL ? STOP_FULL : STOP_TABLES
  }
  if (result == EMIT_EMPTY) judge(VERDICT_DROPPED, 0, REASON_EMPTY, next)
  else judge(VERDICT_DEAD_LETTER, 0, result, next)
  return STOP_END
}
