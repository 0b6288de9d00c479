// Runs on: main.
// What has to be looked at once a second, traffic or not: free space of the volume, quotas of dead letters, and room that
// `drop_oldest` has to make, which also begins with every new segment.

import type { MillraceConfig } from '../config/schema.ts'
import type { CancelTimer, Clock } from '../core/clock.ts'
import type { ShardLog } from '../delivery/shard-log.ts'
import type { FreeSpace } from './free-space.ts'

const LOOK_MS = 1000

export interface HousekeepingOptions {
  readonly clock: Clock
  readonly routes: MillraceConfig['routes']
  readonly shardsOf: (routeId: string) => readonly ShardLog[]
  readonly deadLetters: { trim(): void }
  readonly freeSpace: FreeSpace
  readonly disk: { look(): void }
}

export class Housekeeping {
  readonly #options: HousekeepingOptions
  #cancel: CancelTimer = () => {}

  constructor(options: HousekeepingOptions) {
    this.#options = options
    this.#schedule()
  }

  stop(): void {
    this.#cancel()
  }

  #schedule(): void {
    this.#cancel = this.#options.clock.after(LOOK_MS, () => {
      this.#look()
      this.#schedule()
    })
  }

  #look(): void {
    const { deadLetters, disk, freeSpace, routes, shardsOf } = this.#options
    freeSpace.look()
    disk.look()
    deadLetters.trim()
    for (const route of routes) {
      this.#makeRoom(route)
      if (route.overflow === 'drop_oldest') shardsOf(route.id).forEach(dropOneIfFull)
      // Segments that were held for resends become free without anything being finished.
      for (const shardLog of shardsOf(route.id)) shardLog.progress()
    }
  }

  /** A segment of the route began: one more may have to go, and the volume may be short, before the second ends. */
  began(routeId: string): void {
    this.#options.freeSpace.look()
    const route = this.#options.routes.find(({ id }) => id === routeId)
    if (route !== undefined) this.#makeRoom(route)
  }

  #makeRoom({ bytesMax, id, overflow }: MillraceConfig['routes'][number]): void {
    if (overflow !== 'drop_oldest') return
    const { freeSpace, shardsOf } = this.#options
    const shards = shardsOf(id)
    const writtenCount = shards.filter(({ isRetired }) => !isRetired).length
    // Shards share the limit of their route evenly; with one ingest thread one has all of it.
    const shareMax = bytesMax / Math.max(1, writtenCount)
    // What was adopted takes no part: it goes only when the volume is short.
    const isOver = ({ heldBytes, isRetired }: ShardLog) => !isRetired && heldBytes > shareMax
    for (const shardLog of shards) {
      // What was dropped may have been enough.
      void shardLog
        .dropOldestWhile(() => isOver(shardLog) || freeSpace.isBelow())
        .then(() => freeSpace.look())
    }
  }
}

/** A write found no room although the volume seemed to have some: one segment may go, and the writer tries again. */
function dropOneIfFull(shardLog: ShardLog): void {
  const { heldBytes, writerState } = shardLog
  if (writerState === 'full') void shardLog.dropOldestWhile(() => shardLog.heldBytes === heldBytes)
}
