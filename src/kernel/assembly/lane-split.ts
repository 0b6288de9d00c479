// Cuts a run of valid entries or messages by the value of a field: every record has a lane, records of one lane keep their
// order. Two calls: laneSplit notes stretches of neighbours with one lane, laneGather copies them lane by lane. Lanes are
// stable for ever: hash of the value's text (of its bytes when it is no text), modulo the number of lanes.

import {
  arrayStart,
  headerCount,
  isArrayByte,
  isMapByte,
  isTextByte,
  mapStart,
  skipValue,
  skipValues,
  textStart
} from './msgpack'
import { readHeader } from './scan-entries'
import { markerSeconds } from './scan-time'
import { xxh64 } from './xxh64'

/** Rows of 12 bytes: lane, start, end. */
const ROW_BYTES: usize = 12
/** Per lane: bytes, records, the marker that it has been given, where its next bytes go. */
const LANE_BYTES: usize = 16
const MARKER_SECONDS_MIN: u32 = 0xfffffffe
/** 92 d7 00: [EventTime, ...], read as three little-endian bytes. */
const COMMON_ENTRY: u32 = 0x00d792
const COMMON_HEADER_BYTES: usize = 11
const FORM_MESSAGES: u32 = 2
/** Seed of the lane of a key; it never changes, or keys would move between lanes. */
const LANE_SEED: u64 = 0

let rows: usize = 0
let rowsMax: u32 = 0
let lanesAt: usize = 0
let rowCount: u32 = 0
let splitBase: usize = 0
let pathAt: usize = 0
let pathEnd: usize = 0
/** Bytes of the group marker that is open for the records that follow; its end 0: none was met. */
let marker: usize = 0
let markerEnd: usize = 0

export function laneSetTables(rowArea: usize, rowLimit: u32, laneArea: usize): void {
  rows = rowArea
  rowsMax = rowLimit
  lanesAt = laneArea
}

/** The lane of a key. */
export function laneOfKey(p: usize, byteCount: usize, laneCount: u32): u32 {
  return <u32>(xxh64(p, byteCount, LANE_SEED) % <u64>laneCount)
}

/** The value under `path` (MessagePack texts side by side) in the map at p, or 0. */
function valueAt(p: usize, end: usize): usize {
  let key = pathAt
  while (key < pathEnd) {
    if (p >= end || !isMapByte(load<u8>(p))) return 0
    const wanted = textStart(key, pathEnd)
    const wantedBytes = headerCount
    key = wanted + wantedBytes
    p = mapStart(p, end)
    let pairs = headerCount
    let isFound = false
    while (pairs) {
      pairs--
      if (isTextByte(load<u8>(p))) {
        p = textStart(p, end)
        const byteCount = headerCount
        isFound = byteCount == wantedBytes && memory.compare(p, wanted, wantedBytes) == 0
        p += byteCount
        if (isFound) break
      } else {
        p = skipValue(p, end)
      }
      p = skipValue(p, end)
      if (p == 0) return 0
    }
    if (!isFound) return 0
  }
  return p
}

function laneOfRecord(record: usize, end: usize, laneCount: u32, otherLane: u32): u32 {
  const value = valueAt(record, end)
  // nil says as little as no field.
  if (!value || load<u8>(value) == 0xc0) return otherLane
  if (isTextByte(load<u8>(value))) {
    const text = textStart(value, end)
    return laneOfKey(text, headerCount, laneCount)
  }
  return laneOfKey(value, skipValue(value, end) - value, laneCount)
}

@inline
function laneRow(lane: u32): usize {
  return lanesAt + <usize>lane * LANE_BYTES
}

