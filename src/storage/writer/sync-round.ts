// Step 4. Runs on: ingest, main (dead letters).
// One sync of the files of a shard that hold bytes which are not durable, and of their names.

import type { OpenSegment } from '../format/segment-file.ts'
import type { ShardWriterOptions, Waiter } from './append.ts'
import type { LogEnd } from './frame-writer.ts'

/** A running sync and what it makes durable. */
export interface Round {
  readonly targets: readonly OpenSegment[]
  readonly sealed: readonly OpenSegment[]
  readonly end: LogEnd
  readonly waiters: readonly Waiter[]
  readonly startedMs: number
}

export async function syncSegments(
  { storage, shard, durability }: ShardWriterOptions,
  targets: readonly OpenSegment[]
): Promise<void> {
  if (durability === 'memory') return
  const syncs = targets.map((segment) => storage.datasync(segment.file))
  if (targets.some((segment) => !segment.isNameDurable)) {
    syncs.push(storage.dirsync(shard.directory))
  }
  // All have ended before anything follows: a descriptor must not be closed under a sync.
  for (const result of await Promise.allSettled(syncs)) {
    if (result.status === 'rejected') throw result.reason
  }
}
