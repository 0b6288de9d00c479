// Runs on: main.
// What the admin server shows: health with reasons, queues with the identity of every cursor, dead letters.

import type {
  AdminSource,
  CursorStatus,
  DeadLetterLogStatus,
  DeadLetterView,
  Health,
  QueueChanges,
  QueuesStatus,
  ReplayOutcome,
  ShardStatus,
  StoreInfo
} from '../admin/status.ts'
import type { MillraceConfig } from '../config/schema.ts'
import type { Clock } from '../core/clock.ts'
import type { Destination } from '../delivery/destination.ts'
import type { ShardLog } from '../delivery/shard-log.ts'
import type { MetricRegistry } from '../metrics/registry.ts'
import type { Addresses } from './ingest-threads.ts'

export interface StatusOptions {
  readonly config: MillraceConfig
  readonly version: string
  readonly clock: Clock
  readonly metrics: MetricRegistry
  /** Shards of routes. */
  readonly shards: () => readonly ShardLog[]
  readonly destinations: readonly Destination[]
  readonly changes: QueueChanges
  /** What old configurations left. */
  readonly leftovers: () => Pick<QueuesStatus, 'orphans' | 'removed'>
  readonly deadLetters: {
    status(): DeadLetterLogStatus[]
    views(log: string, limit: number): DeadLetterView[]
  }
  readonly replay: (log: string, isDryRun: boolean) => Promise<ReplayOutcome>
}

/** How long a route may be full before the router says that it is not ready. */
const FULL_MS_MAX = 10_000

export class ServerStatus implements AdminSource {
  readonly version: string
  readonly startedMs: number
  readonly #options: StatusOptions
  readonly #fullSinceMs = new Map<ShardLog, number>()
  #addresses: Addresses | null = null
  #isStopping = false

  constructor(options: StatusOptions) {
    this.version = options.version
    this.#options = options
    this.startedMs = options.clock.nowMs()
  }

  get changes(): QueueChanges {
    return this.#options.changes
  }

  setAddresses(addresses: Addresses): void {
    this.#addresses = addresses
  }

  setStopping(): void {
    this.#isStopping = true
  }

  store(): StoreInfo {
    return { dataDir: this.#options.config.dataDir }
  }

  addresses(): Addresses {
    return this.#addresses ?? {}
  }

  /** Answering at all is what it says. */
  liveness(): Health {
    return { isOk: true, reasons: [] }
  }

  readiness(): Health {
    const reasons: string[] = []
    if (this.#addresses === null) reasons.push('listeners are not open')
    if (this.#isStopping) reasons.push('stopping')
    const nowMs = this.#options.clock.monotonicMs()
    for (const shardLog of this.#options.shards()) {
      const name = `${shardLog.route}/${shardLog.label}`
      const { state } = shardLog
      if (state !== 'ok' && state !== 'draining') reasons.push(`${name} is ${state}`)
      const fullForMs = nowMs - this.#fullSince(shardLog, nowMs)
      if (fullForMs > FULL_MS_MAX) reasons.push(`${name} has no room: max_bytes is reached`)
    }
    return { isOk: reasons.length === 0, reasons }
  }

  metricsText(): Promise<string> {
    return this.#options.metrics.text()
  }

  get metricsContentType(): string {
    return this.#options.metrics.contentType
  }

  queues(): QueuesStatus {
    return {
      shards: this.#options.shards().map((shardLog) => this.#shardStatus(shardLog)),
      cursors: this.#options.destinations.flatMap(cursorStatuses),
      ...this.#options.leftovers()
    }
  }

  deadLetterLogs(): DeadLetterLogStatus[] {
    return this.#options.deadLetters.status()
  }

  async deadLetters(log: string, limit: number): Promise<readonly DeadLetterView[]> {
    return this.#options.deadLetters.views(log, limit)
  }

  replay(log: string, isDryRun: boolean): Promise<ReplayOutcome> {
    return this.#options.replay(log, isDryRun)
  }

  #shardStatus(shardLog: ShardLog): ShardStatus {
    const route = this.#routeConfig(shardLog)
    return {
      route: shardLog.route,
      shard: shardLog.label,
      state: shardLog.state,
      segments: shardLog.segments.all.length,
      diskBytes: shardLog.heldBytes,
      durability: route?.durability ?? 'sync',
      overflow: route?.overflow ?? 'block',
      bytesMax: route?.bytesMax ?? 0
    }
  }

  #routeConfig(shardLog: ShardLog): MillraceConfig['routes'][number] | undefined {
    return this.#options.config.routes.find(({ id }) => id === shardLog.route)
  }

  /** Now, when the shard has room. */
  #fullSince(shardLog: ShardLog, nowMs: number): number {
    const route = this.#routeConfig(shardLog)
    const shards = this.#options.shards()
    const written = shards.filter((each) => each.log === shardLog.log && !each.isRetired)
    const shardCount = Math.max(1, written.length)
    const isFull =
      !shardLog.isRetired &&
      route?.overflow === 'block' &&
      shardLog.heldBytes >= route.bytesMax / shardCount
    if (!isFull) this.#fullSinceMs.delete(shardLog)
    else if (!this.#fullSinceMs.has(shardLog)) this.#fullSinceMs.set(shardLog, nowMs)
    return this.#fullSinceMs.get(shardLog) ?? nowMs
  }
}

export function cursorStatuses(destination: Destination): CursorStatus[] {
  return destination.shards.map(({ cursor, lane, shardLog }) => {
    const account = shardLog.account(cursor)
    // What `drop_newest` refused since the start has no offsets: it came and was dropped, for every destination.
    const { droppedNewest } = shardLog
    return {
      route: destination.route,
      shard: shardLog.label,
      destination: destination.output.id,
      appended: account.appended + droppedNewest,
      delivered: account.delivered + account.duplicateSuppressed,
      duplicateSuppressed: account.duplicateSuppressed,
      deadLettered: account.deadLettered,
      moved: account.moved,
      dropped:
        droppedNewest === 0
          ? account.dropped
          : { ...account.dropped, overflow_newest: droppedNewest },
      lost: account.lost,
      pending: account.pending,
      oldestPendingMs: account.pending === 0 ? null : lane.oldestMs,
      lastError: destination.output.lastError
    }
  })
}
