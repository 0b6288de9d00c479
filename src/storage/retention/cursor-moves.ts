// Step 9. Runs on: main.
// What an operator does to a cursor: forward over records that nobody wants, or back to send records again. Forward, every
// record passed over is counted `dropped:operator`; offsets that are nobody's, or that cannot be read any more, are counted
// as what they are. Back, the counts begin anew at the new low mark, since no record may be counted twice; the old cursor stays
// beside it under an archived name. In both cases the identity of the cursor holds.

import path from 'node:path'
import { MillraceError } from '../../core/errors.ts'
import { archivedCursorPath } from '../cursor/archive.ts'
import { type Cursor, type CursorOptions, freshContent } from '../cursor/cursor.ts'
import { encodeCursorSlot } from '../cursor/slot.ts'
import type { FrameHeader } from '../format/frame.ts'
import { CURSOR_FILE_BYTES, SEGMENT_HEADER } from '../format/layout.ts'
import { cursorFileName, cursorSalt } from '../format/segment-names.ts'
import { FrameSearch } from '../reader/frame-search.ts'
import type { ShardSegments } from '../reader/shard-segments.ts'
import type { Storage } from '../storage.ts'
import { type Passed, passRange } from './retention.ts'

/** Where a cursor is to go. */
export type CursorTarget =
  | { readonly kind: 'offset'; readonly offset: number }
  /** The first record that was appended at this time or later. */
  | { readonly kind: 'time'; readonly timeMs: number }
  | { readonly kind: 'oldest' }
  | { readonly kind: 'newest' }

/** The offset meant, within what is stored. */
export function targetOffset(segments: ShardSegments, target: CursorTarget): number {
  const { endOffset, oldestOffset } = segments
  switch (target.kind) {
    case 'oldest':
      return oldestOffset
    case 'newest':
      return endOffset
    case 'offset':
      return Math.min(endOffset, Math.max(oldestOffset, target.offset))
    case 'time':
      return offsetOfTime(segments, target.timeMs)
  }
}

/** First offset that was appended at `timeMs` or later: looks at one header of a few segments, then walks one. */
export function offsetOfTime(segments: ShardSegments, timeMs: number): number {
  const { all } = segments
  let low = 0
  let high = all.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const firstMs = firstAppendMs(segments, all[middle]?.ordinal ?? 0)
    if (firstMs !== null && firstMs < timeMs) low = middle + 1
    else high = middle
  }
  const first = all[Math.max(0, low - 1)]?.ordinal ?? 0
  for (let ordinal = first; ordinal <= segments.lastOrdinal; ordinal++) {
    const found = findFrame(segments, ordinal, ({ appendTimeMs }) => appendTimeMs >= timeMs)
    if (found !== null) return found.firstOffset
  }
  return segments.endOffset
}

/** Null: no frame of the segment can be read, so nothing says that it is older. */
const firstAppendMs = (segments: ShardSegments, ordinal: number): number | null =>
  findFrame(segments, ordinal, () => true)?.appendTimeMs ?? null

/** The first frame of a segment that is wanted. By headers, which stand in the clear: an encrypted one needs no key. */
function findFrame(
  segments: ShardSegments,
  ordinal: number,
  isWanted: (header: FrameHeader) => boolean
): FrameHeader | null {
  const segment = segments.at(ordinal)
  const walked = segment === null ? null : segments.open(segment)
  if (segment === null || walked === null) return null
  const search = new FrameSearch(segments.storage, segments.hash)
  let byte: number = SEGMENT_HEADER.byteCount
  let offset = segment.firstOffset
  for (;;) {
    const found = search.find(walked, byte, offset)
    if (found === null) return null
    if (isWanted(found.header)) return found.header
    byte = found.startByte + found.byteCount
    offset = found.header.firstOffset + found.header.recordCount
  }
}

/** Sorted ranges [first, end) that may overlap. */
export type Ranges = readonly (readonly [first: number, end: number])[]

/**
 * Finishes what is not finished of [first, end) as dropped by the operator; what cannot be read is lost. What is on the
 * wire stays: it would arrive and be counted twice. Flights learn of it (`Cursor.pass`).
 */
export function skipRange(
  segments: ShardSegments,
  cursor: Cursor,
  first: number,
  end: number,
  onWire: Ranges = []
): Passed {
  const stop = Math.min(end, segments.endOffset)
  const passed = { dropped: 0, lost: 0 }
  // Lowest first: ranges that touch the low mark, or each other, need no room of their own.
  for (const [missingFirst, missingEnd] of cursor.missing(first, stop)) {
    let at = missingFirst
    for (const [busyFirst, busyEnd] of [...onWire, [missingEnd, missingEnd] as const]) {
      const to = Math.min(missingEnd, busyFirst)
      if (to > at && !cursor.canFinish(at, to)) throw noRoom(cursor, passed.dropped)
      const { dropped, lost } = passRange(segments, cursor, at, to, 'operator')
      passed.dropped += dropped
      passed.lost += lost
      at = Math.max(at, busyEnd)
    }
  }
  return passed
}

function noRoom(cursor: Cursor, count: number): MillraceError {
  return new MillraceError(
    'MR_USAGE',
    `${cursor.path} remembers no more ranges; ${count} records were skipped. Skip from offset ${cursor.lowOffset} on, or later`
  )
}

/**
 * Puts a fresh cursor that begins at `offset` in the place of the old one, which is copied to an archived name first. A
 * crash leaves the old cursor or the new one. Nobody may have it open.
 */
export function restartCursor(options: CursorOptions, offset: number, nowMs: number): void {
  const { directory, hash, logId, outputId, storage, storeSecret } = options
  const target = path.join(directory, cursorFileName(outputId))
  const old = readWhole(storage, target)
  writeWhole(storage, archivedCursorPath(storage, directory, outputId, nowMs), old)
  const beside = `${target}.new`
  if (storage.stat(beside) !== null) storage.unlink(beside)
  const salt = cursorSalt(storeSecret, logId, outputId)
  const fresh = Buffer.alloc(CURSOR_FILE_BYTES)
  fresh.set(encodeCursorSlot(freshContent(offset), hash, salt), 0)
  writeWhole(storage, beside, fresh)
  storage.rename(beside, target)
  storage.dirsyncNow(directory)
}

function readWhole(storage: Storage, file: string): Buffer {
  const bytes = Buffer.alloc(CURSOR_FILE_BYTES)
  const handle = storage.open(file, 'read')
  try {
    return bytes.subarray(0, storage.pread(handle, bytes, 0))
  } finally {
    storage.close(handle)
  }
}

function writeWhole(storage: Storage, file: string, bytes: Buffer): void {
  const handle = storage.open(file, 'create')
  try {
    if (storage.writev(handle, [bytes], 0) !== bytes.length) {
      throw new MillraceError('MR_STORE_FULL', `no room for ${file}; free space on the volume`)
    }
    storage.datasyncNow(handle)
  } finally {
    storage.close(handle)
  }
}
