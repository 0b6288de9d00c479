// Step 9. Runs on: main.
// What may be deleted of one shard, and what is given up to make room. Order is everything: the cursors are durable first,
// the file is unlinked second, nothing is third. A name that comes back after a power cut is deleted again at the next
// start. Offsets whose request is on the wire are not given up: they would arrive and be counted as dropped.

import { errnoOf } from '../../core/errors.ts'
import type { Cursor } from '../cursor/cursor.ts'
import type { HoleReason } from '../reader/segments.ts'
import type { ReadableSegment, ShardSegments } from '../reader/shard-segments.ts'
import { goneWithin, storedEnd } from './gone-ranges.ts'

/** A destination's cursor, and how far the queue goes for it. */
export interface Holder {
  readonly cursor: Cursor
  /** Whether segments wait for it; one that is not required is left behind when room is needed. */
  readonly isRequired: boolean
  /** Of one that is not required: how far it may fall behind; null: as far as there is room. */
  readonly lagBytesMax: number | null
  /** Parts of [first, end) that are on the wire. */
  readonly inFlightWithin: (first: number, end: number) => readonly (readonly [number, number])[]
}

/** Offset below which no holding cursor needs anything. Infinity without one: nothing holds. */
export function heldOffset(holding: readonly Cursor[]): number {
  return holding.reduce(
    (low, cursor) => Math.min(low, cursor.durableLowOffset),
    Number.POSITIVE_INFINITY
  )
}

export interface Deletion {
  readonly segmentCount: number
  /** Bytes of the files: the `removedBytes` of the shard's control block grow by it. */
  readonly byteCount: number
}

/** Deletes every complete segment wholly below `offset`, which must be durable in the cursors that hold. */
export function deleteBelow(segments: ShardSegments, offset: number): Deletion {
  let segmentCount = 0
  let byteCount = 0
  const dropped = segments.dropBelow(offset).map(({ path }) => path)
  for (const path of [...segments.undeleted.splice(0), ...dropped]) {
    const stat = segments.storage.stat(path)
    if (stat === null) continue
    try {
      segments.storage.unlink(path)
    } catch (error) {
      // It stays, and its bytes count until it can be deleted.
      if (errnoOf(error) !== 'ENOENT') {
        segments.undeleted.push(path)
        continue
      }
    }
    segmentCount++
    byteCount += stat.byteCount
  }
  return { segmentCount, byteCount }
}

/** The oldest segment, when it gets no more frames. */
export function oldestComplete(segments: ShardSegments): ReadableSegment | null {
  const first = segments.all[0]
  const readable = first === undefined ? null : segments.at(first.ordinal)
  return readable?.isComplete === true ? readable : null
}

/**
 * Moves holders past a segment, or as much of it as is below `endOffset`: what one had not finished is counted as dropped
 * for it, except what is on the wire. Not durable yet.
 */
export function passSegment(
  segments: ShardSegments,
  holders: readonly Holder[],
  segment: ReadableSegment,
  reason: string,
  endOffset = segment.endOffset
): void {
  for (const { cursor, inFlightWithin } of holders) {
    loseBelow(segments, cursor, segment.firstOffset)
    const busy = inFlightWithin(segment.firstOffset, endOffset)
    // Lowest first: each range touches the low mark or a range on the wire, so that there is room for it.
    for (const [from, end] of cursor.missing(segment.firstOffset, endOffset)) {
      for (const [first, next] of without(from, end, busy)) {
        passRange(segments, cursor, first, next, reason)
      }
    }
  }
}

/** Writes the cursors. True: none of them needs anything below `endOffset`, and that is durable. */
export async function isDurablyPassed(
  holders: readonly Holder[],
  endOffset: number
): Promise<boolean> {
  await Promise.all(holders.map(({ cursor }) => cursor.persist()))
  return holders.every(({ cursor }) => cursor.durableLowOffset >= endOffset)
}

/**
 * Gives up the oldest segment, delivered or not, and deletes it. Null: there is none that gets no more frames, or a part of
 * it is on the wire.
 */
export async function dropOldest(
  segments: ShardSegments,
  holders: readonly Holder[]
): Promise<Deletion | null> {
  const oldest = oldestComplete(segments)
  // Without a cursor the newest segment alone says which offsets were given out.
  const isLast = holders.length === 0 && segments.all.length === 1
  if (oldest === null || isLast) return null
  passSegment(segments, holders, oldest, 'overflow_oldest')
  if (!(await isDurablyPassed(holders, oldest.endOffset))) return null
  return deleteBelow(segments, oldest.endOffset)
}

/** Records of files that are gone, older than the oldest segment: lost as their reader would say, not dropped. */
function loseBelow(segments: ShardSegments, cursor: Cursor, firstOffset: number): void {
  const oldestOffset = Math.min(firstOffset, segments.oldestOffset)
  for (const [from, end] of cursor.missing(cursor.lowOffset, oldestOffset)) {
    for (const hole of segments.judge(from, end)) {
      const outcome = hole.reason === 'unacked' ? 'void' : (`lost:${hole.reason}` as const)
      cursor.finish(hole.firstOffset, hole.endOffset, outcome)
    }
  }
}

