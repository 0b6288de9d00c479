// Runs on: main.
// What has to be looked at once a second, traffic or not: free space of the volume, quotas of dead letters, and room that
// `drop_oldest` has to make.

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
    const { deadLetters, freeSpace, routes, shardsOf } = this.#options
    freeSpace.look()
    deadLetters.trim()
    for (const route of routes) {
      if (route.overflow !== 'drop_oldest') continue
      const shards = shardsOf(route.id)
      // Shards share the limit of their route evenly; with one ingest thread one has all of it.
      const bytesMax = freeSpace.isShort ? 0 : route.bytesMax / shards.length
      for (const shardLog of shards) shardLog.dropOldestOver(bytesMax)
    }
  }
}