/** Adds [start, end) to a lane, to its last stretch where that ends at `start`. */
function addStretch(lane: u32, start: usize, end: usize): void {
  const at = laneRow(lane)
  store<u32>(at, load<u32>(at) + <u32>(end - start))
  const last = rows + <usize>(rowCount - 1) * ROW_BYTES
  if (rowCount && load<u32>(last) == lane && load<u32>(last, 8) == <u32>(start - splitBase)) {
    store<u32>(last, <u32>(end - splitBase), 8)
    return
  }
  const row = rows + <usize>rowCount * ROW_BYTES
  store<u32>(row, lane)
  store<u32>(row, <u32>(start - splitBase), 4)
  store<u32>(row, <u32>(end - splitBase), 8)
  rowCount++
}

/** Stretches of the last split. */
export function laneRowCount(): u32 {
  return rowCount
}

/** Begins with a run: nothing is known of its group markers. */
export function laneBegin(path: usize, pathBytes: usize): void {
  pathAt = path
  pathEnd = path + pathBytes
  marker = 0
  markerEnd = 0
}

/**
 * Notes entries from `p` on until `end`, the table is full or `bytesMax` would be passed; gives the byte that it came to.
 * A group marker is given to every lane before its next record, so each lane reads its records under the marker that was
 * open for them. Markers behind the last record of a lane say nothing to it and are left out.
 */
export function laneSplit(
  p: usize,
  end: usize,
  form: u32,
  laneCount: u32,
  otherLane: u32,
  bytesMax: u32
): usize {
  splitBase = p
  rowCount = 0
  memory.fill(lanesAt, 0, <usize>laneCount * LANE_BYTES)
  let byteCount: u32 = 0
  // An entry takes two rows when it comes with its marker.
  while (p < end && rowCount + 2 <= rowsMax) {
    const entry = p
    let record: usize
    let isMarker = false
    if (form == FORM_MESSAGES) {
      p = arrayStart(p, end)
      const elements = headerCount
      record = skipValues(p, end, 2)
      p = skipValues(record, end, elements - 2)
    } else if (
      (load<u32>(p) & 0xffffff) == COMMON_ENTRY &&
      isMapByte(load<u8>(p, COMMON_HEADER_BYTES))
    ) {
      record = p + COMMON_HEADER_BYTES
      p = skipValue(record, end)
    } else {
      p = arrayStart(p, end)
      const elements = headerCount
      const hasHeader = isArrayByte(load<u8>(p))
      record = hasHeader ? readHeader(p, end) : skipValue(p, end)
      isMarker = hasHeader && markerSeconds >= MARKER_SECONDS_MIN
      p = skipValues(record, end, elements - 1)
    }
    if (isMarker) {
      marker = entry
      markerEnd = p
      continue
    }
    const lane = laneOfRecord(record, p, laneCount, otherLane)
    const at = laneRow(lane)
    const isMarkerNew = markerEnd != 0 && load<u32>(at, 8) != <u32>marker
    const added = <u32>(p - entry) + (isMarkerNew ? <u32>(markerEnd - marker) : 0)
    if (byteCount && byteCount + added > bytesMax) return entry
    byteCount += added
    if (isMarkerNew) {
      addStretch(lane, marker, markerEnd)
      store<u32>(at, <u32>marker, 8)
    }
    addStretch(lane, entry, p)
    store<u32>(at, load<u32>(at, 4) + 1, 4)
  }
  return p
}

/** Copies the stretches to `target`, the lanes one after another. */
export function laneGather(target: usize, laneCount: u32): void {
  for (let lane: u32 = 0; lane < laneCount; lane++) {
    const at = laneRow(lane)
    store<u32>(at, <u32>target, 12)
    target += <usize>load<u32>(at)
  }
  for (let row: u32 = 0; row < rowCount; row++) {
    const at = rows + <usize>row * ROW_BYTES
    const lane = laneRow(load<u32>(at))
    const start = load<u32>(at, 4)
    const byteCount = load<u32>(at, 8) - start
    memory.copy(<usize>load<u32>(lane, 12), splitBase + <usize>start, <usize>byteCount)
    store<u32>(lane, load<u32>(lane, 12) + byteCount, 12)
  }
}
