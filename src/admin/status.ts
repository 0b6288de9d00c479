// Runs on: any (types only).
// What the admin server asks of the router. Plain data, also the JSON of the API and of `millrace queue ls`.

/** What became of records, by the identity of the queue: appended is the sum of the others, duplicates among the delivered. */
export interface RecordCounts {
  readonly appended: number
  readonly delivered: number
  /** Of the delivered: what the destination had already. */
  readonly duplicateSuppressed: number
  readonly dropped: Readonly<Record<string, number>>
  readonly lost: Readonly<Record<string, number>>
  readonly pending: number
}

/** One cursor: a destination on a shard of a route. */
export interface CursorStatus extends RecordCounts {
  readonly route: string
  readonly shard: string
  readonly destination: string
  readonly deadLettered: number
  /** Parked: they wait in the park of the destination. */
  readonly moved: number
  /** Append time of the oldest pending record; null: nothing pends. */
  readonly oldestPendingMs: number | null
  readonly lastError: string | null
}

/** Records that a destination set aside for keys that fail. Appended: those ever parked, `moved` of the route's cursors. */
export interface ParkedStatus extends RecordCounts {
  readonly route: string
  readonly destination: string
  /** Keys with parked records. */
  readonly keys: number
  /** Parked records and the bytes of their files. */
  readonly records: number
  readonly bytes: number
  /** Nothing more is parked: further records of its keys wait in the queue. */
  readonly isFull: boolean
  readonly deadLettered: number
}

/** A shard of a log of dead letters: what became of every letter. Delivered: replayed. */
export interface LetterShardStatus extends RecordCounts {
  /** `out.search`, `in.web`, `unmatched`. */
  readonly log: string
  /** `00` */
  readonly shard: string
  /** Written once more at the end of the log. */
  readonly moved: number
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
  /** What became of its records, by shard and output. */
  readonly accounts: readonly OrphanAccount[]
}

export interface OrphanAccount extends RecordCounts {
  /** `00` */
  readonly shard: string
  /** Null: nobody ever drained it. */
  readonly destination: string | null
  readonly deadLettered: number
  readonly moved: number
}

export interface QueuesStatus {
  readonly shards: readonly ShardStatus[]
  readonly cursors: readonly CursorStatus[]
  readonly removed: readonly RemovedCursorStatus[]
  readonly orphans: readonly OrphanStatus[]
  /** Parks that were ever used. */
  readonly parked: readonly ParkedStatus[]
  /** Logs that ever held a dead letter. */
  readonly letters: readonly LetterShardStatus[]
}

export interface DeadLetterLogStatus {
  /** `out.search`, `in.web`, `unmatched`. */
  readonly log: string
  /** Letters that are there, and bytes of the log. */
  readonly records: number
  readonly bytes: number
  /** Ever written = records + all the removed + all the lost. */
  readonly written: number
  /** By reason: `replayed`, `operator` (purged), `overflow_oldest`, `filtered`. */
  readonly removed: Readonly<Record<string, number>>
  readonly lost: Readonly<Record<string, number>>
}

export interface DeadLetterView {
  readonly log: string
  readonly shard: number
  readonly offset: number
  /** Position id of the record in its queue. */
  readonly id: string
  /** When it was refused last, and first. */
  readonly timeMs: number
  readonly firstAttemptMs: number
  readonly attempts: number
  /** Time in the record; null: it has none. */
  readonly eventTimeMs: number | null
  readonly tag: string
  readonly route: string
  readonly output: string
  readonly target: string
  readonly reason: string
  /** Step that refused it (`2:parse`); '' for a destination or an input. */
  readonly step: string
  readonly status: number | null
  readonly error: string
  /** The record as JSON text, cut to 4 KiB. */
  readonly record: string
}

/** One line of an export. */
export interface ExportedLetter extends Omit<DeadLetterView, 'record'> {
  /** Input and address of the sender, where the input keeps them. */
  readonly source: string
  /** The records as JSON; several when they were joined. */
  readonly records: readonly unknown[]
  /** The same as they came in; form 1: `[time, record]`, 2: `[tag, time, record, option]`, MessagePack. */
  readonly entries: readonly { readonly form: number; readonly base64: string }[]
}

