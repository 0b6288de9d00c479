// Runs on: main, pool.
// Where a log ends and which offsets before its end are gone, from the names of its segments and a scan of the last one.
// Opens files to read only: recovery acts on what stands here, tools show it.

import type { FrameHash } from '../format/frame.ts'
import { SEGMENT_HEADER } from '../format/layout.ts'
import type { PayloadDecoder } from '../format/payload-decoder.ts'
import { segmentSalt } from '../format/segment-names.ts'
import type { Storage } from '../storage.ts'
import type { Durability } from '../writer/append.ts'
import { type FoundFrame, FrameSearch, type WalkedSegment } from './frame-search.ts'
import { type ScanResult, scanSegment } from './segment-scan.ts'
import type { Hole, HoleReason, RecoveredSegment, RecoveryResult } from './segments.ts'
import type { SegmentFileInfo, ShardListing } from './shard-directory.ts'

/** A log, and what is needed to read it. */
export interface LogContext {
  readonly storage: Storage
  readonly hash: FrameHash
  readonly storeSecret: Uint8Array
  /** Default: one without keys, to which encrypted frames are locked. */
  readonly decoder?: PayloadDecoder | undefined
  readonly logId: Uint8Array
  readonly durability: Durability
  /** Greatest high mark of the cursors: the log reaches so far, whatever its files say. 0 without cursors. */
  readonly cursorHighOffset: number
}

/** What a start would find, without starting: nothing is written, synced or moved. */
export function examineLog(options: LogContext, listing: ShardListing): RecoveryResult {
  const { live } = listing
  const last = live.at(-1)
  if (last === undefined) return resultOf(options, listing, live, emptyTail(), [])
  const file = options.storage.open(last.path, 'read')
  try {
    const { decoder, hash, storage } = options
    const segment = walked(options, last, file)
    const scan = scanSegment({ storage, hash, decoder, segment, firstOffset: last.firstOffset })
    const tail = judgeTail(options, last, scan)
    if (scan.frameCount === 0) tail.lastAppendTimeMs = lastAppendTime(options, live.at(-2))
    return resultOf(options, listing, live, tail, [])
  } finally {
    options.storage.close(file)
  }
}

export const emptyTail = (): LogTail => ({
  byte: 0,
  offset: 0,
  holes: [],
  unackedRecords: 0,
  lastAppendTimeMs: 0,
  ingestIds: []
})

/** `live`: of the listing, what is left to be read. The epoch of the next start is left to whoever starts. */
export function resultOf(
  options: LogContext,
  listing: ShardListing,
  live: readonly SegmentFileInfo[],
  end: LogTail,
  notes: readonly string[]
): RecoveryResult {
  const nextOffset = Math.max(end.offset, options.cursorHighOffset)
  const holes = [...end.holes]
  if (nextOffset > end.offset) {
    const reason = options.durability === 'sync' ? 'corrupt' : 'unsynced'
    holes.push({ kind: 'hole', firstOffset: end.offset, endOffset: nextOffset, reason })
  }
  return {
    segments: live.map((segment, ordinal) =>
      recovered(options, live, segment, ordinal, end, nextOffset)
    ),
    start: {
      epoch: highestEpoch(listing) + 1,
      nextOffset,
      nextOrdinal: live.length,
      prevValidEndByte: live.length === 0 ? 0 : end.byte,
      lastAppendTimeMs: end.lastAppendTimeMs
    },
    fileEndOffset: end.offset,
    holes,
    unackedRecords: end.unackedRecords,
    bytes: live.reduce((sum, segment) => sum + segment.byteCount, 0),
    ingestIds: end.ingestIds,
    notes
  }
}

function highestEpoch({ live, superseded }: ShardListing): number {
  return [...live, ...superseded].reduce((epoch, segment) => Math.max(epoch, segment.epoch), 0)
}

export interface LogTail {
  byte: number
  offset: number
  holes: Hole[]
  unackedRecords: number
  lastAppendTimeMs: number
  ingestIds: string[]
}

export function saltOf(options: LogContext, segment: SegmentFileInfo): bigint {
  return segmentSalt(options.storeSecret, options.logId, segment.epoch, segment.firstOffset)
}

