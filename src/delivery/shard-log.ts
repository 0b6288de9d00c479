// Steps 6 and 9. Runs on: main.
// Main's side of one shard: what of it may be read, the cursors of its destinations, and the deletion of what every one of
// them has durably finished. Order of a deletion: cursors synced, then the file unlinked, then room announced.

import type { Clock } from '../core/clock.ts'
import { errnoOf } from '../core/errors.ts'
import { Histogram } from '../metrics/histogram.ts'
import type { OutputLog } from '../plugin/output.ts'
import type { CursorAccount } from '../storage/cursor/account.ts'
import type { Cursor } from '../storage/cursor/cursor.ts'
import { ShardReader } from '../storage/reader/shard-reader.ts'
import type { ShardSegments } from '../storage/reader/shard-segments.ts'
import { DamageLog } from '../storage/recovery/damage-log.ts'
import { bytesFrom, type Holder } from '../storage/retention/retention.ts'
import { removeShard } from '../storage/retention/retired-shard.ts'
import type { VisibleEnd } from '../storage/writer/append.ts'
import type { NewSegment } from '../threads/messages.ts'
import { SHARD_STATES, type ShardState, unpackEnd, WORD } from '../threads/shared.ts'
import type { LaneSource } from './lane-source.ts'
import { type RetentionRules, type SegmentHold, ShardRetention } from './shard-retention.ts'

/** Cursors are written at most this often, milliseconds... */
const PERSIST_EVERY_MS = 1000
/** ...or after so many finished records: that many at most are sent again after a crash. */
const PERSIST_AFTER_RECORDS = 50_000

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
  /** Append time of the newest record that recovery found. */
  readonly recoveredEndMs: number
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

