// Runs on: main.
// Directories below the data directory that nothing in the configuration names: routes, dead letters and parks of old
// configurations. They are listed and counted, never deleted and never forgotten.

import { join } from 'node:path'
import type { OrphanAccount, OrphanStatus } from '../../admin/status.ts'
import type { MillraceConfig } from '../../config/schema.ts'
import { logIdOf } from '../../core/position.ts'
import { accountOf } from '../../storage/cursor/account.ts'
import { shardDirectoryName } from '../../storage/format/segment-names.ts'
import { type ShardSummary, summariseShard } from '../../storage/inspect/shard-summary.ts'
import { listShard } from '../../storage/reader/shard-directory.ts'
import { removeShard } from '../../storage/retention/retired-shard.ts'
import { type StoreContext, shardLabel, storedShardNumbers } from './open-shards.ts'

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
    const summary = summariseShard({
      storage,
      hash,
      storeSecret: store.secret,
      logId: logIdOf(store.uuid, path),
      directory: join(context.dataDir, path)
    })
    return { ...summary, shard: shardLabel(shardNumber) }
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
    pending,
    accounts: summaries.flatMap(accountsOf)
  }
}

/** What nobody drains is stored, or was deleted to make room. */
function accountsOf(summary: ShardSummary & { readonly shard: string }): OrphanAccount[] {
  const { cursors, endOffset, firstOffset, shard } = summary
  const none = { delivered: 0, duplicateSuppressed: 0, deadLettered: 0, moved: 0, lost: {} }
  if (cursors.length === 0) {
    const dropped = firstOffset > 0 ? { deleted: firstOffset } : {}
    const pending = endOffset - firstOffset
    return [{ ...none, shard, destination: null, appended: endOffset, dropped, pending }]
  }
  return cursors.flatMap(({ outputId: destination, record }) => {
    if (record === null) return []
    const { counts, finishedAbove, highOffset, lowOffset, origin } = record
    const place = { origin, low: lowOffset, high: highOffset, countAboveLow: finishedAbove, counts }
    const { isExact: _, ...account } = accountOf(place, endOffset)
    const delivered = account.delivered + account.duplicateSuppressed
    return [{ ...account, delivered, shard, destination }]
  })
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
