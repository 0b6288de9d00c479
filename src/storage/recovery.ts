// Runs on: main, pool.
// From a shard directory after any end of the process to a state that can be read and written. Cost does not depend on
// the backlog: names and sizes of all segments, contents of the last one. Nothing that cannot be read is deleted; the
// writer never appends to a file that recovery found.

import { errorText } from '../core/errors.ts'
import type { Durability } from './append.ts'
import { FRAME_FLAG, SEGMENT_HEADER } from './format.ts'
import type { FrameHash, Group } from './frame.ts'
import { FrameSearch, type WalkedSegment } from './frame-search.ts'
import { quarantineRange } from './quarantine.ts'
import { segmentSalt } from './segment-names.ts'
import { PayloadReader, type ScanResult, scanSegment } from './segment-scan.ts'
import type { Hole, HoleReason, RecoveredSegment, RecoveryResult } from './segments.ts'
import {
  checkSegmentFormat,
  listShard,
  makeDirectoryDurable,
  removeSuperseded,
  type SegmentFileInfo
} from './shard-directory.ts'
import type { Storage } from './storage.ts'
import { ingestIdsOf } from './stored-entries.ts'

/** Chunk ids kept of one shard. */
export const RECOVERED_IDS_MAX = 100_000
/** Segments read for chunk ids besides the last one: one of default size at least. */
export const ID_SCAN_BYTES_MAX = 160 * 1024 * 1024

export interface RecoverOptions {
  readonly storage: Storage
  readonly hash: FrameHash
  /** Wall clock, for the epoch. */
  readonly nowMs: number
  readonly storeSecret: Uint8Array
  readonly logId: Uint8Array
  /** Shard directory; made when absent. */
  readonly directory: string
  readonly durability: Durability
  /** Greatest high mark of the shard's cursors: no offset below is given out again. 0 without cursors. */
  readonly cursorHighOffset: number
  /** Lowest durable low mark of the cursors that hold segments; what lies wholly below is deleted. Null: nothing is. */
  readonly holdingLowOffset: number | null
}

/** Blocks for the length of a scan of one segment. */
export function recoverShard(options: RecoverOptions): RecoveryResult {
  const { storage, directory } = options
  const listing = listShard(storage, directory)
  // Before anything is touched.
  for (const segment of edges(listing.live)) checkFormat(options, segment)
  makeDirectoryDurable(storage, directory)
  const notes = listing.unknown.map(
    (name) => `${directory}/${name}: not a file of the queue, left alone`
  )
  for (const segment of listing.superseded) notes.push(removeSuperseded(storage, segment))
  const live = deleteFinished(options, listing.live, notes)
  const end = findEnd(options, live, notes)
  const highest = [...listing.live, ...listing.superseded].reduce(
    (epoch, segment) => Math.max(epoch, segment.epoch),
    0
  )
  const nextOffset = Math.max(end.offset, options.cursorHighOffset)
  if (nextOffset > end.offset) {
    const reason = options.durability === 'sync' ? 'corrupt' : 'unsynced'
    end.holes.push({ kind: 'hole', firstOffset: end.offset, endOffset: nextOffset, reason })
  }
  return {
    segments: live.map((segment, ordinal) =>
      recovered(options, live, segment, ordinal, end, nextOffset)
    ),
    start: {
      epoch: Math.max(highest + 1, Math.floor(options.nowMs / 1000)),
      nextOffset,
      nextOrdinal: live.length,
      prevValidEndByte: live.length === 0 ? 0 : end.byte,
      lastAppendTimeMs: end.lastAppendTimeMs
    },
    holes: end.holes,
    unackedRecords: end.unackedRecords,
    bytes: live.reduce((sum, segment) => sum + segment.byteCount, 0),
    ingestIds: end.ingestIds,
    notes
  }
}

function edges(live: readonly SegmentFileInfo[]): SegmentFileInfo[] {
  const first = live[0]
  return first === undefined || live.length <= 2 ? [...live] : [first, ...live.slice(-2)]
}

function saltOf(options: RecoverOptions, segment: SegmentFileInfo): bigint {
  return segmentSalt(options.storeSecret, options.logId, segment.epoch, segment.firstOffset)
}

function checkFormat(options: RecoverOptions, segment: SegmentFileInfo): void {
  const { storage, hash } = options
  const file = storage.open(segment.path, 'read')
  try {
    checkSegmentFormat(storage, file, segment.path, hash, saltOf(options, segment))
  } finally {
    storage.close(file)
  }
}

/** Ends what a deletion before the crash began; a name may come back after a power cut. */
function deleteFinished(
  options: RecoverOptions,
  live: readonly SegmentFileInfo[],
  notes: string[]
): SegmentFileInfo[] {
  const low = options.holdingLowOffset
  if (low === null) return [...live]
  return live.filter((segment, index) => {
    const next = live[index + 1]
    if (next === undefined || next.firstOffset > low) return true
    try {
      options.storage.unlink(segment.path)
      return false
    } catch (error) {
      notes.push(`${segment.path}: finished, not deleted: ${errorText(error)}`)
      return true
    }
  })
}

interface LogTail {
  byte: number
  offset: number
  holes: Hole[]
  unackedRecords: number
  lastAppendTimeMs: number
  ingestIds: string[]
}