export class ShardLog {
  readonly log: string
  readonly shardNumber: number
  readonly route: string
  readonly label: string
  readonly logId: Uint8Array
  readonly #options: ShardLogOptions
  readonly #words: BigInt64Array
  readonly #retention: ShardRetention
  #settling: Promise<void> | null = null
  #isSettlingAgain = false
  #lastPersistMs = 0
  #cancelTimer: (() => void) | null = null
  #isClosed = false
  #isDropping = false
  /** Why cursors were not written last time; '': they were. */
  #troubleErrno = ''
  #isRemoved = false
  /** Of what `drop_newest` let go since the start: what the cursors know. */
  #countedNewest = 0
  /** Time of a write of cursors. */
  readonly persistSeconds = new Histogram()
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
    this.damage = new DamageLog(options.segments, options.directory, (note) =>
      options.outputLog.error(
        { log: options.log, shard: options.shardNumber, note, event: 'queue.damage' },
        'stored records are damaged'
      )
    )
    this.#retention = new ShardRetention({
      segments: options.segments,
      clock: options.clock,
      recoveredEndMs: options.recoveredEndMs,
      keepsIds: options.retirement?.keepsIds ?? true,
      onDeleted: (byteCount) => this.#deleted(byteCount)
    })
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

  /** Whether a message waits for room in the shard. */
  get isBlocked(): boolean {
    return this.#word(WORD.isBlocked) !== 0
  }

  /** How long messages waited for room since the start, to the second. */
  get blockedMs(): number {
    return this.#word(WORD.blockedMs)
  }

  get watermarkMs(): number {
    return this.#word(WORD.watermarkMs)
  }

  get holders(): readonly Holder[] {
    return this.#retention.holders
  }

  /** Bytes of delivered segments that are still there: they give way to new records, and do not count against them. */
  get keptBytes(): number {
    return this.#word(WORD.keptBytes)
  }

  /** Append time of the oldest stored record; null: none can be read. */
  get oldestMs(): number | null {
    return this.#retention.oldestMs
  }

  addHolder(cursor: Cursor, isRequired: boolean, lagBytesMax: number | null = null): void {
    this.#retention.holders.push({ cursor, isRequired, lagBytesMax, inFlightWithin: () => [] })
  }

  /** Who knows what of a cursor's records is on the wire: its lane. */
  setInFlight(cursor: Cursor, inFlightWithin: Holder['inFlightWithin']): void {
    const { holders } = this.#retention
    const index = holders.findIndex((holder) => holder.cursor === cursor)
    const holder = holders[index]
    if (holder !== undefined) holders[index] = { ...holder, inFlightWithin }
  }

  /** Every destination has everything, and that is durable. */
  get isFinished(): boolean {
    return this.holders.every(({ cursor }) => cursor.durableLowOffset >= this.endOffset)
  }

  /** Whether the newest segment may get more frames. */
  get isOpen(): boolean {
    const last = this.segments.all.at(-1)
    return last !== undefined && this.segments.at(last.ordinal)?.isComplete === false
  }

  /** Rules of the route; without any, segments go as soon as they are finished. */
  govern(rules: RetentionRules): void {
    this.#retention.govern(rules)
  }

  /** Bytes that wait for a destination; within a segment by share. */
  pendingBytes(cursor: Cursor): number {
    return bytesFrom(this.segments, cursor.lowOffset)
  }

  /** Append time of the oldest record that waits for a destination, to a segment; null: none waits. */
  pendingSinceMs(cursor: Cursor): number | null {
    return cursor.lowOffset < this.endOffset ? this.#retention.msOf(cursor.lowOffset) : null
  }

  /**
   * Keeps delivered segments from `fromOffset` on, so that a replay can read them. It holds nothing that has to go for
   * new records: when room is needed, `segments.oldestOffset` passes the hold.
   */
  hold(fromOffset: number): SegmentHold {
    return this.#retention.hold(fromOffset)
  }

  release(hold: SegmentHold): void {
    this.#retention.release(hold)
    this.progress()
  }

  /** Whether the volume has no room: the writer's thread takes nothing for the shard. */
  setFull(isFull: boolean): void {
    Atomics.store(this.#words, WORD.isFull, isFull ? 1n : 0n)
  }

  /** A segment of the writer; nothing in it is visible yet. */
  addSegment(segment: NewSegment): void {
    this.#retention.noteClosed(segment.ordinal - 1, this.watermarkMs)
    this.#options.segments.add(segment)
  }

  /** Takes over how far the writer has come. What is being written just now is read at the next ring. */
  refresh(): void {
    // Read before the visible end: all of a closed segment is then below that end.
    const closedOrdinal = this.#word(WORD.closedOrdinal) - 1
    const sequence = Atomics.load(this.#words, WORD.sequence)
    const end = unpackEnd(Atomics.load(this.#words, WORD.visibleEnd))
    const nextOffset = this.#word(WORD.visibleOffset)
    const isPair = (sequence & 1n) === 0n && Atomics.load(this.#words, WORD.sequence) === sequence
    if (!isPair || end.byte === 0) return
    // The message that names the segment may still be on its way; the thread rings again within a second.
    const isAnnounced = this.#options.segments.lastOrdinal >= end.segmentOrdinal
    if (!isAnnounced) return
    this.#options.segments.setVisible(end.segmentOrdinal, end.byte, nextOffset)
    if (closedOrdinal >= 0) this.#setClosed(closedOrdinal)
  }

  #setClosed(ordinal: number): void {
    const last = this.segments.all.at(-1)
    const isNew = last?.ordinal === ordinal && this.segments.at(ordinal)?.isComplete === false
    this.#options.segments.setClosed(ordinal)
    if (isNew) this.#retention.noteClosed(ordinal, this.watermarkMs)
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

  /** Gives up oldest segments, one after the other, as long as there is too little room; not what is on the wire. */
  async dropOldestWhile(isTooMuch: () => boolean): Promise<void> {
    while (isTooMuch() && (await this.dropOldest()));
  }

  /** Gives up the oldest segment. False: there is none that may go now. */
  async dropOldest(): Promise<boolean> {
    if (this.#isDropping || this.#isClosed) return false
    this.#isDropping = true
    try {
      return await this.#retention.dropOldest()
    } catch (error) {
      this.#trouble(error)
      return false
    } finally {
      this.#isDropping = false
      this.#shareKept()
    }
  }

  /** Once a second: what is too old or too far behind is dropped. */
  limit(): void {
    if (!this.#isClosed) this.#retention.limit()
    // Segments that were held become free without anything being finished.
    this.progress()
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

  /** Up to what its writer has shown, though main may not have heard of the newest file yet. */
  account(cursor: Cursor): CursorAccount {
    this.#countNewest()
    return cursor.account(Math.max(this.endOffset, this.#word(WORD.visibleOffset)))
  }

  /** Something was finished: writes cursors and deletes segments, now or within a second. */
  progress(): void {
    if (this.#isClosed) return
    const finished = this.holders.some(
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
    for (const { cursor } of this.holders) cursor.close()
    this.#options.segments.close()
  }

  async #settle(): Promise<void> {
    do {
      this.#isSettlingAgain = false
      // A look that finds nothing to write does not put off the next write.
      if (this.holders.some(({ cursor }) => cursor.finishedSincePersist > 0)) {
        this.#lastPersistMs = this.#options.clock.monotonicMs()
      }
      await this.#persist()
      await this.#retention.deleteDelivered()
      this.#shareKept()
      this.#retire()
      this.#troubleIsOver()
    } while (this.#isSettlingAgain)
  }

  async #persist(): Promise<void> {
    this.#countNewest()
    const changed = this.holders.filter(({ cursor }) => cursor.isChanged)
    if (changed.length === 0) return
    const { clock } = this.#options
    const startedMs = clock.monotonicMs()
    await Promise.all(changed.map(({ cursor }) => cursor.persist()))
    this.persistSeconds.observe((clock.monotonicMs() - startedMs) / 1000)
  }

  /** What `drop_newest` let go belongs to every destination, and outlives the process with its cursors. */
  #countNewest(): void {
    const droppedNewest = this.#word(WORD.droppedNewest)
    const recordCount = droppedNewest - this.#countedNewest
    this.#countedNewest = droppedNewest
    for (const { cursor } of this.holders) cursor.addDroppedNewest(recordCount)
  }

  /** Removes a shard that nobody writes once nothing of it is needed; its counts are shown until the next start. */
  #retire(): void {
    const { directory, outputLog, retirement, segments } = this.#options
    if (retirement === null || this.#isRemoved || segments.all.length > 0) return
    if (!this.isFinished) return
    this.#isRemoved = true
    removeShard(segments.storage, directory, [])
    outputLog.info(
      { log: this.log, shard: this.shardNumber, route: this.route, event: 'queue.shard_removed' },
      'a shard that nobody writes any more was empty and is removed'
    )
    retirement.onRemoved()
  }

  /** The writer's thread counts only what waits for somebody. */
  #shareKept(): void {
    const keptBytes = this.#retention.keptBytes()
    const before = Number(Atomics.exchange(this.#words, WORD.keptBytes, BigInt(keptBytes)))
    if (keptBytes > before) this.#options.onRoom()
  }

  #deleted(byteCount: number): void {
    if (byteCount === 0) return
    // Kept bytes first: taken together the two never say that there is room which is not there.
    const keptBytes = Math.max(0, this.keptBytes - byteCount)
    Atomics.store(this.#words, WORD.keptBytes, BigInt(keptBytes))
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
