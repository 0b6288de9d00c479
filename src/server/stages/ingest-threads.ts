// Steps 1 to 5, seen from main. Runs on: main.
// Starts the ingest threads, opens their listeners together, passes on what they say, stops them. A thread that dies takes
// its unread sockets with it and its shards have no writer: the router stops, and the next start recovers.

import { randomBytes } from 'node:crypto'
import type { MillraceConfig } from '../../config/schema.ts'
import { type ErrorCode, MillraceError } from '../../core/errors.ts'
import { INGEST_COUNTERS, ingestCounterBytes } from '../../metrics/ingest-counters.ts'
import type { OutputLog } from '../../plugin/output.ts'
import type { Registry } from '../../plugin/registry.ts'
import type { StoreIdentity } from '../../storage/format/store-keys.ts'
import type {
  DiskNews,
  FromIngest,
  IngestThreadData,
  NewSegment,
  ShardSpec
} from '../../threads/messages.ts'
import { type IngestThread, spawnIngest } from '../../threads/roles.ts'
import type { OwnLogFeed } from '../own-log.ts'

export interface IngestThreadsOptions {
  readonly config: MillraceConfig
  readonly registry: Registry
  readonly generation: number
  readonly store: StoreIdentity
  /** Shards by thread. */
  readonly shards: readonly (readonly ShardSpec[])[]
  readonly resends: IngestThreadData<MillraceConfig>['resends']
  readonly log: OutputLog
  readonly ownLog: OwnLogFeed | null
  readonly onSegment: (log: string, shardNumber: number, segment: NewSegment) => void
  /** What a writer learned about its disk. */
  readonly onDisk: (log: string, shardNumber: number, news: DiskNews) => void
  /** A thread died: nothing can be taken any more. */
  readonly onDeath: (error: Error) => void
}

export type Addresses = Readonly<Record<string, readonly string[]>>

interface Member {
  readonly thread: IngestThread
  readonly counters: Float64Array
  readonly listening: Promise<Addresses>
}

export class IngestThreads {
  readonly doorbells: readonly SharedArrayBuffer[]
  readonly #members: readonly Member[]
  readonly #options: IngestThreadsOptions
  readonly #ticketSecret = randomBytes(32)
  readonly #certificates = new Map<string, number>()
  #isStopping = false

  constructor(options: IngestThreadsOptions) {
    this.#options = options
    this.doorbells = options.shards.map(() => new SharedArrayBuffer(4))
    this.#members = options.shards.map((shards, index) => this.#spawn(index, shards))
  }

  /** Opens every listener before the first is announced. Rejects when an address cannot be had. */
  async listen(): Promise<Addresses> {
    for (const { thread } of this.#members) thread.send({ kind: 'start' })
    const answers = await Promise.all(this.#members.map(({ listening }) => listening))
    const merged: Record<string, string[]> = {}
    for (const addresses of answers) {
      for (const [input, list] of Object.entries(addresses)) {
        merged[input] = [...new Set([...(merged[input] ?? []), ...list])]
      }
    }
    const { ownLog } = this.#options
    ownLog?.connect((batch) => this.#members[0]?.thread.send({ kind: 'own_log', batch }))
    return merged
  }

  /** Main made room in these logs. */
  room(logs: readonly string[]): void {
    for (const { thread } of this.#members) thread.send({ kind: 'room', logs })
  }

  /** Ends the segment of a shard that is idle. */
  seal(log: string, shardNumber: number): void {
    for (const { thread } of this.#members) thread.send({ kind: 'seal', log, shardNumber })
  }

  /** Stops accepting, finishes and acknowledges what was read, closes the segments. */
  async stop(timeoutMs: number): Promise<void> {
    this.#isStopping = true
    this.#options.ownLog?.close()
    for (const { thread } of this.#members) thread.send({ kind: 'stop', timeoutMs })
    await Promise.all(this.#members.map(({ thread }) => thread.exited))
  }

  /** Sum over the threads of one counter of one input. */
  counter(inputOrdinal: number, place: number): number {
    const cell = inputOrdinal * INGEST_COUNTERS.length + place
    const ofMain = this.#options.ownLog?.counter(inputOrdinal, place) ?? 0
    return this.#members.reduce((sum, { counters }) => sum + (counters[cell] ?? 0), ofMain)
  }

  /** TLS listeners and when their certificates end, milliseconds since 1970. */
  get certificates(): ReadonlyMap<string, number> {
    return this.#certificates
  }

  utilization(): number[] {
    return this.#members.map(({ thread }) => thread.utilization())
  }

  async cpuSeconds(): Promise<number> {
    const each = await Promise.all(this.#members.map(({ thread }) => thread.cpuSeconds()))
    return each.reduce((sum, seconds) => sum + seconds, 0)
  }

  #spawn(index: number, shards: readonly ShardSpec[]): Member {
    const { config, generation, registry, resends, store } = this.#options
    const counters = new SharedArrayBuffer(ingestCounterBytes(Object.keys(config.inputs).length))
    const data: IngestThreadData<MillraceConfig> = {
      index,
      count: this.#options.shards.length,
      generation,
      config,
      inputModules: Object.fromEntries(
        Object.values(config.inputs).map(({ type }) => [
          type,
          registry.input(type)?.inputModule.href ?? ''
        ])
      ),
      store,
      shards,
      resends,
      doorbell: this.doorbells[index] ?? new SharedArrayBuffer(4),
      counters,
      ticketSecret: this.#ticketSecret
    }
    const { promise: listening, resolve, reject } = Promise.withResolvers<Addresses>()
    // Whoever calls `listen` sees the rejection; without it nobody waits.
    listening.catch(() => undefined)
    const die = (error: Error) => {
      reject(error)
      if (!this.#isStopping) this.#options.onDeath(error)
    }
    const thread = spawnIngest(
      data,
      (message) => this.#hear(message, resolve, reject),
      (error) => die(error)
    )
    void thread.exited.then((code) => die(new Error(`ingest thread ${index} ended with ${code}`)))
    return { thread, counters: new Float64Array(counters), listening }
  }

  #hear(
    message: FromIngest,
    resolve: (addresses: Addresses) => void,
    reject: (error: Error) => void
  ): void {
    switch (message.kind) {
      case 'listening':
        resolve(message.addresses)
        break
      case 'failed':
        // The thread sends codes of our own list.
        reject(new MillraceError(message.code as ErrorCode, message.message))
        break
      case 'segment':
        this.#options.onSegment(message.log, message.shardNumber, message.segment)
        break
      case 'disk':
        this.#options.onDisk(message.log, message.shardNumber, message.news)
        break
      case 'certificate':
        this.#certificates.set(message.listener, message.endsMs)
        break
      case 'log':
        this.#options.log[message.level](message.fields, message.message)
        break
      case 'own_log_taken':
        this.#options.ownLog?.taken()
        break
      case 'stopped':
        break
    }
  }
}
