// Steps 6 and 9. Runs on: main.
// Main's side of one shard: what of it may be read, the cursors of its destinations, and the deletion of what every one of
// them has durably finished. Order of a deletion: cursors synced, then the file unlinked, then room announced.

import type { Clock } from '../core/clock.ts'
import { errnoOf } from '../core/errors.ts'
import type { OutputLog } from '../plugin/output.ts'
import type { VisibleEnd } from '../storage/append.ts'
import type { Cursor, Outcome } from '../storage/cursor.ts'
import type { CursorAccount } from '../storage/cursor-account.ts'
import { DamageLog } from '../storage/damage-log.ts'
import { ResendHold } from '../storage/resend-hold.ts'
import { deleteBelow, dropOldest, heldOffset, passOver } from '../storage/retention.ts'
import { removeShard } from '../storage/retired-shard.ts'
import { ShardReader } from '../storage/shard-reader.ts'
import type { ShardSegments } from '../storage/shard-segments.ts'
import type { NewSegment } from '../threads/messages.ts'
import { SHARD_STATES, type ShardState, unpackEnd, WORD } from '../threads/shared.ts'
import type { LaneCursor, LaneSource } from './lane-source.ts'
import type { Fate } from './task-settlement.ts'

/** Cursors are written at most this often, milliseconds... */
const PERSIST_EVERY_MS = 1000
/** ...or after so many finished records: that many at most are sent again after a crash. */
const PERSIST_AFTER_RECORDS = 50_000

/** Share of what a shard may hold up to which delivered segments wait for a replay that reads them. */
const READERS_SHARE = 0.9

export interface ShardLogOptions {
  /** `routes/<route>`. */
  readonly log: string
  readonly shardNumber: number
  /** Route that the shard belongs to; the end of `log` for logs of dead letters. */
  readonly route: string
  /** Name of the shard within its route: `00`; `old/00` for one that `old` left and the route adopted. */
  readonly label: string
  readonly logId: Uint8Array
  /** Shard directory. */
  readonly directory: string
  readonly segments: ShardSegments
  readonly clock: Clock
  readonly outputLog: OutputLog
  /** Share of the shard in what its route may hold. */
  readonly bytesMax: number
  /** Control block of the shard. */
  readonly control: SharedArrayBuffer
  /** Space was given back. */
  readonly onRoom: () => void
  /** Null: an ingest thread writes the shard. */
  readonly retirement: Retirement | null
}

/** A shard that nobody writes is removed when all its destinations have finished it. */
export interface Retirement {
  /** Its newest chunk ids are still asked for: wait as long as resends may come. */
  readonly keepsIds: boolean
  readonly onRemoved: () => void
}

/** A destination's cursor and whether it holds segments. */
interface Holder {
  readonly cursor: Cursor
  readonly isRequired: boolean
}

/** Delivered segments that are read once more; whoever made it moves it on and releases it. */
export interface SegmentHold {
  /** Segments that hold this offset or later ones stay. */
  fromOffset: number
}

export class ShardLog {
  readonly log: string
  readonly shardNumber: number
  readonly route: string
  readonly label: string
  readonly logId: Uint8Array
  readonly #options: ShardLogOptions
  readonly #words: BigInt64Array
  readonly #holders: Holder[] = []
  readonly #hold: ResendHold
  #settling: Promise<void> | null = null
  #isSettlingAgain = false
  #lastPersistMs = 0
  #cancelTimer: (() => void) | null = null
  #isClosed = false
  #isDropping = false
  /** Why cursors were not written last time; '': they were. */
  #troubleErrno = ''
  #isRemoved = false
  /** Given back before its file was deleted. */
  #advancedBytes = 0
  readonly #readers = new Set<SegmentHold>()
  /** Damage that destinations met. */
  readonly damage: DamageLog

  constructor(options: ShardLogOptions) {
    this.log = options.log
    this.shardNumber = options.shardNumber
    this.route = options.route
    this.label = options.label
    this.logId = options.logId
    this.#options = options
    this.#words = new BigInt64Array(options.control)
    this.#hold = new ResendHold(options.clock)
    this.damage = new DamageLog(options.segments, options.directory, (note) =>
      options.outputLog.error(
        { log: options.log, shard: options.shardNumber, note, event: 'queue.damage' },
        'stored records are damaged'
      )
    )
  }

  get segments(): ShardSegments {
    return this.#options.segments
  }

