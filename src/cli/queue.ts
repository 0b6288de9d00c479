// Runs on: main.
// `millrace queue ls`: what each queue holds and how far each output is, from the running server.

import type { Command } from 'commander'
import type { QueuesStatus } from '../admin/status.ts'
import { formatBytes, formatDuration } from '../core/units.ts'
import { askAdminJson } from './admin-client.ts'
import type { CliIo } from './io.ts'
import { type AdminOptions, withAdminOptions } from './options.ts'
import { table } from './table.ts'

interface ListOptions extends AdminOptions {
  readonly json?: boolean
}

export function addQueue(program: Command, io: CliIo): void {
  const queue = program.command('queue').description('look at the queues of a running server')
  withAdminOptions(queue.command('ls'))
    .description('list queues and outputs')
    .option('--json', 'as JSON')
    .action((options: ListOptions) => list(options, io))
}

async function list(options: ListOptions, io: CliIo): Promise<void> {
  // The server of the same version answers in this shape; another one prints what it has.
  const status = (await askAdminJson(options, 'GET', '/api/v1/queues')) as QueuesStatus
  if (options.json === true) {
    io.out(`${JSON.stringify(status, null, 2)}\n`)
    return
  }
  io.out(shardTable(status))
  io.out('\n')
  io.out(cursorTable(status, Date.now()))
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

/** Records: appended = delivered + dead letters + dropped + lost + pending, on every line. */
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
