// Steps 3 and 4. Runs on: ingest.
// Takes messages for the shards of their routes. Invariants: a message is checked against every matched route before any of
// its bytes are taken, so a full route keeps it whole; should a disk fail in between, the routes that have it are
// remembered and not given it again. One commit pass per turn of the event loop.
// A route whose lanes are chosen by a field gets the message in parts, one per lane; each of them is a target of its own.
// Limits: UNSYNCED_BYTES_MAX written and not synced per thread, then messages stay with their connections.

import type { Clock } from '../core/clock.ts'
import { UNSYNCED_BYTES_MAX } from '../core/limits.ts'
import type {
  Appender,
  AppendOutcome,
  AppendSource,
  DurableListener,
  LongAppend,
  LongLetter,
  LongMessage,
  RefusedBytes,
  Run
} from '../plugin/input.ts'
import { encodeInputLetter, longInputLetter } from './input-letter.ts'
import {
  isWhole,
  type LaneGroup,
  type LaneShare,
  logOf,
  type Splitter,
  sharesOf
} from './lane-group.ts'
import { LongMessages } from './long-messages.ts'
import type { RoomWaiters } from './pressure.ts'
import { RouteCommits } from './route-commits.ts'
import type { RouteTarget } from './route-target.ts'
import type { Router } from './router.ts'

export interface AppenderOptions {
  readonly clock: Clock
  readonly router: Router<RouteTarget | LaneGroup>
  /** For routes whose lanes are chosen by a field. */
  readonly splitter: Splitter
  readonly deadLetters: (inputId: string) => RouteTarget
  readonly room: RoomWaiters
  /** Records of senders that keep them were refused. */
  readonly onRefused: (recordCount: number) => void
  /** Runs a function in a later phase of this turn of the event loop. */
  readonly schedule?: (commit: () => void) => void
}

/** What is kept per connection. */
interface SourceState {
  readonly bytes: Buffer
  /** Routes that have the message that the connection keeps, and its count of commits. */
  taken: { readonly targets: Set<RouteTarget>; readonly count: RouteCommits } | null
}

export class QueueAppender implements Appender {
  readonly #options: AppenderOptions
  readonly #schedule: (commit: () => void) => void
  readonly #sources = new WeakMap<AppendSource, SourceState>()
  readonly #commit = () => this.#commitDirty()
  #dirty: RouteTarget[] = []
  /** Every target that ever took something; the sum of their unsynced bytes is bounded. */
  readonly #targets = new Set<RouteTarget>()
  /** Unsynced bytes at the last commit, plus what was taken since. */
  #unsyncedBytes = 0
  #isScheduled = false
  readonly #long: LongMessages

