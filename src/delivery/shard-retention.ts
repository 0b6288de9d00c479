// Step 9. Runs on: main.
// What of one shard is delivered, what of that is kept, and what goes: delivered segments that nothing holds, the oldest
// ones when room is needed, records that are too old, and what a destination that is not required has fallen behind by.
// Deletion stands in one place: cursors move first and durably, files follow.

import type { Clock } from '../core/clock.ts'
import type { ReadableSegment, ShardSegments } from '../storage/reader/shard-segments.ts'
import type { AgeClock } from '../storage/retention/age-clock.ts'
import { ResendHold } from '../storage/retention/resend-hold.ts'
import {
  bytesFrom,
  deleteBelow,
  dropOldest,
  type Holder,
  heldOffset,
  isDurablyPassed,
  offsetBefore,
  oldestComplete,
  passSegment
} from '../storage/retention/retention.ts'
import { SegmentTimes } from '../storage/retention/segment-times.ts'

/** What the route of a shard asks of it. */
export interface RetentionRules {
  /** How long delivered segments stay, by append time. */
  readonly keepMs: number
  /** Null: records do not age. */
  readonly ageMsMax: number | null
  readonly ages: AgeClock
  /** Whether delivered segments have to go although something holds them. Asked before each one. */
  isRoomNeeded(): boolean
}

/** Delivered segments that are read once more; whoever made it moves it on and releases it. */
export interface SegmentHold {
  /** Segments that hold this offset or later ones stay. */
  fromOffset: number
}

export interface ShardRetentionOptions {
  readonly segments: ShardSegments
  readonly clock: Clock
  /** Append time of the newest record that recovery found. */
  readonly recoveredEndMs: number
  /** Whether resends of chunks in delivered segments may still come. */
  readonly keepsIds: boolean
  readonly onDeleted: (byteCount: number) => void
}

export class ShardRetention {
  readonly holders: Holder[] = []
  readonly #options: ShardRetentionOptions
  readonly #resends: ResendHold
  readonly #times: SegmentTimes
  readonly #readers = new Set<SegmentHold>()
  /** Null, for dead letters: what was replayed goes at once. */
  #rules: RetentionRules | null = null

  constructor(options: ShardRetentionOptions) {
    this.#options = options
    this.#resends = new ResendHold(options.clock)
    this.#times = new SegmentTimes(options.segments, options.recoveredEndMs)
  }

  govern(rules: RetentionRules): void {
    this.#rules = rules
  }

  hold(fromOffset: number): SegmentHold {
    const hold = { fromOffset }
    this.#readers.add(hold)
    return hold
  }

  release(hold: SegmentHold): void {
    this.#readers.delete(hold)
  }

  /** A segment gets no more frames. */
  noteClosed(ordinal: number, endMs: number): void {
    this.#resends.noteClosed(ordinal)
    this.#times.noteClosed(ordinal, endMs)
  }

  /** Append time of the oldest record of the shard; null: none can be read. */
  get oldestMs(): number | null {
    const first = this.#options.segments.all[0]
    return first === undefined ? null : this.#times.firstMs(first.ordinal)
  }

  /** Append time of the segment that holds an offset: at most that of the record. */
  msOf(offset: number): number | null {
    const ordinal = this.#options.segments.ordinalOf(offset)
    return ordinal === null ? null : this.#times.firstMs(ordinal)
  }

  /** Offset below which no segment waits for a destination. */
  get finishedOffset(): number {
    if (this.holders.length === 0) return 0
    const required = this.holders.filter(({ isRequired }) => isRequired)
    return Math.min(
      heldOffset(required.map(({ cursor }) => cursor)),
      this.#options.segments.endOffset
    )
  }

