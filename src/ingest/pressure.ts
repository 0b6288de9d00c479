// Steps 2 to 4. Runs on: ingest.
// How much a route may still take, and who waits for room. An input whose message found none keeps it, pauses its
// connection and leaves a callback here. Room comes from events only: a commit that ended, space that main made, a shard
// that recovered. All callbacks run once each; who finds no room again comes back. Limit: one callback per paused
// connection.

import type { ShardAppender } from '../storage/writer/append.ts'
import type { ControlBlock } from './control-block.ts'

export class RoomWaiters {
  readonly #schedule: (wake: () => void) => void
  #callbacks: (() => void)[] = []
  #isScheduled = false

  /** `schedule` runs a function in a later turn, so that one event wakes everybody once. */
  constructor(schedule: (wake: () => void) => void = setImmediate) {
    this.#schedule = schedule
  }

  get count(): number {
    return this.#callbacks.length
  }

  add(callback: () => void): void {
    this.#callbacks.push(callback)
  }

  /** Something freed room. Cheap when nobody waits. */
  wake(): void {
    if (this.#isScheduled || this.#callbacks.length === 0) return
    this.#isScheduled = true
    this.#schedule(() => {
      this.#isScheduled = false
      const callbacks = this.#callbacks
      this.#callbacks = []
      for (const callback of callbacks) callback()
    })
  }
}

export interface RoomOptions {
  /** What the shards of the limit may hold together. */
  readonly bytesMax: number
  readonly overflow: 'block' | 'drop_oldest' | 'drop_newest'
  readonly writer: Pick<ShardAppender, 'isHeld' | 'state' | 'unsyncedBytes'>
  readonly control: ControlBlock
  /** The other shards that share the limit: those of the other ingest threads. */
  readonly others: readonly ControlBlock[]
}

/**
 * Room of one shard within a limit that it shares. Shared memory is read for the first message after a commit, and again
 * before anything is refused; other messages cost a subtraction. Limit: a burst may pass the bound by what the other
 * threads take, and what main declares goes unseen, until its commit.
 */
export class SharedRoom {
  readonly #options: RoomOptions
  /** At the last look: whether main had declared that there is no room. */
  #isDeclaredFull = false
  /** Left at the last look, less what was taken since. Room that was made meanwhile is not in it. */
  #leftBytes = 0
  #isStale = true
  #blockedSinceMs: number | null = null
  #blockedMs = 0

  constructor(options: RoomOptions) {
    this.#options = options
  }

  /** Whether the route takes another message now. */
  get verdict(): 'take' | 'full' | 'drop' {
    if (!this.#isStale && this.#hasRoom()) return 'take'
    this.#look()
    if (this.#hasRoom()) return 'take'
    const { overflow, writer } = this.#options
    const { state } = writer
    const isFull = this.#isFull() || state === 'full'
    return isFull && overflow === 'drop_newest' ? 'drop' : 'full'
  }

  /** So many bytes were appended. */
  took(byteCount: number): void {
    this.#leftBytes -= byteCount
  }

  /** After a commit: the others learn what is on its way here, and the other way round. */
  exchange(): void {
    const { control, others, writer } = this.#options
    if (others.length > 0) control.setUnsyncedBytes(writer.unsyncedBytes)
    this.#isStale = true
  }

  get isBlocked(): boolean {
    return this.#blockedSinceMs !== null
  }

  /** A message found no room. */
  blocked(nowMs: number): void {
    if (this.#blockedSinceMs !== null) return
    this.#blockedSinceMs = nowMs
    this.#options.control.setBlocked(true, this.#blockedMs)
  }

  /** Once a second, and when a message is taken after one was not. */
  lookAgain(nowMs: number): void {
    if (this.#blockedSinceMs === null) return
    this.#blockedMs += nowMs - this.#blockedSinceMs
    const isBlocked = this.verdict === 'full'
    this.#blockedSinceMs = isBlocked ? nowMs : null
    this.#options.control.setBlocked(isBlocked, this.#blockedMs)
  }

  #hasRoom(): boolean {
    const { writer } = this.#options
    return writer.state === 'ok' && !writer.isHeld && !this.#isFull()
  }

  #isFull(): boolean {
    const isOver = this.#options.overflow !== 'drop_oldest' && this.#leftBytes <= 0
    return this.#isDeclaredFull || isOver
  }

  /** On disk, and on the way there: a burst within one sync must not pass the bound. */
  #look(): void {
    const { bytesMax, control, others, writer } = this.#options
    this.#isStale = false
    this.#isDeclaredFull = control.isFull
    let byteCount = control.pendingBytes + writer.unsyncedBytes
    for (const other of others) byteCount += other.pendingBytes + other.unsyncedBytes
    this.#leftBytes = bytesMax - byteCount
  }
}
