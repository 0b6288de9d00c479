// Runs on: any (types only).
// The configuration after validation: plain data that crosses to the threads. Sizes are bytes, times milliseconds,
// templates compiled. What a user may write stands in config/shell.ts; defaults are there and nowhere else.

import type { StoreKeys } from '../core/encryption-keys.ts'
import type { TagMatch } from '../core/tag.ts'
import type { RecordMapping } from '../plugin/record-mapping.ts'

export interface MillraceConfig {
  /** Absolute. */
  readonly dataDir: string
  /** Directory of the first configuration file; modules of JavaScript steps are named from there. */
  readonly baseDir: string
  readonly threads: { readonly ingest: number; readonly pool: number }
  readonly admin: AdminConfig
  readonly queue: QueueConfig
  /** How long a stop waits for the destinations. */
  readonly drainTimeoutMs: number
  /** In the order of the file. */
  readonly inputs: Readonly<Record<string, PluginConfig>>
  /** In the order of the file; the first match takes the record. */
  readonly routes: readonly RouteConfig[]
  /** In the order of the file. */
  readonly outputs: Readonly<Record<string, PluginConfig>>
}

export interface AdminConfig {
  /** `host:port`, `tcp://host:port` or `unix:///path`; empty: no admin server. */
  readonly listen: readonly string[]
  /** Names that a `Host` header may bear besides addresses and `localhost`. */
  readonly hosts: readonly string[]
  /** Bearer token of the paths that change something or show records; null: only loopback and the socket may. */
  readonly token: string | null
}

/** Settings of the whole store. */
export interface QueueConfig {
  /** Free space of the volume that is left to others: bytes, or a share of the volume, at most 10 GiB. */
  readonly minFree:
    | { readonly kind: 'bytes'; readonly bytes: number }
    | { readonly kind: 'ratio'; readonly ratio: number }
  /** Upper bound of a segment file; small queues use less. */
  readonly segmentBytesMax: number
  /** Bound of each dead letter queue, and what happens at it. */
  readonly dlqBytesMax: number
  readonly dlqOverflow: 'drop_oldest' | 'block'
  /** Bound of what one destination of a route parks. */
  readonly parkBytesMax: number
  readonly onIoError: 'degrade' | 'exit'
  readonly isNetworkFsAllowed: boolean
  /** Bytes per second that a destination reads while it is far behind. */
  readonly catchupBytesPerSecond: number
  /** Keys of encrypted frames; null: none, everything is stored plain. */
  readonly keys: StoreKeys | null
  /** Bytes per second; 0: no scrub. */
  readonly scrubBytesPerSecond: number
}

export interface PluginConfig {
  readonly type: string
  /** Validated by the plugin's own schema, defaults filled in, units converted. */
  readonly config: Readonly<Record<string, unknown>>
  /** Inputs: options of the `parse` step that its records go through first, in every route; absent: none. */
  readonly parser?: Readonly<Record<string, unknown>>
  /** Inputs: what is added to its records behind that parser; absent: nothing. */
  readonly mapping?: RecordMapping
}

export type Durability = 'sync' | 'interval' | 'os' | 'memory'
export type Overflow = 'block' | 'drop_oldest' | 'drop_newest'

export interface RouteConfig {
  readonly id: string
  readonly match: TagMatch
  /** Inputs whose records the route looks at; null: all. */
  readonly from: readonly string[] | null
  /** Whether later routes may take the record too (`continue: true`). */
  readonly goesOn: boolean
  readonly steps: readonly StepItem[]
  readonly to: readonly DestinationConfig[]
  readonly durability: Durability
  /** Longest time until the sync under `interval`. */
  readonly syncIntervalMs: number
  readonly overflow: Overflow
  /** Whether records refused by `drop_newest` are acknowledged nevertheless. */
  readonly isDroppedAcked: boolean
  /** Over all shards of the route. */
  readonly bytesMax: number
  /** By append time; null: records do not age. */
  readonly ageMsMax: number | null
  /** How long delivered segments stay. */
  readonly keepMs: number
  /** Shards of each ingest thread. */
  readonly lanes: number
  /** What decides the lane: the tag, or the value of a field (names of keys from the record inward); null with one lane. */
  readonly laneKey:
    | { readonly kind: 'tag' }
    | { readonly kind: 'field'; readonly path: readonly string[] }
    | null
  readonly compression: 'none' | 'zstd'
}

/** One item of `steps`: the name of the step is the only key, its options (defaults filled in) are the value. */
export type StepItem = Readonly<Record<string, unknown>>

/** An output as one route sees it. */
export interface DestinationConfig {
  readonly output: string
  /** A required destination holds segments until it has them; another one is left behind when space is needed. */
  readonly isRequired: boolean
  /** Where a destination begins that is new to a route which holds records already. */
  readonly startAt: 'newest' | 'oldest'
  /** Of a destination that is not required; null: only what retention takes. */
  readonly lagBytesMax: number | null
  readonly parkAfterMs: number
  readonly drainOrder: 'oldest_first' | 'newest_first'
  readonly lagThresholdMs: number
  readonly backfillShare: number
}
