// OTLP logs (protobuf ExportLogsServiceRequest, opentelemetry-proto 1.x) to entries [EventTime, map], one group per call: the
// records of one resource and scope. Resource and scope are written once per group and copied into each record.

import {
  beginOutput,
  closeGroup,
  hasRoom,
  moveOutput,
  out,
  putByte,
  putBytes,
  putText,
  putUnsigned
} from './json-writer'
import {
  clearTooDeep,
  isId,
  isTooDeep,
  lastValue,
  putHex,
  putName,
  putPairs,
  putValue,
  setNestingMax,
  valueEnd,
  valueField,
  valueStart
} from './otlp-value'
import { bits, bytesEnd, bytesStart, field, nextField, WIRE_BYTES, wire } from './protobuf'
import { beginEntries, beginEntry, ENTRY_BYTES, endEntry, setDefaultTime } from './record-entries'
import { noteTime } from './record-rules'

const STATUS_DONE: u32 = 0
const STATUS_GROUP: u32 = 1
const STATUS_MALFORMED: u32 = 2
/** The same group again, with more room. */
const STATUS_NO_ROOM: u32 = 3
const STATUS_RESOURCE_TOO_LARGE: u32 = 4

/** Keys and headers that are written around what a message holds. */
const FRAME_BYTES: usize = 256

let requestAt: usize = 0
let requestEnd: usize = 0
let resourceAt: usize = 0
let resourceEnd: usize = 0
let scratch: usize = 0
let scratchEnd: usize = 0
/** Pairs of the resource in the scratch, those of the scope behind them. */
let scopePairs: usize = 0
let pairsEnd: usize = 0
let pairCount: u32 = 0
let resourcePairCount: u32 = 0
/** Places of records that nest too deep: pairs of 32-bit addresses. */
let rejects: usize = 0
let rejectsMax: u32 = 0
let rejectCount: u32 = 0

export function otlpRejectCount(): u32 {
  return rejectCount
}

/** End of the pairs of the last group, which begin where the scratch does. */
export function otlpPairsEnd(): usize {
  return pairsEnd
}

export function otlpPairCount(): u32 {
  return pairCount
}

export function otlpBegin(
  start: usize,
  end: usize,
  pairs: usize,
  pairsMax: usize,
  rejectTable: usize,
  rejectsOfTable: u32,
  nesting: u32,
  seconds: f64,
  nanos: u32
): void {
  requestAt = start
  requestEnd = end
  resourceAt = 0
  scratch = pairs
  scratchEnd = pairs + pairsMax
  rejects = rejectTable
  rejectsMax = rejectsOfTable
  rejectCount = 0
  setNestingMax(nesting)
  setDefaultTime(<i64>seconds, nanos)
}

/** End of the written entries of otlpNext when it says that there is a group. */
export function otlpEnd(): usize {
  return out
}

/** Goes on to the next scope that has records. */
export function otlpNext(target: usize, targetEnd: usize): u32 {
  let status = STATUS_DONE
  while (status == STATUS_DONE) {
    if (resourceAt == 0) {
      status = nextResource()
      if (status != STATUS_GROUP) break
    }
    status = nextScope(target, targetEnd)
    if (status == STATUS_DONE) resourceAt = 0
  }
  return status
}

/** The same within the resource; STATUS_DONE: it has no more. */
function nextScope(target: usize, targetEnd: usize): u32 {
  while (resourceAt < resourceEnd) {
    const behind = nextField(resourceAt, resourceEnd)
    if (behind == 0) return STATUS_MALFORMED
    let status = STATUS_DONE
    if (field == 2 && wire == WIRE_BYTES) {
      status = readScope(bytesStart, bytesEnd, target, targetEnd)
    }
    if (status != STATUS_NO_ROOM) resourceAt = behind
    if (status != STATUS_DONE) return status
  }
  return STATUS_DONE
}

