// Runs on: main.
// Composition root: builds the stages in the order in which data passes them, starts them from the back to the front and
// stops them from the front to the back. A destination that is down delays no start.

import { hash } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import type { MillraceConfig } from './config/schema.ts'
import { systemClock, systemRandom } from './core/clock.ts'
import { TASK_MS_MAX } from './core/limits.ts'
import type { ShardLog } from './delivery/shard-log.ts'
import { MetricRegistry } from './metrics/registry.ts'
import type { OutputLog } from './plugin/output.ts'
import type { Registry } from './plugin/registry.ts'
import { FreeSpace } from './server/disk/free-space.ts'
import { DiskHealth } from './server/disk/health.ts'
import { Housekeeping } from './server/disk/housekeeping.ts'
import { Scrubber } from './server/disk/scrub.ts'
import { DeadLetterLogs } from './server/letters/dead-letter-logs.ts'
import type { OwnLogFeed } from './server/own-log.ts'
import { ParkLogs } from './server/park/logs.ts'
import { STOP_MS_MAX } from './server/process-end.ts'
import { LiveQueueChanges } from './server/queues/changes.ts'
import { LiveImports } from './server/queues/live-import.ts'
import { JobFile } from './server/replay/job-file.ts'
import { ReplayJobs } from './server/replay/jobs.ts'
import { LetterJobs } from './server/replay/letter-jobs.ts'
import { QueueReplays } from './server/replay/queue-replay.ts'
import type { RunReplay } from './server/replay/replay.ts'
import { adminServers } from './server/stages/admin-servers.ts'
import { DeliverySet } from './server/stages/delivery-set.ts'
import { type Addresses, IngestThreads } from './server/stages/ingest-threads.ts'
import { provideMetrics } from './server/status/metrics-sources.ts'
import { ServerStatus } from './server/status/server-status.ts'
import { routeOf } from './server/store/open-shards.ts'
import { Store } from './server/store/store.ts'
import { AgeClock } from './storage/retention/age-clock.ts'
import { nodeStorage } from './storage/storage.ts'
import { watchDoorbell } from './threads/doorbell.ts'

export interface StartOptions {
  readonly config: MillraceConfig
  readonly registry: Registry
  /** URL of the list of built-in steps. */
  readonly stepsModule: string
  readonly version: string
  readonly log: OutputLog
  /** Brings what is logged to the input that takes it; null: none does. */
  readonly ownLog: OwnLogFeed | null
  /** No listener: deliver what is stored. */
  readonly isDrainOnly: boolean
  /** Start without the keys of some encrypted segments; default: refuse. */
  readonly isLockedSkipped?: boolean
  /** Aborted when the server is to stop before it is up: no listener is opened any more. */
  readonly stopping?: AbortSignal
  /** The server cannot go on: a thread died. */
  readonly onDeath: (error: Error) => void
  /** The disk failed and `queue.on_io_error` is `exit`. */
  readonly onIoError: (error: Error) => void
}

/** Of the configuration in force; grows with every reload. */
const GENERATION = 1
/** How long ingest threads may take to finish what they read. */
const INGEST_STOP_MS = 3000
/** How often a drain looks whether it is done. */
const DRAIN_LOOK_MS = 50

export class Server {
  readonly addresses: Addresses
  readonly adminUrl: string | null
  readonly #parts: Parts
  #stopping: Promise<boolean> | null = null

  private constructor(parts: Parts, addresses: Addresses, adminUrl: string | null) {
    this.#parts = parts
    this.addresses = addresses
    this.adminUrl = adminUrl
  }

