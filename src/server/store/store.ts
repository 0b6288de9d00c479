// Runs on: main.
// The data directory: locked, identified, every shard recovered. What stands here happens before a listener opens.

import { hostname } from 'node:os'
import type { OrphanStatus, RemovedCursorStatus } from '../../admin/status.ts'
import type { MillraceConfig, RouteConfig } from '../../config/schema.ts'
import type { Clock } from '../../core/clock.ts'
import { MillraceError } from '../../core/errors.ts'
import { formatBytes } from '../../core/units.ts'
import { createFrameHash, type HashExports } from '../../kernel/frame-hash.ts'
import { instantiateKernel } from '../../kernel/instance.ts'
import type { OutputLog } from '../../plugin/output.ts'
import { listCursors, readCursorRecord } from '../../storage/cursor/archive.ts'
import type { FrameHash } from '../../storage/format/frame.ts'
import { PayloadDecoder } from '../../storage/format/payload-decoder.ts'
import type { StoreIdentity } from '../../storage/format/store-keys.ts'
import type { Storage } from '../../storage/storage.ts'
import {
  type Adoptions,
  readAdoptions,
  withAdoption,
  writeAdoptions
} from '../../storage/store/adoptions.ts'
import { lockStore, type StoreLock } from '../../storage/store/lock.ts'
import { openMeta, type StoreMeta } from '../../storage/store/meta.ts'
import { checkStore, type LockedSegment } from '../../storage/store/store-check.ts'
import { checkVolume } from '../../storage/store/volume.ts'
import {
  type OpenedShard,
  openAdoptedShard,
  openLetterShard,
  openRouteShard,
  routeOf,
  type StoreContext,
  shardNumbers,
  storedShardNumbers
} from './open-shards.ts'
import { findOrphans } from './orphans.ts'
import { createResendMemory, type RecoveredIds, type ResendMemory } from './resend-memory.ts'

/** Memory of main's kernel: headers of frames and what tools read. */
const MAIN_KERNEL_BYTES = 1024 * 1024

export interface StoreOptions {
  readonly config: MillraceConfig
  readonly storage: Storage
  readonly clock: Clock
  readonly log: OutputLog
  readonly version: string
  readonly isLockedSkipped: boolean
  readonly onRoom: (log: string) => void
}

export class Store {
  readonly context: StoreContext
  readonly recoverySeconds: number
  readonly #config: MillraceConfig
  readonly #lock: StoreLock
  readonly #shards: OpenedShard[] = []
  readonly #byLog = new Map<string, OpenedShard[]>()
  #adoptions: Adoptions
  #orphans: OrphanStatus[]
  readonly #removed: RemovedCursorStatus[]

