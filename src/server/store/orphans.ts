// Runs on: main.
// Directories below the data directory that nothing in the configuration names: routes, dead letters and parks of old
// configurations. They are listed and counted, never deleted and never forgotten.

import { join } from 'node:path'
import type { OrphanStatus } from '../../admin/status.ts'
import type { MillraceConfig } from '../../config/schema.ts'
import { logIdOf } from '../../core/position.ts'
import { shardDirectoryName } from '../../storage/format/segment-names.ts'
import { summariseShard } from '../../storage/inspect/shard-summary.ts'
import { listShard } from '../../storage/reader/shard-directory.ts'
import { removeShard } from '../../storage/retention/retired-shard.ts'
import { type StoreContext, storedShardNumbers } from './open-shards.ts'

/** Where logs lie, and how many names deep: `routes/<route>`, `dlq/<log>`, `park/<route>/<output>`. */
const PLACES = [
  ['routes', 1],
  ['dlq', 1],
  ['park', 2]
] as const

/** Logs that hold shards and that neither the configuration nor an adoption accounts for. */
export function findOrphans(
  context: StoreContext,
  config: MillraceConfig,
  isAdopted: (log: string) => boolean
): OrphanStatus[] {
  const known = configuredLogs(config)
  return PLACES.flatMap(([place, depth]) => logsBelow(context, place, depth))
    .filter((log) => !known.has(log) && !isAdopted(log))
    .map((log) => describe(context, log))
    .filter(({ shards }) => shards > 0)
}

/** Every log that the configuration names, whether it exists or not. */
export function configuredLogs(config: MillraceConfig): Set<string> {
  return new Set([
    ...config.routes.map(({ id }) => `routes/${id}`),
    ...config.routes.flatMap(({ id, to }) => to.map(({ output }) => `park/${id}/${output}`)),
    'dlq/unmatched',
    ...Object.keys(config.inputs).map((input) => `dlq/in.${input}`),
    ...Object.keys(config.outputs).map((output) => `dlq/out.${output}`)
  ])
}

/** Counts of one log, from names, sizes, and the last segment of each shard. */
export function describe(context: StoreContext, log: string): OrphanStatus {
  const { hash, storage, store } = context
  const summaries = storedShardNumbers(context, log).map((shardNumber) => {
    const path = `${log}/${shardDirectoryName(shardNumber)}`
    return summariseShard({
      storage,
      hash,
      storeSecret: store.secret,
      logId: logIdOf(store.uuid, path),
      directory: join(context.dataDir, path)
    })
  })
  const pending: Record<string, number> = {}
  for (const { outputId, pending: count } of summaries.flatMap(({ cursors }) => cursors)) {
    pending[outputId] = (pending[outputId] ?? 0) + (count ?? 0)
  }
  return {
    log,
    shards: summaries.length,
    segments: summaries.reduce((sum, { segmentCount }) => sum + segmentCount, 0),
    bytes: summaries.reduce((sum, { byteCount }) => sum + byteCount, 0),
    records: summaries.reduce((sum, each) => sum + each.endOffset - each.firstOffset, 0),
    pending
  }
}

/** Deletes every shard of a log, whatever it holds. Its quarantine stays. */
export function removeLog(context: StoreContext, log: string): void {
  for (const shardNumber of storedShardNumbers(context, log)) {
    const directory = join(context.dataDir, log, shardDirectoryName(shardNumber))
    const { live, superseded } = listShard(context.storage, directory)
    const paths = [...live, ...superseded].map(({ path }) => path)
    removeShard(context.storage, directory, paths)
  }
}

function logsBelow(context: StoreContext, path: string, depth: number): string[] {
  const { dataDir, storage } = context
  if (storage.stat(join(dataDir, path))?.isDirectory !== true) return []
  if (depth === 0) return [path]
  return storage
    .readdir(join(dataDir, path))
    .toSorted()
    .flatMap((name) => logsBelow(context, `${path}/${name}`, depth - 1))
}