  constructor(options: AppenderOptions) {
    this.#options = options
    this.#schedule = options.schedule ?? setImmediate
    this.#long = new LongMessages({
      splitter: options.splitter,
      room: options.room,
      schedule: this.#schedule,
      nowMs: () => options.clock.monotonicMs(),
      sourceBytes: (source) => this.#stateOf(source).bytes,
      onDropped: (target, message) =>
        this.#countDropped(target, message.recordCount, message.ingestId !== null)
    })
  }

  append(
    source: AppendSource,
    runs: readonly Run[],
    listener: DurableListener | null,
    storedIn: readonly string[] = NO_LOGS
  ): AppendOutcome {
    const first = runs[0]
    if (first === undefined) {
      settleLater(listener, true)
      return 'taken'
    }
    const taking = this.#options.router.lookup(source.inputId, first.tag)
    const routes = storedIn.length === 0 ? taking : without(taking, storedIn)
    return isWhole(routes)
      ? this.#appendTo(routes, source, runs, null, listener)
      : this.#appendByLane(routes, source, runs, listener)
  }

  appendWithLetter(
    source: AppendSource,
    runs: readonly Run[],
    letter: RefusedBytes,
    listener: DurableListener | null
  ): AppendOutcome {
    const first = runs[0]
    if (first === undefined) return this.refuse(source, letter, listener)
    const { clock, deadLetters, router } = this.#options
    const target = deadLetters(source.inputId)
    const share = { target, runs: encodeInputLetter(source, letter, clock.nowMs()) }
    return this.#appendByLane(router.lookup(source.inputId, first.tag), source, runs, listener, [
      share
    ])
  }

  refuse(
    source: AppendSource,
    letter: RefusedBytes,
    listener: DurableListener | null
  ): AppendOutcome {
    const target = this.#options.deadLetters(source.inputId)
    const runs = encodeInputLetter(source, letter, this.#options.clock.nowMs())
    return this.#appendTo([target], source, runs, null, listener)
  }

  appendLong(
    source: AppendSource,
    message: LongMessage,
    listener: DurableListener,
    storedIn: readonly string[] = NO_LOGS
  ): LongAppend {
    const taking = this.#options.router.lookup(source.inputId, message.tag)
    return this.#long.add(source, without(taking, storedIn), message, listener)
  }

  refuseLong(source: AppendSource, letter: LongLetter, listener: DurableListener): LongAppend {
    const target = this.#options.deadLetters(source.inputId)
    const message = longInputLetter(source, letter, this.#options.clock.nowMs())
    return this.#long.add(source, [target], message, listener)
  }

  onRoom(callback: () => void): void {
    this.#options.room.add(callback)
  }

  /** Writes what was appended, before the event loop would; for a stop. */
  commit(): void {
    this.#commitDirty()
  }

  /** `others`: what goes to further shards with the message. */
  #appendByLane(
    routes: readonly (RouteTarget | LaneGroup)[],
    source: AppendSource,
    runs: readonly Run[],
    listener: DurableListener | null,
    others: readonly LaneShare[] = []
  ): AppendOutcome {
    const { splitter } = this.#options
    try {
      const ofRoutes = sharesOf(routes, runs, splitter)
      if (ofRoutes === null) return 'full'
      // Its sender is told to come again: what goes with it comes again too.
      const isRefused = ofRoutes.some(
        ({ target }) => !target.isDroppedAcked && target.room.verdict === 'drop'
      )
      const shares = isRefused ? ofRoutes : [...ofRoutes, ...others]
      const targets = shares.map(({ target }) => target)
      const parts = shares.map((share) => share.runs)
      return this.#appendTo(targets, source, runs, parts, listener)
    } finally {
      splitter.release()
    }
  }

  /** `parts`: what each target gets; null: all of them the runs. */
  #appendTo(
    targets: readonly RouteTarget[],
    source: AppendSource,
    runs: readonly Run[],
    parts: readonly (readonly Run[])[] | null,
    listener: DurableListener | null
  ): AppendOutcome {
    if (this.#unsyncedBytes > UNSYNCED_BYTES_MAX && this.#readUnsynced() > UNSYNCED_BYTES_MAX) {
      return 'full'
    }
    const state = this.#stateOf(source)
    const rooms: ('take' | 'drop')[] = []
    for (const target of targets) {
      const room = state.taken?.targets.has(target) ? 'take' : target.room.verdict
      if (room === 'full') {
        target.room.blocked(this.#options.clock.monotonicMs())
        return 'full'
      }
      rooms.push(room)
    }
    const count = targets.length === 1 ? null : this.#countFor(state, targets, listener)
    let isAppended = false
    for (const [i, target] of targets.entries()) {
      if (state.taken?.targets.has(target)) continue
      const mine = parts?.[i] ?? runs
      const waiter = count === null ? listener : count.waiterOf(target.log)
      if (rooms[i] === 'drop') {
        this.#drop(target, mine, waiter)
      } else if (this.#appendRuns(target, state, mine, waiter)) {
        isAppended = true
      } else {
        return 'full'
      }
      state.taken?.targets.add(target)
    }
    state.taken = null
    if (isAppended) this.#scheduleCommit()
    return 'taken'
  }

  /** `drop_newest`: what its sender keeps, because it waits for an ack in vain, is refused and not dropped. */
  #drop(target: RouteTarget, runs: readonly Run[], waiter: DurableListener | null): void {
    const recordCount = runs.reduce((sum, run) => sum + run.recordCount, 0)
    this.#countDropped(target, recordCount, waiter !== null)
    settleLater(waiter, target.isDroppedAcked)
  }

  #countDropped(target: RouteTarget, recordCount: number, isAwaited: boolean): void {
    const isKept = isAwaited && !target.isDroppedAcked
    if (isKept) this.#options.onRefused(recordCount)
    else target.control.addDroppedNewest(recordCount)
  }

  /** One count over all targets of the message, kept while some of them have it and others not. */
  #countFor(
    state: SourceState,
    targets: readonly RouteTarget[],
    listener: DurableListener | null
  ): RouteCommits {
    state.taken ??= {
      targets: new Set(),
      count: new RouteCommits(
        listener,
        targets.map(({ log }) => log)
      )
    }
    return state.taken.count
  }

  /** False: the shard took nothing of the message. */
  #appendRuns(
    target: RouteTarget,
    state: SourceState,
    runs: readonly Run[],
    waiter: DurableListener | null
  ): boolean {
    const last = runs.length - 1
    for (let i = 0; i <= last; i++) {
      const run = runs[i]
      if (run === undefined) break
      const isTaken = target.writer.append(
        {
          tag: run.tag,
          ingestId: run.ingestId,
          source: state.bytes,
          form: run.form,
          entries: run.entries,
          recordCount: run.recordCount,
          minTimeSeconds: run.minTimeSeconds,
          maxTimeSeconds: run.maxTimeSeconds,
          hasIngestIds: run.hasIngestIds,
          continues: i < last
        },
        i === last ? waiter : null
      )
      if (!isTaken) return false
      this.#unsyncedBytes += run.entries.length
      target.room.took(run.entries.length)
    }
    if (target.room.isBlocked) target.room.lookAgain(this.#options.clock.monotonicMs())
    if (!target.isDirty) {
      target.isDirty = true
      this.#dirty.push(target)
      this.#targets.add(target)
    }
    return true
  }

  #stateOf(source: AppendSource): SourceState {
    let state = this.#sources.get(source)
    if (state === undefined) {
      state = { bytes: Buffer.from(`${source.inputId}\0${source.peer}`), taken: null }
      this.#sources.set(source, state)
    }
    return state
  }

  #scheduleCommit(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.#schedule(this.#commit)
  }

  #commitDirty(): void {
    this.#isScheduled = false
    const dirty = this.#dirty
    this.#dirty = []
    for (const target of dirty) {
      target.isDirty = false
      target.writer.commit()
      target.room.exchange()
    }
    this.#readUnsynced()
  }

  #readUnsynced(): number {
    let byteCount = 0
    for (const target of this.#targets) byteCount += target.writer.unsyncedBytes
    this.#unsyncedBytes = byteCount
    return byteCount
  }
}

const NO_LOGS: readonly string[] = []

/** Routes that do not have a message yet. */
function without(
  routes: readonly (RouteTarget | LaneGroup)[],
  storedIn: readonly string[]
): readonly (RouteTarget | LaneGroup)[] {
  return routes.filter((route) => !storedIn.includes(logOf(route)))
}

/** Nothing to store: the listener is told as if a commit had ended, never within the call. */
function settleLater(listener: DurableListener | null, isStored: boolean): void {
  if (listener === null) return
  queueMicrotask(() => {
    if (isStored) listener.onDurable()
    else listener.onRejected('overflow')
  })
}
