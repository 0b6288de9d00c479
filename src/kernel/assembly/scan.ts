// Finds the messages of a stream. Each byte is read a bounded number of times: a message that is not
// complete is only skipped over, and read once when its end is known. bench/micro/kernel/scan.bench.ts measures it.

import { CUT, isArrayByte, WRONG } from './msgpack'
import { setNestingMax } from './record-check'
import {
  entriesRead,
  invalidRun,
  marker,
  markerEnd,
  partEnd,
  partLeft,
  scanEntries,
  scanEntriesPart,
  setEntryLimits,
  spansPerMessage
} from './scan-entries'
import { closeUnit, readMessage, setMergedBytesMax } from './scan-message'
import { setAckBytesMax } from './scan-option'
import { clearRefusal, ERROR_NOT_ARRAY, refusal, refuse, setMessageBytesMax } from './scan-refusal'
import {
  ackCount,
  acksMax,
  addUnit,
  beginUnit,
  clearResults,
  KIND_ENTRIES,
  setTables,
  spanCount,
  spansMax,
  unitCount,
  unitsMax
} from './scan-results'
import {
  neededBytes,
  scannedBytes,
  setSkip,
  skipMessage,
  skippedBytes,
  skipWithin,
  valuesLeft
} from './scan-skip'
import { setTimeUnitGuess } from './scan-time'

const DONE: u32 = 0
const FULL: u32 = 1
const FAILED: u32 = 2
/** The first byte of the connection starts no message: another protocol, or none. */
const UNDECIDED: u32 = 3

let consumedBytes: usize = 0
let isDecided: u32 = 0

export function scanConsumedBytes(): u32 {
  return <u32>consumedBytes
}

/** Least length of the first message that is not complete; 0 when there is none. */
export function scanNeededBytes(): u32 {
  return <u32>neededBytes
}

export function scanScannedBytes(): u32 {
  return <u32>scannedBytes
}

export function scanValuesLeft(): u32 {
  return <u32>valuesLeft
}

export function scanErrorReason(): u32 {
  return refusal
}

export function scanIsDecided(): u32 {
  return isDecided
}

export function scanUnitCount(): u32 {
  return unitCount
}

export function scanSetTables(
  units: usize,
  unitLimit: u32,
  spans: usize,
  spanLimit: u32,
  acks: usize,
  ackLimit: u32
): void {
  setTables(units, unitLimit, spans, spanLimit, acks, ackLimit)
}

export function scanSetLimits(
  messageBytes: u32,
  mergedBytes: u32,
  messageSpans: u32,
  spanBytes: u32,
  recordBytes: u32,
  recordNesting: u32,
  scanNesting: u32,
  invalidRun: u32,
  entries: u32,
  ackToken: u32,
  isTimeUnitGuessed: bool
): void {
  setMessageBytesMax(messageBytes)
  setMergedBytesMax(mergedBytes)
  setEntryLimits(messageSpans, spanBytes, recordBytes, invalidRun, entries)
  setNestingMax(recordNesting, scanNesting)
  setAckBytesMax(ackToken)
  setTimeUnitGuess(isTimeUnitGuessed)
}

/** Another limit for the messages of the next scans. */
export function scanSetMessageMax(bytes: u32): void {
  setMessageBytesMax(bytes)
}

/**
 * Passes over `left` values that begin at `start`: 1 when the last one ends within [start, end), 0 when it goes on, 2
 * when it cannot end within `bytesMax`, or is none.
 */
export function skipPart(start: usize, end: usize, left: f64, bytesMax: f64): u32 {
  clearRefusal()
  setSkip(0, <u64>left)
  const isComplete = skipWithin(start, end, <u64>bytesMax)
  if (refusal) return 2
  return isComplete ? 1 : 0
}

/** Where the last skipPart stopped, from its start: at the end of the values, before a header that is cut, or behind the
 * bytes that were there. */
export function skipPartBytes(): f64 {
  return <f64>skippedBytes
}

export function skipPartLeft(): f64 {
  return <f64>valuesLeft
}

/** Scans [start, end); what came before of the first message is told by `scanned` and `left`. */
export function scanStream(start: usize, end: usize, scanned: u32, left: u32, decided: u32): u32 {
  clearResults(start)
  consumedBytes = 0
  isDecided = decided
  clearRefusal()
  setSkip(scanned, left)
  if ((scanned || left) && !skipMessage(start, end)) return refusal ? FAILED : DONE
  closeUnit()
  let p = start
  while (p < end) {
    const c: u32 = load<u8>(p)
    if (!isArrayByte(c)) {
      const isFiller = c == 0xc0 || c == 0
      if (!isFiller) {
        refuse(ERROR_NOT_ARRAY)
        return isDecided ? FAILED : UNDECIDED
      }
      p++
      consumedBytes = p - start
      continue
    }
    isDecided = 1
    if (
      unitCount == unitsMax ||
      ackCount == acksMax ||
      spanCount + spansPerMessage() > spansMax
    ) {
      return FULL
    }
    const behind = readMessage(p, end)
    if (behind == CUT) {
      setSkip(0, 1)
      skipMessage(p, end)
      return refusal ? FAILED : DONE
    }
    if (behind == WRONG) return FAILED
    p = behind
    consumedBytes = p - start
  }
  return DONE
}

/** Body of a message, decompressed: one unit of entries. */
export function scanBody(start: usize, end: usize): u32 {
  clearResults(start)
  clearRefusal()
  setSkip(0, 0)
  consumedBytes = end - start
  beginUnit()
  scanEntries(start, end, 0xffffffff, false)
  addUnit(KIND_ENTRIES, start, 0, start, end, start, end, 0, 0, false, 0)
  return DONE
}

/**
 * A part [body, end) of a long body, one unit: entries up to the last one that is whole. [start, body) holds the marker that
 * was open where the part begins. 1: nests too deep or holds a reserved byte where that ends the stream.
 */
export function scanBodyPart(
  start: usize,
  body: usize,
  end: usize,
  count: u32,
  isStream: bool,
  invalidBefore: u32,
  entriesBefore: u32
): u32 {
  clearResults(start)
  clearRefusal()
  setSkip(0, 0)
  beginUnit()
  const openMarker = body > start ? start : 0
  const behind = scanEntriesPart(
    body,
    end,
    count,
    isStream,
    openMarker,
    openMarker ? body : 0,
    invalidBefore,
    entriesBefore
  )
  if (behind == WRONG) return 1
  consumedBytes = partEnd - start
  partMarker = marker ? <u32>(marker - start) : 0
  partMarkerBytes = marker ? <u32>(markerEnd - marker) : 0
  addUnit(KIND_ENTRIES, start, 0, body, partEnd, body, partEnd, 0, 0, false, 0)
  return 0
}

let partMarker: u32 = 0
let partMarkerBytes: u32 = 0

/** Entries of the array that are behind the part. */
export function scanPartLeft(): u32 {
  return partLeft
}

export function scanPartEntries(): u32 {
  return entriesRead
}

export function scanPartInvalidRun(): u32 {
  return invalidRun
}

/** The marker that is open where the part was left; 0 bytes: none. */
export function scanPartMarker(): u32 {
  return partMarker
}

export function scanPartMarkerBytes(): u32 {
  return partMarkerBytes
}