/** Records by reason and destination. */
export interface JobCount {
  readonly reason: string
  readonly destination: string
  readonly records: number
}

/** A replay or purge, running or past. Counts are records; letters where the source is a log of letters. */
export interface JobStatus {
  readonly id: number
  readonly kind: 'replay' | 'purge' | 'queue_replay'
  /** `out.search`; `app/search` for records of a queue. */
  readonly source: string
  readonly to: string | null
  readonly where: string
  readonly isDryRun: boolean
  readonly state: 'running' | 'done' | 'stopped' | 'failed'
  /** How many offsets of how many were looked at. */
  readonly scanned: number
  readonly total: number
  readonly matched: number
  readonly stored: number
  /** Of the stored: what the destination had already. */
  readonly duplicates: number
  readonly filtered: number
  readonly failed: number
  readonly removed: number
  readonly matches: readonly JobCount[]
  readonly failures: readonly JobCount[]
  readonly startedMs: number
  readonly endedMs: number | null
  readonly error: string | null
}

export interface LetterReplayRequest {
  readonly where: string
  /** `<route>/<output>`; null: where the letters were refused. */
  readonly to: string | null
  readonly limit: number
  readonly perSecond: number | null
  readonly isDryRun: boolean
}

/** Dead letters of the running server. Faults of a request are thrown as MR_USAGE before anything begins. */
export interface LetterSource {
  logs(): readonly DeadLetterLogStatus[]
  views(log: string, where: string, limit: number): Promise<readonly DeadLetterView[]>
  export(
    log: string,
    where: string,
    limit: number,
    isRaw: boolean
  ): AsyncIterable<string | Uint8Array>
  replay(log: string, request: LetterReplayRequest): JobStatus
  purge(log: string, where: string, isDryRun: boolean): JobStatus
}

export interface QueueReplayRequest {
  /** Points in time as `core/time-point.ts` reads them, by append time; null: up to the newest finished record. */
  readonly from: string
  readonly toTime: string | null
  readonly perSecond: number | null
  readonly isDryRun: boolean
}

/** Stored records of routes that are sent again. Faults of a request are thrown as MR_USAGE before anything begins. */
export interface QueueReplaySource {
  start(route: string, output: string, request: QueueReplayRequest): JobStatus
}

export interface JobSource {
  list(): readonly JobStatus[]
  get(id: number): JobStatus
  stop(id: number): Promise<JobStatus>
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
  /** Of those passed over, what could not be read any more: `lost{reason}`. */
  readonly lost: number
  /** Records that are sent again. */
  readonly again: number
  readonly pending: number
}

export interface ImportOutcome {
  readonly route: string
  readonly shard: string
  readonly records: number
  readonly bytes: number
  /** Offsets that they got: [firstOffset, endOffset). */
  readonly firstOffset: number
  readonly endOffset: number
  /** Records that the export could not read. */
  readonly lost: number
}

/** Takes an export into a route of the running server, all of it or nothing. `sum`: SHA-256 of its lines, hex. */
export interface ImportSource {
  take(routeId: string, sum: string, pieces: AsyncIterable<Uint8Array>): Promise<ImportOutcome>
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
  /** By route: which losses its policy allows, for whoever judges damage. */
  readonly durability: Readonly<Record<string, 'sync' | 'interval' | 'os' | 'memory'>>
}

export interface Health {
  readonly isOk: boolean
  readonly reasons: readonly string[]
}

export interface AdminSource {
  readonly version: string
  readonly startedMs: number
  readonly changes: QueueChanges
  readonly imports: ImportSource
  store(): StoreInfo
  liveness(): Health
  readiness(): Health
  metricsText(): Promise<string>
  readonly metricsContentType: string
  queues(): QueuesStatus
  addresses(): Readonly<Record<string, readonly string[]>>
  readonly letters: LetterSource
  readonly jobs: JobSource
  readonly replays: QueueReplaySource
}
