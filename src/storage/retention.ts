// Step 9. Runs on: main.
// What may be deleted, and making room by force. Order is everything: the cursors are durable first, the file is unlinked
// second, nothing is third. A name that comes back after a power cut is deleted again at the next start.

import { errnoOf } from '../core/errors.ts'
import type { Cursor, Outcome } from './cursor.ts'
import type { ShardSegments } from './shard-segments.ts'

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
  for (const { path } of segments.dropBelow(offset)) {
    const stat = segments.storage.stat(path)
    if (stat === null) continue
    try {
      segments.storage.unlink(path)
    } catch (error) {
      // It stays and is deleted at the next start; its bytes count until then.
      if (errnoOf(error) !== 'ENOENT') continue
    }
    segmentCount++
    byteCount += stat.byteCount
  }
  return { segmentCount, byteCount }
}

export interface Dropped extends Deletion {
  /** Records that each cursor had not finished, by output. */
  readonly records: ReadonlyMap<string, number>
}

/**
 * Gives up the oldest complete segment: every cursor passes it, what it had not finished is counted under `outcome`.
 * Offsets from `inFlightOffset(cursor)` on are being sent and are not taken away; then nothing is dropped. Null: there is
 * no complete segment, or it is in flight.
 */
export async function dropOldest(
  segments: ShardSegments,
  cursors: readonly Cursor[],
  outcome: Outcome,
  isInFlight: (firstOffset: number, endOffset: number) => boolean
): Promise<Dropped | null> {
  const first = segments.all[0]
  const readable = first === undefined ? null : segments.at(first.ordinal)
  if (readable === null || !readable.isComplete) return null
  const { endOffset } = readable
  if (isInFlight(readable.firstOffset, endOffset)) return null
  const bytesPerRecord = bytesPerRecordOf(segments, readable.path, readable.firstOffset, endOffset)
  const records = new Map<string, number>()
  for (const cursor of cursors) {
    const count = passOver(cursor, endOffset, outcome, bytesPerRecord)
    if (count > 0) records.set(cursor.outputId, count)
  }
  await Promise.all(cursors.map((cursor) => cursor.persist()))
  return { ...deleteBelow(segments, endOffset), records }
}

/** Moves a cursor up to `endOffset`; what it had not finished gets `outcome`. Returns how many records that were. */
export function passOver(
  cursor: Cursor,
  endOffset: number,
  outcome: Outcome,
  bytesPerRecord = 0
): number {
  const first = cursor.lowOffset
  let count = 0
  // Lowest first: each range touches the low mark, so that there is always room for it.
  for (const [from, end] of cursor.missing(first, endOffset)) {
    count += cursor.finish(from, end, outcome, Math.round((end - from) * bytesPerRecord))
  }
  return count
}

function bytesPerRecordOf(
  segments: ShardSegments,
  path: string,
  firstOffset: number,
  endOffset: number
): number {
  const byteCount = segments.storage.stat(path)?.byteCount ?? 0
  return endOffset > firstOffset ? byteCount / (endOffset - firstOffset) : 0
}
