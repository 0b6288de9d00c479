// Runs on: any (types only).
// Every message between threads. Numbers and shared memory cross; record bytes do not (carry is the exception, bounded).

import type { OwnLogLines } from '../plugin/input.ts'
import type { RenderedBody } from '../plugin/output.ts'
import type { StoreIdentity } from '../storage/format/store-keys.ts'
import type { ShardState } from './shared.ts'

/** A file of a shard as the pool sees it. */
export interface SegmentRef {
  readonly path: string
  /** Seed of every hash in the segment. */
  readonly salt: bigint
  readonly epoch: number
  /** With log and epoch, what the key of its encrypted frames is derived from. */
  readonly firstOffset: number
}

/** A durable frame: where its header starts and what it holds. */
export interface FrameRef {
  /** Index into `segments` of the task. */
  readonly segment: number
  readonly startByte: number
  /** Header, payload and padding. */
  readonly byteCount: number
  readonly firstOffset: number
  readonly recordCount: number
  readonly appendTimeMs: number
}

export interface TaskRequest {
  readonly kind: 'task'
  /** Generation of the configuration that the task runs under. */
  readonly generation: number
  /** Key of the (route, output) program. */
  readonly destination: string
  readonly logId: Uint8Array
  readonly segments: readonly SegmentRef[]
  readonly frames: readonly FrameRef[]
  /** First offset to look at, and ranges [first, end) to pass over: finished before. */
  readonly fromOffset: number
  readonly finished: readonly (readonly [number, number])[]
  /** Place of the slot in the shared memory of the output. */
  readonly slot: { readonly startByte: number; readonly byteCount: number }
  readonly bodyBytesMax: number
  readonly rowsMax: number
  /**
   * Joins: open groups handed on by the task before; the shard's time watermark, read before the visible end was; whether
   * the frames end at the visible end. A task for single records again has no carry, `isAtEnd` and an endless watermark.
   */
  readonly carry: Uint8Array | null
  readonly watermarkMs: number
  readonly isAtEnd: boolean
}

/** A run of offsets with one fate. */
export interface OffsetRange {
  readonly first: number
  readonly end: number
  readonly reason: string
}

export interface StepDeadLetter {
  /** The entry; a joined record's members are `members`. */
  readonly offset: number
  readonly members: readonly number[] | null
  /** Number and name of the step: `2:parse`. */
  readonly step: string
  readonly reason: string
}

export interface TaskResult {
  readonly kind: 'result'
  /** First offset not looked at; the end of the frames when all was. */
  readonly resumeOffset: number
  readonly bodies: readonly RenderedBody[]
  /**
   * Index of the rows in the order of the bodies, in the slot at this byte (a multiple of 4): three 32-bit words a row,
   * offset - `fromOffset` of the task (signed: a joined record may begin before the task), start byte in the slot, byte
   * count. Main reads it only for what it needs.
   */
  readonly rowIndexStartByte: number
  readonly rowCount: number
  /** Removed by a step: reason = `<step>` (counted `filtered`). */
  readonly dropped: readonly OffsetRange[]
  /** Members of a joined record besides its first: finished with the row of `owner`. */
  readonly joined: readonly { readonly owner: number; readonly offsets: readonly number[] }[]
  readonly deadLetters: readonly StepDeadLetter[]
  /** Frames that did not verify: lost, reason `corrupt`. */
  readonly damaged: readonly OffsetRange[]
  readonly carry: Uint8Array | null
  /** Members of groups that are still open; the cursor's low mark stays below the first. */
  readonly open: readonly number[]
  /** When an open group falls due by the watermark, milliseconds; null: none open. */
  readonly dueMs: number | null
  /** Added to the metrics: key `<metric>|<label value>|<label value>...` in the order of the catalog's labels. */
  readonly counters: Readonly<Record<string, number>>
  /** Time of the task, milliseconds, by stage. */
  readonly stageMs: { readonly read: number; readonly run: number; readonly finish: number }
}

/** A piece of a sealed segment to be checked. */
export interface ScrubRequest {
  readonly kind: 'scrub'
  readonly segment: SegmentRef
  readonly logId: Uint8Array
  /** Where to begin: byte, and offset of the frame that should stand there; byte 0: at the first frame. */
  readonly startByte: number
  readonly startOffset: number
  /** First offset of the next segment. */
  readonly endOffset: number
  /** The piece ends with the first frame that reaches beyond. */
  readonly byteCount: number
}

export interface ScrubResult {
  readonly kind: 'scrubbed'
  readonly nextByte: number
  readonly nextOffset: number
  readonly isEnd: boolean
  readonly readBytes: number
  /** Ranges that did not verify; `note`: where a copy of them is. */
  readonly damages: readonly {
    readonly firstOffset: number
    readonly endOffset: number
    readonly startByte: number
    readonly endByte: number
    readonly note: string
  }[]
}

