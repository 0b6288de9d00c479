// Runs on: main.
// What the admin server shows: health with reasons, queues with the identity of every cursor, dead letters.

import type {
  AdminSource,
  CursorStatus,
  Health,
  ImportSource,
  JobSource,
  LetterSource,
  QueueChanges,
  QueueReplaySource,
  QueuesStatus,
  ShardStatus,
  StoreInfo
} from '../../admin/status.ts'
import type { MillraceConfig } from '../../config/schema.ts'
import type { Clock } from '../../core/clock.ts'
import type { Destination } from '../../delivery/destination.ts'
import type { ShardLog } from '../../delivery/shard-log.ts'
import type { MetricRegistry } from '../../metrics/registry.ts'
import type { ShardState } from '../../threads/shared.ts'
import type { FreeSpace } from '../disk/free-space.ts'
import type { DiskHealth } from '../disk/health.ts'
import type { Addresses } from '../stages/ingest-threads.ts'

export interface StatusOptions {
  readonly config: MillraceConfig
  readonly version: string
  readonly clock: Clock
  readonly metrics: MetricRegistry
  /** Shards of routes. */
  readonly shards: () => readonly ShardLog[]
  readonly disk: Pick<DiskHealth, 'errorOf' | 'isSlow' | 'volumeTrouble'>
  readonly freeSpace: Pick<FreeSpace, 'shortOf'>
  readonly destinations: readonly Destination[]
  readonly changes: QueueChanges
  readonly imports: ImportSource
  /** What old configurations left. */
  readonly leftovers: () => Pick<QueuesStatus, 'orphans' | 'removed' | 'parked' | 'letters'>
  readonly letters: LetterSource
  readonly jobs: JobSource
  readonly replays: QueueReplaySource
}

/** How long a route may be full before the router says that it is not ready. */
const FULL_MS_MAX = 10_000

export class ServerStatus implements AdminSource {
  readonly version: string
  readonly startedMs: number
  readonly letters: LetterSource
  readonly jobs: JobSource
  readonly replays: QueueReplaySource
  readonly #options: StatusOptions
  readonly #fullSinceMs = new Map<ShardLog, number>()
  #addresses: Addresses | null = null
  #isStopping = false

  constructor(options: StatusOptions) {
    this.version = options.version
    this.#options = options
    this.letters = options.letters
    this.jobs = options.jobs
    this.replays = options.replays
    this.startedMs = options.clock.nowMs()
  }

  get changes(): QueueChanges {
    return this.#options.changes
  }

  get imports(): ImportSource {
    return this.#options.imports
  }

  setAddresses(addresses: Addresses): void {
    this.#addresses = addresses
  }

  setStopping(): void {
    this.#isStopping = true
  }

  store(): StoreInfo {
    const { dataDir, routes } = this.#options.config
    const durability = Object.fromEntries(routes.map((route) => [route.id, route.durability]))
    return { dataDir, durability }
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
    const { clock, disk, shards } = this.#options
    if (disk.volumeTrouble !== null) reasons.push(disk.volumeTrouble)
    const nowMs = clock.monotonicMs()
    for (const shardLog of shards()) {
      const reason = this.#whyNotReady(shardLog, nowMs)
      if (reason !== null) reasons.push(`${shardLog.route}/${shardLog.label} ${reason}`)
    }
    return { isOk: reasons.length === 0, reasons }
  }

  /** What holds of a shard: as its writer and the volume say, and `full` at the bound of its route too. */
  stateOf(shardLog: ShardLog): ShardState {
    const { state } = shardLog
    return state === 'ok' && this.#isAtBound(shardLog) ? 'full' : state
  }

  metricsText(): Promise<string> {
    this.#catchUp()
    return this.#options.metrics.text()
  }

  get metricsContentType(): string {
    return this.#options.metrics.contentType
  }

  queues(): QueuesStatus {
    this.#catchUp()
    return {
      shards: this.#options.shards().map((shardLog) => this.#shardStatus(shardLog)),
      cursors: this.#options.destinations.flatMap(cursorStatuses),
      ...this.#options.leftovers()
    }
  }

  /** Who has an ack and looks finds its records: main may not have heard the bell yet. */
  #catchUp(): void {
    for (const shardLog of this.#options.shards()) shardLog.refresh()
  }

  #shardStatus(shardLog: ShardLog): ShardStatus {
    const route = this.#routeConfig(shardLog)
    return {
      route: shardLog.route,
      shard: shardLog.label,
      state: this.stateOf(shardLog),
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

  /** Null: it takes records, or has no room for so short a time, or makes room by itself. */
  #whyNotReady(shardLog: ShardLog, nowMs: number): string | null {
    const { disk } = this.#options
    const state = this.stateOf(shardLog)
    const isFull = state === 'full' && this.#routeConfig(shardLog)?.overflow === 'block'
    if (!isFull) this.#fullSinceMs.delete(shardLog)
    const error = disk.errorOf(shardLog)
    const because = error === '' ? '' : `: ${error}`
    if (state === 'read_only' || state === 'failed') return `is ${state}${because}`
    if (disk.isSlow(shardLog)) {
      return `waits for a sync since ${Math.round(shardLog.syncAgeMs / 1000)} s`
    }
    if (!isFull) return null
    const sinceMs = this.#fullSinceMs.get(shardLog) ?? nowMs
    this.#fullSinceMs.set(shardLog, sinceMs)
    if (nowMs - sinceMs <= FULL_MS_MAX) return null
    return `is full: ${this.#whyFull(shardLog)}`
  }

  #whyFull(shardLog: ShardLog): string {
    const { disk, freeSpace } = this.#options
    if (freeSpace.shortOf !== null) return `the volume has too few free ${freeSpace.shortOf}`
    if (shardLog.writerState === 'full') return disk.errorOf(shardLog)
    return 'max_bytes is reached'
  }

  #isAtBound(shardLog: ShardLog): boolean {
    const route = this.#routeConfig(shardLog)
    if (route === undefined || shardLog.isRetired || route.overflow === 'drop_oldest') return false
    const { log, shardNumber } = shardLog
    const pendingBytes = this.#options
      .shards()
      .filter((each) => each.log === log && !each.isRetired)
      .filter((each) => each.shardNumber % route.lanes === shardNumber % route.lanes)
      .reduce((sum, { heldBytes, keptBytes }) => sum + heldBytes - keptBytes, 0)
    return pendingBytes >= route.bytesMax / route.lanes
  }
}

export function cursorStatuses(destination: Destination): CursorStatus[] {
  return destination.shards.map(({ cursor, oldestMs, shardLog }) => {
    const account = shardLog.account(cursor)
    return {
      route: destination.route,
      shard: shardLog.label,
      destination: destination.output.id,
      appended: account.appended,
      delivered: account.delivered + account.duplicateSuppressed,
      duplicateSuppressed: account.duplicateSuppressed,
      deadLettered: account.deadLettered,
      moved: account.moved,
      dropped: account.dropped,
      lost: account.lost,
      pending: account.pending,
      oldestPendingMs: account.pending === 0 ? null : (oldestMs ?? shardLog.pendingSinceMs(cursor)),
      lastError: destination.output.lastError
    }
  })
}
