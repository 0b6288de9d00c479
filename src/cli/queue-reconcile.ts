// Runs on: main.
// `millrace queue reconcile`: what became of every record, for every destination of every shard:
//
//   appended = delivered + duplicates + dead letters + dropped + lost + moved + pending
//
// of a running server by its own counts, of a directory by its files alone. Exit 1 when a sum does not hold.

import type { CursorStatus, QueuesStatus } from '../admin/status.ts'
import { EXIT } from '../core/errors.ts'
import { accountOf } from '../storage/cursor-account.ts'
import { type CursorView, openShardView, type ReadableShard } from '../storage/inspect-shard.ts'
import type { StoreView } from '../storage/inspect-store.ts'
import { askAdminJson } from './admin-client.ts'
import { type CliIo, Exit } from './io.ts'
import type { DirectoryOptions } from './options.ts'
import { openDirectory } from './queue-directory.ts'
import { table } from './table.ts'

interface ReconcileOptions extends DirectoryOptions {
  readonly json?: boolean
}

/** One destination of one shard; records. */
export interface Account {
  /** `routes/web`, `dlq/out.search`, `park/web/search` */
  readonly log: string
  /** `00`; `old/00` for one that the route adopted from `old`. */
  readonly shard: string
  /** Null: a log that nobody drains. */
  readonly destination: string | null
  readonly appended: number
  readonly delivered: number
  readonly duplicateSuppressed: number
  readonly deadLettered: number
  readonly dropped: Readonly<Record<string, number>>
  readonly lost: Readonly<Record<string, number>>
  readonly moved: number
  readonly pending: number
  /** Of the pending: known to be unreadable; they become `lost` when they are passed. Null: a server does not tell. */
  readonly unreadable: number | null
  /** Why the sum does not hold; null: it does. */
  readonly fault: string | null
}

export async function reconcile(options: ReconcileOptions, io: CliIo): Promise<void> {
  const isDirectory =
    options.dataDir !== undefined || options.config.length > 0 || options.configDir !== undefined
  const accounts = isDirectory
    ? directoryAccounts(await openDirectory(options, io))
    : await serverAccounts(options)
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

async function serverAccounts(options: ReconcileOptions): Promise<Account[]> {
  // The server of the same version answers in this shape.
  const { cursors } = (await askAdminJson(options, 'GET', '/api/v1/queues')) as QueuesStatus
  return cursors.map((cursor) => checked(accountOfStatus(cursor)))
}

function accountOfStatus(cursor: CursorStatus): Account {
  const { appended, deadLettered, destination, dropped, duplicateSuppressed, lost, moved } = cursor
  return {
    log: `routes/${cursor.route}`,
    shard: cursor.shard,
    destination,
    appended,
    // The server counts what a destination had already among the delivered.
    delivered: cursor.delivered - duplicateSuppressed,
    duplicateSuppressed,
    deadLettered,
    dropped,
    lost,
    moved,
    pending: cursor.pending,
    unreadable: null,
    fault: null
  }
}

function directoryAccounts(view: StoreView): Account[] {
  const accounts = view.shardPaths.flatMap((path) => {
    const shard = openShardView(view, path)
    try {
      return shard.cursors.length === 0
        ? [undrained(shard)]
        : shard.cursors.map((cursor) => checked(accountOfCursor(shard, cursor)))
    } finally {
      shard.segments.close()
    }
  })
  return accounts.map((account) => withParkChecked(account, accounts))
}

function accountOfCursor(shard: ReadableShard, { content, finished, output }: CursorView): Account {
  const place = { log: shard.log, shard: shardLabel(shard), destination: output }
  const none = { delivered: 0, duplicateSuppressed: 0, deadLettered: 0, moved: 0 }
  const { endOffset, oldestOffset } = shard.segments
  if (content === null || finished === null) {
    const appended = endOffset - oldestOffset
    const rest = { dropped: {}, lost: {}, pending: appended, unreadable: 0 }
    const fault = 'the cursor cannot be read: what it counted is gone'
    return { ...place, ...none, ...rest, appended, fault }
  }
  const { counts, origin } = content
  const { countAboveLow, high, low } = finished
  const account = accountOf({ origin, low, high, countAboveLow, counts }, endOffset)
  const holes = [
    { firstOffset: 0, endOffset: oldestOffset },
    ...shard.recovered.holes.filter(({ reason }) => reason !== 'unacked')
  ]
  const unreadable = holes
    .flatMap((hole) => finished.missing(hole.firstOffset, hole.endOffset))
    .reduce((sum, [first, end]) => sum + Math.max(0, end - first), 0)
  const fault = account.isExact ? null : 'the counts of the cursor are not those of its ranges'
  return { ...place, ...account, unreadable, fault }
}

const shardLabel = ({ shardNumber }: ReadableShard): string => String(shardNumber).padStart(2, '0')

/** What nobody drains is stored or was deleted to make room. */
function undrained(shard: ReadableShard): Account {
  const { endOffset, oldestOffset } = shard.segments
  return {
    log: shard.log,
    shard: shardLabel(shard),
    destination: null,
    appended: endOffset,
    delivered: 0,
    duplicateSuppressed: 0,
    deadLettered: 0,
    dropped: oldestOffset > 0 ? { deleted: oldestOffset } : {},
    lost: {},
    moved: 0,
    pending: endOffset - oldestOffset,
    unreadable: 0,
    fault: null
  }
}

function checked(account: Account): Account {
  const sum =
    account.delivered +
    account.duplicateSuppressed +
    account.deadLettered +
    total(account.dropped) +
    total(account.lost) +
    account.moved +
    account.pending
  if (account.fault !== null || sum === account.appended) return account
  return { ...account, fault: `${account.appended} were appended, ${sum} are accounted for` }
}

/** Parked records were written and synced before a cursor says that they moved: the park has as many or more. */
function withParkChecked(account: Account, all: readonly Account[]): Account {
  const { destination, fault, log, moved } = account
  if (fault !== null || moved === 0 || destination === null) return account
  const park = `park/${log.slice(log.indexOf('/') + 1)}/${destination}`
  const parked = appendedTo(all.filter((each) => each.log === park))
  const movedThere = all
    .filter((each) => each.log === log && each.destination === destination)
    .reduce((sum, each) => sum + each.moved, 0)
  if (parked >= movedThere) return account
  return { ...account, fault: `${movedThere} records moved to ${park}, which took ${parked}` }
}

/** Records that ever came to a log: its cursors of one shard agree, so one of each shard counts. */
function appendedTo(accounts: readonly Account[]): number {
  const byShard = new Map(accounts.map(({ appended, shard }) => [shard, appended]))
  return [...byShard.values()].reduce((sum, appended) => sum + appended, 0)
}

const total = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((sum, count) => sum + count, 0)

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
      account.destination ?? '-',
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
