// Runs on: main.
// A store whose server is stopped, for commands that change it. Takes the lock as a server does, so that none starts
// meanwhile, and recovers a shard as a start would before its cursors are touched. Knows no configuration.

import { hostname } from 'node:os'
import { join } from 'node:path'
import type {
  AdoptOutcome,
  CursorChange,
  CursorChoice,
  DropOutcome,
  QueueChanges
} from '../../admin/status.ts'
import { systemClock } from '../../core/clock.ts'
import type { StoreKeys } from '../../core/encryption-keys.ts'
import { MillraceError } from '../../core/errors.ts'
import { logIdOf } from '../../core/position.ts'
import { createFrameHash, type HashExports } from '../../kernel/frame-hash.ts'
import { instantiateKernel } from '../../kernel/instance.ts'
import type { OutputLog } from '../../plugin/output.ts'
import { listCursors } from '../../storage/cursor/archive.ts'
import { Cursor, type CursorOptions } from '../../storage/cursor/cursor.ts'
import { PayloadDecoder } from '../../storage/format/payload-decoder.ts'
import { shardDirectoryName } from '../../storage/format/segment-names.ts'
import { listShard } from '../../storage/reader/shard-directory.ts'
import { ShardSegments } from '../../storage/reader/shard-segments.ts'
import { recoverShard } from '../../storage/recovery/recovery.ts'
import { restartCursor, skipRange, targetOffset } from '../../storage/retention/cursor-moves.ts'
import type { Passed } from '../../storage/retention/retention.ts'
import { nodeStorage } from '../../storage/storage.ts'
import { readAdoptions, withAdoption, writeAdoptions } from '../../storage/store/adoptions.ts'
import { lockStore, type StoreLock } from '../../storage/store/lock.ts'
import { openMeta } from '../../storage/store/meta.ts'
import { routeOf, type StoreContext, shardLabel, storedShardNumbers } from '../store/open-shards.ts'
import { describe, removeLog } from '../store/orphans.ts'
import { parseTarget } from './changes.ts'

const KERNEL_BYTES = 1024 * 1024

/** A shard with the cursor of one destination. */
interface OfflineShard {
  readonly label: string
  readonly segments: ShardSegments
  readonly cursor: Cursor
  readonly options: CursorOptions
}

export interface OfflineStoreOptions {
  readonly dataDir: string
  /** Of encrypted queues; null: frames that need one are locked. */
  readonly keys: StoreKeys | null
  readonly log: OutputLog
  readonly version: string
}

export class OfflineStore implements QueueChanges {
  readonly #context: StoreContext
  readonly #lock: StoreLock

