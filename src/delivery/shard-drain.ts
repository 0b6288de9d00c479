// Steps 6 to 9. Runs on: main.
// One destination on one shard: its lane, and with `drain_order: newest_first` a second one. When what the lane would
// render next is older than the threshold, and the destination stores again, a live lane begins near the visible end and
// the old one becomes the backfill, which ends where the live one began (queue.md 9.3).
//
// Invariant: at most three lanes. A live lane that falls behind itself takes nothing more and only ends what it has taken;
// what it leaves out goes to the backfill, whose bound moves to the start of the next live lane once that is settled. So
// no record is ever taken by two lanes. After a restart one lane begins at the low mark and passes what is finished.

import type { Clock } from '../core/clock.ts'
import type { OutputLog } from '../plugin/output.ts'
import type { Cursor, Outcome } from '../storage/cursor/cursor.ts'
import { type Lane, RANGES_RESERVE } from './lane.ts'
import { laneCursor } from './lane-cursor.ts'
import type { LaneCursor, LaneSource } from './lane-source.ts'
import type { LaneTurn, LaneTurns } from './lane-turns.ts'
import type { ShardLog } from './shard-log.ts'
import { StretchSource } from './stretch-source.ts'

/** How often `tick` is called, milliseconds. */
export const DRAIN_TICK_MS = 1000
/** A live lane begins with records that came this long ago, milliseconds; half the threshold when that is shorter. */
const FRESH_MS_MAX = 60_000
/** A destination that stored nothing for longer is down: a live lane would only stand still like the one before it. */
const WORKED_MS_MAX = 2 * DRAIN_TICK_MS
const STORED: readonly Outcome[] = ['delivered', 'duplicate_suppressed']

export interface NewestFirst {
  readonly lagMsMax: number
  /** Of the slots of the output, for what is old. */
  readonly backfillShare: number
}

/** What a lane gets from here. */
export interface DrainLaneParts {
  readonly source: LaneSource
  readonly cursor: LaneCursor
  readonly turn: LaneTurn
  readonly startOffset: number
  readonly onProgress: () => void
}

export interface ShardDrainOptions {
  readonly destination: string
  readonly shardLog: ShardLog
  readonly cursor: Cursor
  readonly turns: LaneTurns
  /** Null: oldest first. */
  readonly newestFirst: NewestFirst | null
  readonly createLane: (parts: DrainLaneParts) => Lane
  readonly clock: Clock
  readonly log: OutputLog
  readonly signal: AbortSignal
}

interface Reader {
  readonly lane: Lane
  readonly turn: LaneTurn
  readonly stretch: StretchSource
  readonly startOffset: number
}

export class ShardDrain {
  readonly shardLog: ShardLog
  readonly cursor: Cursor
  readonly #options: ShardDrainOptions
  /** Oldest first: the backfill, a live lane that was left behind, the live one. */
  readonly #readers: Reader[] = []
  readonly #running = new Set<Promise<void>>()
  /** Visible ends, oldest first: the first is old enough for a live lane to begin there, the others are not yet. */
  readonly #ends: { readonly timeMs: number; readonly offset: number }[] = []
  #isRunning = false
  #storedCount: number
  #workedMs = Number.NEGATIVE_INFINITY
  /** How often new records were given precedence. */
  jumpCount = 0

  constructor(options: ShardDrainOptions) {
    this.#options = options
    this.shardLog = options.shardLog
    this.cursor = options.cursor
    this.#storedCount = storedBy(options.cursor)
    this.#readers.push(this.#reader(options.cursor.lowOffset))
    options.shardLog.setInFlight(options.cursor, (first, end) => this.inFlightWithin(first, end))
    this.#sample()
  }

