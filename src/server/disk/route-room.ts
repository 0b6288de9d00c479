// Step 9. Runs on: main.
// Room of one lane of one route: what its shards hold together, and what goes when that is too much or the volume is short.
// Delivered segments go first, at a little below the limit, so that new records never wait for them; then, with
// `drop_oldest`, the oldest segment of all shards, and the next, while there is too little room.

import type { Clock } from '../../core/clock.ts'
import type { ShardLog } from '../../delivery/shard-log.ts'
import type { RetentionRules } from '../../delivery/shard-retention.ts'

export interface RouteRoomOptions {
  readonly clock: Clock
  /** What the shards may hold together. */
  readonly bytesMax: number
  readonly isDropOldest: boolean
  /** Size of a segment: a writer needs room for one, and some. */
  readonly segmentBytes: number
  readonly rules: Omit<RetentionRules, 'isRoomNeeded'>
  readonly volume: {
    /** Below what is left to others. */
    isBelow(): boolean
    freeBytes(): number
  }
  readonly shards: () => readonly ShardLog[]
  /** Asks the writer of an idle shard to end its segment. */
  readonly seal: (shardLog: ShardLog) => void
}

/** Share of the limit from which delivered segments go. */
const KEPT_SHARE = 7 / 8
/** How long a shard of which nothing is needed is idle before its last segment ends. */
const IDLE_MS = 60_000
/** Free space, in segments, that a writer which found no room is given at once. */
const FREE_SEGMENTS = 2
/** A quota that `statfs` does not show: time for the writer to try before the next segment goes. */
const PROBE_MS = 50

export class RouteRoom {
  readonly #options: RouteRoomOptions
  readonly #rules: RetentionRules
  /** Since when nothing was appended, by shard. */
  readonly #idle = new Map<ShardLog, { readonly endOffset: number; readonly sinceMs: number }>()
  #making: Promise<void> | null = null
  #isAgain = false

  constructor(options: RouteRoomOptions) {
    this.#options = options
    this.#rules = { ...options.rules, isRoomNeeded: () => this.#isNear() }
    this.#govern()
  }

  /** Bytes of all files; shards that nobody writes any more do not count against the limit. */
  get heldBytes(): number {
    return this.#sum(({ heldBytes }) => heldBytes)
  }

  /** Bytes that wait for a destination. */
  get pendingBytes(): number {
    return this.#sum(({ heldBytes, keptBytes }) => heldBytes - keptBytes)
  }

  /** Once a second. */
  look(): void {
    this.#govern()
    for (const shardLog of this.#options.shards()) {
      shardLog.limit()
      this.#sealIdle(shardLog)
    }
    void this.makeRoom()
  }

  /** A writer found no room on the volume. */
  get isShort(): boolean {
    return this.#options.shards().some(({ writerState }) => writerState === 'full')
  }

  /** Gives up what has to go. Calls while one runs make it look once more. */
  async makeRoom(): Promise<void> {
    this.#isAgain = true
    this.#making ??= this.#make().finally(() => {
      this.#making = null
    })
    await this.#making
  }

  async #make(): Promise<void> {
    while (this.#isAgain) {
      this.#isAgain = false
      if (!this.#isNear()) continue
      // Trouble of a cursor is told by its shard.
      for (const shardLog of this.#options.shards()) await shardLog.settle().catch(() => undefined)
      if (this.#options.isDropOldest) await this.#dropOldest()
    }
  }

  async #dropOldest(): Promise<void> {
    while (this.#isOver()) {
      if (!(await this.#dropOne())) return
      // The writer tries again when a file is gone.
      if (this.isShort && !this.#lacksRoom()) await this.#options.clock.sleep(PROBE_MS)
    }
  }

  #lacksRoom(): boolean {
    const { segmentBytes, volume } = this.#options
    return volume.freeBytes() < segmentBytes * FREE_SEGMENTS
  }

  /** The oldest segment of all shards; of the next when a part of that is on the wire. */
  async #dropOne(): Promise<boolean> {
    const ageOf = ({ oldestMs }: ShardLog) => oldestMs ?? Number.POSITIVE_INFINITY
    const shards = this.#options.shards().toSorted((one, other) => ageOf(one) - ageOf(other))
    for (const shardLog of shards) {
      const takesPart = !shardLog.isRetired || this.#isVolumeShort()
      if (takesPart && (await shardLog.dropOldest())) return true
    }
    return false
  }

  #isNear(): boolean {
    return this.heldBytes > this.#options.bytesMax * KEPT_SHARE || this.#isVolumeShort()
  }

  #isOver(): boolean {
    return this.heldBytes > this.#options.bytesMax || this.#isVolumeShort()
  }

  #isVolumeShort(): boolean {
    return this.#options.volume.isBelow() || this.isShort
  }

  #govern(): void {
    for (const shardLog of this.#options.shards()) shardLog.govern(this.#rules)
  }

  #sealIdle(shardLog: ShardLog): void {
    const nowMs = this.#options.clock.monotonicMs()
    const { endOffset } = shardLog
    const known = this.#idle.get(shardLog)
    if (known === undefined || known.endOffset !== endOffset) {
      this.#idle.set(shardLog, { endOffset, sinceMs: nowMs })
    } else if (nowMs - known.sinceMs >= IDLE_MS && shardLog.isFinished) {
      if (shardLog.isOpen) this.#options.seal(shardLog)
    }
  }

  #sum(bytesOf: (shardLog: ShardLog) => number): number {
    return this.#options
      .shards()
      .reduce((sum, shardLog) => sum + (shardLog.isRetired ? 0 : bytesOf(shardLog)), 0)
  }
}
