// Steps 1 to 5. Runs on: ingest.
// What an ingest thread is made of: kernel, shards, router, appender, inputs; and what it does on messages of main. Order
// of a stop: inputs finish and answer what they read, then the shards sync and end their segments.

import type { MillraceConfig } from '../config/schema.ts'
import type { Clock } from '../core/clock.ts'
import { errorText, MillraceError } from '../core/errors.ts'
import { PARTIAL_BYTES_MAX } from '../core/limits.ts'
import { compileTagMatch } from '../core/tag.ts'
import { ScanKernel } from '../kernel/scan-kernel.ts'
import { HeldBytes } from '../net/held-bytes.ts'
import type { CreateInput, Input, InputAddresses, InputContext, OwnLog } from '../plugin/input.ts'
import type { OutputLog } from '../plugin/output.ts'
import type { Storage } from '../storage/storage.ts'
import type { FromIngest, IngestThreadData, ToIngest } from '../threads/messages.ts'
import { QueueAppender } from './appender.ts'
import { Doorbell } from './control-block.ts'
import { type ResendChannel, type ResendNews, ResendTable } from './dedupe.ts'
import { SharedCounters } from './input-counters.ts'
import { type LaneGroup, laneChooser, logOf } from './lane-group.ts'
import { RoomWaiters } from './pressure.ts'
import type { RouteTarget } from './route-target.ts'
import { Router } from './router.ts'
import { ShardSet } from './shard-set.ts'
import { SpoolDirectory } from './spool.ts'
import { DiskStateFile } from './state-file.ts'

export interface IngestOptions {
  readonly data: IngestThreadData<MillraceConfig>
  readonly clock: Clock
  readonly storage: Storage
  /** To the other ingest threads; null: there are none. */
  readonly channel: ResendChannel | null
  post(message: FromIngest): void
  importModule(url: string): Promise<unknown>
}

const TICK_MS = 1000
/** Warnings about tags that no route takes: one per tag, so many per hour. */
const UNMATCHED_WARNINGS_MAX = 100
const HOUR_MS = 3_600_000

export class IngestMain {
  readonly #options: IngestOptions
  readonly #shards: ShardSet
  readonly #appender: QueueAppender
  readonly #room = new RoomWaiters()
  readonly #resends: ResendTable
  readonly #kernel = new ScanKernel()
  readonly #held = new HeldBytes(PARTIAL_BYTES_MAX)
  readonly #spools: SpoolDirectory
  readonly #log: OutputLog
  #inputs: { readonly id: string; readonly input: Input }[] = []
  #cancelTick = () => {}
  #unmatchedCount = 0
  #unmatchedFromMs = 0
  #stopping: Promise<void> | null = null
  #takeOwnLog: Parameters<OwnLog['open']>[0] | null = null