  /** Starts everything; what was opened is closed again when something fails. */
  static async start(options: StartOptions): Promise<Server> {
    const parts = new Parts(options)
    try {
      // Before the first segment goes: a replay of a queue holds what it has to read.
      parts.resumeJobs()
      parts.delivery.start()
      // Recovery does not let go of the thread: a signal that came meanwhile is heard now.
      await nextTurn()
      const isClosed = options.isDrainOnly || options.stopping?.aborted === true
      const addresses = isClosed ? {} : await parts.ingest.listen()
      parts.status.setAddresses(addresses)
      const adminUrl = await parts.admin.start()
      return new Server(parts, addresses, adminUrl)
    } catch (error) {
      // Why it failed is worth more than what its end waits for.
      const limit = new AbortController()
      const late = systemClock.sleep(STOP_MS_MAX, limit.signal).catch(() => undefined)
      await Promise.race([parts.stop(0), late])
      limit.abort()
      throw error
    }
  }

  /**
   * Not ready, no new connections, finish and answer what was read, deliver for at most `drainTimeoutMs`, write cursors.
   * Settles with whether everything was delivered. A second call waits for the first.
   */
  stop(drainTimeoutMs: number): Promise<boolean> {
    this.#stopping ??= this.#parts.stop(drainTimeoutMs)
    return this.#stopping
  }

  /** Part that a stop waits for. */
  get waitsFor(): string {
    return this.#parts.waitsFor
  }

  /** Ends a drain at once; what is left stays stored. */
  hurry(): void {
    this.#parts.hurry()
  }

  /** Settles when everything is delivered or time is up; tells which. */
  drain(timeoutMs: number): Promise<boolean> {
    return this.#parts.drain(timeoutMs)
  }
}

/** The stages, in the order of data. */
class Parts {
  readonly store: Store
  readonly ingest: IngestThreads
  readonly deadLetters: DeadLetterLogs
  readonly jobs: ReplayJobs
  readonly parks: ParkLogs
  readonly delivery: DeliverySet
  readonly status: ServerStatus
  readonly admin: { start(): Promise<string | null>; stop(): Promise<void> }
  /** Part that a stop waits for. */
  waitsFor = ''
  readonly #watch = new AbortController()
  readonly #hurry = new AbortController()
  readonly #isDrainOnly: boolean
  readonly #config: MillraceConfig
  readonly #disk: DiskHealth
  readonly #freeSpace: FreeSpace
  readonly #letterJobs: LetterJobs
  readonly #queueReplays: QueueReplays
  readonly #housekeeping: Housekeeping
  readonly #scrubber: Scrubber
  readonly #ages = new AgeClock(systemClock)