  constructor(options: StoreOptions) {
    const { clock, config, log, onRoom, storage, version } = options
    const { dataDir } = config
    this.#config = config
    this.#lock = lockStore(dataDir, {
      host: hostname(),
      pid: process.pid,
      startedAt: new Date(clock.nowMs()).toISOString(),
      version
    })
    const startedMs = clock.monotonicMs()
    const hash = createFrameHash(instantiateKernel<HashExports>({ memoryBytes: MAIN_KERNEL_BYTES }))
    const { store, decoder } = this.#identify(options, hash)
    this.context = { storage, hash, clock, dataDir, store, decoder, log, onRoom }
    this.#adoptions = this.#readAdoptions()
    this.#open(config)
    this.#removed = this.#readRemoved()
    this.#orphans = findOrphans(this.context, config, (name) => this.#adoptions.has(name))
    this.#warnOfOrphans()
    this.recoverySeconds = (clock.monotonicMs() - startedMs) / 1000
  }

  /** Who the store is. Everything stored is looked at before anything is written. */
  #identify(
    options: StoreOptions,
    hash: FrameHash
  ): { readonly store: StoreIdentity; readonly decoder: PayloadDecoder } {
    const { clock, config, log, storage } = options
    const { keys } = config.queue
    const check = (meta: StoreMeta) => {
      const decoder = new PayloadDecoder({ uuid: meta.uuid, keys })
      const dataDirectory = config.dataDir
      const locked = checkStore({ storage, hash, dataDirectory, store: meta, decoder })
      if (locked.length > 0) refuseLocked(locked, options)
    }
    try {
      checkVolume(storage, config.dataDir, config.queue.isNetworkFsAllowed)
      const { meta, notes } = openMeta(storage, config.dataDir, hash, clock.nowMs(), { check })
      for (const note of notes) log.warn({ note }, 'recovery')
      const store = { uuid: meta.uuid, secret: meta.secret, keys }
      return { store, decoder: new PayloadDecoder(store) }
    } catch (error) {
      this.#lock.release()
      throw error
    }
  }

  /** Every shard that was opened, routes first; those that were adopted since come last. */
  get shards(): readonly OpenedShard[] {
    return this.#shards
  }

  /** Shards of a route (`routes/<route>`), adopted ones too, or of a log of dead letters. */
  shardsOf(log: string): readonly OpenedShard[] {
    return this.#byLog.get(log) ?? []
  }

  /** Logs that nothing in the configuration names. */
  get orphans(): readonly OrphanStatus[] {
    return this.#orphans
  }

  /** Cursors of destinations that their route no longer has. */
  get removed(): readonly RemovedCursorStatus[] {
    return this.#removed
  }

  /** Windows of the chunk ids of every log that ingest threads write, with those that recovery found. */
  resendMemory(): ResendMemory {
    const recovered = new Map<string, RecoveredIds[][]>()
    for (const [log, shards] of this.#byLog) {
      if (log.startsWith('dlq/in.')) continue
      const byDirectory = Map.groupBy(shards, ({ spec }) => spec.log)
      const idsOf = ({ ingestIds, spec }: OpenedShard): RecoveredIds => ({
        shardNumber: spec.shardNumber,
        ids: ingestIds
      })
      recovered.set(
        log,
        [...byDirectory.values()].map((each) => each.map(idsOf))
      )
    }
    return createResendMemory(recovered)
  }

  /** Shards that each ingest thread writes. */
  shardsByThread(threadCount: number): OpenedShard['spec'][][] {
    return Array.from({ length: threadCount }, (_, index) =>
      this.shards
        .filter(({ shardLog, spec }) => {
          const lanes = this.#lanesOf(spec.log)
          return !shardLog.isRetired && Math.floor(spec.shardNumber / lanes) === index
        })
        .map(({ spec }) => ({ ...spec, others: this.#sharing(spec) }))
    )
  }

  /**
   * Attaches the directory of a route that is gone to a live one, where it lies, as shards that are only read until they
   * are empty. Recorded first and durably, so that a restart finds it attached. Returns the shards that were opened.
   */
  adopt(orphan: string, routeId: string): readonly OpenedShard[] {
    const log = `routes/${orphan}`
    const route = this.#config.routes.find(({ id }) => id === routeId)
    if (route === undefined) {
      const names = this.#config.routes.map(({ id }) => id).join(', ')
      throw new MillraceError('MR_USAGE', `there is no route ${routeId}; routes are: ${names}`)
    }
    if (!this.#orphans.some((each) => each.log === log)) {
      const names = this.#orphans.map((each) => routeOf(each.log)).join(', ') || 'none'
      throw new MillraceError('MR_USAGE', `${orphan} is no orphaned route; orphans are: ${names}`)
    }
    return this.attach(log, route)
  }

  /** Gives a log that nobody has to a route. */
  attach(log: string, route: RouteConfig): readonly OpenedShard[] {
    const opened = this.#openAdopted(log, route)
    this.#writeAdoptions(withAdoption(this.#adoptions, log, route.id))
    this.forgetOrphan(log)
    return opened
  }

  isAdopted(log: string): boolean {
    return this.#adoptions.has(log)
  }

  /** It was adopted or deleted. */
  forgetOrphan(log: string): void {
    this.#orphans = this.#orphans.filter((each) => each.log !== log)
  }

  /** Writes what the cursors know and gives the directory free. */
  async close(): Promise<void> {
    await Promise.all(this.shards.map(({ shardLog }) => shardLog.close()))
    this.#lock.release()
  }

  #open(config: MillraceConfig): void {
    const threadCount = config.threads.ingest
    for (const route of config.routes) {
      const log = `routes/${route.id}`
      const writtenCount = threadCount * route.lanes
      const shards = shardNumbers(this.context, log, writtenCount).map((shardNumber) => {
        const isWritten = shardNumber < writtenCount
        const retirement = isWritten ? null : { keepsIds: true, onRemoved: () => undefined }
        return openRouteShard(this.context, route, shardNumber, retirement)
      })
      this.#keep(log, shards)
      for (const [orphan, routeId] of this.#adoptions) {
        if (routeId === route.id) this.#openAdopted(orphan, route)
      }
    }
    const logs = ['dlq/unmatched', ...Object.keys(config.inputs).map((input) => `dlq/in.${input}`)]
    for (const log of logs) {
      const shards = shardNumbers(this.context, log, threadCount).map((shardNumber) =>
        openLetterShard(this.context, log, shardNumber)
      )
      this.#keep(log, shards)
    }
  }

  /** Other shards of the same lane; each lane has its part of the limit. */
  #sharing({ log, shardNumber }: OpenedShard['spec']): SharedArrayBuffer[] {
    const lanes = this.#lanesOf(log)
    return this.shardsOf(log)
      .filter(({ shardLog, spec }) => {
        const isOther = spec.shardNumber !== shardNumber || spec.log !== log
        return isOther && !shardLog.isRetired && spec.shardNumber % lanes === shardNumber % lanes
      })
      .map(({ spec }) => spec.control)
  }

  #lanesOf(log: string): number {
    return this.#config.routes.find(({ id }) => log === `routes/${id}`)?.lanes ?? 1
  }

  #openAdopted(orphan: string, route: RouteConfig): OpenedShard[] {
    const numbers = storedShardNumbers(this.context, orphan)
    let leftCount = numbers.length
    const opened = numbers.map((shardNumber) =>
      openAdoptedShard(this.context, route, orphan, shardNumber, () => {
        leftCount--
        if (leftCount === 0) this.#forgetAdoption(orphan)
      })
    )
    this.#keep(`routes/${route.id}`, opened)
    return opened
  }

  #keep(log: string, opened: readonly OpenedShard[]): void {
    this.#shards.push(...opened)
    this.#byLog.set(log, [...this.shardsOf(log), ...opened])
  }

  /** An adoption ends when its directory is empty, or when a route of that name is configured again. */
  #readAdoptions(): Adoptions {
    const { dataDir, hash, log, storage } = this.context
    const { adoptions, isDamaged } = readAdoptions(storage, dataDir, hash)
    if (isDamaged) {
      log.error(
        { event: 'queue.adopted_unreadable', path: `${dataDir}/ADOPTED` },
        'ADOPTED cannot be read: what was adopted is an orphan again; nothing is lost, adopt it once more'
      )
    }
    const routes = new Set(this.#config.routes.map(({ id }) => id))
    const kept = [...adoptions].filter(([orphan, routeId]) => {
      const isThere = storedShardNumbers(this.context, orphan).length > 0
      return isThere && routes.has(routeId) && !routes.has(routeOf(orphan))
    })
    return new Map(kept)
  }

  #forgetAdoption(orphan: string): void {
    this.#writeAdoptions(new Map([...this.#adoptions].filter(([log]) => log !== orphan)))
  }

  #writeAdoptions(adoptions: Adoptions): void {
    const { dataDir, hash, storage } = this.context
    writeAdoptions(storage, dataDir, hash, adoptions)
    this.#adoptions = adoptions
  }

  #readRemoved(): RemovedCursorStatus[] {
    const { hash, storage, store } = this.context
    return this.#shards.flatMap(({ shardLog, spec }) =>
      listCursors(storage, spec.directory).archived.map(({ outputId, path, removedMs }) => {
        const identity = { storeSecret: store.secret, logId: spec.logId, outputId }
        const record = readCursorRecord(storage, path, hash, identity)
        const counts = [...(record?.counts ?? [])].map(([name, { records }]) => [name, records])
        return {
          route: shardLog.route,
          shard: shardLog.label,
          destination: outputId,
          removedMs,
          counts: record === null ? null : Object.fromEntries(counts)
        }
      })
    )
  }

  #warnOfOrphans(): void {
    for (const { bytes, log, pending, records } of this.#orphans) {
      const { dataDir } = this.context
      const remedy = remedyOf(log)
      this.context.log.warn(
        { log, directory: `${dataDir}/${log}`, bytes, records, pending, event: 'queue.orphan' },
        `${log} holds ${records} records (${formatBytes(bytes)}) and is not in the configuration${remedy}`
      )
    }
  }
}

