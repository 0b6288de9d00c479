// Step 4. Runs on: ingest, main (dead letters).
// Appends to one shard. Writes are synchronous, from memory that already holds the bytes; syncs run beside them, one at a
// time: while one runs, what arrives is gathered, and the next sync covers all of it (natural group commit, no timer).
//
// Invariants
// - Under `sync` nothing is visible or acked before a datasync of its file and a sync of its directory entry returned.
// - A file whose sync failed is never synced again and believed: it is cut at its last durable byte (`prev_valid_end` of
//   the next segment) and a new epoch begins. Under `sync` what was not durable was kept and is written again there.
// - At most one segment before the active one has bytes that are not durable; a footer says that none are.
// - (epoch, offset) never names two records; append times never decrease.

import type { CancelTimer } from '../../core/clock.ts'
import { invariant } from '../../core/invariant.ts'
import type { ShardState } from '../../threads/shared.ts'
import { FRAME_HEADER, SEGMENT_HEADER } from '../format/layout.ts'
import type {
  AppendGroup,
  MessageHolder,
  ShardAppender,
  ShardWriterOptions,
  Waiter
} from './append.ts'
import { groupBytesOf } from './frame-size.ts'
import { FrameWriter, type LogEnd, type WriteFailure } from './frame-writer.ts'
import { MessageHold } from './message-hold.ts'
import type { ShardFiles } from './shard-files.ts'
import { type Round, syncSegments } from './sync-round.ts'
import { deletedError, stateAfter } from './write-trouble.ts'

/** Runs above are written from where they lie; smaller ones are gathered. */
const DIRECT_BYTES_MIN = 65_536
/** A gathered frame is written at this size, commit or not. */
const FRAME_BYTES_TARGET = 262_144
/** Without anybody waiting, a commit is put off until there is this much, */
const LAZY_BYTES_MAX = 524_288
/** or until this time has passed. */
const LAZY_DELAY_MS = 5
/** `interval`: a sync starts at this much, whatever the time. */
const INTERVAL_BYTES_MAX = 8 * 1024 * 1024
const SYNC_INTERVAL_MS_DEFAULT = 200
const SEGMENT_AGE_MS_MAX = 3_600_000
const PROBE_FULL_MS = 1000
const PROBE_FAILED_MS = 5000
/** Free space at which a full shard without a frame in hand takes appends again. */
const ROOM_BYTES_MIN = 1024 * 1024

export class ShardWriter implements ShardAppender {
  readonly #options: ShardWriterOptions
  readonly #frames: FrameWriter
  readonly #files: ShardFiles
  readonly #hold: MessageHold
  #state: ShardState = 'ok'
  #durable: LogEnd
  #visible: LogEnd
  /** In the order of the appends; the first `#writtenWaiterCount` wait for bytes that are in files. */
  #waiters: Waiter[] = []
  #writtenWaiterCount = 0
  #round: Round | null = null
  /** A write failed: acted upon when the running sync has ended. */
  #deferredFailure: WriteFailure | null = null
  /** A sync succeeded since the log was last cut: the disk deserves another segment at once. */
  #isDiskTrusted = true
  #isProbing = false
  #isEpochDurable = false
  /** The segment that was ended before it was full: no part of a message was open then. */
  #sealedOrdinal = -1
  #cancelLazy: CancelTimer | null = null
  #cancelInterval: CancelTimer | null = null
  #cancelProbe: CancelTimer | null = null
  #closing: PromiseWithResolvers<void> | null = null

