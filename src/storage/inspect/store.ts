// Runs on: any.
// A data directory as tools see it: opened to read only, without the lock, beside a running server, on a copy, on a
// read-only mount, damaged. Nothing here writes, syncs, moves or makes a name.

import path from 'node:path'
import type { StoreKeys } from '../../core/encryption-keys.ts'
import { errorText, MillraceError } from '../../core/errors.ts'
import { readTolerant } from '../damage-read.ts'
import type { FrameHash } from '../format/frame.ts'
import { META_FILE } from '../format/layout.ts'
import { KEYLESS_DECODER, PayloadDecoder } from '../format/payload-decoder.ts'
import { parseShardDirectoryName } from '../format/segment-names.ts'
import type { Storage } from '../storage.ts'
import { type Adoptions, readAdoptions } from '../store/adoptions.ts'
import { decodeMeta, type StoreMeta } from '../store/meta.ts'
import type { Durability } from '../writer/append.ts'

/** Levels below the data directory that may hold shards: `park/<route>/<output>/shard-00`. */
const LEVELS_MAX = 4
const META_NAMES = ['META', 'META.bak'] as const
/** Directories that hold logs. */
const LOG_ROOTS = ['routes', 'park', 'dlq'] as const

/** The durability of a log, and whether that is a guess: nothing in a data directory tells. */
export interface LogPolicy {
  readonly durability: Durability
  readonly isAssumed: boolean
}

export interface StoreView {
  readonly storage: Storage
  readonly hash: FrameHash
  readonly dataDir: string
  /** Null: no copy can be read. Names, sizes and offsets are known all the same; contents cannot be checked. */
  readonly meta: StoreMeta | null
  /** Reads encrypted frames where it has their keys. */
  readonly decoder: PayloadDecoder
  /** Copies of META, and other files of the whole store, that cannot be read, and why. */
  readonly faults: readonly string[]
  /** `routes/web/shard-00`, sorted. */
  readonly shardPaths: readonly string[]
  /** Routes that are gone and belong to another one: `routes/old` -> `web`. */
  readonly adoptions: Adoptions
  /** By route, as a configuration or the running server says. */
  readonly durabilities: ReadonlyMap<string, Durability>
}

export interface ViewOptions {
  readonly keys?: StoreKeys | null
  readonly durabilities?: ReadonlyMap<string, Durability>
}

/** Throws MR_STORE_META for a directory that holds no store, MR_STORE_FORMAT for one of a later release. */
export function openStoreView(
  storage: Storage,
  dataDir: string,
  hash: FrameHash,
  { durabilities = new Map(), keys = null }: ViewOptions = {}
): StoreView {
  if (storage.stat(dataDir)?.isDirectory !== true) {
    throw new MillraceError('MR_STORE_META', `${dataDir} is no directory`)
  }
  const faults: string[] = []
  let meta: StoreMeta | null = null
  for (const name of META_NAMES) {
    const copy = readMeta(storage, path.join(dataDir, name), hash)
    if (typeof copy === 'string') faults.push(`${name} ${copy}`)
    else meta ??= copy
  }
  const shardPaths = LOG_ROOTS.flatMap((root) => shardsBelow(storage, dataDir, root, 1)).toSorted()
  if (meta === null && shardPaths.length === 0) {
    throw new MillraceError(
      'MR_STORE_META',
      `${dataDir} holds no readable META and no queue: it is no data directory`
    )
  }
  const decoder = meta === null ? KEYLESS_DECODER : new PayloadDecoder({ uuid: meta.uuid, keys })
  const adoptions = adoptionsOf(storage, dataDir, hash, faults)
  const opened = { storage, hash, dataDir, meta, decoder, faults }
  return { ...opened, shardPaths, adoptions, durabilities }
}

function adoptionsOf(
  storage: Storage,
  dataDir: string,
  hash: FrameHash,
  faults: string[]
): Adoptions {
  try {
    const { adoptions, isDamaged } = readAdoptions(storage, dataDir, hash)
    if (isDamaged) faults.push('ADOPTED does not verify')
    return adoptions
  } catch (error) {
    faults.push(`ADOPTED cannot be read: ${errorText(error)}`)
    return new Map()
  }
}

/** Dead letters and parks are always synced; of a route that nobody named the default is assumed. */
export function policyOf({ adoptions, durabilities }: StoreView, log: string): LogPolicy {
  if (!log.startsWith('routes/')) return { durability: 'sync', isAssumed: false }
  const route = adoptions.get(log) ?? log.slice('routes/'.length)
  const durability = durabilities.get(route)
  return { durability: durability ?? 'sync', isAssumed: durability === undefined }
}

/** A string says what is wrong with the copy. */
function readMeta(storage: Storage, file: string, hash: FrameHash): StoreMeta | string {
  if (storage.stat(file) === null) return 'is missing'
  try {
    const handle = storage.open(file, 'read')
    try {
      const bytes = Buffer.alloc(META_FILE.byteCount)
      const readBytes = readTolerant(storage, handle, bytes, 0)
      return decodeMeta(bytes.subarray(0, readBytes), hash) ?? 'does not verify'
    } finally {
      storage.close(handle)
    }
  } catch (error) {
    if (error instanceof MillraceError) throw error
    return `cannot be read: ${errorText(error)}`
  }
}

function shardsBelow(storage: Storage, dataDir: string, below: string, level: number): string[] {
  const directory = path.join(dataDir, below)
  if (level > LEVELS_MAX || storage.stat(directory)?.isDirectory !== true) return []
  return storage
    .readdir(directory)
    .filter((name) => storage.stat(path.join(directory, name))?.isDirectory === true)
    .flatMap((name) =>
      parseShardDirectoryName(name) === null
        ? shardsBelow(storage, dataDir, `${below}/${name}`, level + 1)
        : [`${below}/${name}`]
    )
}

/** Shards of a log, by number. `web` is short for `routes/web`. Throws MR_USAGE when there is none. */
export function shardsOfLog(view: StoreView, log: string): string[] {
  const known = logsOf(view)
  const name = [log, `routes/${log}`].find((each) => known.includes(each))
  if (name === undefined) {
    const list = known.map((each) => each.replace(/^routes\//, '')).join(', ')
    throw new MillraceError('MR_USAGE', `${view.dataDir} has no queue "${log}"; it has: ${list}`)
  }
  return view.shardPaths.filter((shardPath) => path.posix.dirname(shardPath) === name)
}

/** `routes/web`, `dlq/unmatched`, each once. */
export function logsOf(view: StoreView): string[] {
  return [...new Set(view.shardPaths.map((shardPath) => path.posix.dirname(shardPath)))]
}
