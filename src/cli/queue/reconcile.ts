// Runs on: main.
// `millrace queue reconcile`: the account of every destination, of a running server by its own counts, of a directory by its
// files alone. Exit 1 when a sum does not hold.

import type { QueuesStatus } from '../../admin/status.ts'
import { EXIT } from '../../core/errors.ts'
import { askAdminJson } from '../admin-client.ts'
import { type CliIo, Exit } from '../io.ts'
import type { DirectoryOptions } from '../options.ts'
import { table } from '../table.ts'
import { type Account, directoryAccounts, statusAccounts } from './accounts.ts'
import { openDirectory, warnOfPolicy } from './directory.ts'

interface ReconcileOptions extends DirectoryOptions {
  readonly json?: boolean
}

export async function reconcile(options: ReconcileOptions, io: CliIo): Promise<void> {
  const isDirectory =
    options.dataDir !== undefined || options.config.length > 0 || options.configDir !== undefined
  const accounts = isDirectory
    ? await ofDirectory(options, io)
    : // The server of the same version answers in this shape.
      statusAccounts((await askAdminJson(options, 'GET', '/api/v1/queues')) as QueuesStatus)
  const faults = accounts.filter(({ fault }) => fault !== null)
  if (options.json === true) io.out(`${JSON.stringify(accounts, null, 2)}\n`)
  else {
    io.out(accountTable(accounts))
    for (const { destination, fault, log, shard } of faults) {
      io.error(`${log} shard ${shard} ${destination ?? ''}: ${fault}\n`)
    }
  }
  if (faults.length > 0) throw new Exit(EXIT.failure)
}

async function ofDirectory(options: DirectoryOptions, io: CliIo): Promise<Account[]> {
  const view = await openDirectory(options, io)
  const accounts = directoryAccounts(view)
  const judged = accounts.filter(({ lost, unreadable }) => {
    return (unreadable ?? 0) > 0 || Object.keys(lost).length > 0
  })
  for (const log of new Set(judged.map((account) => account.log))) warnOfPolicy(view, log, io)
  return accounts
}

const destinationText = ({ destination, removedMs }: Account): string => {
  if (removedMs === null) return destination ?? '-'
  return `${destination}, archived ${new Date(removedMs).toISOString().slice(0, 19)}`
}

function accountTable(accounts: readonly Account[]): string {
  const reasons = (counts: Readonly<Record<string, number>>) =>
    Object.entries(counts)
      .map(([reason, count]) => `${reason} ${count}`)
      .join(', ') || '0'
  return table(
    [
      'LOG',
      'SHARD',
      'DESTINATION',
      'APPENDED',
      'DELIVERED',
      'DUPLICATE',
      'DEAD',
      'MOVED',
      'PENDING',
      'UNREADABLE',
      'DROPPED',
      'LOST',
      'HOLDS'
    ],
    accounts.map((account) => [
      account.log,
      account.shard,
      destinationText(account),
      account.appended,
      account.delivered,
      account.duplicateSuppressed,
      account.deadLettered,
      account.moved,
      account.pending,
      account.unreadable ?? '-',
      reasons(account.dropped),
      reasons(account.lost),
      account.fault === null ? 'yes' : 'NO'
    ])
  )
}
