// Runs on: main.
// `millrace queue ls`: what each queue holds and how far each output is, from the running server, or from a data
// directory when there is none.

import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { QueuesStatus } from '../admin/status.ts'
import { formatBytes, formatDuration } from '../core/units.ts'
import { askAdminJson } from './admin-client.ts'
import type { CliIo } from './io.ts'
import { type AdminOptions, withAdminOptions } from './options.ts'
import { addQueueChanges } from './queue-changes.ts'
import { table } from './table.ts'

interface ListOptions extends AdminOptions {
  readonly json?: boolean
  readonly dataDir?: string
}

export function addQueue(program: Command, io: CliIo): void {
  const queue = program.command('queue').description('look at the queues and change them')
  withAdminOptions(queue.command('ls'))
    .description('list queues and outputs of the running server')
    .option('--data-dir <directory>', 'read this directory instead; works without a server')
    .option('--json', 'as JSON')
    .action((options: ListOptions) => list(options, io))
  addQueueChanges(queue, io)
}

async function list(options: ListOptions, io: CliIo): Promise<void> {
  if (options.dataDir !== undefined) {
    await listDirectory(resolve(io.workingDirectory, options.dataDir), options, io)
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
}

async function listDirectory(dataDir: string, options: ListOptions, io: CliIo): Promise<void> {
  const { readDataDirectory } = await import('./queue-directory.ts')
  const shards = readDataDirectory(dataDir)
  if (options.json === true) {
    io.out(`${JSON.stringify(shards, null, 2)}\n`)
    return
  }
  const shown = (offset: number | null) => offset ?? '-'
  io.out(
    table(
      ['SHARD', 'SEGMENTS', 'DISK', 'FIRST', 'NEWEST'],
      shards.map((shard) => [
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
      shards.flatMap(({ path, cursors }) =>
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