  constructor(options: StartOptions) {
    const { config, log, ownLog, registry, version } = options
    this.#config = config
    this.#isDrainOnly = options.isDrainOnly
    this.store = new Store({
      config,
      storage: nodeStorage,
      clock: systemClock,
      log,
      version,
      isLockedSkipped: options.isLockedSkipped ?? false,
      onRoom: (name) => this.ingest.room([name])
    })
    this.jobs = new ReplayJobs(systemClock, new JobFile(this.store.context))
    this.#disk = this.#watchDisk(options)
    this.#freeSpace = this.#watchSpace(log)
    this.#rememberAges(log)
    this.ingest = new IngestThreads({
      config,
      registry,
      generation: GENERATION,
      store: this.store.context.store,
      shards: this.store.shardsByThread(config.threads.ingest),
      resends: this.store.resendMemory(),
      log,
      ownLog,
      onSegment: (name, shardNumber, segment) => {
        const opened = this.store
          .shardsOf(name)
          .find(({ spec }) => spec.log === name && spec.shardNumber === shardNumber)
        opened?.shardLog.addSegment(segment)
        this.#refresh()
        this.#housekeeping.began(routeOf(name))
      },
      onDisk: (name, shardNumber, news) => this.#disk.hear(name, shardNumber, news),
      onDeath: options.onDeath
    })
    this.deadLetters = new DeadLetterLogs({
      config,
      context: this.store.context,
      ingestLogs: this.store.shards.filter(({ spec }) => spec.log.startsWith('dlq/')),
      orphans: this.store.orphans.map((each) => each.log).filter((name) => name.startsWith('dlq/'))
    })
    this.parks = new ParkLogs(config, this.store.context, this.deadLetters, systemRandom)
    this.delivery = this.#createDelivery(options)
    this.#scrubber = this.#createScrubber(log)
    const run: RunReplay = (key, parts) => this.delivery.runReplay(key, parts)
    this.#letterJobs = this.#createLetterJobs(run)
    this.#queueReplays = this.#createQueueReplays(run)
    const metrics = new MetricRegistry()
    this.status = this.#createStatus(metrics, version)
    provideMetrics(metrics, {
      ages: this.#ages,
      config,
      version,
      generation: GENERATION,
      configHash: hash('sha256', JSON.stringify(config)).slice(0, 12),
      store: this.store,
      disk: this.#disk,
      scrubber: this.#scrubber,
      ingest: this.ingest,
      delivery: this.delivery,
      status: this.status,
      deadLetters: this.deadLetters,
      jobs: this.jobs
    })
    this.admin = adminServers(config, this.status, log)
    for (const doorbell of this.ingest.doorbells) {
      void watchDoorbell(doorbell, () => this.#refresh(), this.#watch.signal)
    }
    this.#housekeeping = this.#keepHouse(log)
  }

  /** Goes on with replays and purges that the process before did not end. */
  resumeJobs(): void {
    this.jobs.resume((saved) =>
      saved.kind === 'queue_replay'
        ? this.#queueReplays.resume(saved)
        : this.#letterJobs.resume(saved)
    )
  }

  /** Front to back. */
  async stop(drainTimeoutMs: number): Promise<boolean> {
    this.status.setStopping()
    await this.#wait('ingest threads', this.ingest.stop(INGEST_STOP_MS))
    this.#refresh()
    const isDrained = await this.#wait('drain', this.drain(drainTimeoutMs))
    this.#watch.abort()
    this.#housekeeping.stop()
    await this.#wait('jobs', this.jobs.close())
    this.#scrubber.stop()
    await this.#wait('outputs', this.delivery.stop())
    await this.#wait('parks', this.parks.close())
    await this.#wait('dead letters', this.deadLetters.close())
    await this.#wait('admin server', this.admin.stop())
    await this.#wait('cursors', this.store.close())
    return isDrained
  }

  /** Of a stop: what it waits for. */
  #wait<T>(name: string, settled: Promise<T>): Promise<T> {
    this.waitsFor = name
    return settled
  }

  hurry(): void {
    this.#hurry.abort()
  }

  async drain(timeoutMs: number): Promise<boolean> {
    const endMs = systemClock.monotonicMs() + timeoutMs
    const { signal } = this.#hurry
    // What is parked is known to be refused: a stop does not wait for it, giving the volume up does.
    const isDone = () => (this.#isDrainOnly ? this.#isEmpty : this.delivery.isDrained)
    while (!isDone() && systemClock.monotonicMs() < endMs && !signal.aborted) {
      await systemClock.sleep(DRAIN_LOOK_MS, signal).catch(() => undefined)
    }
    return this.#isEmpty
  }

  get #isEmpty(): boolean {
    return this.delivery.isDrained && this.parks.isEmpty
  }

