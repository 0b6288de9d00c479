// Runs on: main.
// What has to be looked at once a second, traffic or not: free space of the volume, quotas of dead letters, room and age
// of every route, and the clocks. Room is also looked at when a segment begins and when a writer finds none.

import type { MillraceConfig, RouteConfig } from '../../config/schema.ts'
import type { CancelTimer, Clock } from '../../core/clock.ts'
import { formatBytes, formatDuration } from '../../core/units.ts'
import type { ShardLog } from '../../delivery/shard-log.ts'
import type { OutputLog } from '../../plugin/output.ts'
import { segmentBytesFor } from '../../storage/format/layout.ts'
import type { AgeClock } from '../../storage/retention/age-clock.ts'
import type { FreeSpace } from './free-space.ts'
import { RouteRoom } from './route-room.ts'

const LOOK_MS = 1000

export interface HousekeepingOptions {
  readonly clock: Clock
  readonly log: OutputLog
  readonly routes: MillraceConfig['routes']
  readonly segmentBytesMax: number
  readonly shardsOf: (routeId: string) => readonly ShardLog[]
  readonly deadLetters: { trim(): void }
  readonly freeSpace: FreeSpace
  readonly disk: { look(): void }
  readonly ages: AgeClock
  /** Asks the ingest thread of an idle shard to end its segment. */
  readonly seal: (shardLog: ShardLog) => void
}

export class Housekeeping {
  readonly #options: HousekeepingOptions
  /** One per lane, by route. */
  readonly #rooms: ReadonlyMap<string, readonly RouteRoom[]>
  #cancel: CancelTimer = () => {}

  constructor(options: HousekeepingOptions) {
    this.#options = options
    this.#rooms = new Map(options.routes.map((route) => [route.id, this.#roomsOf(route)]))
    this.#compareWithVolume()
    this.#schedule()
  }

  /** A segment of the route began: one more may have to go, and the volume may be short, before the second ends. */
  began(routeId: string): void {
    this.#options.freeSpace.look()
    for (const room of this.#rooms.get(routeId) ?? []) void this.#makeRoom(room)
  }

  /** Something changed in the shards: a writer may have found no room. */
  rang(): void {
    for (const rooms of this.#rooms.values()) {
      for (const room of rooms) if (room.isShort) void this.#makeRoom(room)
    }
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
    const { ages, deadLetters, disk, freeSpace } = this.#options
    this.#tellJump(ages.look())
    freeSpace.look()
    disk.look()
    deadLetters.trim()
    for (const rooms of this.#rooms.values()) for (const room of rooms) room.look()
  }

  async #makeRoom(room: RouteRoom): Promise<void> {
    await room.makeRoom()
    // What was dropped may have been enough.
    this.#options.freeSpace.look()
  }

  #roomsOf(route: RouteConfig): RouteRoom[] {
    const { ages, clock, freeSpace, seal, segmentBytesMax, shardsOf } = this.#options
    const { ageMsMax, id, keepMs, lanes, overflow } = route
    const bytesMax = route.bytesMax / lanes
    const share = Math.min(bytesMax, freeSpace.totalBytes() || bytesMax)
    return Array.from(
      { length: lanes },
      (_, lane) =>
        new RouteRoom({
          clock,
          bytesMax,
          isDropOldest: overflow === 'drop_oldest',
          segmentBytes: Math.min(segmentBytesMax, segmentBytesFor(share)),
          rules: { ageMsMax, keepMs, ages },
          volume: freeSpace,
          shards: () => shardsOf(id).filter(({ shardNumber }) => shardNumber % lanes === lane),
          seal
        })
    )
  }

  /** Limits that do not fit the volume together: `min_free` guards it, and the limits do not. */
  #compareWithVolume(): void {
    const { freeSpace, log, routes } = this.#options
    const limitBytes = routes.reduce((sum, { bytesMax }) => sum + bytesMax, 0)
    const totalBytes = freeSpace.totalBytes()
    if (totalBytes === 0 || limitBytes <= totalBytes) return
    log.warn(
      { event: 'queue.limits_above_volume', limitBytes, totalBytes, routeCount: routes.length },
      `max_bytes of ${routes.length} routes add up to ${formatBytes(limitBytes)}, the volume has ${formatBytes(totalBytes)}: min_free decides before they do; lower max_bytes or enlarge the volume`
    )
  }

  #tellJump(jumpMs: number): void {
    if (jumpMs === 0) return
    const way = jumpMs > 0 ? 'ahead' : 'back'
    this.#options.log.error(
      { event: 'queue.clock_jump', jumpMs: Math.round(jumpMs) },
      `the wall clock went ${way} by ${formatDuration(Math.abs(Math.round(jumpMs / 1000)) * 1000)} at once: nothing is dropped for its age for 10 minutes, and older records keep the age that they had`
    )
  }
}
