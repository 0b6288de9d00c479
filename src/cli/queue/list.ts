// Runs on: main.
// `millrace queue ls`: what each queue holds and how far each output is, from the running server, or from the names and
// cursors of a data directory when there is none.

import type { QueuesStatus } from '../../admin/status.ts'
import { formatBytes, formatDuration } from '../../core/units.ts'
import { listShardView, type ShardView } from '../../storage/inspect/shard.ts'
import { askAdminJson } from '../admin-client.ts'
import type { CliIo } from '../io.ts'
import type { AdminOptions } from '../options.ts'
import { table } from '../table.ts'
import { openDirectory } from './directory.ts'

interface ListOptions extends AdminOptions {
  readonly json?: boolean
  readonly dataDir?: string
}

export async function list(options: ListOptions, io: CliIo): Promise<void> {
  if (options.dataDir !== undefined) {
    const view = await openDirectory({ ...options, config: [] }, io)
    listDirectory(
      view.shardPaths.map((path) => listShardView(view, path)),
      options,
      io
    )
    return
  }
  // The server of the same version answers in this shape; another one prints what it has.
  const status = (await askAdminJson(options, 'GET', '/api/v1/queues')) as QueuesStatus
  if (options.json === true) {
    io.out(`${JSON.stringify(status, null, 2)}\n`)
    return
  }
  io.out(shardTable(status))
  io.out('\n')
  io.out(cursorTable(status, Date.now()))
  if ((status.parked ?? []).length > 0) io.out(`\n${parkedTable(status)}`)
  io.out(leftoverTables(status))
}

/** What old configurations left; nothing where there is none, or from a server that does not tell. */
function leftoverTables({ orphans = [], removed = [] }: Partial<QueuesStatus>): string {
  const counts = (values: Readonly<Record<string, number>> | null) =>
    Object.entries(values ?? { unreadable: 0 })
      .map(([name, count]) => `${name} ${count}`)
      .join(', ')
  let text = ''
  if (orphans.length > 0) {
    const rows = orphans.map(({ bytes, log, pending, records }) => {
      return [log, records, formatBytes(bytes), counts(pending)]
    })
    text += `\n${table(['NOT CONFIGURED', 'RECORDS', 'DISK', 'PENDING'], rows)}`
  }
  if (removed.length > 0) {
    const rows = removed.map(({ counts: outcomes, destination, removedMs, route, shard }) => {
      const time = new Date(removedMs).toISOString()
      return [route, shard, destination, time, counts(outcomes)]
    })
    text += `\n${table(['ROUTE', 'SHARD', 'REMOVED OUTPUT', 'SINCE', 'COUNTS'], rows)}`
  }
  return text
}

function listDirectory(shards: readonly ShardView[], options: ListOptions, io: CliIo): void {
  if (options.json === true) {
    io.out(`${JSON.stringify(shards.map(asJson), null, 2)}\n`)
    return
  }
  const shown = (offset: number | null) => offset ?? '-'
  const listed = shards.map(asJson)
  io.out(
    table(
      ['SHARD', 'SEGMENTS', 'DISK', 'FIRST', 'NEWEST'],
      listed.map((shard) => [
        shard.path,
        shard.segments,
        formatBytes(shard.diskBytes),
        shown(shard.firstOffset),
        shown(shard.newestOffset)
      ])
    )
  )
  io.out('\n')
  io.out(
    table(
      ['SHARD', 'OUTPUT', 'FINISHED', 'PENDING (AT LEAST)'],
      listed.flatMap(({ path, cursors }) =>
        cursors.map(({ output, lowOffset, pendingAtLeast }) => [
          path,
          output,
          shown(lowOffset),
          shown(pendingAtLeast)
        ])
      )
    )
  )
}

/** By names and cursors alone: what the newest segment holds is known to `queue show`, which reads it. */
function asJson({ cursors, listing, path }: ShardView) {
  const { live } = listing
  const newestOffset = live.at(-1)?.firstOffset ?? null
  return {
    path,
    segments: live.length,
    diskBytes: live.reduce((sum, { byteCount }) => sum + byteCount, 0),
    /** First record that is kept, and first record of the newest segment; null: no segment. */
    firstOffset: live[0]?.firstOffset ?? null,
    newestOffset,
    cursors: cursors.map(({ content, output }) => ({
      output,
      /** Every record below is finished; null: the cursor cannot be read. */
      lowOffset: content?.low ?? null,
      /** Records of sealed segments that wait. */
      pendingAtLeast:
        content === null || newestOffset === null ? null : Math.max(0, newestOffset - content.low)
    }))
  }
}

function shardTable({ shards }: QueuesStatus): string {
  return table(
    ['ROUTE', 'SHARD', 'STATE', 'SEGMENTS', 'DISK', 'BOUND', 'DURABILITY', 'OVERFLOW'],
    shards.map((shard) => [
      shard.route,
      shard.shard,
      shard.state,
      shard.segments,
      formatBytes(shard.diskBytes),
      formatBytes(shard.bytesMax),
      shard.durability,
      shard.overflow
    ])
  )
}

/** What destinations set aside for targets that refuse it. */
function parkedTable({ parked }: QueuesStatus): string {
  return table(
    ['ROUTE', 'OUTPUT', 'PARKED KEYS', 'PARKED', 'DISK', 'EVER', 'DELIVERED', 'DEAD'],
    parked.map((park) => [
      park.route,
      park.destination,
      park.isFull ? `${park.keys} (full)` : park.keys,
      park.records,
      formatBytes(park.bytes),
      park.appended,
      park.delivered,
      park.deadLettered
    ])
  )
}

/** Records: appended = delivered + dead letters + dropped + lost + parked + pending, on every line. */
function cursorTable({ cursors }: QueuesStatus, nowMs: number): string {
  const sum = (counts: Readonly<Record<string, number>>) =>
    Object.values(counts).reduce((total, count) => total + count, 0)
  return table(
    [
      'ROUTE',
      'SHARD',
      'OUTPUT',
      'APPENDED',
      'DELIVERED',
      'DEAD',
      'DROPPED',
      'LOST',
      'PENDING',
      'OLDEST',
      'ERROR'
    ],
    cursors.map((cursor) => [
      cursor.route,
      cursor.shard,
      cursor.destination,
      cursor.appended,
      cursor.delivered,
      cursor.deadLettered,
      sum(cursor.dropped),
      sum(cursor.lost),
      cursor.pending,
      cursor.oldestPendingMs === null ? '-' : age(nowMs - cursor.oldestPendingMs),
      cursor.lastError ?? ''
    ])
  )
}

/** Whole seconds; clocks of two machines may disagree. */
const age = (ageMs: number): string => formatDuration(Math.max(0, Math.floor(ageMs / 1000) * 1000))
