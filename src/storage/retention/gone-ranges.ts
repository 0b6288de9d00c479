// Step 9. Runs on: main.
// Which offsets of a range hold no readable record, without reading payloads: what recovery found, files that are missing,
// and in segments without a footer whatever their frames do not cover. What somebody passes over is counted by it: such
// records are lost, whoever gives up the rest.
//
// Costs one read of 64 bytes per segment; a segment that a kill left without a footer is walked by its frame headers.

import { SEGMENT_HEADER } from '../format/layout.ts'
import { FrameSearch } from '../reader/frame-search.ts'
import { readFooter } from '../reader/segment-scan.ts'
import type { Hole } from '../reader/segments.ts'
import type { ReadableSegment, ShardSegments } from '../reader/shard-segments.ts'

/** Parts of [firstOffset, endOffset) that cannot be read, in order, not touching each other within one reason. */
export function goneWithin(
  segments: ShardSegments,
  firstOffset: number,
  endOffset: number
): Hole[] {
  const holes: Hole[] = []
  let at = firstOffset
  const add = (first: number, end: number) => {
    const from = Math.max(at, first)
    const to = Math.min(endOffset, end)
    if (to <= from) return
    holes.push(...segments.holesWithin(at, from), ...segments.judge(from, to))
    at = to
  }
  add(firstOffset, segments.oldestOffset)
  const oldest = segments.all[0]?.ordinal ?? 0
  const start = (segments.ordinalOf(firstOffset) ?? oldest) - oldest
  for (const { firstOffset: segmentFirst, ordinal } of segments.all.slice(start)) {
    if (segmentFirst >= endOffset) break
    const segment = segments.at(ordinal)
    if (segment === null) break
    for (const [first, end] of gapsOf(segments, segment)) add(first, end)
  }
  holes.push(...segments.holesWithin(at, endOffset))
  return holes
}

/** Offset behind the last record of the segment's file; its own first one when the file is gone. */
export function storedEnd(segments: ShardSegments, segment: ReadableSegment): number {
  const gaps = gapsOf(segments, segment)
  const last = gaps.at(-1)
  return last !== undefined && last[1] === segment.endOffset ? last[0] : segment.endOffset
}

/** Offsets up to the next segment that no frame of this one holds. Of the newest one recovery tells, and its writer. */
function gapsOf(segments: ShardSegments, segment: ReadableSegment): [number, number][] {
  const { endOffset, firstOffset, ordinal } = segment
  if (firstOffset >= endOffset || segments.at(ordinal + 1) === null) return []
  const walked = segments.open(segment)
  if (walked === null) return [[firstOffset, endOffset]]
  const footer = readFooter(segments.storage, segments.hash, walked)
  if (footer !== null) {
    const end = footer.recordCount === 0 ? firstOffset : footer.lastOffset + 1
    return end < endOffset ? [[end, endOffset]] : []
  }
  const gaps: [number, number][] = []
  const search = new FrameSearch(segments.storage, segments.hash)
  let byte: number = SEGMENT_HEADER.byteCount
  let offset = firstOffset
  for (;;) {
    const found = search.find(walked, byte, offset)
    const next = found === null ? endOffset : Math.min(endOffset, found.header.firstOffset)
    if (next > offset) gaps.push([offset, next])
    if (found === null || next === endOffset) return gaps
    byte = found.startByte + found.byteCount
    offset = found.header.firstOffset + found.header.recordCount
  }
}