/** Finds the next ResourceLogs and writes the pairs of its resource. */
function nextResource(): u32 {
  while (requestAt < requestEnd) {
    const behind = nextField(requestAt, requestEnd)
    if (behind == 0) return STATUS_MALFORMED
    requestAt = behind
    if (field != 1 || wire != WIRE_BYTES) continue
    resourceAt = bytesStart
    resourceEnd = bytesEnd
    return writeResource(bytesStart, bytesEnd)
  }
  return STATUS_DONE
}

function writeResource(p: usize, end: usize): u32 {
  let start: usize = 0
  let behind: usize = 0
  while (p < end) {
    p = nextField(p, end)
    if (p == 0) return STATUS_MALFORMED
    if (field == 1 && wire == WIRE_BYTES) {
      start = bytesStart
      behind = bytesEnd
    }
  }
  beginOutput(scratch, scratchEnd)
  if (!hasRoom((behind - start) * 2 + FRAME_BYTES)) return STATUS_RESOURCE_TOO_LARGE
  resourcePairCount = 0
  if (start < behind) {
    putName('resource')
    const map = out
    putByte(0x80)
    const status = putAttributes(start, behind, 1)
    if (status == STATUS_GROUP) store<u8>(map, 0x81)
    else if (status != STATUS_DONE) return STATUS_MALFORMED
    resourcePairCount = 1
  }
  scopePairs = out
  return STATUS_GROUP
}

function readScope(p: usize, end: usize, target: usize, targetEnd: usize): u32 {
  const first = p
  let start: usize = 0
  let behind: usize = 0
  while (p < end) {
    p = nextField(p, end)
    if (p == 0) return STATUS_MALFORMED
    if (field == 1 && wire == WIRE_BYTES) {
      start = bytesStart
      behind = bytesEnd
    }
  }
  beginOutput(scopePairs, scratchEnd)
  if (!hasRoom((behind - start) * 2 + FRAME_BYTES)) return STATUS_RESOURCE_TOO_LARGE
  if (!putScope(start, behind)) return STATUS_MALFORMED
  pairsEnd = out
  beginEntries(first, target, targetEnd)
  const rejectsBefore = rejectCount
  const empty = out
  p = first
  while (p < end) {
    p = nextField(p, end)
    if (field != 2 || wire != WIRE_BYTES) continue
    const status = readRecord(bytesStart, bytesEnd)
    if (status == STATUS_NO_ROOM) rejectCount = rejectsBefore
    if (status != STATUS_DONE) return status
  }
  return out == empty ? STATUS_DONE : STATUS_GROUP
}

/** `scope: {name, version, attributes}`, of what there is. */
function putScope(p: usize, end: usize): bool {
  pairCount = resourcePairCount
  if (p == end) return true
  const first = p
  const before = out
  putName('scope')
  const map = out
  let count: u32 = 0
  putByte(0x80)
  while (p < end) {
    p = nextField(p, end)
    if (p == 0) return false
    const isText = wire == WIRE_BYTES && bytesStart < bytesEnd && (field == 1 || field == 2)
    if (!isText) continue
    if (field == 1) putName('name')
    else putName('version')
    putText(bytesStart, bytesEnd - bytesStart)
    count++
  }
  const status = putAttributes(first, end, 3)
  if (status == STATUS_MALFORMED) return false
  if (status == STATUS_GROUP) count++
  if (count == 0) {
    moveOutput(before)
    return true
  }
  pairCount++
  return closeGroup(map, count, 0x80, 0xde)
}

/** The pair `attributes` of the KeyValues that the message holds as `number`; STATUS_DONE: there are none. */
function putAttributes(p: usize, end: usize, number: u32): u32 {
  const before = out
  putName('attributes')
  const map = out
  putByte(0x80)
  clearTooDeep()
  const count = putPairs(p, end, number, 3)
  if (count < 0) return STATUS_MALFORMED
  if (count == 0) {
    moveOutput(before)
    return STATUS_DONE
  }
  return closeGroup(map, <u32>count, 0x80, 0xde) ? STATUS_GROUP : STATUS_MALFORMED
}

