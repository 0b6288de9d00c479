// Finds the messages of a stream. Each byte is read a bounded number of times: a message that is not
// complete is only skipped over, and read once when its end is known. bench/micro/kernel/scan.bench.ts measures it.

import { CUT, isArrayByte, WRONG } from './msgpack'
import { setNestingMax } from './record-check'
import { scanEntries, setEntryLimits, spansPerMessage } from './scan-entries'
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
import { neededBytes, scannedBytes, setSkip, skipMessage, valuesLeft } from './scan-skip'
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
