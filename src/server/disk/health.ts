// Step 4, seen from main. Runs on: main.
// What the writers tell of the disk: counts of failed syncs and cut segments, why a shard takes nothing, syncs that do not
// end, and whether the data directory is still the one that was locked. Nothing here ends the process, unless
// `queue.on_io_error: exit` asks for that.

import { errnoOf, errorText } from '../../core/errors.ts'
import type { ShardLog } from '../../delivery/shard-log.ts'
import type { OutputLog } from '../../plugin/output.ts'
import type { Storage } from '../../storage/storage.ts'
import type { DiskNews } from '../../threads/messages.ts'

/** A sync that runs for longer makes the router not ready. */
const SYNC_MS_MAX = 30_000
/** These pass without a restart, or no restart helps. */
const ERRNOS_TO_WAIT_FOR: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EROFS'])

export interface DiskHealthOptions {
  readonly storage: Storage
  readonly dataDir: string
  readonly log: OutputLog
  /** Shards of routes. */
  readonly shards: () => readonly ShardLog[]
  readonly isExitOnError: boolean
  /** Called once, with `isExitOnError`. */
  readonly onIoError: (error: Error) => void
}

/** Counts of one shard. */
export interface DiskCounts {
  readonly log: string
  readonly shardNumber: number
  readonly poisonedCount: number
  readonly syncErrors: ReadonlyMap<string, number>
}

interface ShardNews {
  readonly log: string
  readonly shardNumber: number
  poisonedCount: number
  readonly syncErrors: Map<string, number>
  /** Why the shard is not `ok`; '' while it is. */
  error: string
}

export class DiskHealth {
  readonly #options: DiskHealthOptions
  readonly #identity: string
  readonly #shards = new Map<string, ShardNews>()
  readonly #slow = new Set<ShardLog>()
  #volumeTrouble: string | null = null
  #hasExited = false

  constructor(options: DiskHealthOptions) {
    this.#options = options
    this.#identity = options.storage.stat(options.dataDir)?.identity ?? ''
  }

  get counts(): readonly DiskCounts[] {
    return [...this.#shards.values()]
  }

  /** Why nothing of the data directory can be trusted any more; null: it is what it was. */
  get volumeTrouble(): string | null {
    return this.#volumeTrouble
  }

  hear(log: string, shardNumber: number, news: DiskNews): void {
    const shard = this.#shardOf(log, shardNumber)
    switch (news.event) {
      case 'sync_failed':
        shard.syncErrors.set(news.errno, (shard.syncErrors.get(news.errno) ?? 0) + 1)
        this.#judge(news.errno, news.error)
        break
      case 'poisoned':
        shard.poisonedCount++
        this.#judge(news.errno, news.error)
        break
      case 'state':
        shard.error = news.error
        if (news.state === 'failed') this.#judge('', news.error)
        break
    }
  }

  /** Why a shard takes nothing, as its writer says; '' when it has not said so. */
  errorOf({ log, shardNumber }: ShardLog): string {
    return this.#shards.get(keyOf(log, shardNumber))?.error ?? ''
  }

  isSlow(shardLog: ShardLog): boolean {
    return shardLog.syncAgeMs > SYNC_MS_MAX
  }

  /** Once a second. */
  look(): void {
    this.#lookAtVolume()
    for (const shardLog of this.#options.shards()) {
      const isSlow = this.isSlow(shardLog)
      if (isSlow === this.#slow.has(shardLog)) continue
      const fields = { log: shardLog.log, shard: shardLog.shardNumber, event: 'queue.slow_disk' }
      if (isSlow) {
        this.#slow.add(shardLog)
        const seconds = shardLog.syncAgeMs / 1000
        this.#options.log.error({ ...fields, seconds }, 'the disk does not end a sync')
      } else {
        this.#slow.delete(shardLog)
        this.#options.log.info(fields, 'the sync has ended')
      }
    }
  }

  #lookAtVolume(): void {
    const { dataDir, log } = this.#options
    const trouble = this.#findVolumeTrouble()
    if (trouble === this.#volumeTrouble) return
    this.#volumeTrouble = trouble
    const fields = { data_dir: dataDir, event: 'queue.volume' }
    if (trouble === null) log.info(fields, 'the data directory is there again')
    else log.error(fields, `${trouble}: nothing more is taken there`)
  }

  #findVolumeTrouble(): string | null {
    const { dataDir, storage } = this.#options
    try {
      const identity = storage.stat(dataDir)?.identity
      if (identity === this.#identity) return null
      return identity === undefined
        ? `${dataDir} was deleted while in use`
        : `${dataDir} is another directory or volume than the one that was locked at the start`
    } catch (error) {
      return `${dataDir} cannot be looked at: ${errorText(error)}`
    }
  }

  #judge(errno: string, error: string): void {
    const { isExitOnError, onIoError } = this.#options
    if (!isExitOnError || this.#hasExited || ERRNOS_TO_WAIT_FOR.has(errno)) return
    this.#hasExited = true
    onIoError(new Error(`I/O error of the queue: ${error}`))
  }

  #shardOf(log: string, shardNumber: number): ShardNews {
    const key = keyOf(log, shardNumber)
    const known = this.#shards.get(key)
    if (known !== undefined) return known
    const shard = { log, shardNumber, poisonedCount: 0, syncErrors: new Map(), error: '' }
    this.#shards.set(key, shard)
    return shard
  }
}

const keyOf = (log: string, shardNumber: number): string => `${log}/${shardNumber}`

/** Free space and inodes of the volume; null: the volume does not answer. */
export function volumeOf(storage: Storage, dataDir: string) {
  try {
    return storage.statfs(dataDir)
  } catch (error) {
    if (errnoOf(error) === '') throw error
    return null
  }
}
