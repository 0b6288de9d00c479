// Runs on: any (types only).
// What the admin server asks of the router. Plain data, also the JSON of the API and of `millrace queue ls`.

/** One cursor: a destination on a shard of a route. Records; the identity of the queue holds over these fields. */
export interface CursorStatus {
  readonly route: string
  readonly shard: string
  readonly destination: string
  readonly appended: number
  readonly delivered: number
  /** Of the delivered: what the destination had already. */
  readonly duplicateSuppressed: number
  readonly deadLettered: number
  /** Parked: they wait in the park of the destination. */
  readonly moved: number
  readonly dropped: Readonly<Record<string, number>>
  readonly lost: Readonly<Record<string, number>>
  readonly pending: number
  /** Append time of the oldest pending record; null: nothing pends. */
  readonly oldestPendingMs: number | null
  readonly lastError: string | null
}

export interface ShardStatus {
  readonly route: string
  readonly shard: string
  readonly state: string
  readonly segments: number
  readonly diskBytes: number
  readonly durability: string
  readonly overflow: string
  readonly bytesMax: number
}

/** The cursor of a destination that its route no longer has, with what it counted. It holds nothing. */
export interface RemovedCursorStatus {
  readonly route: string
  readonly shard: string
  readonly destination: string
  readonly removedMs: number
  /** Records by outcome; null: the file cannot be read. */
  readonly counts: Readonly<Record<string, number>> | null
}

/** A log that nothing in the configuration names. Never deleted by itself. */
export interface OrphanStatus {
  /** Directory below the data directory: `routes/old`, `dlq/out.gone`. */
  readonly log: string
  readonly shards: number
  readonly segments: number
  readonly bytes: number
  /** Records that are stored, delivered or not. */
  readonly records: number
  /** Records that a destination had not finished, by output. */
  readonly pending: Readonly<Record<string, number>>
}

export interface QueuesStatus {
  readonly shards: readonly ShardStatus[]
  readonly cursors: readonly CursorStatus[]
  readonly removed: readonly RemovedCursorStatus[]
  readonly orphans: readonly OrphanStatus[]
}

export interface DeadLetterLogStatus {
  /** `out.search`, `in.web`, `unmatched`. */
  readonly log: string
  readonly records: number
  readonly bytes: number
}

export interface DeadLetterView {
  readonly log: string
  readonly offset: number
  /** Position id of the record in its queue. */
  readonly id: string
  readonly timeMs: number
  readonly tag: string
  readonly route: string
  readonly output: string
  readonly target: string
  readonly reason: string
  readonly status: number | null
  readonly error: string
  /** The record as JSON text, cut to 4 KiB. */
  readonly record: string
}

export interface ReplayOutcome {
  readonly matched: number
  readonly stored: number
  readonly failed: number
}

/** One cursor that was moved. */
export interface CursorChange {
  readonly route: string
  readonly shard: string
  readonly destination: string
  /** Low mark before and after. */
  readonly fromOffset: number
  readonly toOffset: number
  /** Records that were passed over: `dropped{reason="operator"}`. */
  readonly dropped: number
  /** Records that are sent again. */
  readonly again: number
  readonly pending: number
}

export interface AdoptOutcome extends OrphanStatus {
  readonly route: string
  /** Whether a running server drains it now; else the next start does. */
  readonly isDraining: boolean
}

export interface DropOutcome extends OrphanStatus {
  /** False: only counted. */
  readonly isDropped: boolean
}

/** Which cursors; `shard` null: of every shard of the route. */
export interface CursorChoice {
  readonly route: string
  readonly destination: string
  readonly shard: string | null
}

export interface QueueChanges {
  adopt(orphan: string, route: string): AdoptOutcome
  /** `to`: an offset, `oldest`, `newest` or a time as `Date` reads it. Forward only. */
  moveCursor(choice: CursorChoice, to: string): Promise<CursorChange[]>
  skip(choice: CursorChoice, firstOffset: number, endOffset: number): Promise<CursorChange[]>
  drop(log: string, isDropped: boolean): DropOutcome
}

/** Answer of `/api/v1/store`: where the files are that the server writes. */
export interface StoreInfo {
  /** Absolute, on the server's machine. */
  readonly dataDir: string
}

export interface Health {
  readonly isOk: boolean
  readonly reasons: readonly string[]
}

export interface AdminSource {
  readonly version: string
  readonly startedMs: number
  readonly changes: QueueChanges
  store(): StoreInfo
  liveness(): Health
  readiness(): Health
  metricsText(): Promise<string>
  readonly metricsContentType: string
  queues(): QueuesStatus
  addresses(): Readonly<Record<string, readonly string[]>>
  deadLetterLogs(): readonly DeadLetterLogStatus[]
  deadLetters(log: string, limit: number): Promise<readonly DeadLetterView[]>
  replay(log: string, isDryRun: boolean): Promise<ReplayOutcome>
}