/** What to do with what an old configuration left; docs/operations.md. */
function remedyOf(log: string): string {
  const [place, name = ''] = log.split('/')
  if (place === 'routes') return `; deliver it with: millrace queue adopt ${name} --route ROUTE`
  if (place === 'dlq') return `; send it with: millrace dlq replay ${name} --to ROUTE/OUTPUT`
  return `; configure route ${name} again, with a match that takes no tag, until it is delivered`
}

/** Throws MR_STORE_KEY, unless the operator asked to go on; what is locked then stays stored and pending. */
function refuseLocked(
  locked: readonly LockedSegment[],
  { isLockedSkipped, log }: Pick<StoreOptions, 'isLockedSkipped' | 'log'>
): void {
  const ids = [...new Set(locked.map(({ keyId }) => keyId))]
  const [first] = locked
  const isWrong = locked.some(({ isKeyWrong }) => isKeyWrong)
  const fact = `${locked.length} encrypted segments cannot be read (first: ${first?.path})`
  const why = isWrong
    ? `key ${ids.join(', ')} of queue.encryption is not the one they were written with`
    : `key ${ids.join(', ')} is not under queue.encryption`
  if (!isLockedSkipped) {
    throw new MillraceError(
      'MR_STORE_KEY',
      `${fact}: ${why}. Add the key, or start with --skip-locked, which keeps them. Nothing was changed`
    )
  }
  const fields = { segments: locked.length, keys: ids, event: 'queue.locked' }
  log.warn(fields, `${fact}: ${why}; what they hold stays stored and pending`)
}