/** Where the writer of a shard goes on after recovery. Recovery is main's; the first segment it opens is new. */
export interface ShardStart {
  /** Epoch of the next segment: max(previous epoch + 1, Unix seconds). */
  readonly epoch: number
  /** Offsets are never used twice: max(end of the log, every cursor's high mark). */
  readonly nextOffset: number
  /** Ordinal of the next segment; ordinals count segments since this start of the process, from the oldest recovered. */
  readonly nextOrdinal: number
  /** Byte length of the previous segment that counts; 0 without one. */
  readonly prevValidEndByte: number
  /** Append times of a shard never decrease. */
  readonly lastAppendTimeMs: number
}

/** A shard that an ingest thread writes. */
export interface ShardSpec {
  /** Directory below the data directory without the shard: `routes/<route>`, `dlq/in.<input>`, `dlq/unmatched`. */
  readonly log: string
  readonly shardNumber: number
  /** Absolute path of the shard directory. */
  readonly directory: string
  readonly logId: Uint8Array
  /** Control block of the shard. */
  readonly control: SharedArrayBuffer
  /** Control blocks of the other shards that share its limit: of the same lane of the route, on other threads. */
  readonly others: readonly SharedArrayBuffer[]
  readonly start: ShardStart
}

/** `workerData` of an ingest thread. */
export interface IngestThreadData<Config> {
  readonly index: number
  readonly count: number
  readonly generation: number
  readonly config: Config
  /** URL of the module of each input type that the configuration uses. */
  readonly inputModules: Readonly<Record<string, string>>
  readonly store: StoreIdentity
  readonly shards: readonly ShardSpec[]
  /** Windows of chunk ids, one per log in this order (core/id-window.ts, values: RESEND_STATE of shared.ts). */
  readonly resends: { readonly shared: SharedArrayBuffer; readonly logs: readonly string[] }
  /** One 32-bit word: added to and notified whenever a visible end or a watermark moved. */
  readonly doorbell: SharedArrayBuffer
  /** Counters of the thread: 64-bit floats, one writer; index = place in `INGEST_COUNTERS` of metrics/ingest-counters.ts. */
  readonly counters: SharedArrayBuffer
  /** Random, new with each process: session tickets of one thread are good on the others. */
  readonly ticketSecret: Uint8Array
}

export type ToIngest =
  | { readonly kind: 'start' }
  /** Main made room in these logs (`routes/<route>`). */
  | { readonly kind: 'room'; readonly logs: readonly string[] }
  /** Nothing of the shard is needed any more and nothing came for a while: end its segment, so that it can be deleted. */
  | { readonly kind: 'seal'; readonly log: string; readonly shardNumber: number }
  /** Answered by `own_log_taken`; the next one follows that, or is the last before `stop`. */
  | { readonly kind: 'own_log'; readonly batch: readonly OwnLogLines[] }
  | { readonly kind: 'stop'; readonly timeoutMs: number }

export type FromIngest =
  | { readonly kind: 'listening'; readonly addresses: Readonly<Record<string, readonly string[]>> }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string }
  /** Sent before the first position in the new file becomes visible. */
  | {
      readonly kind: 'segment'
      readonly log: string
      readonly shardNumber: number
      readonly segment: NewSegment
    }
  /** The disk refused something of a shard, or takes it again. */
  | {
      readonly kind: 'disk'
      readonly log: string
      readonly shardNumber: number
      readonly news: DiskNews
    }
  | {
      readonly kind: 'log'
      readonly level: 'info' | 'warn' | 'error'
      readonly fields: object
      readonly message: string
    }
  /** Nothing of the last `own_log` waits for room any more. */
  | { readonly kind: 'own_log_taken' }
  /** A TLS listener shows this certificate from now on. */
  | { readonly kind: 'certificate'; readonly listener: string; readonly endsMs: number }
  | { readonly kind: 'stopped' }

/** What a writer learned about its disk; `error` is text for people. */
export type DiskNews =
  | { readonly event: 'sync_failed'; readonly errno: string; readonly error: string }
  /** A segment was cut at its last durable byte. */
  | { readonly event: 'poisoned'; readonly errno: string; readonly error: string }
  | { readonly event: 'state'; readonly state: ShardState; readonly error: string }

export interface NewSegment {
  readonly ordinal: number
  readonly path: string
  readonly epoch: number
  readonly firstOffset: number
  /** Length of the previous segment that counts. */
  readonly prevValidEndByte: number
}
