// Runs on: any.
// What one destination has finished of one shard, as the bytes of a cursor slot and back. Pure.

import { CURSOR_RANGES_MAX } from '../../core/limits.ts'
import { OFFSET_MAX } from '../../core/position.ts'
import type { FrameHash } from '../format/frame.ts'
import {
  CURSOR_COUNTER_NAME_BYTES_MAX,
  CURSOR_COUNTERS_MAX,
  CURSOR_SLOT,
  FORMAT_MAJOR,
  FORMAT_MINOR,
  STORE_INCOMPATIBLE_KNOWN
} from '../format/layout.ts'
import { checkFormat } from '../format/version.ts'
import { NUMBER_MAX, readU64, writeU64 } from '../format/words.ts'

export interface OutcomeCount {
  records: number
  bytes: number
}

/** All that a cursor file remembers. */
export interface CursorContent {
  readonly generation: number
  /** Offset at which the destination began: nothing below was ever its business. */
  readonly origin: number
  /** Every offset below is finished. */
  readonly low: number
  /** Finished ranges [first, end) above `low`: sorted, apart from each other. */
  readonly ranges: readonly (readonly [number, number])[]
  readonly counts: ReadonlyMap<string, Readonly<OutcomeCount>>
}

const AT = CURSOR_SLOT.at
const HASH_BYTES = 8

/** Bytes of a slot that hold something. */
export function encodeCursorSlot(content: CursorContent, hash: FrameHash, salt: bigint): Buffer {
  const into = Buffer.alloc(CURSOR_SLOT.byteCount)
  into.writeUInt32LE(CURSOR_SLOT.magic, AT.magic)
  into.writeUInt8(FORMAT_MAJOR, AT.major)
  into.writeUInt8(FORMAT_MINOR, AT.minor)
  into.writeUInt16LE(STORE_INCOMPATIBLE_KNOWN, AT.incompatible)
  into.writeUInt32LE(content.ranges.length, AT.rangeCount)
  writeU64(into, content.generation, AT.generation)
  writeU64(into, content.origin, AT.origin)
  writeU64(into, content.low, AT.low)
  into.writeUInt32LE(content.counts.size, AT.counterCount)
  let at: number = CURSOR_SLOT.headerBytes
  for (const [name, count] of content.counts) {
    const nameBytes = into.write(name, at + 1, CURSOR_COUNTER_NAME_BYTES_MAX, 'latin1')
    into.writeUInt8(nameBytes, at)
    at += 1 + nameBytes
    writeU64(into, count.records, at)
    writeU64(into, count.bytes, at + 8)
    at += 16
  }
  for (const [first, end] of content.ranges) {
    into.writeUIntLE(first, at, 6)
    into.writeUIntLE(end, at + 6, 6)
    at += CURSOR_SLOT.rangeBytes
  }
  into.writeUInt32LE(at, AT.usedBytes)
  into.writeBigUInt64LE(hash([into.subarray(0, at)], salt), at)
  return into.subarray(0, at + HASH_BYTES)
}

/** Null: torn, foreign or never written. Throws MR_STORE_FORMAT when another release wrote it: its place is not guessed. */
export function decodeCursorSlot(
  slot: Buffer,
  hash: FrameHash,
  salt: bigint
): CursorContent | null {
  if (slot.length < CURSOR_SLOT.headerBytes + HASH_BYTES) return null
  if (slot.readUInt32LE(AT.magic) !== CURSOR_SLOT.magic) return null
  const usedBytes = slot.readUInt32LE(AT.usedBytes)
  if (usedBytes < CURSOR_SLOT.headerBytes || usedBytes + HASH_BYTES > slot.length) return null
  const used = slot.subarray(0, usedBytes)
  if (hash([used], salt) !== slot.readBigUInt64LE(usedBytes)) return null
  const format = {
    major: used.readUInt8(AT.major),
    incompatible: used.readUInt16LE(AT.incompatible)
  }
  checkFormat('a cursor', format, STORE_INCOMPATIBLE_KNOWN)
  const counterCount = used.readUInt32LE(AT.counterCount)
  const rangeCount = used.readUInt32LE(AT.rangeCount)
  if (counterCount > CURSOR_COUNTERS_MAX || rangeCount > CURSOR_RANGES_MAX) return null
  const counters = decodeCounters(used, counterCount)
  if (counters === null) return null
  const low = readU64(used, AT.low)
  const ranges = decodeRanges(used, counters.endByte, rangeCount, low)
  if (ranges === null || low > OFFSET_MAX) return null
  return {
    generation: readU64(used, AT.generation),
    origin: readU64(used, AT.origin),
    low,
    ranges,
    counts: counters.counts
  }
}

function decodeCounters(
  used: Buffer,
  counterCount: number
): { counts: Map<string, OutcomeCount>; endByte: number } | null {
  const counts = new Map<string, OutcomeCount>()
  let at: number = CURSOR_SLOT.headerBytes
  for (let index = 0; index < counterCount; index++) {
    if (at >= used.length) return null
    const nameEnd = at + 1 + used.readUInt8(at)
    if (nameEnd + 16 > used.length) return null
    const records = readU64(used, nameEnd)
    const bytes = readU64(used, nameEnd + 8)
    if (records > NUMBER_MAX || bytes > NUMBER_MAX) return null
    counts.set(used.toString('latin1', at + 1, nameEnd), { records, bytes })
    at = nameEnd + 16
  }
  return { counts, endByte: at }
}

function decodeRanges(
  used: Buffer,
  startByte: number,
  rangeCount: number,
  low: number
): [number, number][] | null {
  if (startByte + rangeCount * CURSOR_SLOT.rangeBytes !== used.length) return null
  const ranges: [number, number][] = []
  let before = low
  for (let index = 0; index < rangeCount; index++) {
    const at = startByte + index * CURSOR_SLOT.rangeBytes
    const first = used.readUIntLE(at, 6)
    const end = used.readUIntLE(at + 6, 6)
    if (first <= before || end <= first) return null
    ranges.push([first, end])
    before = end
  }
  return ranges
}