  /** Bytes of segments that wait for nobody and are there nevertheless. */
  keptBytes(): number {
    const { segments } = this.#options
    const { finishedOffset } = this
    let byteCount = 0
    for (const { ordinal } of segments.all) {
      const segment = segments.at(ordinal)
      if (segment === null || segment.endOffset > finishedOffset) break
      byteCount += segments.byteCountOf(ordinal)
    }
    return byteCount
  }

  /** Deletes segments that wait for nobody, up to the first that is held while there is room for it. */
  async deleteDelivered(): Promise<void> {
    const { segments } = this.#options
    const optional = this.holders.filter(({ isRequired }) => !isRequired)
    for (;;) {
      const oldest = oldestComplete(segments)
      if (oldest === null || oldest.endOffset > this.finishedOffset) return
      if (this.#isHeld(oldest)) {
        if (this.#rules?.isRoomNeeded() === false) return
        passSegment(segments, optional, oldest, 'lag')
        if (!(await isDurablyPassed(optional, oldest.endOffset))) return
      }
      this.#delete(oldest.endOffset)
    }
  }

  /** Gives up the oldest segment, delivered or not. False: there is none, or a part of it is on the wire. */
  async dropOldest(): Promise<boolean> {
    const dropped = await dropOldest(this.#options.segments, this.holders)
    if (dropped === null) return false
    this.#options.onDeleted(dropped.byteCount)
    return true
  }

  /** Drops what is too old or too far behind, for whom it is. Segments go by the next deletion. */
  limit(): void {
    this.#expire()
    this.#limitLag()
  }

  #expire(): void {
    const { segments } = this.#options
    const rules = this.#rules
    if (rules === null || rules.ageMsMax === null || rules.ages.isPaused) return
    const low = Math.min(...this.holders.map(({ cursor }) => cursor.lowOffset))
    for (const segment of segmentsFrom(segments, low)) {
      if (!segment.isComplete) return
      const endMs = this.#times.endMs(segment.ordinal)
      if (endMs === null || rules.ages.ageMs(endMs) < rules.ageMsMax) return
      passSegment(segments, this.holders, segment, 'expired')
    }
  }

  #limitLag(): void {
    const { segments } = this.#options
    for (const holder of this.holders) {
      const { cursor, isRequired, lagBytesMax } = holder
      if (isRequired || lagBytesMax === null) continue
      if (bytesFrom(segments, cursor.lowOffset) <= lagBytesMax) continue
      const endOffset = offsetBefore(segments, lagBytesMax)
      for (const segment of segmentsFrom(segments, cursor.lowOffset)) {
        if (segment.firstOffset >= endOffset) break
        passSegment(segments, [holder], segment, 'lag', Math.min(endOffset, segment.endOffset))
      }
    }
  }

  /** Whether something still wants a segment that no destination has to get. */
  #isHeld({ endOffset, ordinal }: ReadableSegment): boolean {
    const { keepsIds, segments } = this.#options
    if (this.holders.some(({ cursor }) => cursor.durableLowOffset < endOffset)) return true
    for (const { fromOffset } of this.#readers) if (fromOffset < endOffset) return true
    if (this.#isYoung(ordinal)) return true
    return keepsIds && this.#resends.limit(segments, endOffset) < endOffset
  }

  #isYoung(ordinal: number): boolean {
    if (this.#rules === null || this.#rules.keepMs === 0) return false
    const endMs = this.#times.endMs(ordinal)
    return endMs === null || this.#rules.ages.ageMs(endMs) < this.#rules.keepMs
  }

  #delete(endOffset: number): void {
    this.#options.onDeleted(deleteBelow(this.#options.segments, endOffset).byteCount)
  }
}

/** Segments from the one that holds an offset. */
function* segmentsFrom(segments: ShardSegments, offset: number): Generator<ReadableSegment> {
  const first = segments.ordinalOf(offset)
  if (first === null) return
  for (let ordinal = first; ; ordinal++) {
    const segment = segments.at(ordinal)
    if (segment === null) return
    if (segment.endOffset > offset) yield segment
  }
}
