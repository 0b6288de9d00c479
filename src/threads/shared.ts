// Runs on: any.
// Layout of the control block of a shard in shared memory: one writer per word. 64-bit words, so that a position is read
// in one load; a block is a buffer of its own, so that no two ingest threads write into one cache line.

/** Words, then from SYNC_SECONDS_BYTE the cells of a histogram (metrics/histogram.ts). */
export const CONTROL_BLOCK_BYTES = 512
/** ingest: how long syncs took. 64-bit floats. */
export const SYNC_SECONDS_BYTE = 256

/** Index of each 64-bit word of a control block, and who writes it. */
export const WORD = {
  /** ingest: visible end, segment ordinal << 40 | byte; stored after every other word that it covers. */
  visibleEnd: 0,
  /** ingest: offset after the last visible record. */
  visibleOffset: 1,
  /** ingest: no later frame will bear an append time below this, milliseconds. */
  watermarkMs: 2,
  /** ingest: bytes written to segment files of the shard since the start. */
  appendedBytes: 3,
  /** main: bytes of the shard's files that were deleted since the start. */
  removedBytes: 4,
  /** main: bytes that the shard held when it was recovered. */
  recoveredBytes: 5,
  /** ingest: index into SHARD_STATES. */
  state: 6,
  /** main: 1 while the route has no room. */
  isFull: 7,
  /** ingest: records refused by `drop_newest` since the start. */
  droppedNewest: 8,
  /** ingest: odd while visible end and offset are written, so that main reads them as a pair. */
  sequence: 9,
  /** main: bytes of delivered segments that are still there; new records take their place. */
  keptBytes: 10,
  /** ingest: 1 + ordinal of the newest segment that gets no more frames; stored after its end was made visible. */
  closedOrdinal: 11,
  /** ingest: bytes taken and not yet in `appendedBytes`, at the last commit. */
  unsyncedBytes: 12,
  /** ingest: 1 while a message waits for room in the shard. */
  isBlocked: 13,
  /** ingest: how long messages waited for room since the start, milliseconds. */
  blockedMs: 14,
  /** ingest: age of the running sync at the last look, milliseconds; 0: none runs. */
  syncAgeMs: 31
} as const

export const SHARD_STATES = ['ok', 'full', 'read_only', 'failed', 'draining'] as const
export type ShardState = (typeof SHARD_STATES)[number]

/** What a window of chunk ids knows of a message. */
export const RESEND_STATE = {
  /** Taken, its connection ended or every id is kept: it will be stored or given up. */
  pending: 1,
  /** Stored with everything that belongs to it. */
  stored: 2,
  /** Found at the start in the log that the window is of. */
  recovered: 3
} as const
/** Added to `pending`: somebody wants to know what becomes of it. */
export const WAITED = 8

/** Bits of the byte part of a visible end: 1 TiB per segment is far above the ceiling. */
const BYTE_BITS = 40n

export function packEnd(segmentOrdinal: number, byte: number): bigint {
  return (BigInt(segmentOrdinal) << BYTE_BITS) | BigInt(byte)
}

export function unpackEnd(word: bigint): { segmentOrdinal: number; byte: number } {
  return {
    segmentOrdinal: Number(word >> BYTE_BITS),
    byte: Number(word & ((1n << BYTE_BITS) - 1n))
  }
}
