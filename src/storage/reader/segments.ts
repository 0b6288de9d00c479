// Runs on: any (types only).
// What recovery finds and readers give out.

import type { FrameRef, ShardStart } from '../../threads/messages.ts'

/** A segment file that readers may read. */
export interface RecoveredSegment {
  readonly path: string
  /** Counts the segments of the shard since this start of the process, from the oldest recovered. */
  readonly ordinal: number
  readonly epoch: number
  readonly firstOffset: number
  /** First offset of the segment after it, or the end of the log. */
  readonly nextOffset: number
  /** Nothing at or behind this byte counts. */
  readonly validEndByte: number
  readonly salt: bigint
}

/**
 * Why offsets hold no record. `corrupt`: real damage of durable bytes. `unsynced`: acked under a policy that does not
 * wait for the disk, gone with the power. `unacked`: written, never acked and gone; not a loss.
 */
export type HoleReason = 'corrupt' | 'unsynced' | 'unacked'

/** Offsets [firstOffset, endOffset) that cannot be read. */
export interface Hole {
  readonly kind: 'hole'
  readonly firstOffset: number
  readonly endOffset: number
  readonly reason: HoleReason
}

/** `frame.segment` is the ordinal of the segment. */
export interface ReadFrame {
  readonly kind: 'frame'
  readonly frame: FrameRef
}

export interface RecoveryResult {
  /** Oldest first. */
  readonly segments: readonly RecoveredSegment[]
  readonly start: ShardStart
  /** Offset after the last one that the files tell of; cursors may have finished offsets beyond. */
  readonly fileEndOffset: number
  /** In the scanned end of the log; counted by the cursors that pass them, not here. */
  readonly holes: readonly Hole[]
  /** Written, never acked under `sync` and gone: `recovery_unacked_records_total`. */
  readonly unackedRecords: number
  /** Of all segment files. */
  readonly bytes: number
  /** Chunk ids of the newest segments, oldest first: `tag NUL id` in latin1. */
  readonly ingestIds: readonly string[]
  /** What an operator should know: quarantined ranges, unknown files, removed leftovers. */
  readonly notes: readonly string[]
}