function findEnd(
  options: RecoverOptions,
  live: readonly SegmentFileInfo[],
  notes: string[]
): LogTail {
  const last = live.at(-1)
  if (last === undefined) {
    return { byte: 0, offset: 0, holes: [], unackedRecords: 0, lastAppendTimeMs: 0, ingestIds: [] }
  }
  const { storage } = options
  const file = storage.open(last.path, 'update')
  try {
    const ids: string[] = []
    const onIngestIds = (groups: readonly Group[]) => {
      for (const group of groups) ids.push(...ingestIdsOf(group))
    }
    const segment = walked(options, last, file)
    const scan = (endOffset: number) =>
      scanSegment({
        storage,
        hash: options.hash,
        segment: { ...segment, endOffset },
        firstOffset: last.firstOffset,
        onIngestIds
      })
    let result = scan(segment.endOffset)
    if (!isMadeDurable(options, live, file, notes)) {
      // What is not known to be durable must not be served: it may be in the page cache only.
      ids.length = 0
      result = scan(Math.max(last.firstOffset, result.durableOffset))
    }
    const tail = judgeTail(options, last, result)
    quarantine(options, last, file, result, tail, notes)
    const older = live.slice(0, -1)
    if (result.frameCount === 0) tail.lastAppendTimeMs = lastAppendTime(options, older.at(-1))
    tail.ingestIds = olderIngestIds(options, older, ids)
    return tail
  } finally {
    storage.close(file)
  }
}

function walked(options: RecoverOptions, segment: SegmentFileInfo, file: number): WalkedSegment {
  return {
    file,
    epoch: segment.epoch,
    salt: saltOf(options, segment),
    endByte: segment.byteCount,
    endOffset: Number.MAX_SAFE_INTEGER
  }
}

/** After a kill the pages of the last two segments may not be on disk. */
function isMadeDurable(
  options: RecoverOptions,
  live: readonly SegmentFileInfo[],
  lastFile: number,
  notes: string[]
): boolean {
  const { storage } = options
  const last = live.at(-1)
  const before = live.at(-2)
  try {
    if (before !== undefined && before.epoch === last?.epoch) {
      const file = storage.open(before.path, 'update')
      try {
        storage.datasyncNow(file)
      } finally {
        storage.close(file)
      }
    }
    storage.datasyncNow(lastFile)
    storage.dirsyncNow(options.directory)
    return true
  } catch (error) {
    notes.push(`${last?.path}: cannot be synced, read up to its durable end: ${errorText(error)}`)
    return false
  }
}

/** Where the log ends and why offsets before it are gone. */
function judgeTail(options: RecoverOptions, last: SegmentFileInfo, scan: ScanResult): LogTail {
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

function quarantine(
  options: RecoverOptions,
  last: SegmentFileInfo,
  file: number,
  scan: ScanResult,
  tail: LogTail,
  notes: string[]
): void {
  const range = { segmentPath: last.path, reason: 'recovery' }
  for (const hole of scan.holes) {
    notes.push(quarantineRange(options.storage, file, { ...range, ...hole }))
  }
  if (!scan.hasTailBytes || last.byteCount <= tail.byte) return
  const rest = {
    startByte: scan.endByte,
    endByte: last.byteCount,
    firstOffset: scan.endOffset,
    endOffset: scan.endOffset + scan.tornRecords
  }
  notes.push(quarantineRange(options.storage, file, { ...range, ...rest }))
}

/** Only when the last segment has no frame. */
function lastAppendTime(options: RecoverOptions, segment: SegmentFileInfo | undefined): number {
  let timeMs = 0
  if (segment === undefined) return timeMs
  walkHeaders(options, segment, (found) => {
    timeMs = Math.max(timeMs, found.header.appendTimeMs)
    return true
  })
  return timeMs
}

type Found = NonNullable<ReturnType<FrameSearch['find']>>

function walkHeaders(
  options: RecoverOptions,
  info: SegmentFileInfo,
  visit: (found: Found, segment: WalkedSegment) => boolean
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

/** Ids of the segments before the last, as far back as the bounds allow, then those of the last. */
function olderIngestIds(
  options: RecoverOptions,
  older: readonly SegmentFileInfo[],
  newest: readonly string[]
): string[] {
  const bySegment = [newest]
  let idCount = newest.length
  let leftBytes = ID_SCAN_BYTES_MAX
  for (let index = older.length - 1; index >= 0; index--) {
    const segment = older[index]
    if (segment === undefined || idCount >= RECOVERED_IDS_MAX) break
    if (segment.byteCount > leftBytes) break
    leftBytes -= segment.byteCount
    const ids: string[] = []
    walkHeaders(options, segment, (found, view) => {
      if ((found.header.flags & FRAME_FLAG.ingestIds) === 0) return true
      const groups = new PayloadReader(options.storage, view).groups(found, options.hash)
      for (const group of groups ?? []) ids.push(...ingestIdsOf(group))
      return true
    })
    idCount += ids.length
    bySegment.push(ids)
  }
  return bySegment.reverse().flat().slice(-RECOVERED_IDS_MAX)
}

function recovered(
  options: RecoverOptions,
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