  /** Throws MR_STORE_LOCKED while a server runs on the directory, MR_STORE_META when it is none. */
  constructor({ dataDir, keys, log, version }: OfflineStoreOptions) {
    if (nodeStorage.stat(join(dataDir, 'META')) === null) {
      throw new MillraceError('MR_STORE_META', `${dataDir} holds no META: it is no data directory`)
    }
    const clock = systemClock
    const startedAt = new Date(clock.nowMs()).toISOString()
    this.#lock = lockStore(dataDir, { host: hostname(), pid: process.pid, startedAt, version })
    const hash = createFrameHash(instantiateKernel<HashExports>({ memoryBytes: KERNEL_BYTES }))
    const { meta } = openMeta(nodeStorage, dataDir, hash, clock.nowMs())
    const onRoom = () => undefined
    const store = { uuid: meta.uuid, secret: meta.secret, keys }
    const decoder = new PayloadDecoder(store)
    this.#context = {
      storage: nodeStorage,
      hash,
      clock,
      dataDir,
      store,
      decoder,
      log,
      onRoom
    }
  }

  /** Gives the directory free. */
  close(): void {
    this.#lock.release()
  }

  adopt(orphan: string, route: string): AdoptOutcome {
    const { dataDir, hash, storage } = this.#context
    const log = `routes/${orphan}`
    this.#requireLog(log)
    if (orphan === route) {
      throw new MillraceError('MR_USAGE', `${orphan} cannot be adopted by itself`)
    }
    const { adoptions } = readAdoptions(storage, dataDir, hash)
    writeAdoptions(storage, dataDir, hash, withAdoption(adoptions, log, route))
    return { ...describe(this.#context, log), route, isDraining: false }
  }

  async moveCursor(choice: CursorChoice, to: string): Promise<CursorChange[]> {
    const target = parseTarget(to)
    return this.#change(choice, target.kind === 'offset', ({ cursor, options, segments }) => {
      const offset = targetOffset(segments, target)
      if (offset >= cursor.lowOffset) return skipRange(segments, cursor, 0, offset)
      const nowMs = this.#context.clock.nowMs()
      return { restart: () => restartCursor(options, offset, nowMs), lowOffset: offset }
    })
  }

  async skip(
    choice: CursorChoice,
    firstOffset: number,
    endOffset: number
  ): Promise<CursorChange[]> {
    return this.#change(choice, true, ({ cursor, segments }) =>
      skipRange(segments, cursor, firstOffset, endOffset)
    )
  }

  drop(log: string, isDropped: boolean): DropOutcome {
    this.#requireLog(log)
    const status = describe(this.#context, log)
    if (isDropped) removeLog(this.#context, log)
    return { ...status, isDropped }
  }

  #requireLog(log: string): void {
    if (storedShardNumbers(this.#context, log).length > 0) return
    throw new MillraceError('MR_USAGE', `${this.#context.dataDir} holds no queue ${log}`)
  }

  #change(
    choice: CursorChoice,
    isOneOnly: boolean,
    act: (shard: OfflineShard) => Passed | { restart: () => void; lowOffset: number }
  ): CursorChange[] {
    const numbers = this.#numbersOf(choice, isOneOnly)
    return numbers.map((number) => {
      const shard = this.#open(choice, number)
      const { cursor, label, segments } = shard
      const { endOffset } = segments
      const fromOffset = cursor.lowOffset
      const done = act(shard)
      if ('dropped' in done) cursor.persistNow()
      const { lowOffset } = 'dropped' in done ? cursor : done
      const pending = 'dropped' in done ? cursor.account(endOffset).pending : endOffset - lowOffset
      cursor.close()
      segments.close()
      if ('restart' in done) done.restart()
      const { dropped, lost } = 'dropped' in done ? done : { dropped: 0, lost: 0 }
      const again = Math.max(0, fromOffset - lowOffset)
      const { destination, route } = choice
      return {
        route,
        shard: label,
        destination,
        fromOffset,
        toOffset: lowOffset,
        dropped,
        lost,
        again,
        pending
      }
    })
  }

  /** Shards of the route in which the destination has a cursor. */
  #numbersOf({ destination, route, shard }: CursorChoice, isOneOnly: boolean): number[] {
    const log = `routes/${route}`
    this.#requireLog(log)
    const { dataDir, storage } = this.#context
    const all = storedShardNumbers(this.#context, log).filter((number) =>
      listCursors(storage, join(dataDir, log, shardDirectoryName(number))).live.includes(
        destination
      )
    )
    const numbers = all.filter((number) => shard === null || shardLabel(number) === shard)
    if (all.length === 0) {
      throw new MillraceError('MR_USAGE', `${destination} has no cursor in ${log}`)
    }
    if (numbers.length === 0 || (isOneOnly && numbers.length > 1)) {
      const labels = all.map(shardLabel).join(', ')
      throw new MillraceError(
        'MR_USAGE',
        `name one shard of ${routeOf(log)} with --shard: ${labels}`
      )
    }
    return numbers
  }

  #open({ destination, route }: CursorChoice, shardNumber: number): OfflineShard {
    const { clock, dataDir, decoder, hash, log, storage, store } = this.#context
    const path = `routes/${route}/${shardDirectoryName(shardNumber)}`
    const directory = join(dataDir, path)
    const logId = logIdOf(store.uuid, path)
    const shared = { storage, hash, storeSecret: store.secret, decoder, logId, directory }
    const options = { ...shared, outputId: destination }
    const oldest = listShard(storage, directory).live[0]?.firstOffset ?? 0
    const loaded = Cursor.load(options, oldest)
    if (loaded === null)
      throw new MillraceError('MR_USAGE', `${destination} has no cursor in ${path}`)
    const recovered = recoverShard({
      ...shared,
      nowMs: clock.nowMs(),
      durability: 'sync',
      cursorHighOffset: loaded.cursor.highOffset,
      holdingLowOffset: null
    })
    for (const note of recovered.notes) log.warn({ log: path, note }, 'recovery')
    const segments = new ShardSegments({ ...shared, durability: 'sync', recovered })
    return { label: shardLabel(shardNumber), segments, cursor: loaded.cursor, options }
  }
}
