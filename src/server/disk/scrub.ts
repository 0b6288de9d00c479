// Runs on: main.
// The background scrub: walks over all sealed segments again and again, piece by piece on the pool, at `queue.scrub_rate`.
// Damage is told when it is found and not when a record is needed: while a copy of the disk may still be good. Nothing is
// counted as lost here.

import type { Clock } from '../../core/clock.ts'
import { errorText } from '../../core/errors.ts'
import type { ShardLog } from '../../delivery/shard-log.ts'
import type { OutputLog } from '../../plugin/output.ts'
import type { ScrubRequest, ScrubResult } from '../../threads/messages.ts'

export interface ScrubberOptions {
  readonly clock: Clock
  readonly log: OutputLog
  readonly bytesPerSecond: number
  /** Every shard of the store. */
  readonly shards: () => readonly ShardLog[]
  readonly scrub: (request: ScrubRequest) => Promise<ScrubResult>
}

/** Read by one task at most: a pool thread is held for a few milliseconds. */
const PIECE_BYTES_MAX = 4 * 1024 * 1024
/** A pass over a small store is not begun more often. */
const PASS_MS_MIN = 3_600_000
/** Looks for something to read when there was nothing. */
const IDLE_MS = 10_000
/** Places that were told before; a ruined disk has more, and they are told again. */
const KNOWN_MAX = 10_000

export interface ScrubCounts {
  readBytes: number
  damagedRecords: number
  damagedRanges: number
  passes: number
}

/** Where a pass is: shards in their order, segments by ordinal. */
interface Place {
  readonly shards: readonly ShardLog[]
  index: number
  ordinal: number
  byte: number
  offset: number
}

export class Scrubber {
  readonly counts: ScrubCounts = { readBytes: 0, damagedRecords: 0, damagedRanges: 0, passes: 0 }
  readonly #options: ScrubberOptions
  readonly #known = new Set<string>()
  #place: Place | null = null
  #passStartMs = 0
  #cancel: () => void = () => undefined
  #isStopped = false

  constructor(options: ScrubberOptions) {
    this.#options = options
  }

  /** Begins, when a rate is set. */
  start(): void {
    if (this.#options.bytesPerSecond > 0) this.#after(0)
  }

  stop(): void {
    this.#isStopped = true
    this.#cancel()
  }

  #after(delayMs: number): void {
    if (this.#isStopped) return
    this.#cancel = this.#options.clock.after(delayMs, () => {
      this.#step().catch((error) => {
        const fields = { error: errorText(error), event: 'queue.scrub' }
        this.#options.log.warn(fields, 'a piece of the queue could not be scrubbed')
        this.#place = null
        this.#after(IDLE_MS)
      })
    })
  }

  async #step(): Promise<void> {
    const { bytesPerSecond, clock } = this.#options
    const startMs = clock.monotonicMs()
    if (this.#place === null) this.#begin(startMs)
    const next = this.#next()
    if (next === null) {
      this.#endPass(startMs)
      return
    }
    const result = await this.#options.scrub(next.request)
    if (this.#isStopped) return
    this.#take(next.shardLog, next.request, result)
    const dueMs = startMs + (result.readBytes / bytesPerSecond) * 1000
    this.#after(Math.max(0, dueMs - clock.monotonicMs()))
  }

  #begin(nowMs: number): void {
    this.#passStartMs = nowMs
    this.#place = { shards: this.#options.shards(), index: 0, ordinal: -1, byte: 0, offset: 0 }
  }

  #endPass(nowMs: number): void {
    this.#place = null
    this.counts.passes++
    this.#after(Math.max(IDLE_MS, this.#passStartMs + PASS_MS_MIN - nowMs))
  }

  /** The next piece; null: the pass is done. Segments that are written to are left out. */
  #next(): { readonly shardLog: ShardLog; readonly request: ScrubRequest } | null {
    const place = this.#place
    if (place === null) return null
    for (; place.index < place.shards.length; place.index++, place.ordinal = -1) {
      const shardLog = place.shards[place.index]
      const { segments } = shardLog ?? {}
      if (shardLog === undefined || segments === undefined) continue
      const oldest = segments.all[0]?.ordinal ?? 0
      if (place.ordinal < oldest) this.#enter(place, oldest)
      const segment = segments.at(place.ordinal)
      if (segment === null || !segment.isComplete) continue
      const { endOffset, epoch, firstOffset, path, salt } = segment
      const request: ScrubRequest = {
        kind: 'scrub',
        segment: { path, salt, epoch, firstOffset },
        logId: shardLog.logId,
        startByte: place.byte,
        startOffset: Math.max(place.offset, firstOffset),
        endOffset,
        byteCount: Math.min(PIECE_BYTES_MAX, this.#options.bytesPerSecond)
      }
      return { shardLog, request }
    }
    return null
  }

  #enter(place: Place, ordinal: number): void {
    place.ordinal = ordinal
    place.byte = 0
    place.offset = 0
  }

  #take(shardLog: ShardLog, request: ScrubRequest, result: ScrubResult): void {
    this.counts.readBytes += result.readBytes
    for (const damage of result.damages) this.#report(shardLog, request, damage)
    const place = this.#place
    if (place === null) return
    if (result.isEnd) this.#enter(place, place.ordinal + 1)
    else {
      place.byte = result.nextByte
      place.offset = result.nextOffset
    }
  }

  /** Offsets that were given to nobody are no damage. */
  #report(shardLog: ShardLog, request: ScrubRequest, damage: ScrubResult['damages'][number]): void {
    const { endByte, endOffset, firstOffset, note, startByte } = damage
    const { path } = request.segment
    const name = `${path}:${startByte}`
    const records = shardLog.segments
      .judge(firstOffset, endOffset)
      .filter(({ reason }) => reason !== 'unacked')
      .reduce((sum, hole) => sum + hole.endOffset - hole.firstOffset, 0)
    if (records === 0 || this.#known.has(name)) return
    if (this.#known.size >= KNOWN_MAX) this.#known.clear()
    this.#known.add(name)
    this.counts.damagedRanges++
    this.counts.damagedRecords += records
    this.#options.log.error(
      {
        event: 'queue.scrub_damage',
        path,
        start_byte: startByte,
        end_byte: endByte,
        first_offset: firstOffset,
        end_offset: endOffset,
        records,
        note
      },
      'stored records are damaged; destinations that still wait for them will count them as lost'
    )
  }
}