  /** Offset after the last visible record. */
  get endOffset(): number {
    return this.#options.segments.endOffset
  }

  get state(): ShardState {
    if (this.isRetired) return 'draining'
    return this.writerState === 'ok' && this.#word(WORD.isFull) !== 0 ? 'full' : this.writerState
  }

  /** Bytes of the files of the shard. */
  get heldBytes(): number {
    const held = this.#word(WORD.recoveredBytes) + this.#word(WORD.appendedBytes)
    return held - this.#word(WORD.removedBytes)
  }

  /** What its writer says, whatever main has declared. */
  get writerState(): ShardState {
    return SHARD_STATES[this.#word(WORD.state)] ?? 'ok'
  }

  /** Age of the sync that runs, milliseconds; 0: none does. Known to the second. */
  get syncAgeMs(): number {
    return this.#word(WORD.syncAgeMs)
  }

  /** Nobody writes the shard: it is read until it is empty. */
  get isRetired(): boolean {
    return this.#options.retirement !== null
  }

  get appendedBytes(): number {
    return this.#word(WORD.appendedBytes)
  }

  get droppedNewest(): number {
    return this.#word(WORD.droppedNewest)
  }

  get watermarkMs(): number {
    return this.#word(WORD.watermarkMs)
  }

  get holders(): readonly Holder[] {
    return this.#holders
  }

  addHolder(cursor: Cursor, isRequired: boolean): void {
    this.#holders.push({ cursor, isRequired })
  }

  /**
   * Keeps delivered segments from `fromOffset` on, so that a replay can read them. It holds nothing that has to go for
   * new records: when room is needed, `segments.oldestOffset` passes the hold.
   */
  hold(fromOffset: number): SegmentHold {
    const hold = { fromOffset }
    this.#readers.add(hold)
    return hold
  }

  release(hold: SegmentHold): void {
    this.#readers.delete(hold)
    this.progress()
  }

  /** Whether the volume has no room: the writer's thread takes nothing for the shard. */
  setFull(isFull: boolean): void {
    Atomics.store(this.#words, WORD.isFull, isFull ? 1n : 0n)
  }

  /** A segment of the writer; nothing in it is visible yet. */
  addSegment(segment: NewSegment): void {
    this.#hold.noteClosed(segment.ordinal - 1)
    this.#options.segments.add(segment)
  }

  /** Takes over how far the writer has come. What is being written just now is read at the next ring. */
  refresh(): void {
    const sequence = Atomics.load(this.#words, WORD.sequence)
    const end = unpackEnd(Atomics.load(this.#words, WORD.visibleEnd))
    const nextOffset = this.#word(WORD.visibleOffset)
    const isPair = (sequence & 1n) === 0n && Atomics.load(this.#words, WORD.sequence) === sequence
    if (!isPair || end.byte === 0) return
    // The message that names the segment may still be on its way; the thread rings again within a second.
    const isAnnounced = (this.#options.segments.all.at(-1)?.ordinal ?? -1) >= end.segmentOrdinal
    if (isAnnounced) this.#options.segments.setVisible(end.segmentOrdinal, end.byte, nextOffset)
  }

  /** For a log that main writes itself. */
  setVisible(end: VisibleEnd): void {
    const { appendedBytes, endByte, nextOffset, segmentOrdinal } = end
    Atomics.store(this.#words, WORD.appendedBytes, BigInt(appendedBytes))
    this.#options.segments.setVisible(segmentOrdinal, endByte, nextOffset)
  }

  /** `drop_oldest`: gives up oldest segments while the shard holds more than `bytesMax`. */
  dropOldestOver(bytesMax: number): void {
    void this.dropOldestWhile(() => this.heldBytes > bytesMax)
  }

  /**
   * Gives up oldest segments, one after the other, as long as there is too little room. Records whose request is on the
   * wire count as dropped too; flights of dropped rows end by themselves.
   */
  async dropOldestWhile(isTooMuch: () => boolean): Promise<void> {
    if (this.#isDropping || this.#isClosed || !isTooMuch()) return
    this.#isDropping = true
    await this.#dropOldest(isTooMuch)
      .catch((error) => this.#trouble(error))
      .finally(() => {
        this.#isDropping = false
      })
  }

  async #dropOldest(isTooMuch: () => boolean): Promise<void> {
    const cursors = this.#holders.map(({ cursor }) => cursor)
    while (isTooMuch()) {
      const dropped = await dropOldest(
        this.#options.segments,
        cursors,
        'dropped:overflow_oldest',
        () => false
      )
      if (dropped === null) return
      this.#deleted(dropped.byteCount)
    }
  }

  /** The view of one lane. */
  source(fromOffset: number): LaneSource {
    const { segments } = this.#options
    const reader = new ShardReader(segments, fromOffset)
    const log = this
    return {
      logId: this.logId,
      next() {
        const taken = reader.next()
        if (taken?.kind === 'hole') log.damage.note(taken)
        return taken
      },
      judge(first, end) {
        const holes = segments.judge(first, end)
        for (const hole of holes) log.damage.note(hole)
        return holes
      },
      segment(ordinal) {
        const found = segments.all[ordinal - (segments.all[0]?.ordinal ?? 0)]
        if (found === undefined) throw new Error(`segment ${ordinal} of ${log.log} is gone`)
        const { epoch, firstOffset, salt } = found
        return { path: segments.pathOf(found), salt, epoch, firstOffset }
      },
      get watermarkMs() {
        return log.watermarkMs
      }
    }
  }

  account(cursor: Cursor): CursorAccount {
    return cursor.account(this.endOffset)
  }

  /** Something was finished: writes cursors and deletes segments, now or within a second. */
  progress(): void {
    if (this.#isClosed) return
    const finished = this.#holders.some(
      ({ cursor }) => cursor.finishedSincePersist >= PERSIST_AFTER_RECORDS
    )
    const waitMs = this.#lastPersistMs + PERSIST_EVERY_MS - this.#options.clock.monotonicMs()
    if (finished || waitMs <= 0) {
      this.settle().catch((error) => this.#trouble(error))
      return
    }
    if (this.#cancelTimer !== null) return
    this.#cancelTimer = this.#options.clock.after(waitMs, () => {
      this.#cancelTimer = null
      this.settle().catch((error) => this.#trouble(error))
    })
  }

  /** Writes every changed cursor, then deletes what all that hold segments have passed. */
  async settle(): Promise<void> {
    if (this.#settling !== null) {
      this.#isSettlingAgain = true
      return await this.#settling
    }
    this.#settling = this.#settle().finally(() => {
      this.#settling = null
    })
    await this.#settling
  }

  async close(): Promise<void> {
    this.#cancelTimer?.()
    // A disk that refuses to the end costs repeats after the restart, not the stop.
    await this.settle().catch((error) => this.#trouble(error))
    this.#isClosed = true
    for (const { cursor } of this.#holders) cursor.close()
    this.#options.segments.close()
  }

  async #settle(): Promise<void> {
    do {
      this.#isSettlingAgain = false
      // A look that finds nothing to write does not put off the next write.
      if (this.#holders.some(({ cursor }) => cursor.finishedSincePersist > 0)) {
        this.#lastPersistMs = this.#options.clock.monotonicMs()
      }
      await Promise.all(this.#holders.map(({ cursor }) => cursor.persist()))
      await this.#deleteFinished()
      this.#retire()
      this.#troubleIsOver()
    } while (this.#isSettlingAgain)
  }

  /** Removes a shard that nobody writes once nothing of it is needed; its counts are shown until the next start. */
  #retire(): void {
    const { directory, outputLog, retirement, segments } = this.#options
    if (retirement === null || this.#isRemoved || this.#readers.size > 0) return
    const isFinished = this.#holders.every(
      ({ cursor }) => cursor.durableLowOffset >= this.endOffset
    )
    if (!isFinished || (retirement.keepsIds && !this.#hold.isOver)) return
    this.#isRemoved = true
    const paths = segments.dropAll().map(({ path }) => path)
    this.#deleted(removeShard(segments.storage, directory, paths))
    outputLog.info(
      { log: this.log, shard: this.shardNumber, route: this.route, event: 'queue.shard_removed' },
      'a shard that nobody writes any more was empty and is removed'
    )
    retirement.onRemoved()
  }

  async #deleteFinished(): Promise<void> {
    const { segments } = this.#options
    const holding = this.#holders.filter(({ isRequired }) => isRequired)
    if (holding.length === 0) return
    const low = this.#deletableOffset(heldOffset(holding.map(({ cursor }) => cursor)))
    // The first segment is deletable when the second begins at or below the mark.
    const [, ...later] = segments.all
    const endOffset = later.findLast(({ firstOffset }) => firstOffset <= low)?.firstOffset
    if (endOffset === undefined) return this.#advanceLast()
    const optional = this.#holders.filter(({ isRequired }) => !isRequired)
    for (const { cursor } of optional) passOver(cursor, endOffset, 'dropped:lag')
    await Promise.all(optional.map(({ cursor }) => cursor.persist()))
    this.#deleted(deleteBelow(segments, low).byteCount)
    this.#advanceLast()
  }

  /**
   * The newest segment is deleted when the next one begins. When it is finished and fills the whole limit by itself (one
   * large message does), nothing more would be taken and no next one begin: its room is given back in advance.
   */
  #advanceLast(): void {
    const { bytesMax, segments } = this.#options
    const [last, ...later] = segments.all
    const heldBytes = this.heldBytes
    if (last === undefined || later.length > 0 || heldBytes < bytesMax) return
    const isFinished = this.#holders.every(
      ({ cursor, isRequired }) => !isRequired || cursor.durableLowOffset >= this.endOffset
    )
    if (!isFinished) return
    this.#advancedBytes += heldBytes
    this.#giveBack(heldBytes)
  }

  /** Delivered is not enough while chunks in a segment may be sent again; room that is needed comes first. */
  #deletableOffset(deliveredOffset: number): number {
    const { bytesMax, segments } = this.#options
    const isShort = this.state === 'full'
    if (isShort || this.heldBytes > bytesMax * READERS_SHARE) return deliveredOffset
    let offset = deliveredOffset
    for (const { fromOffset } of this.#readers) offset = Math.min(offset, fromOffset)
    if (this.heldBytes > bytesMax / 2) return offset
    return this.#hold.limit(segments, offset)
  }

  /** Files are gone; what was given back before is not given back again. */
  #deleted(byteCount: number): void {
    const advancedBytes = Math.min(byteCount, this.#advancedBytes)
    this.#advancedBytes -= advancedBytes
    this.#giveBack(byteCount - advancedBytes)
  }

  #giveBack(byteCount: number): void {
    if (byteCount === 0) return
    Atomics.add(this.#words, WORD.removedBytes, BigInt(byteCount))
    this.#options.onRoom()
  }

  /** Said once per kind of trouble: it is tried again every second, on a read-only volume for as long as that lasts. */
  #trouble(error: unknown): void {
    const errno = errnoOf(error) || String(error)
    if (errno === this.#troubleErrno) return
    this.#troubleErrno = errno
    this.#options.outputLog.error(
      { log: this.log, shard: this.shardNumber, error: String(error), event: 'queue.cursor' },
      'a cursor cannot be written or a segment not deleted: progress stays in memory, and what is delivered from now on is delivered again after a restart'
    )
  }

  #troubleIsOver(): void {
    if (this.#troubleErrno === '') return
    this.#troubleErrno = ''
    this.#options.outputLog.info(
      { log: this.log, shard: this.shardNumber, event: 'queue.cursor' },
      'cursors are on disk again: nothing is delivered again after a restart'
    )
  }

  #word(word: number): number {
    return Number(Atomics.load(this.#words, word))
  }
}

/** A cursor as a lane writes it. */
export function laneCursor(cursor: Cursor): LaneCursor {
  return {
    get lowOffset() {
      return cursor.lowOffset
    },
    get rangeCount() {
      return cursor.ranges.length
    },
    get passCount() {
      return cursor.passCount
    },
    get passReason() {
      return cursor.passReason
    },
    has: (offset) => cursor.has(offset),
    finish(first, end, fate) {
      cursor.finish(first, end, outcomeOf(fate))
    },
    finishedWithin(first, end) {
      const finished: [number, number][] = []
      let next = first
      for (const [missingFirst, missingEnd] of cursor.missing(first, end)) {
        if (missingFirst > next) finished.push([next, missingFirst])
        next = missingEnd
      }
      if (end > next) finished.push([next, end])
      return finished
    }
  }
}

function outcomeOf(fate: Fate): Outcome {
  switch (fate.kind) {
    case 'delivered':
      return 'delivered'
    case 'duplicate':
      return 'duplicate_suppressed'
    case 'dead_lettered':
      return 'dead_lettered'
    case 'moved':
      return 'moved'
    case 'dropped':
      return `dropped:${fate.reason}`
    case 'lost':
      // Offsets that were never given to anybody are no loss.
      return fate.reason === 'unacked' ? 'void' : `lost:${fate.reason}`
  }
}
