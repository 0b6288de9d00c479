// Runs on: main.
// What became of every record, for every destination of every shard, of routes, dead letters and parks:
//
//   appended = delivered + duplicates + dead letters + dropped + lost + moved + pending
//
// of a running server by its own counts, of a directory by its files alone. Of a destination that its route no longer has:
// what it had finished.

import type { QueuesStatus, RecordCounts } from '../../admin/status.ts'
import { accountOf, DROPPED_NEWEST } from '../../storage/cursor/account.ts'
import {
  type ArchivedView,
  type CursorView,
  openShardView,
  type ReadableShard
} from '../../storage/inspect/shard.ts'
import type { StoreView } from '../../storage/inspect/store.ts'

/** One destination of one shard; records. */
export interface Account {
  /** `routes/web`, `dlq/out.search`, `park/web/search` */
  readonly log: string
  /** `00`; `old/00` for one that the route adopted from `old`. */
  readonly shard: string
  /** Null: a log that nobody drains. */
  readonly destination: string | null
  /** When the route lost the destination; null: it has it. */
  readonly removedMs: number | null
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

type Place = Pick<Account, 'log' | 'shard' | 'destination'>

/** What a server tells of any cursor. */
interface StatusCounts extends RecordCounts {
  readonly deadLettered?: number
  readonly moved?: number
}

/** The name that the one cursor of a log of dead letters has; that of a park is named like its output. */
const REPLAYED = 'replayed'
/** A park has one shard. */
const PARK_SHARD = '00'
const CURSOR_FAULT = 'the cursor cannot be read: what it counted is gone'
const NOTHING = {
  removedMs: null,
  delivered: 0,
  duplicateSuppressed: 0,
  deadLettered: 0,
  dropped: {},
  lost: {},
  moved: 0,
  unreadable: 0,
  fault: null
}

export function statusAccounts(status: QueuesStatus): Account[] {
  const accounts = [
    ...status.cursors.map((cursor) => {
      const { destination, route, shard } = cursor
      return accountOfStatus({ log: `routes/${route}`, shard, destination }, cursor)
    }),
    ...status.removed.map(({ counts, destination, removedMs, route, shard }) => {
      const place = { log: `routes/${route}`, shard, destination }
      return accountOfRemoved(place, removedMs, counts)
    }),
    ...status.letters.map((letters) => {
      const place = { log: `dlq/${letters.log}`, shard: letters.shard, destination: REPLAYED }
      return accountOfStatus(place, letters)
    }),
    ...status.parked.map((park) => {
      const log = `park/${park.route}/${park.destination}`
      return accountOfStatus({ log, shard: PARK_SHARD, destination: park.destination }, park)
    }),
    // Orphaned dead letters stand among the letters.
    ...status.orphans
      .filter(({ log }) => !log.startsWith('dlq/'))
      .flatMap(({ accounts, log }) =>
        accounts.map((account) => accountOfStatus({ ...account, log }, account))
      )
  ]
  return accounts.map(checked).map((account, _, all) => withParkChecked(account, all, new Map()))
}

export function directoryAccounts(view: StoreView): Account[] {
  const accounts = view.shardPaths.flatMap((path) => {
    const shard = openShardView(view, path)
    try {
      const live = shard.cursors.map((cursor) => accountOfCursor(shard, cursor))
      const archived = shard.archived.map((cursor) => accountOfArchived(shard, cursor))
      return [...(live.length === 0 ? [undrained(shard)] : live), ...archived]
    } finally {
      shard.segments.close()
    }
  })
  return accounts
    .map(checked)
    .map((account, _, all) => withParkChecked(account, all, view.adoptions))
}

function accountOfStatus({ destination, log, shard }: Place, counts: StatusCounts): Account {
  const place = { log, shard, destination }
  const { appended, delivered, deadLettered = 0, duplicateSuppressed, moved = 0 } = counts
  const { dropped, lost, pending } = counts
  return {
    ...place,
    ...NOTHING,
    appended,
    delivered: delivered - duplicateSuppressed,
    duplicateSuppressed,
    deadLettered,
    moved,
    dropped,
    lost,
    pending,
    unreadable: null
  }
}

/** Nothing waits for it: it counts as far as it came. Null counts: its file cannot be read. */
function accountOfRemoved(
  place: Place,
  removedMs: number,
  counts: Readonly<Record<string, number>> | null
): Account {
  const none = { ...place, ...NOTHING, removedMs, appended: 0, pending: 0 }
  if (counts === null) return { ...none, fault: CURSOR_FAULT }
  const records = Object.entries(counts).map(([outcome, count]): [string, { records: number }] => [
    outcome,
    { records: count }
  ])
  const withOffset = records.filter(([outcome]) => outcome !== DROPPED_NEWEST)
  const finished = withOffset.reduce((sum, [, { records: count }]) => sum + count, 0)
  const cursor = { origin: 0, low: finished, high: finished, countAboveLow: 0 }
  const { isExact: _, ...account } = accountOf({ ...cursor, counts: new Map(records) }, finished)
  return { ...none, ...account }
}

function accountOfCursor(shard: ReadableShard, { content, finished, output }: CursorView): Account {
  const place = { log: shard.log, shard: shardLabel(shard), destination: output }
  const { endOffset, oldestOffset } = shard.segments
  if (content === null || finished === null) {
    const appended = endOffset - oldestOffset
    return { ...place, ...NOTHING, appended, pending: appended, fault: CURSOR_FAULT }
  }
  const { counts, origin } = content
  const { countAboveLow, high, low } = finished
  const { isExact, ...account } = accountOf({ origin, low, high, countAboveLow, counts }, endOffset)
  const holes = [
    { firstOffset: 0, endOffset: oldestOffset },
    ...shard.recovered.holes.filter(({ reason }) => reason !== 'unacked')
  ]
  const unreadable = holes
    .flatMap((hole) => finished.missing(hole.firstOffset, hole.endOffset))
    .reduce((sum, [first, end]) => sum + Math.max(0, end - first), 0)
  const fault = isExact ? null : 'the counts of the cursor are not those of its ranges'
  return { ...place, ...NOTHING, ...account, unreadable, fault }
}

function accountOfArchived(shard: ReadableShard, cursor: ArchivedView): Account {
  const { content, finished, output, removedMs } = cursor
  const place = { log: shard.log, shard: shardLabel(shard), destination: output }
  if (content === null || finished === null) return accountOfRemoved(place, removedMs, null)
  const counts = [...content.counts].map(([outcome, { records }]) => [outcome, records])
  const account = accountOfRemoved(place, removedMs, Object.fromEntries(counts))
  const { origin } = content
  const { isExact } = accountOf({ ...finishedOf(finished), origin, counts: content.counts }, 0)
  const fault = isExact ? null : 'the counts of the cursor are not those of its ranges'
  return { ...account, fault }
}

function finishedOf({ countAboveLow, high, low }: NonNullable<CursorView['finished']>) {
  return { countAboveLow, high, low }
}

const shardLabel = ({ shardNumber }: ReadableShard): string => String(shardNumber).padStart(2, '0')

/** What nobody drains is stored or was deleted to make room. */
function undrained(shard: ReadableShard): Account {
  const { endOffset, oldestOffset } = shard.segments
  return {
    log: shard.log,
    shard: shardLabel(shard),
    destination: null,
    ...NOTHING,
    appended: endOffset,
    dropped: oldestOffset > 0 ? { deleted: oldestOffset } : {},
    pending: endOffset - oldestOffset
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

/**
 * Parked records were written and synced before a cursor says that they moved: the park has as many or more. Not so for what
 * an adopted route moved under its old name, nor for a removed destination, whose park may have been dropped since.
 */
function withParkChecked(
  account: Account,
  all: readonly Account[],
  adoptions: StoreView['adoptions']
): Account {
  const { destination, log } = account
  const isOwn = (each: Account) =>
    each.removedMs === null && !each.shard.includes('/') && !adoptions.has(each.log)
  if (account.fault !== null || account.moved === 0 || !isOwn(account)) return account
  if (destination === null || !log.startsWith('routes/')) return account
  const park = `park/${log.slice('routes/'.length)}/${destination}`
  const parked = appendedTo(all, park)
  const movedThere = all
    .filter((each) => each.log === log && each.destination === destination && isOwn(each))
    .reduce((sum, each) => sum + each.moved, 0)
  if (parked >= movedThere) return account
  return { ...account, fault: `${movedThere} records moved to ${park}, which took ${parked}` }
}

/** Records that ever came to a log: its cursors of one shard agree, so one of each shard counts. */
function appendedTo(all: readonly Account[], log: string): number {
  const live = all.filter((each) => each.log === log && each.removedMs === null)
  const byShard = new Map(live.map(({ appended, shard }) => [shard, appended]))
  return [...byShard.values()].reduce((sum, appended) => sum + appended, 0)
}

const total = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((sum, count) => sum + count, 0)