  constructor(options: ShardWriterOptions) {
    invariant(options.slab.length >= LAZY_BYTES_MAX, 'slab of a shard writer below 512 KiB')
    this.#options = options
    this.#frames = new FrameWriter(options)
    this.#files = this.#frames.files
    this.#hold = new MessageHold({
      frames: this.#frames,
      onFailure: (failure) => this.#fail(failure),
      onReleased: () => options.observer.onReleased?.()
    })
    this.#durable = this.#frames.whole
    this.#visible = this.#frames.whole
  }

  get #segmentMsMax(): number {
    return this.#options.segmentMsMax ?? SEGMENT_AGE_MS_MAX
  }

  get state(): ShardState {
    return this.#state
  }

  get nextOffset(): number {
    const { slab, unwrittenRecords, writtenOffset } = this.#frames
    return writtenOffset + unwrittenRecords + slab.facts.recordCount
  }

  get unsyncedBytes(): number {
    const { durability } = this.#options
    const isSynced = durability === 'sync' || durability === 'interval'
    const { slab, whole } = this.#frames
    // What waits for a failed disk is not counted: it grows no more, and other shards of the thread go on. Nor is a long
    // message: nothing of it is kept in memory.
    const endBytes = this.#hold.start?.bytes ?? whole.bytes
    return slab.payloadBytes + (isSynced ? Math.max(0, endBytes - this.#durable.bytes) : 0)
  }

  get isHeld(): boolean {
    return this.#hold.isHeld
  }

  /** Age of the running sync, milliseconds; 0 without one. */
  get syncAgeMs(): number {
    if (this.#round === null) return 0
    return this.#options.clock.monotonicMs() - this.#round.startedMs
  }

  append(group: AppendGroup, waiter: Waiter | null): boolean {
    if (this.#state !== 'ok' || this.#closing !== null || this.isHeld) return false
    const groupBytes = groupBytesOf(group)
    const { slab } = this.#frames
    const isCut = group.continues === true || this.#frames.isInCutMessage
    if (groupBytes > DIRECT_BYTES_MIN || isCut) {
      if (!this.#flush() || !this.#isWritten(this.#frames.writeGroup(group))) return false
      if (waiter !== null) this.#waiters.push(waiter)
      this.#writtenWaiterCount = this.#waiters.length
    } else {
      if (!slab.hasRoom(group) && !this.#flush()) return false
      slab.add(group)
      if (waiter !== null) this.#waiters.push(waiter)
      if (slab.payloadBytes >= FRAME_BYTES_TARGET) this.#flush()
    }
    return true
  }

  hold(holder: MessageHolder): boolean {
    if (this.#state !== 'ok' || this.#closing !== null || this.isHeld) return false
    if (this.#frames.isInCutMessage || !this.#flush()) return false
    this.#hold.take(holder)
    return true
  }

  appendPart(group: AppendGroup): boolean {
    if (!this.#hold.isOpen) return false
    groupBytesOf(group)
    const isTaking = this.#state === 'ok' && this.#closing === null
    if (!isTaking || !this.#isWritten(this.#frames.writeGroup(group, true))) {
      this.#hold.lose(this.#deferredFailure !== null)
      return false
    }
    if (group.continues === true) return true
    this.#hold.finish()
    this.#commitNow()
    return true
  }

  letGo(): void {
    this.#hold.letGo()
  }

  commit(): void {
    if (this.#state !== 'ok' || this.#closing !== null) return
    const pendingBytes = this.#pendingBytes()
    if (pendingBytes === 0) return
    if (this.#waiters.length > 0 || pendingBytes >= LAZY_BYTES_MAX) {
      this.#commitNow()
    } else {
      this.#cancelLazy ??= this.#options.clock.after(LAZY_DELAY_MS, () => {
        this.#cancelLazy = null
        if (this.#state === 'ok' && this.#closing === null) this.#commitNow()
      })
    }
  }

  tick(): number {
    const { clock, storage } = this.#options
    const active = this.#files.active
    if (active !== null && this.#state === 'ok') {
      const isDeleted = storage.fstat(active.file).linkCount === 0
      const trouble = isDeleted ? deletedError(active) : this.#files.trouble()
      if (trouble !== null) this.#fail({ error: trouble, isFileBroken: true })
      else if (clock.monotonicMs() - active.openedMs >= this.#segmentMsMax) this.seal()
    }
    const frames = this.#frames
    if (this.#visible.offset < frames.writtenOffset) return this.#visible.timeMs
    frames.appendTimeMsMin = Math.max(frames.appendTimeMsMin, clock.nowMs())
    return frames.appendTimeMsMin
  }

  probe(): void {
    this.#cancelProbe?.()
    this.#cancelProbe = null
    const isWaiting = this.#isProbing || this.#deferredFailure !== null
    if (this.#state === 'ok' || isWaiting || this.#closing !== null) return
    if (this.#files.active === null) this.#probeFresh()
    else this.#probeActive()
  }

  seal(): boolean {
    const { active, sealed } = this.#files
    const isIdle = this.#frames.slab.isEmpty && sealed.length === 0 && this.#round === null
    if (active === null || active.frameCount === 0) return false
    if (!isIdle || this.#frames.isInCutMessage || this.#state !== 'ok') return false
    this.#sealedOrdinal = active.ordinal
    this.#files.seal()
    this.#startRound()
    return true
  }

  close(): Promise<void> {
    if (this.#closing === null) {
      this.#closing = Promise.withResolvers<void>()
      this.#cancelLazy?.()
      this.#cancelInterval?.()
      this.#cancelProbe?.()
      if (this.#hold.isOpen) this.#hold.lose(this.#deferredFailure !== null)
      if (this.#round === null && !this.#isProbing) this.#continueClosing()
    }
    return this.#closing.promise
  }

  // Committing

  #pendingBytes(): number {
    const done = this.#options.durability === 'sync' ? this.#durable : this.#visible
    return this.#frames.slab.payloadBytes + this.#frames.whole.bytes - done.bytes
  }

  #flush(): boolean {
    if (!this.#isWritten(this.#frames.flush())) return false
    this.#writtenWaiterCount = this.#waiters.length
    return true
  }

  #isWritten(failure: WriteFailure | null): boolean {
    if (failure !== null) this.#fail(failure)
    return failure === null
  }

  #commitNow(): void {
    const { durability } = this.#options
    if (durability === 'sync') {
      if (this.#round === null) this.#startRound()
      return
    }
    this.#settleWritten()
    if (this.#round !== null || this.#closing !== null || this.#state !== 'ok') return
    if (durability === 'interval') this.#syncByInterval()
    else if (this.#files.sealed.length > 0) this.#startRound()
  }

  /**
   * Policies other than `sync`: what is written is acked, and visible once a file of the epoch has a durable name. A power
   * cut would else let the next start take the same epoch, and an id that was delivered would name another record.
   */
  #settleWritten(): void {
    this.#flush()
    if (this.#isEpochDurable || this.#options.durability === 'memory') {
      this.#publish(this.#frames.whole)
    } else if (this.#round === null) {
      this.#startRound()
    }
    for (const waiter of this.#takeWrittenWaiters()) waiter.onDurable()
    this.#hold.settle(this.#frames.whole.frames)
  }

  #syncByInterval(): void {
    const unsyncedBytes = this.#frames.whole.bytes - this.#durable.bytes
    if (unsyncedBytes === 0) return
    if (unsyncedBytes >= INTERVAL_BYTES_MAX || this.#files.sealed.length > 0) {
      this.#startRound()
      return
    }
    const delayMs = this.#options.syncIntervalMs ?? SYNC_INTERVAL_MS_DEFAULT
    this.#cancelInterval ??= this.#options.clock.after(delayMs, () => {
      this.#cancelInterval = null
      const isIdle = this.#round === null && this.#closing === null
      if (isIdle && this.#state === 'ok') this.#startRound()
    })
  }

  #takeWrittenWaiters(): Waiter[] {
    const taken = this.#waiters.splice(0, this.#writtenWaiterCount)
    this.#writtenWaiterCount = 0
    return taken
  }

  /** Syncs everything that is written. False: there was nothing. */
  #startRound(): boolean {
    invariant(!this.#isProbing, 'sync while a fresh segment is made')
    this.#flush()
    const { active, sealed } = this.#files
    const end = this.#frames.whole
    const targets = [...sealed]
    if (active !== null && end.segment === active && active.durableByte < end.byte) {
      targets.push(active)
    }
    if (targets.length === 0) return false
    const round = {
      targets,
      sealed: [...sealed],
      end,
      waiters: this.#takeWrittenWaiters(),
      startedMs: this.#options.clock.monotonicMs()
    }
    this.#round = round
    syncSegments(this.#options, targets).then(
      () => this.#roundDone(round),
      (error: unknown) => this.#roundFailed(round, error)
    )
    return true
  }

  #roundDone(round: Round): void {
    this.#endRound(round, null)
    for (const segment of round.targets) {
      segment.durableByte = segment === round.end.segment ? round.end.byte : segment.endByte
      segment.isNameDurable = true
    }
    this.#isEpochDurable = true
    this.#isDiskTrusted = true
    this.#durable = round.end
    this.#frames.settleDurable(round.end)
    for (const segment of round.sealed) this.#files.finish(segment)
    this.#publish(this.#options.durability === 'sync' ? round.end : this.#frames.whole)
    const closed = round.sealed.find(({ ordinal }) => ordinal === this.#sealedOrdinal)
    if (closed !== undefined) this.#options.observer.onClosed?.(closed.ordinal)
    for (const waiter of round.waiters) waiter.onDurable()
    this.#hold.settle(round.end.frames)
    const failure = this.#deferredFailure
    if (failure !== null) this.#cut(failure.error, [])
    else this.#goOn()
  }

  #roundFailed(round: Round, error: unknown): void {
    this.#endRound(round, error)
    this.#cut(error, round.waiters)
  }

  #endRound(round: Round, error: unknown): void {
    const durationMs = this.#options.clock.monotonicMs() - round.startedMs
    this.#options.observer.onSync?.(durationMs, round.end.bytes - this.#durable.bytes, error)
    this.#round = null
  }

  /** After a sync: the next one at once when somebody waits. */
  #goOn(): void {
    if (this.#round !== null) return
    if (this.#closing !== null) this.#continueClosing()
    else this.commit()
  }

  #publish(end: LogEnd): void {
    const { observer } = this.#options
    if (end.segment === null || end.offset <= this.#visible.offset) return
    this.#visible = end
    const { opened } = this.#frames
    while (opened[0] !== undefined && opened[0].ordinal <= end.segment.ordinal) {
      const { ordinal, path, epoch, firstOffset, prevValidEndByte } = opened[0]
      opened.shift()
      observer.onSegment({ ordinal, path, epoch, firstOffset, prevValidEndByte })
    }
    observer.onVisible({
      segmentOrdinal: end.segment.ordinal,
      endByte: end.byte,
      nextOffset: end.offset,
      appendTimeMs: end.timeMs,
      appendedBytes: this.#files.fileBytes
    })
  }

  // Trouble

  #enter(state: ShardState, error: unknown): void {
    this.#cancelProbe?.()
    this.#cancelProbe = null
    if (state !== 'ok' && this.#closing === null) {
      const delayMs = state === 'full' ? PROBE_FULL_MS : PROBE_FAILED_MS
      this.#cancelProbe = this.#options.clock.after(delayMs, () => this.probe())
    }
    if (this.#state === state) return
    this.#state = state
    this.#options.observer.onState(state, error)
  }

  #fail(failure: WriteFailure): void {
    this.#enter(stateAfter(failure.error), failure.error)
    if (!failure.isFileBroken) return
    this.#deferredFailure = failure
    // Not from within `append`: waiters are told about it. A running sync ends first and acts on it then.
    queueMicrotask(() => {
      if (this.#round === null && this.#deferredFailure === failure) this.#cut(failure.error, [])
    })
  }

  /**
   * Cuts the log at its last durable byte. Under `sync` what lies behind was neither acked nor seen: it is written again
   * to the next segment, under the offsets that it had and a new epoch. Under the others it was both: its offsets are
   * passed over, and readers count what they cannot read. What is still in the slab goes to the next segment.
   */
  #cut(error: unknown, roundWaiters: readonly Waiter[]): void {
    const { durability, observer } = this.#options
    const isSync = durability === 'sync'
    if (isSync || this.#hold.isOpen) this.#hold.lose(true)
    else this.#hold.settle(this.#frames.whole.frames)
    const { whole } = this.#frames
    const durable = this.#durable
    if (!isSync && this.#isEpochDurable) this.#publish(whole)
    const settled = isSync ? [] : [...roundWaiters, ...this.#takeWrittenWaiters()]
    const newest = this.#files.active ?? this.#files.sealed.at(-1) ?? durable.segment
    const last = isSync ? durable.segment : newest
    const byte = isSync
      ? durable.byte
      : Math.max(SEGMENT_HEADER.byteCount, newest?.durableByte ?? 0)
    this.#deferredFailure = null
    this.#files.cut(last, byte)
    this.#durable = isSync ? { ...durable, bytes: whole.bytes } : { ...whole, segment: last, byte }
    this.#frames.resume(this.#durable)
    if (isSync) {
      this.#frames.opened.length = 0
      this.#waiters = [...roundWaiters, ...this.#waiters]
      this.#writtenWaiterCount = 0
    }
    if (newest !== null) observer.onPoisoned?.(newest.path, byte, error)
    this.#enter(stateAfter(error), error)
    for (const waiter of settled) waiter.onDurable()
    const isTrusted = this.#isDiskTrusted
    this.#isDiskTrusted = false
    if (this.#closing !== null) this.#endClosing()
    // A disk that takes a new file and refuses its contents would be given one after the other: then the timer decides.
    else if (isTrusted) this.probe()
  }

  #probeFresh(): void {
    this.#isProbing = true
    this.#frames.openFresh().then(
      () => {
        this.#isProbing = false
        this.#isEpochDurable = true
        if (!this.#flush()) {
          if (this.#closing !== null && this.#deferredFailure === null) this.#continueClosing()
          return
        }
        this.#enter('ok', null)
        this.#goOn()
      },
      (error: unknown) => {
        this.#isProbing = false
        this.#enter(stateAfter(error), error)
        if (this.#closing !== null) this.#continueClosing()
      }
    )
  }

  /** The file is sound and lacked room, or the next one could not be made. */
  #probeActive(): void {
    if (this.#frames.slab.isEmpty && this.#frames.unwrittenBytes === 0) {
      if (!this.#isWritten(this.#frames.ensureSegment(FRAME_HEADER.byteCount))) return
      if (this.#state === 'full' && !this.#hasRoom()) {
        this.#enter('full', null)
        return
      }
    } else if (!this.#flush()) {
      return
    }
    this.#enter('ok', null)
    this.#goOn()
  }

  #hasRoom(): boolean {
    try {
      const volume = this.#options.storage.statfs(this.#options.shard.directory)
      return volume.freeBytes >= ROOM_BYTES_MIN && volume.freeInodes > 0
    } catch {
      return false
    }
  }

  #continueClosing(): void {
    if (this.#options.durability !== 'sync') this.#settleWritten()
    if (this.#round !== null) return
    if (this.#startRound() || this.#deferredFailure !== null) return
    this.#endClosing()
  }

  #endClosing(): void {
    this.#finishClosing().then(this.#closing?.resolve, this.#closing?.reject)
  }

  async #finishClosing(): Promise<void> {
    await this.#files.closeActive()
    const { slab, unwrittenBytes, unwrittenRecords } = this.#frames
    const recordCount = slab.facts.recordCount + unwrittenRecords
    const byteCount = slab.payloadBytes + unwrittenBytes
    if (recordCount > 0) this.#options.observer.onGivenUp?.(recordCount, byteCount, 'closed')
    this.#writtenWaiterCount = 0
    for (const waiter of this.#waiters.splice(0)) waiter.onRejected('closed')
  }
}