  constructor(options: IngestOptions) {
    this.#options = options
    const { channel, clock, data, storage } = options
    this.#log = logTo(options)
    const inputCount = Object.keys(data.config.inputs).length
    const none = this.#countersOf(inputCount)
    this.#shards = new ShardSet({
      data,
      clock,
      storage,
      kernel: this.#kernel,
      doorbell: new Doorbell(data.doorbell),
      counters: none,
      post: (message) => options.post(message),
      onRoom: () => this.#room.wake()
    })
    this.#spools = new SpoolDirectory({
      storage,
      dataDir: data.config.dataDir,
      minFree: data.config.queue.minFree,
      threadIndex: data.index,
      counters: none
    })
    const router = this.#createRouter((input, tag) => this.#warnUnmatched(input, tag))
    // Another one, because what came before is no reason to warn.
    const past = this.#createRouter(() => {})
    this.#resends = new ResendTable({
      ...data.resends,
      channel,
      logsOf: (inputId, tag) => past.lookup(inputId, tag).map(logOf)
    })
    this.#appender = new QueueAppender({
      clock,
      router,
      splitter: this.#kernel.lanes,
      deadLetters: (inputId) => this.#shards.target(`dlq/in.${inputId}`),
      room: this.#room,
      onRefused: (recordCount) => none.add('input_rejected_records_total/overflow', recordCount)
    })
    this.#scheduleTick()
  }

  handle(message: ToIngest): Promise<void> {
    switch (message.kind) {
      case 'start':
        return this.start()
      case 'room':
        this.#shards.probe(message.logs)
        this.#room.wake()
        return Promise.resolve()
      case 'seal':
        this.#shards.seal(message.log, message.shardNumber)
        return Promise.resolve()
      case 'own_log':
        this.#takeOwnLog?.(message.batch, () => this.#options.post({ kind: 'own_log_taken' }))
        return Promise.resolve()
      case 'stop':
        return this.stop(message.timeoutMs)
    }
  }

  /** Whether anything is remembered for messages that come again. */
  get hasResends(): boolean {
    return !this.#resends.isEmpty
  }

  /** What another thread knows about resends. */
  hear(news: ResendNews): void {
    this.#resends.hear(news)
  }

  /** Opens the listeners of all inputs. */
  async start(): Promise<void> {
    const { data, post } = this.#options
    try {
      const addresses: Record<string, InputAddresses> = {}
      for (const [ordinal, [id, plugin]] of Object.entries(data.config.inputs).entries()) {
        const create = await this.#load(plugin.type)
        const input = create(plugin.config, this.#contextOf(id, ordinal))
        this.#inputs.push({ id, input })
        addresses[id] = await input.start()
      }
      post({ kind: 'listening', addresses })
    } catch (error) {
      const code = error instanceof MillraceError ? error.code : 'MR_LISTEN'
      post({ kind: 'failed', code, message: errorText(error) })
    }
  }

  /** Safe to call twice and before `start`. */
  stop(timeoutMs: number): Promise<void> {
    this.#stopping ??= this.#stop(timeoutMs)
    return this.#stopping
  }

  async #stop(timeoutMs: number): Promise<void> {
    const abort = new AbortController()
    const cancel = this.#options.clock.after(timeoutMs, () => abort.abort())
    await Promise.all(this.#inputs.map(({ input }) => input.stop(abort.signal)))
    cancel()
    this.#appender.commit()
    await this.#shards.close()
    this.#cancelTick()
    this.#options.post({ kind: 'stopped' })
  }

  async #load(type: string): Promise<CreateInput<unknown, ScanKernel>> {
    const { data, importModule } = this.#options
    const url = data.inputModules[type] ?? ''
    // Main found the module through the registry, whose plugins have this form.
    const module = (await importModule(url)) as { default: CreateInput<unknown, ScanKernel> }
    return module.default
  }

  #contextOf(id: string, ordinal: number): InputContext<ScanKernel> {
    const { clock, data, storage } = this.#options
    return {
      id,
      ordinal,
      clock,
      appender: this.#appender,
      log: this.#log,
      counters: this.#countersOf(ordinal),
      resends: this.#resends.of(id),
      held: this.#held,
      spools: this.#spools,
      stateFile: (name) => new DiskStateFile(storage, data.config.dataDir, id, name),
      ownLog: {
        open: (take) => {
          this.#takeOwnLog = take
        }
      },
      kernel: this.#kernel,
      ticketSecret: data.ticketSecret,
      reportCertificate: (listener, endsMs) =>
        this.#options.post({ kind: 'certificate', listener, endsMs }),
      thread: { index: data.index, count: data.count }
    }
  }

  #countersOf(ordinal: number): SharedCounters {
    return new SharedCounters(new Float64Array(this.#options.data.counters), ordinal)
  }

  #createRouter(
    onUnmatched: (input: string, tag: string) => void
  ): Router<RouteTarget | LaneGroup> {
    const { routes } = this.#options.data.config
    return new Router({
      rules: routes.map((route) => ({
        targetOf: laneChooser(route, this.#shards.lanes(`routes/${route.id}`), this.#kernel.hash),
        matches: compileTagMatch(route.match),
        from: route.from === null ? null : new Set(route.from),
        isContinue: route.goesOn
      })),
      unmatched: this.#shards.target('dlq/unmatched'),
      onUnmatched
    })
  }

  #warnUnmatched(input: string, tag: string): void {
    const nowMs = this.#options.clock.monotonicMs()
    if (nowMs - this.#unmatchedFromMs >= HOUR_MS) {
      this.#unmatchedFromMs = nowMs
      this.#unmatchedCount = 0
    }
    this.#unmatchedCount++
    if (this.#unmatchedCount > UNMATCHED_WARNINGS_MAX) return
    this.#log.warn({ input, tag }, 'no route takes this tag: its records are in dlq/unmatched')
  }

  #scheduleTick(): void {
    this.#cancelTick = this.#options.clock.after(TICK_MS, () => {
      this.#shards.tick()
      // Whoever missed an event finds the room now.
      this.#room.wake()
      this.#scheduleTick()
    })
  }
}

function logTo({ post }: IngestOptions): OutputLog {
  const at = (level: 'info' | 'warn' | 'error') => (fields: object, message: string) =>
    post({ kind: 'log', level, fields, message })
  return { info: at('info'), warn: at('warn'), error: at('error') }
}
