// Tables that a scan fills and the face in scan-kernel.ts reads. All places are relative to the scanned bytes.
// A unit is written when its message is complete; until then its counters stand in the variables below.

/** Layouts, in bytes. The face holds the same numbers (scan-rows.ts). */
export const UNIT_BYTES: usize = 128
export const SPAN_BYTES: usize = 28
export const ACK_BYTES: usize = 8

export const KIND_ENTRIES: u32 = 1
export const KIND_MESSAGES: u32 = 2
export const KIND_GZIP: u32 = 3
export const KIND_ZSTD: u32 = 4
export const KIND_SKIPPED: u32 = 5
export const KIND_INVALID: u32 = 6

export const INVALID_MESSAGE: u32 = 0
export const INVALID_NOT_ENTRY: u32 = 1
export const INVALID_RECORD: u32 = 2
export const INVALID_TOO_DEEP: u32 = 3
export const INVALID_TOO_LARGE: u32 = 4
export const INVALID_CUT: u32 = 5
export const INVALID_NESTED: u32 = 6
/** Not invalid, but counted beside: batches within a batch that were unwrapped. */
export const UNWRAPPED: u32 = 7

export const GIVEN_UP_INVALID: u32 = 1
export const GIVEN_UP_ENTRIES: u32 = 2
export const GIVEN_UP_SPANS: u32 = 3

export let base: usize = 0
export let unitRows: usize = 0
export let unitsMax: u32 = 0
export let spanRows: usize = 0
export let spansMax: u32 = 0
export let ackRows: usize = 0
export let acksMax: u32 = 0

export let unitCount: u32 = 0
export let spanCount: u32 = 0
export let ackCount: u32 = 0

export let recordCount: u32 = 0
export let badTimeCount: u32 = 0
export let arrivalCount: u32 = 0
export let markerCount: u32 = 0
export let givenUp: u32 = 0
export let givenUpByte: usize = 0
export let minSeconds: f64 = Infinity
export let maxSeconds: f64 = -Infinity
const invalid = memory.data(32)

export function setTables(
  units: usize,
  unitLimit: u32,
  spans: usize,
  spanLimit: u32,
  acks: usize,
  ackLimit: u32
): void {
  unitRows = units
  unitsMax = unitLimit
  spanRows = spans
  spansMax = spanLimit
  ackRows = acks
  acksMax = ackLimit
}

export function clearResults(start: usize): void {
  base = start
  unitCount = 0
  spanCount = 0
  ackCount = 0
}

export function beginUnit(): void {
  recordCount = 0
  badTimeCount = 0
  arrivalCount = 0
  markerCount = 0
  givenUp = 0
  givenUpByte = base
  minSeconds = Infinity
  maxSeconds = -Infinity
  memory.fill(invalid, 0, 32)
}

@inline
export function countInvalid(reason: u32): void {
  const at = invalid + (reason << 2)
  store<u32>(at, load<u32>(at) + 1)
}

export function countTime(isBad: bool): void {
  arrivalCount++
  if (isBad) badTimeCount++
}

@inline
export function boundTime(lowest: f64, highest: f64): void {
  if (lowest < minSeconds) minSeconds = lowest
  if (highest > maxSeconds) maxSeconds = highest
}

export function addRecords(count: u32): void {
  recordCount += count
}

export function addMarker(): void {
  markerCount++
}

export function giveUp(reason: u32, at: usize): void {
  givenUp = reason
  givenUpByte = at
}

export function addSpan(
  start: usize,
  end: usize,
  records: u32,
  marker: usize,
  markerEnd: usize,
  tag: usize,
  tagBytes: u32
): void {
  const row = spanRows + <usize>spanCount * SPAN_BYTES
  store<u32>(row, <u32>(start - base))
  store<u32>(row, <u32>(end - base), 4)
  store<u32>(row, records, 8)
  store<u32>(row, marker ? <u32>(marker - base) : 0, 12)
  store<u32>(row, marker ? <u32>(markerEnd - base) : 0, 16)
  store<u32>(row, tag ? <u32>(tag - base) : 0, 20)
  store<u32>(row, tagBytes, 24)
  spanCount++
}

/** Takes back the spans of a message that is not complete, or that holds no records. */
export function dropSpans(firstSpan: u32): void {
  spanCount = firstSpan
}

export function addAck(start: usize, byteCount: u32): void {
  const row = ackRows + <usize>ackCount * ACK_BYTES
  store<u32>(row, <u32>(start - base))
  store<u32>(row, byteCount, 4)
  ackCount++
}

/** Writes the unit of the counters above. Its spans are those since firstSpan, its ack the last one. */
export function addUnit(
  kind: u32,
  tag: usize,
  tagBytes: u32,
  start: usize,
  end: usize,
  body: usize,
  bodyEnd: usize,
  firstSpan: u32,
  acks: u32,
  isMismatch: bool,
  signal: u32
): void {
  const row = unitRows + <usize>unitCount * UNIT_BYTES
  store<u32>(row, kind)
  store<u32>(row, <u32>(tag - base), 4)
  store<u32>(row, tagBytes, 8)
  store<u32>(row, <u32>(start - base), 12)
  store<u32>(row, <u32>(end - base), 16)
  store<u32>(row, <u32>(body - base), 20)
  store<u32>(row, <u32>(bodyEnd - base), 24)
  store<u32>(row, firstSpan, 28)
  store<u32>(row, spanCount - firstSpan, 32)
  store<u32>(row, ackCount - acks, 36)
  store<u32>(row, acks, 40)
  store<u32>(row, recordCount, 44)
  memory.copy(row + 48, invalid, 32)
  store<u32>(row, badTimeCount, 80)
  store<u32>(row, arrivalCount, 84)
  store<u32>(row, markerCount, 88)
  store<u32>(row, givenUp, 92)
  store<u32>(row, <u32>(givenUpByte - base), 96)
  store<u32>(row, isMismatch ? 1 : 0, 100)
  store<f64>(row, minSeconds, 104)
  store<f64>(row, maxSeconds, 112)
  store<u32>(row, 1, 120)
  store<u32>(row, signal, 124)
  unitCount++
}

/** One more message of the unit written last: it ends at `end`, and so does its only span. */
export function mergeMessage(
  end: usize,
  acks: u32,
  isArrival: bool,
  isBad: bool,
  seconds: f64
): void {
  const row = unitRows + <usize>(unitCount - 1) * UNIT_BYTES
  const span = spanRows + <usize>(spanCount - 1) * SPAN_BYTES
  const endByte = <u32>(end - base)
  store<u32>(row, endByte, 16)
  store<u32>(row, endByte, 24)
  store<u32>(row, load<u32>(row, 40) + acks, 40)
  store<u32>(row, load<u32>(row, 44) + 1, 44)
  store<u32>(row, load<u32>(row, 120) + 1, 120)
  store<u32>(span, endByte, 4)
  store<u32>(span, load<u32>(span, 8) + 1, 8)
  if (isArrival) {
    store<u32>(row, load<u32>(row, 84) + 1, 84)
    if (isBad) store<u32>(row, load<u32>(row, 80) + 1, 80)
    return
  }
  if (seconds < load<f64>(row, 104)) store<f64>(row, seconds, 104)
  if (seconds > load<f64>(row, 112)) store<f64>(row, seconds, 112)
}