// Of the LogRecord that is being read.
let severityNumber: u64 = 0
let severityStart: usize = 0
let severityEnd: usize = 0
let bodyStart: usize = 0
let bodyEnd: usize = 0
let traceStart: usize = 0
let traceEnd: usize = 0
let spanStart: usize = 0
let spanEnd: usize = 0
let eventStart: usize = 0
let eventEnd: usize = 0
let flags: u64 = 0
let timeNano: u64 = 0
let observedNano: u64 = 0

function findFields(p: usize, end: usize): bool {
  severityNumber = flags = timeNano = observedNano = 0
  severityStart = bodyStart = traceStart = spanStart = eventStart = 0
  severityEnd = bodyEnd = traceEnd = spanEnd = eventEnd = 0
  while (p < end) {
    p = nextField(p, end)
    if (p == 0) return false
    if (wire == WIRE_BYTES) {
      if (field == 3) {
        severityStart = bytesStart
        severityEnd = bytesEnd
      } else if (field == 5) {
        bodyStart = bytesStart
        bodyEnd = bytesEnd
      } else if (field == 9) {
        traceStart = bytesStart
        traceEnd = bytesEnd
      } else if (field == 10) {
        spanStart = bytesStart
        spanEnd = bytesEnd
      } else if (field == 12) {
        eventStart = bytesStart
        eventEnd = bytesEnd
      }
    } else if (field == 1) timeNano = bits
    else if (field == 2) severityNumber = bits
    else if (field == 8) flags = bits & 0xff
    else if (field == 11) observedNano = bits
  }
  return true
}

function readRecord(p: usize, end: usize): u32 {
  if (!hasRoom(ENTRY_BYTES + (end - p) * 2 + (pairsEnd - scratch) + FRAME_BYTES)) return STATUS_NO_ROOM
  if (!findFields(p, end)) return STATUS_MALFORMED
  const entry = out
  const record = beginEntry()
  putByte(0x80)
  clearTooDeep()
  let count = putFields() + pairCount
  const status = putAttributes(p, end, 6)
  if (status == STATUS_GROUP) count++
  putBytes(scratch, pairsEnd - scratch)
  const bodyCount = status == STATUS_MALFORMED ? -1 : putBody(bodyStart, bodyEnd)
  if (bodyCount < 0) {
    moveOutput(entry)
    if (!isTooDeep || rejectCount == rejectsMax) return STATUS_MALFORMED
    store<u32>(rejects + (<usize>rejectCount << 3), <u32>p)
    store<u32>(rejects + (<usize>rejectCount << 3), <u32>end, 4)
    rejectCount++
    return STATUS_DONE
  }
  closeGroup(record, count + <u32>bodyCount, 0x80, 0xde)
  const time = timeNano ? timeNano : observedNano
  if (time) noteTime(<i64>(time / 1000000000), <u32>(time % 1000000000))
  endEntry(entry, record)
  return STATUS_DONE
}

/** Severity, ids and name of the event, as far as they are there; gives how many. */
function putFields(): u32 {
  let count: u32 = 0
  if (severityNumber) {
    putName('severity_number')
    putUnsigned(severityNumber)
    count++
  }
  if (severityStart < severityEnd) {
    putName('severity_text')
    putText(severityStart, severityEnd - severityStart)
    count++
  }
  if (isId(traceStart, traceEnd)) {
    putName('trace_id')
    putHex(traceStart, traceEnd)
    count++
  }
  if (isId(spanStart, spanEnd)) {
    putName('span_id')
    putHex(spanStart, spanEnd)
    count++
  }
  if (flags) {
    putName('trace_flags')
    putUnsigned(flags)
    count++
  }
  if (eventStart < eventEnd) {
    putName('event_name')
    putText(eventStart, eventEnd - eventStart)
    count++
  }
  return count
}

/** The body under `log`, or the pairs of a body that is a map; gives how many pairs, -1: malformed or too deep. */
function putBody(p: usize, end: usize): i32 {
  if (p == end) return 0
  if (!lastValue(p, end)) return -1
  if (valueField == 6) return putPairs(valueStart, valueEnd, 1, 2)
  putName('log')
  return putValue(p, end, 2) ? 1 : -1
}
