// Runs on: main.
// Dead letters of a data directory, read without a server: on a copy, a read-only mount, a damaged directory, or beside a
// running server. Changes nothing and takes no lock.

import type { DeadLetterLogStatus, DeadLetterView } from '../admin/status.ts'
import { MillraceError } from '../core/errors.ts'
import { type LetterHole, type LetterShard, scanLetters } from '../server/letters/scan.ts'
import {
  compileLetterTest,
  exportBytes,
  exportLine,
  logStatus,
  newestViews
} from '../server/letters/views.ts'
import { REPLAYED } from '../server/store/open-shards.ts'
import { accountOf } from '../storage/cursor/account.ts'
import { openShardView, type ReadableShard } from '../storage/inspect/shard.ts'
import { logsOf, type StoreView, shardsOfLog } from '../storage/inspect/store.ts'
import type { CliIo } from './io.ts'
import type { DirectoryOptions } from './options.ts'
import { openDirectory } from './queue/directory.ts'

/** Logs that hold letters, as the server lists them. */
export async function listLogs(
  options: DirectoryOptions,
  io: CliIo
): Promise<DeadLetterLogStatus[]> {
  const view = await openDirectory(options, io)
  return logsOf(view)
    .filter((log) => log.startsWith('dlq/'))
    .map((log) => {
      const shards = [...openShards(view, log, io)].map((shard) => ({
        account: accountOfShard(shard),
        bytes: shard.listing.live.reduce((sum, { byteCount }) => sum + byteCount, 0)
      }))
      return logStatus(log.slice('dlq/'.length), shards)
    })
    .filter(({ records }) => records > 0)
}

export async function showLetters(
  log: string,
  where: string,
  limit: number,
  options: DirectoryOptions,
  io: CliIo
): Promise<DeadLetterView[]> {
  const test = compileLetterTest(where, Date.now())
  const view = await openDirectory(options, io)
  const views: DeadLetterView[] = []
  for (const shard of openShards(view, `dlq/${log}`, io)) {
    // What cannot be read is told once.
    const read = (first: number | null) =>
      first === null
        ? lettersOf(shard, io)
        : scanLetters(letterShardOf(shard), first, shard.segments.endOffset)
    views.push(...(await newestViews(read, test, limit)))
  }
  return views.sort((one, other) => other.timeMs - one.timeMs).slice(0, limit)
}

export async function streamLetters(
  log: string,
  { isRaw, limit, where }: { isRaw: boolean; limit: number | null; where: string },
  options: DirectoryOptions,
  io: CliIo
): Promise<void> {
  const test = compileLetterTest(where, Date.now())
  const view = await openDirectory(options, io)
  let left = limit ?? Number.POSITIVE_INFINITY
  for (const shard of openShards(view, `dlq/${log}`, io)) {
    for await (const found of lettersOf(shard, io)) {
      if (found.kind === 'hole' || !test(found)) continue
      if (left-- <= 0) return
      if (!(await io.write(isRaw ? exportBytes(found) : exportLine(found)))) return
    }
  }
}

function* openShards(view: StoreView, log: string, io: CliIo): Generator<ReadableShard> {
  if (!logsOf(view).includes(log)) {
    const known = logsOf(view).filter((name) => name.startsWith('dlq/'))
    throw new MillraceError(
      'MR_USAGE',
      `${view.dataDir} has no dead letter log "${log.slice('dlq/'.length)}"; it has: ${known.map((name) => name.slice('dlq/'.length)).join(', ')}`
    )
  }
  for (const path of shardsOfLog(view, log)) {
    const shard = openShardView(view, path)
    if (finishedOf(shard) === null) {
      io.error(
        `warning: ${shard.path}: what left the log cannot be read: every stored letter is taken to be there\n`
      )
    }
    try {
      yield shard
    } finally {
      shard.segments.close()
    }
  }
}

/** Letters, and a warning for each stretch that cannot be read. */
async function* lettersOf(shard: ReadableShard, io: CliIo): ReturnType<typeof scanLetters> {
  for await (const found of scanLetters(letterShardOf(shard), 0, shard.segments.endOffset)) {
    if (found.kind === 'hole') warn(shard, found, io)
    yield found
  }
}

const letterShardOf = (shard: ReadableShard): LetterShard => ({
  log: shard.log.slice('dlq/'.length),
  shardNumber: shard.shardNumber,
  path: shard.path,
  logId: shard.logId,
  segments: shard.segments,
  gone: goneOf(shard)
})

const finishedOf = ({ cursors }: ReadableShard) =>
  cursors.find(({ output }) => output === REPLAYED)?.finished ?? null

function goneOf(shard: ReadableShard): LetterShard['gone'] {
  const finished = finishedOf(shard)
  if (finished === null) return null
  return { lowOffset: finished.low, has: (offset) => finished.has(offset) }
}

/** Says how many letters a stretch that cannot be read had; none that left, and none that was never acked. */
function warn(shard: ReadableShard, { endOffset, firstOffset, reason }: LetterHole, io: CliIo) {
  if (reason === 'unacked') return
  // Without a cursor nothing is known of what was below the oldest file.
  const first = Math.max(firstOffset, shard.segments.oldestOffset)
  const missing = finishedOf(shard)?.missing(firstOffset, endOffset) ?? [[first, endOffset]]
  const count = missing.reduce((sum, [from, to]) => sum + Math.max(0, to - from), 0)
  if (count === 0) return
  io.error(
    `warning: ${shard.path}: ${count} letters between ${firstOffset} and ${endOffset - 1} cannot be read (${reason})\n`
  )
}

/** Without a cursor that can be read, every stored letter is there. */
function accountOfShard({ cursors, segments }: ReadableShard): ReturnType<typeof accountOf> {
  const cursor = cursors.find(({ output }) => output === REPLAYED)
  const { endOffset, oldestOffset } = segments
  if (cursor?.content == null || cursor.finished === null) {
    const nothing = { countAboveLow: 0, counts: new Map() }
    return accountOf(
      { origin: oldestOffset, low: oldestOffset, high: oldestOffset, ...nothing },
      endOffset
    )
  }
  const { counts, origin } = cursor.content
  const { countAboveLow, high, low } = cursor.finished
  return accountOf({ origin, low, high, countAboveLow, counts }, endOffset)
}
