// Runs on: any.
// Records of a shard in the order of their offsets, for tools, with the holes between them. Holds one frame at a time.

import { readTolerant } from '../damage-read.ts'
import { decodeFrameHeader, type Group } from '../format/frame.ts'
import { FRAME_HEADER, SEGMENT_HEADER } from '../format/layout.ts'
import { FrameSearch } from '../reader/frame-search.ts'
import type { Hole } from '../reader/segments.ts'
import { FrameMemory, readFrameAt, ShardReader } from '../reader/shard-reader.ts'
import type { ReadableShard } from './shard.ts'

/** The groups of one frame; their bytes are valid until the next one is asked for. */
export interface FrameRecords {
  readonly kind: 'frame'
  readonly epoch: number
  readonly appendTimeMs: number
  readonly firstOffset: number
  readonly recordCount: number
  readonly groups: readonly Group[]
}

/** Gone while they were read: the running server had delivered and deleted them. */
export interface Vanished {
  readonly kind: 'vanished'
  readonly firstOffset: number
  readonly endOffset: number
}

/** Encrypted, and the key is not here: they are kept. */
export interface Locked {
  readonly kind: 'locked'
  readonly firstOffset: number
  readonly endOffset: number
}

/** From the frame that holds `fromOffset`, whole, up to the end of the log as it was found. */
export function* readRecords(
  shard: ReadableShard,
  fromOffset: number
): Generator<FrameRecords | Hole | Vanished | Locked> {
  const { segments } = shard
  const reader = new ShardReader(segments, Math.max(fromOffset, segments.oldestOffset))
  const memory = new FrameMemory()
  let expected = reader.nextOffset
  for (let next = reader.next(); next !== null; next = reader.next()) {
    const at = next.kind === 'hole' ? next.firstOffset : next.frame.firstOffset
    if (at > expected) yield { kind: 'locked', firstOffset: expected, endOffset: at }
    if (next.kind === 'hole') {
      expected = next.endOffset
      yield* asHoles(shard, [next])
      continue
    }
    const { firstOffset, recordCount } = next.frame
    expected = firstOffset + recordCount
    const frame = readFrameAt(segments, next.frame, memory)
    if (frame === null) {
      yield* asHoles(shard, segments.judge(firstOffset, firstOffset + recordCount))
      continue
    }
    const { appendTimeMs } = frame.header
    yield {
      kind: 'frame',
      epoch: frame.epoch,
      appendTimeMs,
      firstOffset,
      recordCount,
      groups: frame.groups
    }
  }
  if (expected < segments.endOffset) {
    yield { kind: 'locked', firstOffset: expected, endOffset: segments.endOffset }
  }
}

/** A file that was there when the shard was listed and is gone now was deleted by the server, which is no damage. */
function* asHoles(shard: ReadableShard, holes: readonly Hole[]): Generator<Hole | Vanished> {
  const { segments } = shard
  for (const hole of holes) {
    const ordinal = segments.ordinalOf(hole.firstOffset)
    const segment = ordinal === null ? null : segments.at(ordinal)
    const isListed = segment !== null && segment.firstOffset <= hole.firstOffset
    const isVanished = isListed && shard.store.storage.stat(segment.path) === null
    const { endOffset, firstOffset } = hole
    yield isVanished ? { kind: 'vanished', firstOffset, endOffset } : hole
  }
}

/** Offset of the first record appended at `timeMs` or later, to the frame; the end of the log when all are older. */
export function offsetAtTime(shard: ReadableShard, timeMs: number): number {
  const { segments } = shard
  const all = segments.all
  // Append times never go back within a shard: the last segment whose first frame is older holds the place.
  let low = 0
  let high = all.length
  while (low < high) {
    const middle = (low + high) >>> 1
    // A segment without a readable frame says nothing: the one before it does.
    let index = middle
    let firstMs = firstAppendTime(shard, index)
    while (firstMs === null && index > low) firstMs = firstAppendTime(shard, --index)
    if (firstMs === null || firstMs < timeMs) low = middle + 1
    else high = index
  }
  const start = all[Math.max(0, low - 1)]
  if (start === undefined) return segments.endOffset
  const reader = new ShardReader(segments, start.firstOffset)
  for (let next = reader.next(); next !== null; next = reader.next()) {
    if (next.kind === 'frame' && next.frame.appendTimeMs >= timeMs) return next.frame.firstOffset
  }
  return segments.endOffset
}

/** Append time of the first frame of a segment that can be read; null: it has none. */
function firstAppendTime(shard: ReadableShard, index: number): number | null {
  const { hash, storage } = shard.store
  const info = shard.segments.all[index]
  const segment = info === undefined ? null : shard.segments.at(info.ordinal)
  const walked = segment === null ? null : shard.segments.open(segment)
  if (walked === null || segment === null) return null
  const bytes = Buffer.alloc(FRAME_HEADER.byteCount)
  readTolerant(storage, walked.file, bytes, SEGMENT_HEADER.byteCount)
  const first =
    decodeFrameHeader(bytes, 0, hash, walked.salt, walked.epoch) ??
    new FrameSearch(storage, hash).find(walked, SEGMENT_HEADER.byteCount, segment.firstOffset)
      ?.header
  return first?.appendTimeMs ?? null
}

/** Append time of the record at `offset`, or of the next one that can be read; null: none follows. */
export function appendTimeAt(shard: ReadableShard, offset: number): number | null {
  const reader = new ShardReader(shard.segments, offset)
  for (let next = reader.next(); next !== null; next = reader.next()) {
    if (next.kind === 'frame') return next.frame.appendTimeMs
  }
  return null
}
