// Entries as the queue stores them: where time, metadata and record are.

import { FORM_ENTRIES } from '../codes'
import {
  arrayStart,
  be16,
  be32,
  be64,
  headerCount,
  isArrayByte,
  isMapByte,
  mapStart,
  skipValue,
  skipValues,
  textStart,
  WRONG
} from './msgpack'
import { setMeta } from './path'
import { SECONDS_FIRST } from './time'
import { extNs, extSecond, extTime, isExtByte } from './value'

/** Record number in the shard. */
export let entryOffset: u64 = 0
/** Event time; steps may set it. */
export let recordSecond: i64 = 0
export let recordNs: u32 = 0
/** Append time of the frame: arrival of its entries, and "now" for everything that asks. */
export let arrivalSecond: i64 = 0
export let arrivalNs: u32 = 0
/** Entries whose time could not be read, over the task. */
export let badTimes: u64 = 0

/** Values behind the record that belong to the entry. */
let extraCount: u32 = 0

/** openEntry: a marker of a group of OpenTelemetry records, which is no record. */
export const ENTRY_MARKER: usize = 1
/** openEntry: complete, but no entry. */
export const ENTRY_WRONG: usize = 2
/** openEntry: the bytes end within the entry. */
export const ENTRY_CUT: usize = 0

export function setEntryOffset(offset: u64): void {
  entryOffset = offset
}

export function setArrival(second: i64, ns: u32): void {
  arrivalSecond = second
  arrivalNs = ns
}

@inline
export function setRecordTime(second: i64, ns: u32): void {
  recordSecond = second
  recordNs = ns
}

export function resetBadTimes(): void {
  badTimes = 0
}

/** Place of the record of the entry at `p`, or ENTRY_*. */
export function openEntry(p: usize, end: usize, form: u32, wantsOption: bool): usize {
  setMeta(0, 0)
  // [EventTime, record], as nearly all entries are.
  if (form == FORM_ENTRIES && p + 12 <= end && load<u8>(p) == 0x92 && load<u16>(p, 1) == 0x00d7) {
    setEventTime(p + 3)
    extraCount = 0
    return p + 11
  }
  p = arrayStart(p, end)
  if (p <= WRONG) return p == WRONG ? ENTRY_WRONG : ENTRY_CUT
  let count = headerCount
  if (form != FORM_ENTRIES) {
    // The tag stands in the group too.
    if (!count) return ENTRY_WRONG
    p = skipValue(p, end)
    if (!p) return ENTRY_CUT
    count--
  }
  if (count < 2) return ENTRY_WRONG
  extraCount = count - 2
  if (p >= end) return ENTRY_CUT
  let isMarker = false
  if (isArrayByte(load<u8>(p))) {
    isMarker = form == FORM_ENTRIES && isMarkerTime(p, end)
    p = openHeader(p, end)
  } else {
    const after = skipValue(p, end)
    if (after) readTime(p)
    p = after
  }
  if (!p || p >= end) return ENTRY_CUT
  if (isMarker) return ENTRY_MARKER
  if (wantsOption && form != FORM_ENTRIES && extraCount) findOption(p, end)
  return p
}

/** Behind the entry whose record ends at `p`, or 0. */
@inline
export function closeEntry(p: usize, end: usize): usize {
  return extraCount ? skipValues(p, end, extraCount) : p
}

/** Behind an entry whose record begins at `p`, or 0. */
export function skipRecord(p: usize, end: usize): usize {
  return skipValues(p, end, <u64>extraCount + 1)
}

/** Reads `[time, metadata]`; returns the place behind. */
function openHeader(p: usize, end: usize): usize {
  const after = skipValue(p, end)
  if (!after) return 0
  p = arrayStart(p, end)
  const count = headerCount
  if (!count) {
    badTime()
    return after
  }
  readTime(p)
  if (count > 1) {
    const map = skipValue(p, end)
    takeMeta(map, skipValue(map, end))
  }
  return after
}

/** Metadata that is no map, or empty, is none. */
function takeMeta(p: usize, end: usize): void {
  if (!isMapByte(load<u8>(p))) return
  mapStart(p, end)
  if (headerCount) setMeta(p, end)
}