export function walked(options: LogContext, segment: SegmentFileInfo, file: number): WalkedSegment {
  return {
    file,
    logId: options.logId,
    epoch: segment.epoch,
    firstOffset: segment.firstOffset,
    salt: saltOf(options, segment),
    endByte: segment.byteCount,
    endOffset: Number.MAX_SAFE_INTEGER
  }
}

/** Where the log ends and why offsets before it are gone. */
export function judgeTail(
  options: Pick<LogContext, 'durability'>,
  last: SegmentFileInfo,
  scan: ScanResult
): LogTail {
  const isSync = options.durability === 'sync'
  const tail: LogTail = {
    byte: Math.max(scan.endByte, SEGMENT_HEADER.byteCount),
    offset: scan.endOffset,
    holes: [],
    unackedRecords: isSync ? scan.tornRecords : 0,
    lastAppendTimeMs: scan.lastAppendTimeMs,
    ingestIds: []
  }
  const scanned = [...scan.holes]
  // A group whose sync did not return, written back in part: its offsets were given to nobody.
  for (let hole = scanned.at(-1); isSync && hole !== undefined; hole = scanned.at(-1)) {
    if (hole.endOffset !== tail.offset || hole.firstOffset < scan.durableOffset) break
    tail.unackedRecords += hole.endOffset - hole.firstOffset
    tail.offset = hole.firstOffset
    tail.byte = hole.startByte
    scanned.pop()
  }
  const spans = scanned.map((hole): [number, number] => [hole.firstOffset, hole.endOffset])
  const durableEnd = Math.max(scan.durableOffset, last.firstOffset)
  if (durableEnd > tail.offset) {
    spans.push([tail.offset, durableEnd])
    tail.offset = durableEnd
  }
  const above = isSync ? 'unacked' : 'unsynced'
  for (const [first, end] of spans) {
    tail.holes.push(...splitAt(first, end, scan.durableOffset, 'corrupt', above))
  }
  for (const hole of tail.holes) {
    if (hole.reason === 'unacked') tail.unackedRecords += hole.endOffset - hole.firstOffset
  }
  return tail
}

/** A hole as one or two, by the offset below which everything was durable. */
export function splitAt(
  firstOffset: number,
  endOffset: number,
  durableOffset: number,
  below: HoleReason,
  above: HoleReason
): Hole[] {
  const middle = Math.max(firstOffset, Math.min(endOffset, durableOffset))
  const holes: Hole[] = []
  if (middle > firstOffset)
    holes.push({ kind: 'hole', firstOffset, endOffset: middle, reason: below })
  if (endOffset > middle)
    holes.push({ kind: 'hole', firstOffset: middle, endOffset, reason: above })
  return holes
}

/** Only when the last segment has no frame. */
export function lastAppendTime(options: LogContext, segment: SegmentFileInfo | undefined): number {
  let timeMs = 0
  if (segment === undefined) return timeMs
  walkHeaders(options, segment, (found) => {
    timeMs = Math.max(timeMs, found.header.appendTimeMs)
    return true
  })
  return timeMs
}

export function walkHeaders(
  options: LogContext,
  info: SegmentFileInfo,
  visit: (found: FoundFrame, segment: WalkedSegment) => boolean
): void {
  const { storage } = options
  const file = storage.open(info.path, 'read')
  try {
    const segment = walked(options, info, file)
    const search = new FrameSearch(storage, options.hash)
    let byte: number = SEGMENT_HEADER.byteCount
    let offset = info.firstOffset
    for (let found = search.find(segment, byte, offset); found !== null; ) {
      if (!visit(found, segment)) return
      byte = found.startByte + found.byteCount
      offset = found.header.firstOffset + found.header.recordCount
      found = search.find(segment, byte, offset)
    }
  } finally {
    storage.close(file)
  }
}

function recovered(
  options: LogContext,
  live: readonly SegmentFileInfo[],
  segment: SegmentFileInfo,
  ordinal: number,
  end: LogTail,
  nextOffset: number
): RecoveredSegment {
  const next = live[ordinal + 1]
  return {
    path: segment.path,
    ordinal,
    epoch: segment.epoch,
    firstOffset: segment.firstOffset,
    nextOffset: next === undefined ? nextOffset : next.firstOffset,
    validEndByte: next === undefined ? end.byte : segment.byteCount,
    salt: saltOf(options, segment)
  }
}
