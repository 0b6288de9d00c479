// Runs on: any (types only).
// What a shard writer takes and what it tells. `ShardWriter` (shard-writer.ts) implements `ShardAppender`.

import type { Clock } from '../../core/clock.ts'
import type { NewSegment, ShardStart } from '../../threads/messages.ts'
import type { ShardState } from '../../threads/shared.ts'
import type { FrameHash } from '../format/frame.ts'
import type { Compression } from '../format/payload-encoder.ts'
import type { StoreIdentity } from '../format/store-keys.ts'
import type { Storage } from '../storage.ts'

/** When an append counts as held. `memory` is written like `os` and never synced, not even at a roll or stop. */
export type Durability = 'sync' | 'interval' | 'os' | 'memory'

/** Entries of one tag from one source, as received. Bytes are read during `append` and not kept. */
export interface AppendGroup {
  readonly tag: Uint8Array
  /** Chunk value with its MessagePack type byte; null: none (form 2 carries ids in its messages). */
  readonly ingestId: Uint8Array | null
  readonly source: Uint8Array
  /** 1 = entries, 2 = whole messages (format/layout.ts). */
  readonly form: 1 | 2
  readonly entries: Uint8Array
  readonly recordCount: number
  /** Event times, seconds since 1970; Infinity and -Infinity: no entry had a usable one. */
  readonly minTimeSeconds: number
  readonly maxTimeSeconds: number
  /** The messages of form 2 hold chunk ids. */
  readonly hasIngestIds?: boolean
  /**
   * The message goes on in the next append to this shard: it was cut between entries, because it is over 4 MiB.
   * Readers see no part of it before the last one is durable; the waiter goes with the last part.
   */
  readonly continues?: boolean
}

/** Never called from within `append`; called in the order of the appends. */
export interface Waiter {
  onDurable(): void
  /** The group is not stored and will not be: the writer was closed while the disk refused it. */
  onRejected(reason: RejectReason): void
}

export type RejectReason = 'closed'

/** Who holds a shard for one long message. Told once, never from within a call. */
export interface MessageHolder {
  onDurable(): void
  /** Nothing of the message is stored, and readers saw none of it: it may be given again from its first part. */
  onLost(): void
}

/** A position that readers may go up to. */
export interface VisibleEnd {
  readonly segmentOrdinal: number
  readonly endByte: number
  /** Offset after the last visible record. */
  readonly nextOffset: number
  /** No later frame will bear an append time below this. */
  readonly appendTimeMs: number
  /** Bytes of all files of the shard written since the writer was made. */
  readonly appendedBytes: number
}

export interface WriterObserver {
  /** Before the first position in the segment is visible. */
  onSegment(segment: NewSegment): void
  /** Before the waiters of what became visible are told. */
  onVisible(end: VisibleEnd): void
  /** A segment was ended before it was full; all of it is visible, and it gets no more frames. */
  onClosed?(ordinal: number): void
  /** `error` says why a state other than `ok` was entered. */
  onState(state: ShardState, error: unknown): void
  /** The shard is no longer held for a long message: others find room. */
  onReleased?(): void
  /** Records that were taken and given up, waiter or not: `input_rejected_records_total{reason}`. */
  onGivenUp?(recordCount: number, byteCount: number, reason: RejectReason): void
  /** One sync ended: for latency and error metrics. */
  onSync?(durationMs: number, byteCount: number, error: unknown): void
  /** A segment was cut at its last durable byte after a failed write or sync. */
  onPoisoned?(path: string, validEndByte: number, error: unknown): void
}

export interface ShardWriterOptions {
  readonly storage: Storage
  readonly clock: Clock
  readonly hash: FrameHash
  /** With a current key, everything that the writer stores is encrypted. */
  readonly store: StoreIdentity
  readonly shard: {
    readonly shardNumber: number
    /** Absolute path; must exist. */
    readonly directory: string
    readonly logId: Uint8Array
    readonly start: ShardStart
  }
  /** Gathers small runs; at least 512 KiB, in memory that `hash` reads without a copy. Owned by the writer. */
  readonly slab: Buffer
  /** A segment is closed when it holds this much (format/layout.ts: segmentBytesFor). */
  readonly segmentBytes: number
  /** Default: none. */
  readonly compression?: Compression
  readonly durability: Durability
  /** How long a segment is written at most; an hour, unless records age sooner. */
  readonly segmentMsMax?: number
  /** `interval` only. */
  readonly syncIntervalMs?: number
  readonly observer: WriterObserver
}

export interface ShardAppender {
  readonly state: ShardState
  /** How long the running sync takes by now, milliseconds; 0: none runs. */
  readonly syncAgeMs: number
  /** Bytes taken and not yet durable: written and in the slab. 0 where the policy does not wait for syncs. */
  readonly unsyncedBytes: number
  /** Offset that the next record gets. */
  readonly nextOffset: number
  /**
   * Takes a group. False: nothing of it was taken (no room on the volume, a failed disk, closing), `waiter` is not kept;
   * keep the message, append it again after `onState('ok')`. After a false for a part of a cut message the whole
   * message is to be appended again from its first part.
   */
  append(group: AppendGroup, waiter: Waiter | null): boolean
  /** A long message is on its way: nothing else is taken. */
  readonly isHeld: boolean
  /**
   * Takes the shard for one message that is longer than what may be unsynced in memory: its parts come by `appendPart`,
   * over several turns of the event loop, and until it is durable no other append is taken. No copy of it is kept: when the
   * disk fails it is lost and the holder gives it again. False: not now.
   */
  hold(holder: MessageHolder): boolean
  /** One part; all but the last say `continues`. False: lost, `onLost` follows. */
  appendPart(group: AppendGroup): boolean
  /** Gives up a message whose last part was not given. Its holder is not told. */
  letGo(): void
  /** End of a batch of appends: writes and syncs as the policy asks (natural group commit). */
  commit(): void
  /** Once a second, idle or not: rolls an old segment; returns the time that no later frame will be below. */
  tick(): number
  /** Tries at once what the writer would try again later: main made room. */
  probe(): void
  /** Closes the active segment when nothing is unsynced (idle shard); the next append opens a new one. */
  seal(): boolean
  /** Writes and syncs everything, closes the segment with its footer. Later appends are refused. */
  close(): Promise<void>
}
