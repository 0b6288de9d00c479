// Runs on: main.
// Which records a command is asked for: shards of a log, and offsets within each.

import { MillraceError } from '../../core/errors.ts'
import { unreachable } from '../../core/invariant.ts'
import { offsetAtTime } from '../../storage/inspect/records.ts'
import { openShardView, type ReadableShard } from '../../storage/inspect/shard.ts'
import { type StoreView, shardsOfLog } from '../../storage/inspect/store.ts'
import type { Place } from '../places.ts'

export interface RangeOptions {
  readonly from?: Place
  readonly to?: Place
  readonly shard?: number
}

/** Shards of the log that are meant, opened one after the other. */
export function* shardsOf(
  view: StoreView,
  log: string,
  { shard }: RangeOptions
): Generator<ReadableShard> {
  let count = 0
  for (const path of shardsOfLog(view, log)) {
    const opened = openShardView(view, path)
    try {
      if (shard === undefined || opened.shardNumber === shard) {
        count++
        yield opened
      }
    } finally {
      opened.segments.close()
    }
  }
  if (count === 0) throw new MillraceError('MR_USAGE', `"${log}" has no shard ${shard}`)
}

/** Offsets [first, end) of one shard. */
export function offsetsOf(
  shard: ReadableShard,
  { from = { kind: 'oldest' }, to = { kind: 'newest' } }: RangeOptions
): { readonly first: number; readonly end: number } {
  const { endOffset, oldestOffset } = shard.segments
  return {
    first: Math.max(oldestOffset, offsetAt(shard, from)),
    end: Math.min(endOffset, offsetAt(shard, to))
  }
}

function offsetAt(shard: ReadableShard, place: Place): number {
  switch (place.kind) {
    case 'offset':
      return place.offset
    case 'time':
      return offsetAtTime(shard, place.timeMs)
    case 'oldest':
      return shard.segments.oldestOffset
    case 'newest':
      return shard.segments.endOffset
    default:
      return unreachable(place)
  }
}