/** Times fffffffe and ffffffff without nanoseconds open and close a group. */
function isMarkerTime(p: usize, end: usize): bool {
  p = arrayStart(p, end)
  if (p <= WRONG || p + 10 > end) return false
  return load<u16>(p) == 0x00d7 && be32(p + 2) >= 0xfffffffe && be32(p + 6) == 0
}

/** Metadata of a Message-mode entry: `metadata` among its options. */
function findOption(record: usize, end: usize): void {
  let p = skipValue(record, end)
  if (!p || p >= end || !isMapByte(load<u8>(p))) return
  p = mapStart(p, end)
  let left = headerCount
  while (left--) {
    const key = textStart(p, end)
    // "metadata" as one word.
    const isHit = key > WRONG && headerCount == 8 && load<u64>(key) == 0x617461646174656d
    p = skipValue(p, end)
    if (!p) return
    const after = skipValue(p, end)
    if (!after) return
    if (isHit) takeMeta(p, after)
    p = after
  }
}

function badTime(): void {
  badTimes++
  setRecordTime(arrivalSecond, arrivalNs)
}

@inline
function setEventTime(p: usize): void {
  const second = be32(p)
  const ns = be32(p + 4)
  if (!second && !ns) setRecordTime(arrivalSecond, arrivalNs)
  else if (ns >= 1000000000) setRecordTime(<i64>second + ns / 1000000000, ns % 1000000000)
  else setRecordTime(second, ns)
}

/** A time of any encoding; the value at `p` is complete. */
function readTime(p: usize): void {
  const c: u32 = load<u8>(p++)
  if (isExtByte(c)) {
    if (!extTime(p - 1)) return badTime()
    if (!extSecond && !extNs) return setRecordTime(arrivalSecond, arrivalNs)
    return setRecordTime(extSecond, extNs)
  }
  if (c == 0xc0) return setRecordTime(arrivalSecond, arrivalNs)
  if (c < 0x80) return setWhole(c)
  if (c >= 0xe0) return setWhole(<i64>(<i8>c))
  switch (c) {
    case 0xca:
      return setFraction(<f64>reinterpret<f32>(be32(p)))
    case 0xcb:
      return setFraction(reinterpret<f64>(be64(p)))
    case 0xcc:
    case 0xd0:
      return setWhole(c == 0xcc ? <i64>load<u8>(p) : <i64>load<i8>(p))
    case 0xcd:
    case 0xd1:
      return setWhole(c == 0xcd ? <i64>be16(p) : <i64>(<i16>be16(p)))
    case 0xce:
      return setWhole(be32(p))
    // Go writes the low 32 bits of a signed value: seconds from 2038 on.
    case 0xd2:
      return setWhole(be32(p))
    case 0xcf: {
      const v = be64(p)
      // Nanoseconds beyond what is left of i64.
      if (<i64>v < 0) return setRecordTime(v / 1000000000, <u32>(v % 1000000000))
      return setWhole(v)
    }
    case 0xd3:
      return setWhole(be64(p))
  }
  badTime()
}

/** Whole seconds, or what is too large for that: milliseconds, microseconds, nanoseconds. Before 1970 always seconds. */
function setWhole(v: i64): void {
  if (v < SECONDS_FIRST) return badTime()
  if (v == 0) return setRecordTime(arrivalSecond, arrivalNs)
  if (v < 100000000000) return setRecordTime(v, 0)
  if (v < 100000000000000) return setRecordTime(v / 1000, <u32>(v % 1000) * 1000000)
  if (v < 100000000000000000) return setRecordTime(v / 1000000, <u32>(v % 1000000) * 1000)
  setRecordTime(v / 1000000000, <u32>(v % 1000000000))
}

function setFraction(v: f64): void {
  if (!(v >= <f64>SECONDS_FIRST && v < 9e18)) return badTime()
  if (v == 0) return setRecordTime(arrivalSecond, arrivalNs)
  if (v >= 1e11) return setWhole(<i64>v)
  const whole = Math.floor(v)
  setRecordTime(<i64>whole, min<u32>(<u32>((v - whole) * 1e9 + 0.5), 999999999))
}
