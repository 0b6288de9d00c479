// Runs on: any.
// The identity of one destination in one shard: what became of every offset since it began. Pure.

/** Counter of records that `drop_newest` let go: they never had an offset, and count as appended nevertheless. */
export const DROPPED_NEWEST = 'dropped:overflow_newest'

/** What a cursor knows, in memory or read from its file. */
export interface Accounted {
  readonly origin: number
  /** Every offset below is finished. */
  readonly low: number
  /** Offset after the highest finished one. */
  readonly high: number
  readonly countAboveLow: number
  readonly counts: ReadonlyMap<string, { readonly records: number }>
}

/** In records; the bytes stand in the counts of the cursor. */
export interface CursorAccount {
  /** Offsets since the destination began, without those that never held an acked record. */
  readonly appended: number
  readonly delivered: number
  readonly duplicateSuppressed: number
  readonly deadLettered: number
  readonly moved: number
  readonly dropped: Readonly<Record<string, number>>
  readonly lost: Readonly<Record<string, number>>
  readonly pending: number
  /** appended = all the others together. */
  readonly isExact: boolean
}

/** The identity up to `endOffset`, the end of the log. */
export function accountOf(cursor: Accounted, endOffset: number): CursorAccount {
  const { counts, countAboveLow, high, low, origin } = cursor
  const end = Math.max(endOffset, high)
  const dropped: Record<string, number> = {}
  const lost: Record<string, number> = {}
  let total = 0
  for (const [name, { records }] of counts) {
    total += records
    if (name.startsWith('dropped:')) dropped[name.slice(8)] = records
    if (name.startsWith('lost:')) lost[name.slice(5)] = records
  }
  const records = (outcome: string) => counts.get(outcome)?.records ?? 0
  const finished = low - origin + countAboveLow
  const withoutOffset = records(DROPPED_NEWEST)
  return {
    appended: end - origin - records('void') + withoutOffset,
    delivered: records('delivered'),
    duplicateSuppressed: records('duplicate_suppressed'),
    deadLettered: records('dead_lettered'),
    moved: records('moved'),
    dropped,
    lost,
    pending: end - origin - finished,
    isExact: total - withoutOffset === finished
  }
}