  /** Settles when the signal has aborted and all lanes have ended. */
  async run(): Promise<void> {
    this.#isRunning = true
    for (const reader of this.#readers) this.#start(reader)
    while (this.#running.size > 0) await Promise.all(this.#running)
  }

  wake(): void {
    for (const { lane } of this.#readers) lane.wake()
  }

  /** Everything visible is finished, but for groups that wait for their next line. */
  get isDrained(): boolean {
    const openCount = this.#readers.reduce((sum, { lane }) => sum + lane.openCount, 0)
    const isIdle = this.#readers.every(({ lane }) => lane.isIdle)
    return isIdle && this.shardLog.account(this.cursor).pending <= openCount
  }

  /** Whether old records are sent beside new ones. */
  get isBackfilling(): boolean {
    return this.#readers.length > 1
  }

  /** Append time of the oldest record that is not finished; null: none that was read. */
  get oldestMs(): number | null {
    return this.#readers[0]?.lane.oldestMs ?? null
  }

  /** Parts of [first, end) that cannot be dropped now, sorted. */
  inFlightWithin(first: number, end: number): readonly (readonly [number, number])[] {
    const parts = this.#readers.map(({ lane }) => lane.inFlightWithin(first, end))
    return parts.length === 1
      ? (parts[0] ?? [])
      : parts.flat().sort((one, other) => one[0] - other[0])
  }

  /** Once a second: time passes for who waits and for nobody else. */
  tick(): void {
    this.#sample()
    this.#look()
  }

  #start({ lane }: Reader): void {
    const running = lane.run().finally(() => this.#running.delete(running))
    this.#running.add(running)
  }

  #reader(startOffset: number): Reader {
    const { createLane, newestFirst, turns } = this.#options
    const source = this.shardLog.source(startOffset)
    const stretch = new StretchSource(source, this.cursor, startOffset)
    const turn = turns.lane()
    // Each lane may need its ranges at once.
    const reserved = () => (this.#readers.length - 1) * RANGES_RESERVE
    const lane = createLane({
      source: newestFirst === null ? source : stretch,
      cursor: laneCursor(this.cursor, reserved),
      turn,
      startOffset,
      onProgress: () => {
        this.shardLog.progress()
        if (newestFirst !== null) this.#look()
      }
    })
    return { lane, turn, stretch, startOffset }
  }

  #sample(): void {
    const { clock, newestFirst } = this.#options
    if (newestFirst === null) return
    const timeMs = clock.monotonicMs()
    const freshMs = Math.min(FRESH_MS_MAX, newestFirst.lagMsMax / 2)
    this.#ends.push({ timeMs, offset: this.shardLog.endOffset })
    while ((this.#ends[1]?.timeMs ?? Infinity) <= timeMs - freshMs) this.#ends.shift()
  }

  #look(): void {
    if (!this.#isRunning || this.#options.signal.aborted) return
    this.#endOld()
    const nowMs = this.#options.clock.monotonicMs()
    const storedCount = storedBy(this.cursor)
    if (storedCount !== this.#storedCount) this.#workedMs = nowMs
    this.#storedCount = storedCount
    if (nowMs - this.#workedMs <= WORKED_MS_MAX) this.#jump()
  }

  /** A live lane begins, when the newest one is too far behind and none is still being left behind. */
  #jump(): void {
    const { clock, destination, log, newestFirst } = this.#options
    const before = this.#readers.at(-1)
    const startOffset = this.#ends[0]?.offset
    if (newestFirst === null || before === undefined || startOffset === undefined) return
    if (this.#readers.length > 2) return
    const { lane, stretch } = before
    if (startOffset <= stretch.readOffset) return
    // What has left its slot because it fails says nothing about the rest.
    const sinceMs = lane.unrenderedSinceMs ?? stretch.nextMs
    const lagMs = sinceMs === null ? 0 : clock.nowMs() - sinceMs
    if (lagMs <= newestFirst.lagMsMax) return
    stretch.endAt(this.isBackfilling ? stretch.readOffset : startOffset)
    before.turn.setRole('backfill')
    const live = this.#reader(startOffset)
    live.turn.setRole('live')
    this.#readers.push(live)
    this.#start(live)
    this.jumpCount++
    const records = startOffset - this.cursor.lowOffset
    log.info(
      { destination, shard: this.shardLog.label, lagMs, records, event: 'queue.newest_first' },
      'the destination is far behind: new records go first, old ones follow beside them'
    )
  }

  /** Ends lanes that have settled everything up to their bound. */
  #endOld(): void {
    while (this.#readers.length > 1) {
      // Of three the middle one first: what it left out is the backfill's.
      const at = this.#readers.length - 2
      const reader = this.#readers[at]
      const [backfill] = this.#readers
      const live = this.#readers.at(-1)
      if (!reader || !live || !backfill || !isOver(reader)) return
      this.#readers.splice(at, 1)
      reader.lane.end()
      reader.turn.leave()
      if (reader === backfill) {
        live.turn.setRole('only')
        continue
      }
      backfill.stretch.endAt(live.startOffset)
      backfill.lane.wake()
    }
  }
}

function isOver({ lane, stretch }: Reader): boolean {
  if (!stretch.isExhausted || !lane.isIdle) return false
  return lane.inFlightWithin(0, Number.MAX_SAFE_INTEGER).length === 0
}

const storedBy = ({ counts }: Cursor): number =>
  STORED.reduce((sum, outcome) => sum + (counts.get(outcome)?.records ?? 0), 0)
