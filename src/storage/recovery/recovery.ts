// Runs on: main, pool.
// From a shard directory after any end of the process to a state that can be read and written. Cost does not depend on
// the backlog: names and sizes of all segments, contents of the last one. Nothing that cannot be read is deleted; the
// writer never appends to a file that recovery found.

import { errorText } from '../../core/errors.ts'
import type { Group } from '../format/frame.ts'
import { FRAME_FLAG } from '../format/layout.ts'
import { ingestIdsOf } from '../format/stored-entries.ts'
import {
  emptyTail,
  judgeTail,
  type LogContext,
  type LogTail,
  lastAppendTime,
  resultOf,
  saltOf,
  walked,
  walkHeaders
} from '../reader/log-end.ts'
import { Quarantine } from '../reader/quarantine.ts'
import { PayloadReader, type ScanResult, scanSegment } from '../reader/segment-scan.ts'
import type { RecoveryResult } from '../reader/segments.ts'
import {
  checkSegmentFormat,
  listShard,
  makeDirectoryDurable,
  removeSuperseded,
  type SegmentFileInfo
} from '../reader/shard-directory.ts'

/** Chunk ids kept of one shard. */
export const RECOVERED_IDS_MAX = 100_000
/** Segments read for chunk ids besides the last one: one of default size at least. */
export const ID_SCAN_BYTES_MAX = 160 * 1024 * 1024

export interface RecoverOptions extends LogContext {
  /** Wall clock, for the epoch. */
  readonly nowMs: number
  /** Shard directory; made when absent. */
  readonly directory: string
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
  const result = resultOf(options, listing, live, end, notes)
  const epoch = Math.max(result.start.epoch, Math.floor(options.nowMs / 1000))
  return { ...result, start: { ...result.start, epoch } }
}

function edges(live: readonly SegmentFileInfo[]): SegmentFileInfo[] {
  const first = live[0]
  return first === undefined || live.length <= 2 ? [...live] : [first, ...live.slice(-2)]
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

function findEnd(
  options: RecoverOptions,
  live: readonly SegmentFileInfo[],
  notes: string[]
): LogTail {
  const last = live.at(-1)
  if (last === undefined) return emptyTail()
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
        decoder: options.decoder,
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

function quarantine(
  options: RecoverOptions,
  last: SegmentFileInfo,
  file: number,
  scan: ScanResult,
  tail: LogTail,
  notes: string[]
): void {
  const copies = new Quarantine(options.storage, options.directory)
  const range = { segmentPath: last.path, reason: 'recovery' }
  for (const hole of scan.holes) notes.push(copies.copyRange(file, { ...range, ...hole }))
  if (!scan.hasTailBytes || last.byteCount <= tail.byte) return
  const rest = {
    startByte: scan.endByte,
    endByte: last.byteCount,
    firstOffset: scan.endOffset,
    endOffset: scan.endOffset + scan.tornRecords
  }
  notes.push(copies.copyRange(file, { ...range, ...rest }))
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
      const payloads = new PayloadReader(options.storage, view, options.decoder)
      const groups = payloads.groups(found, options.hash)
      if (Array.isArray(groups)) for (const group of groups) ids.push(...ingestIdsOf(group))
      return true
    })
    idCount += ids.length
    bySegment.push(ids)
  }
  return bySegment.reverse().flat().slice(-RECOVERED_IDS_MAX)
}
