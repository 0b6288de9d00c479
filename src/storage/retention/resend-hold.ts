// Step 9. Runs on: main.
// Delivered segments that stay for a while because of the chunk ids in them. An ack can be lost with the process; the
// sender then sends the chunk again, to the next life or the one after, and what was stored must be known there. Ids are
// read from the newest segments at a start (recovery.ts), so those are kept as long as a resend may come: bounded in
// time and by what a start reads.

import type { Clock } from '../../core/clock.ts'
import type { ShardSegments } from '../reader/shard-segments.ts'
import { ID_SCAN_BYTES_MAX } from '../recovery/recovery.ts'

/** Senders that wait for an ack come back within seconds of a restart; a minute is patience with slow ones. */
export const RESEND_HOLD_MS = 60_000

export class ResendHold {
  readonly #clock: Clock
  readonly #startMs: number
  /** When segments of this life were closed, by ordinal, monotonic. */
  readonly #closedMs = new Map<number, number>()

  constructor(clock: Clock) {
    this.#clock = clock
    this.#startMs = clock.monotonicMs()
  }

  /** Whether nobody asks any more for ids from before the start. */
  get isOver(): boolean {
    return this.#clock.monotonicMs() - this.#startMs >= RESEND_HOLD_MS
  }

  /** The segment gets no more frames. */
  noteClosed(ordinal: number): void {
    if (this.#closedMs.has(ordinal)) return
    this.#closedMs.set(ordinal, this.#clock.monotonicMs())
  }

  /** Offset below which segments may be deleted, at most `offset`. */
  limit(segments: ShardSegments, offset: number): number {
    const nowMs = this.#clock.monotonicMs()
    let leftBytes = ID_SCAN_BYTES_MAX
    let limit = offset
    for (let index = segments.all.length - 1; index >= 0; index--) {
      const segment = segments.all[index]
      if (segment === undefined) break
      // One that is written is not deleted anyway.
      if (segments.at(segment.ordinal)?.isComplete !== true) continue
      leftBytes -= segments.byteCountOf(segment.ordinal)
      const ageMs = nowMs - (this.#closedMs.get(segment.ordinal) ?? this.#startMs)
      if (leftBytes < 0 || ageMs >= RESEND_HOLD_MS) {
        this.#forgetUpTo(segment.ordinal)
        break
      }
      limit = Math.min(limit, segment.firstOffset)
    }
    return limit
  }

  /** Ages only matter for what is still held. */
  #forgetUpTo(ordinal: number): void {
    for (const known of this.#closedMs.keys()) {
      if (known < ordinal) this.#closedMs.delete(known)
    }
  }
}
