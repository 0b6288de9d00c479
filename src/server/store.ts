// Runs on: main.
// The data directory: locked, identified, every shard recovered. What stands here happens before a listener opens.

import { hostname } from 'node:os'
import type { MillraceConfig } from '../config/schema.ts'
import type { Clock } from '../core/clock.ts'
import { createFrameHash, type HashExports } from '../kernel/frame-hash.ts'
import { instantiateKernel } from '../kernel/instance.ts'
import type { OutputLog } from '../plugin/output.ts'
import { lockStore, type StoreLock } from '../storage/lock.ts'
import { openMeta } from '../storage/meta.ts'
import type { Storage } from '../storage/storage.ts'
import {
  type OpenedShard,
  openDeadLetterShard,
  openRouteShard,
  type StoreContext,
  shardNumbers
} from './open-shards.ts'

/** Memory of main's kernel: headers of frames and what tools read. */
const MAIN_KERNEL_BYTES = 1024 * 1024

export interface StoreOptions {
  readonly config: MillraceConfig
  readonly storage: Storage
  readonly clock: Clock
  readonly log: OutputLog
  readonly version: string
  readonly onRoom: (log: string) => void
}

export class Store {
  readonly context: StoreContext
  /** Every shard that was opened, routes first. */
  readonly shards: readonly OpenedShard[]
  readonly recoverySeconds: number
  readonly #lock: StoreLock
  readonly #byLog = new Map<string, OpenedShard[]>()

  constructor(options: StoreOptions) {
    const { clock, config, log, onRoom, storage, version } = options
    const { dataDir } = config
    this.#lock = lockStore(dataDir, {
      host: hostname(),
      pid: process.pid,
      startedAt: new Date(clock.nowMs()).toISOString(),
      version
    })
    const startedMs = clock.monotonicMs()
    const hash = createFrameHash(instantiateKernel<HashExports>({ memoryBytes: MAIN_KERNEL_BYTES }))
    const { meta, notes } = openMeta(storage, dataDir, hash, clock.nowMs())
    for (const note of notes) log.warn({ note }, 'recovery')
    this.context = { storage, hash, clock, dataDir, store: meta, log, onRoom }
    this.shards = this.#open(config)
    this.recoverySeconds = (clock.monotonicMs() - startedMs) / 1000
  }

  shardsOf(log: string): readonly OpenedShard[] {
    return this.#byLog.get(log) ?? []
  }

  /** Shards that each ingest thread writes. All know the chunk ids of the whole log: a sender may come back on another. */
  shardsByThread(threadCount: number): OpenedShard['spec'][][] {
    return Array.from({ length: threadCount }, (_, index) =>
      this.shards
        .filter(({ spec }) => spec.shardNumber === index)
        .map(({ spec }) => ({
          ...spec,
          recoveredIngestIds: this.shardsOf(spec.log).flatMap(
            (shard) => shard.spec.recoveredIngestIds
          )
        }))
    )
  }

  /** Writes what the cursors know and gives the directory free. */
  async close(): Promise<void> {
    await Promise.all(this.shards.map(({ shardLog }) => shardLog.close()))
    this.#lock.release()
  }

  #open(config: MillraceConfig): OpenedShard[] {
    const threadCount = config.threads.ingest
    const opened: OpenedShard[] = []
    for (const route of config.routes) {
      const log = `routes/${route.id}`
      const shards = shardNumbers(this.context, log, threadCount).map((shardNumber) =>
        openRouteShard(this.context, route, shardNumber)
      )
      this.#byLog.set(log, shards)
      opened.push(...shards)
    }
    const logs = ['dlq/unmatched', ...Object.keys(config.inputs).map((input) => `dlq/in.${input}`)]
    for (const log of logs) {
      const shards = shardNumbers(this.context, log, threadCount).map((shardNumber) =>
        openDeadLetterShard(this.context, log, shardNumber)
      )
      this.#byLog.set(log, shards)
      opened.push(...shards)
    }
    return opened
  }
}