  #routeShards(): ShardLog[] {
    return this.store.shards
      .map(({ shardLog }) => shardLog)
      .filter(({ log }) => log.startsWith('routes/'))
  }

  #createDelivery({ config, log, registry, stepsModule }: StartOptions): DeliverySet {
    return new DeliverySet({
      config,
      registry,
      generation: GENERATION,
      stepsModule: stepsModule,
      moduleBase: `${pathToFileURL(config.baseDir).href}/`,
      uuid: Buffer.from(this.store.context.store.uuid).toString('hex'),
      store: this.store.context.store,
      clock: systemClock,
      random: systemRandom,
      log,
      shardsOf: (routeId) => this.store.shardsOf(`routes/${routeId}`),
      lettersOf: (routeId, outputId, shardLog) =>
        this.deadLetters.writerOf(routeId, outputId, shardLog),
      parkOf: (routeId, outputId) => this.parks.accessOf(routeId, outputId)
    })
  }

  #createStatus(metrics: MetricRegistry, version: string): ServerStatus {
    return new ServerStatus({
      config: this.#config,
      version,
      clock: systemClock,
      metrics,
      shards: () => this.#routeShards(),
      disk: this.#disk,
      freeSpace: this.#freeSpace,
      destinations: this.delivery.destinations,
      changes: new LiveQueueChanges({ store: this.store, delivery: this.delivery }),
      imports: new LiveImports({
        config: this.#config,
        store: this.store,
        delivery: this.delivery
      }),
      leftovers: () => ({
        orphans: this.store.orphans,
        removed: this.store.removed,
        parked: this.parks.status(),
        letters: this.deadLetters.shardStatus()
      }),
      letters: this.#letterJobs,
      replays: this.#queueReplays,
      jobs: this.jobs
    })
  }

  #createLetterJobs(run: RunReplay): LetterJobs {
    const { deadLetters: logs, jobs } = this
    return new LetterJobs({ config: this.#config, context: this.store.context, logs, jobs, run })
  }

  #createQueueReplays(run: RunReplay): QueueReplays {
    return new QueueReplays({
      clock: systemClock,
      jobs: this.jobs,
      run,
      shardsOf: (route, output) => this.delivery.shardsOf(`${route}/${output}`)
    })
  }

  #createScrubber(log: OutputLog): Scrubber {
    const scrubber = new Scrubber({
      clock: systemClock,
      log,
      bytesPerSecond: this.#config.queue.scrubBytesPerSecond,
      shards: () => this.store.shards.map(({ shardLog }) => shardLog),
      scrub: (request) => this.delivery.pool.scrub(request, TASK_MS_MAX)
    })
    scrubber.start()
    return scrubber
  }

  #watchDisk({ config, log, onIoError }: StartOptions): DiskHealth {
    return new DiskHealth({
      storage: nodeStorage,
      dataDir: config.dataDir,
      log,
      shards: () => this.#routeShards(),
      isExitOnError: config.queue.onIoError === 'exit',
      onIoError
    })
  }

  #watchSpace(log: OutputLog): FreeSpace {
    const { routes, dataDir, queue } = this.#config
    return new FreeSpace({
      storage: nodeStorage,
      dataDir,
      minFree: queue.minFree,
      shards: () => this.#routeShards(),
      log,
      onRoom: () => this.ingest.room(routes.map(({ id }) => `routes/${id}`))
    })
  }

  #keepHouse(log: OutputLog): Housekeeping {
    return new Housekeeping({
      clock: systemClock,
      log,
      routes: this.#config.routes,
      segmentBytesMax: this.#config.queue.segmentBytesMax,
      freeSpace: this.#freeSpace,
      disk: this.#disk,
      ages: this.#ages,
      seal: (shardLog) => this.ingest.seal(shardLog.log, shardLog.shardNumber),
      deadLetters: this.deadLetters,
      shardsOf: (routeId) =>
        this.store.shardsOf(`routes/${routeId}`).map(({ shardLog }) => shardLog)
    })
  }

  /** The time since the newest record counts as age only as far as somebody can vouch for it. */
  #rememberAges(log: OutputLog): void {
    const newestMs = this.store.shards.reduce(
      (newest, { spec }) => Math.max(newest, spec.start.lastAppendTimeMs),
      0
    )
    const gapMs = this.#ages.began(newestMs)
    if (gapMs === 0 || this.#config.routes.every(({ ageMsMax }) => ageMsMax === null)) return
    log.warn(
      {
        event: 'queue.age_gap',
        gapMs: Math.round(gapMs),
        newest: new Date(newestMs).toISOString()
      },
      'nothing was stored for longer than an hour before this start, or a clock jumped: that time does not count towards max_age'
    )
  }

  /** Takes over what the ingest threads made visible and wakes the lanes. */
  #refresh(): void {
    for (const { shardLog } of this.store.shards) shardLog.refresh()
    this.delivery.wake()
    this.#housekeeping.rang()
  }
}