/** Records that somebody passed over. */
export interface Passed {
  readonly dropped: number
  readonly lost: number
}

/**
 * Finishes [first, end), of which the cursor has finished nothing: what cannot be read is lost, or never was, the rest is
 * dropped, with bytes by the sizes of the segments.
 */
export function passRange(
  segments: ShardSegments,
  cursor: Cursor,
  first: number,
  end: number,
  reason: string
): Passed {
  const passed = { dropped: 0, lost: 0 }
  if (first >= end || !cursor.canFinish(first, end)) return passed
  const pieces = piecesOf(segments, first, end)
  const [lowest] = pieces
  // A cursor without room for another range takes pieces only where they touch what it has.
  const isFromBelow = lowest !== undefined && cursor.canFinish(lowest.first, lowest.end)
  for (const { end: to, first: from, hole } of isFromBelow ? pieces : pieces.reverse()) {
    if (hole === null) {
      passed.dropped += cursor.pass(from, to, reason, bytesWithin(segments, from, to))
    } else if (hole === 'unacked') cursor.finish(from, to, 'void')
    else passed.lost += cursor.finish(from, to, `lost:${hole}`)
  }
  return passed
}

interface Piece {
  readonly first: number
  readonly end: number
  /** Why nothing of it can be read; null: it can. */
  readonly hole: HoleReason | null
}

function piecesOf(segments: ShardSegments, first: number, end: number): Piece[] {
  const pieces: Piece[] = []
  let at = first
  for (const { endOffset, firstOffset, reason } of goneWithin(segments, first, end)) {
    if (firstOffset > at) pieces.push({ first: at, end: firstOffset, hole: null })
    pieces.push({ first: firstOffset, end: endOffset, hole: reason })
    at = endOffset
  }
  if (end > at) pieces.push({ first: at, end, hole: null })
  return pieces
}

/** Bytes of stored offsets, by their share of their segments. */
function bytesWithin(segments: ShardSegments, first: number, end: number): number {
  let byteCount = 0
  for (let ordinal = segments.ordinalOf(first); ordinal !== null; ordinal++) {
    const segment = segments.at(ordinal)
    if (segment === null || segment.firstOffset >= end) break
    const count = Math.min(end, segment.endOffset) - Math.max(first, segment.firstOffset)
    const storedCount = storedEnd(segments, segment) - segment.firstOffset
    if (count > 0 && storedCount > 0) {
      byteCount += (segments.byteCountOf(ordinal) * count) / storedCount
    }
  }
  return Math.round(byteCount)
}

/** Parts of [first, end) that no range covers; `ranges` are sorted by their first. */
function without(
  first: number,
  end: number,
  ranges: readonly (readonly [number, number])[]
): [number, number][] {
  const parts: [number, number][] = []
  let at = first
  for (const [rangeFirst, rangeEnd] of ranges) {
    if (rangeFirst >= end) break
    if (rangeFirst > at) parts.push([at, rangeFirst])
    at = Math.max(at, rangeEnd)
  }
  if (at < end) parts.push([at, end])
  return parts
}

/** Bytes from an offset to the visible end; within a segment by share. */
export function bytesFrom(segments: ShardSegments, offset: number): number {
  let byteCount = 0
  for (let index = segments.all.length - 1; index >= 0; index--) {
    const segment = readableAt(segments, index)
    if (segment === null) continue
    if (segment.endOffset <= offset) break
    byteCount += segments.byteCountOf(segment.ordinal) * shareFrom(segment, offset)
  }
  return Math.round(byteCount)
}

/** The offset behind which `byteCountMax` bytes lie, or the oldest one. */
export function offsetBefore(segments: ShardSegments, byteCountMax: number): number {
  let leftBytes = byteCountMax
  for (let index = segments.all.length - 1; index >= 0; index--) {
    const segment = readableAt(segments, index)
    if (segment === null) continue
    const byteCount = segments.byteCountOf(segment.ordinal)
    if (byteCount > leftBytes) {
      const share = leftBytes / byteCount
      return segment.endOffset - Math.floor((segment.endOffset - segment.firstOffset) * share)
    }
    leftBytes -= byteCount
  }
  return segments.oldestOffset
}

function readableAt(segments: ShardSegments, index: number): ReadableSegment | null {
  const entry = segments.all[index]
  return entry === undefined ? null : segments.at(entry.ordinal)
}

/** Share of a segment at and behind an offset. */
function shareFrom({ endOffset, firstOffset }: ReadableSegment, offset: number): number {
  const recordCount = endOffset - firstOffset
  return recordCount === 0 ? 0 : (endOffset - Math.max(firstOffset, offset)) / recordCount
}
