// Runs on: main.
// Changes to the queues of a running server: attach what a gone route left, pass over records, delete an orphan. Going back
// is not among them: a lane holds what it has taken, and `queue replay` sends records again without touching its cursor.

import type {
  AdoptOutcome,
  CursorChange,
  CursorChoice,
  DropOutcome,
  QueueChanges
} from '../../admin/status.ts'
import { systemClock } from '../../core/clock.ts'
import { MillraceError } from '../../core/errors.ts'
import { OFFSET_MAX } from '../../core/position.ts'
import type { Destination } from '../../delivery/destination.ts'
import type { CursorTarget } from '../../storage/retention/cursor-moves.ts'
import { skipRange, targetOffset } from '../../storage/retention/cursor-moves.ts'
import type { DeliverySet } from '../stages/delivery-set.ts'
import { removeLog } from '../store/orphans.ts'
import type { Store } from '../store/store.ts'

export interface QueueChangesOptions {
  readonly store: Store
  readonly delivery: DeliverySet
}

/** How long records on the wire are waited for, and how often they are looked at. */
const WIRE_MS_MAX = 5000
const WIRE_LOOK_MS = 20

type DrainedShard = Destination['shards'][number]

export class LiveQueueChanges implements QueueChanges {
  readonly #store: Store
  readonly #delivery: DeliverySet

  constructor({ delivery, store }: QueueChangesOptions) {
    this.#store = store
    this.#delivery = delivery
  }

  adopt(orphan: string, route: string): AdoptOutcome {
    const status = this.#store.orphans.find(({ log }) => log === `routes/${orphan}`)
    const opened = this.#store.adopt(orphan, route)
    this.#delivery.adopt(route, opened)
    this.#delivery.wake()
    // `adopt` throws when it is no orphan.
    const sizes = { shards: 0, segments: 0, bytes: 0, records: 0 }
    const none = { log: '', ...sizes, pending: {}, accounts: [] }
    return { ...(status ?? none), route, isDraining: true }
  }

  async moveCursor(choice: CursorChoice, to: string): Promise<CursorChange[]> {
    const target = parseTarget(to)
    const shards = this.#shardsOf(choice, target.kind === 'offset')
    const moves = shards.map((shard) => {
      const offset = targetOffset(shard.shardLog.segments, target)
      if (offset >= shard.cursor.lowOffset) return { shard, offset }
      throw new MillraceError(
        'MR_USAGE',
        `${choice.destination} has finished shard ${shard.shardLog.label} up to offset ${shard.cursor.lowOffset}, ${offset} lies before it. Send records again with \`millrace queue replay\`, or stop the server and use --data-dir`
      )
    })
    return await Promise.all(moves.map(({ offset, shard }) => change(choice, shard, 0, offset)))
  }

  async skip(
    choice: CursorChoice,
    firstOffset: number,
    endOffset: number
  ): Promise<CursorChange[]> {
    const shards = this.#shardsOf(choice, true)
    return await Promise.all(shards.map((shard) => change(choice, shard, firstOffset, endOffset)))
  }

  drop(log: string, isDropped: boolean): DropOutcome {
    const orphan = this.#store.orphans.find((each) => each.log === log)
    if (orphan === undefined) {
      throw new MillraceError(
        'MR_USAGE',
        `${log} is no orphan. A queue that is configured is dropped after it was taken out of the configuration, or with --data-dir while the server is stopped`
      )
    }
    if (isDropped) {
      removeLog(this.#store.context, log)
      this.#store.forgetOrphan(log)
    }
    return { ...orphan, isDropped }
  }

  /** Offsets name records of one shard: with several, the shard is to be named. */
  #shardsOf({ destination, route, shard }: CursorChoice, isOneOnly: boolean): DrainedShard[] {
    const found = this.#delivery.destinations.find(
      (each) => each.route === route && each.output.id === destination
    )
    if (found === undefined) {
      const names = this.#delivery.destinations.map(({ key }) => key.replace('/', ' ')).join(', ')
      throw new MillraceError(
        'MR_USAGE',
        `no route ${route} sends to ${destination}; there are: ${names}`
      )
    }
    const shards = found.shards.filter(({ shardLog }) => shard === null || shardLog.label === shard)
    const labels = found.shards.map(({ shardLog }) => shardLog.label).join(', ')
    if (shards.length === 0 || (isOneOnly && shards.length > 1)) {
      throw new MillraceError('MR_USAGE', `name one shard of ${route} with --shard: ${labels}`)
    }
    return shards
  }
}

/** Finishes what is left of [first, end), durably. Records on the wire are waited for a while, and are not dropped. */
async function change(
  { destination, route }: CursorChoice,
  drained: DrainedShard,
  firstOffset: number,
  endOffset: number
): Promise<CursorChange> {
  const { cursor, shardLog } = drained
  const fromOffset = cursor.lowOffset
  const endMs = systemClock.monotonicMs() + WIRE_MS_MAX
  let dropped = 0
  let lost = 0
  for (;;) {
    const onWire = drained.inFlightWithin(firstOffset, endOffset)
    const passed = skipRange(shardLog.segments, cursor, firstOffset, endOffset, onWire)
    dropped += passed.dropped
    lost += passed.lost
    if (onWire.length === 0 || systemClock.monotonicMs() >= endMs) break
    await systemClock.sleep(WIRE_LOOK_MS, new AbortController().signal)
  }
  await shardLog.settle()
  drained.wake()
  const { pending } = shardLog.account(cursor)
  const shard = shardLog.label
  const toOffset = cursor.lowOffset
  return { route, shard, destination, fromOffset, toOffset, dropped, lost, again: 0, pending }
}

/** `1200`, `oldest`, `newest`, or a time. */
export function parseTarget(text: string): CursorTarget {
  if (text === 'oldest' || text === 'newest') return { kind: text }
  if (/^\d+$/.test(text) && Number(text) <= OFFSET_MAX)
    return { kind: 'offset', offset: Number(text) }
  const timeMs = Date.parse(text)
  if (!Number.isNaN(timeMs)) return { kind: 'time', timeMs }
  throw new MillraceError('MR_USAGE', `"${text}" is no offset, no time, oldest or newest`)
}
