// Step 8. Runs on: main.
// Which keys of a destination fail. A key is what a destination can refuse by itself: an index, a log stream, a file.
// A failing key first retries like everything else; when it is in the way of others it is closed: its rows leave their
// slots, one row is tried from time to time, and after `parkAfterMs` the key is parked (queue.md 9.2).
//
// Invariant: rows of one key keep their order. While a key is closed or has held rows, all its rows are held behind them.

import type { CancelTimer, Clock, Random } from '../core/clock.ts'
import type { OutputLog } from '../plugin/output.ts'
import type { RowOffsets } from './again-jobs.ts'
import { type RetryPolicy, retryDelayMs } from './retry.ts'
import type { Slots } from './slots.ts'

/** How often failing keys are looked at. */
const LOOK_MS = 1000
/** Keys that one destination remembers as failing. Beyond, further ones only retry. */
const KEYS_MAX = 10_000

/** Stands for all rows of a request that failed as a whole and holds rows of several keys. Never parked. */
export const NO_KEY = ''

/** Appends rows of one shard and key; settles when they are durable, false: they are not stored. */
export type ParkRows = (key: string, rows: readonly RowOffsets[]) => Promise<boolean>

export interface KeyFailure {
  /** The verdict says that the key itself is refused. */
  readonly isPark: boolean
  readonly reason: string
  readonly retryAfterMs: number
}

/** What lanes and flights ask about keys. */
export interface Keys {
  /** Some key is closed: rows have to be looked at one by one. */
  readonly isAnyClosed: boolean
  isClosed(key: string): boolean
  isParked(key: string): boolean
  isFailing(key: string): boolean
  /** Rows of these keys were stored, or refused for good. */
  worked(keys: Iterable<string>): void
  /** True: the rows leave their slot. */
  failed(key: string, failure: KeyFailure): boolean
  /** Held rows of a key may be tried: all, one, or none yet. A try of one has to be ended. */
  beginTry(key: string): 'all' | 'one' | null
  endTry(key: string): void
  /** Nothing is held of the key any more: what was held was given up by others. */
  forget(key: string): void
  /** A lane has so many rows of failing keys that they will soon hold up the others. */
  crowded(): void
}

interface FailingKey {
  readonly sinceMs: number
  tryCount: number
  nextTryMs: number
  isTrying: boolean
  isClosed: boolean
  isParked: boolean
  /** Nothing more is parked: the park is nearly empty and the key works. */
  isFinishing: boolean
  isParkVerdict: boolean
  reason: string
  /** Rows on their way into the park. */
  parkingCount: number
}

export interface DestinationKeysOptions {
  readonly destination: string
  readonly parkAfterMs: number
  /** Whether the park takes more. */
  readonly hasRoom: () => boolean
  readonly slots: Slots
  readonly retry: RetryPolicy
  readonly clock: Clock
  readonly random: Random
  readonly log: OutputLog
  /** Keys may be tried, were parked or opened: lanes look again. */
  readonly onChange: () => void
}

export class DestinationKeys implements Keys {
  readonly #options: DestinationKeysOptions
  readonly #failing = new Map<string, FailingKey>()
  #closedCount = 0
  #lastWorkedMs = Number.NEGATIVE_INFINITY
  #isCrowded = false
  #cancelLook: CancelTimer | null = null
  #isStopped = false

  constructor(options: DestinationKeysOptions) {
    this.#options = options
  }

  /** Keys that were parked before this start. */
  restore(keys: Iterable<string>): void {
    for (const key of keys) {
      const state = this.#create(key, { isPark: true, reason: 'parked', retryAfterMs: 0 })
      this.#close(state)
      state.isParked = true
    }
  }

  get isAnyClosed(): boolean {
    return this.#closedCount > 0
  }

  get closedCount(): number {
    return this.#closedCount
  }

  get parkedCount(): number {
    let count = 0
    for (const { isParked } of this.#failing.values()) if (isParked) count++
    return count
  }

  isClosed(key: string): boolean {
    return this.#failing.get(key)?.isClosed ?? false
  }

  isParked(key: string): boolean {
    const state = this.#failing.get(key)
    if (state === undefined) return false
    return state.isParked && !state.isFinishing
  }

  isFailing(key: string): boolean {
    return this.#failing.has(key)
  }

  worked(keys: Iterable<string>): void {
    this.#lastWorkedMs = this.#options.clock.monotonicMs()
    if (this.#failing.size === 0) return
    if (this.#failing.get(NO_KEY)?.isClosed === false) this.#failing.delete(NO_KEY)
    for (const key of keys) {
      const state = this.#failing.get(key)
      // A parked key opens when its park is empty.
      if (state !== undefined && !state.isParked) this.#open(key, state)
    }
  }

  failed(key: string, failure: KeyFailure): boolean {
    const state = this.#failing.get(key) ?? this.#create(key, failure)
    if (!this.#failing.has(key)) return false
    state.isParkVerdict ||= failure.isPark
    state.reason = failure.reason
    if (state.isTrying || !state.isClosed) this.#postpone(state, failure.retryAfterMs)
    // Of a request with many keys nobody knows whose fault it is; while nothing works, it is none of theirs.
    const mayLeave = key !== NO_KEY || this.#lastWorkedMs > state.sinceMs
    if (failure.isPark || (mayLeave && this.#isInTheWay)) this.#close(state)
    this.#schedule()
    return state.isClosed
  }

  beginTry(key: string): 'all' | 'one' | null {
    const state = this.#failing.get(key)
    if (state === undefined || !state.isClosed) return 'all'
    if (state.isParked || state.isTrying) return null
    if (this.#options.clock.monotonicMs() < state.nextTryMs) return null
    state.isTrying = true
    return 'one'
  }

  endTry(key: string): void {
    const state = this.#failing.get(key)
    if (state !== undefined) state.isTrying = false
  }

  forget(key: string): void {
    const state = this.#failing.get(key)
    if (state !== undefined && !state.isParked) this.#open(key, state)
  }

  /** The destination answers again: keys that only failed with it need not wait. */
  tryAll(): void {
    for (const state of this.#failing.values()) {
      if (!state.isParkVerdict) state.nextTryMs = this.#options.clock.monotonicMs()
    }
    if (this.#closedCount > 0) this.#options.onChange()
  }

  crowded(): void {
    this.#isCrowded = true
    this.#schedule()
  }

  /** Rows begin and end their way into the park. */
  parking(key: string, by: 1 | -1): void {
    const state = this.#failing.get(key)
    if (state !== undefined) state.parkingCount += by
  }

  /** The park of a key that works is nearly empty: what comes now waits in the queue until it is. */
  finish(key: string, isFinishing: boolean): void {
    const state = this.#failing.get(key)
    if (state !== undefined) state.isFinishing = isFinishing
  }

  /** The park of a key is empty. False: rows are on their way into it. */
  repaired(key: string): boolean {
    const state = this.#failing.get(key)
    if (state === undefined) return true
    if (state.parkingCount > 0) return false
    this.#open(key, state)
    const parkedMs = Math.round(this.#options.clock.monotonicMs() - state.sinceMs)
    this.#options.log.info(
      { destination: this.#options.destination, key, parkedMs, event: 'key.repaired' },
      'a parked key works again; everything that was set aside for it is delivered'
    )
    return true
  }

  stop(): void {
    this.#isStopped = true
    this.#cancelLook?.()
    this.#cancelLook = null
  }

  #create(key: string, failure: KeyFailure): FailingKey {
    const sinceMs = this.#options.clock.monotonicMs()
    const state: FailingKey = {
      sinceMs,
      tryCount: 0,
      nextTryMs: sinceMs,
      isTrying: false,
      isClosed: false,
      isParked: false,
      isFinishing: false,
      isParkVerdict: failure.isPark,
      reason: failure.reason,
      parkingCount: 0
    }
    if (this.#failing.size < KEYS_MAX) this.#failing.set(key, state)
    return state
  }

  #close(state: FailingKey): void {
    if (state.isClosed) return
    state.isClosed = true
    this.#closedCount++
  }

  #open(key: string, state: FailingKey): void {
    this.#failing.delete(key)
    if (!state.isClosed) return
    this.#closedCount--
    this.#options.onChange()
  }

  #postpone(state: FailingKey, retryAfterMs: number): void {
    const { clock, random, retry } = this.#options
    state.tryCount++
    state.nextTryMs =
      clock.monotonicMs() + retryDelayMs(retry, state.tryCount, random, retryAfterMs)
  }

  /** Failing keys together keep at most half of the slots. */
  get #isInTheWay(): boolean {
    const { slots } = this.#options
    return slots.stuckCount >= Math.max(1, slots.count >>> 1)
  }

  #schedule(): void {
    if (this.#isStopped || this.#cancelLook !== null) return
    if (this.#closedCount === 0) return
    this.#cancelLook = this.#options.clock.after(LOOK_MS, () => {
      this.#cancelLook = null
      this.#look()
      this.#schedule()
    })
  }

  #look(): void {
    const nowMs = this.#options.clock.monotonicMs()
    let isDue = false
    for (const [key, state] of this.#failing) {
      if (!state.isClosed || state.isParked) continue
      if (key !== NO_KEY && this.#mayPark(state, nowMs)) this.#park(key, state, nowMs)
      if (state.isParked || nowMs >= state.nextTryMs) isDue = true
    }
    this.#isCrowded = false
    if (isDue) this.#options.onChange()
  }

  /**
   * A key is parked when it failed for long, or is about to hold up others, and the destination as such works: others were
   * stored meanwhile, or it says that it refuses just this key. When every key fails that is an outage and nothing is
   * parked, unless the keys that are refused one by one keep all others from being tried.
   */
  #mayPark(state: FailingKey, nowMs: number): boolean {
    const isLong = nowMs - state.sinceMs >= this.#options.parkAfterMs
    if ((!isLong && !this.#isCrowded) || !this.#options.hasRoom()) return false
    if (this.#lastWorkedMs > state.sinceMs) return true
    return state.isParkVerdict && (this.#closedCount === 1 || this.#isCrowded)
  }

  #park(key: string, state: FailingKey, nowMs: number): void {
    state.isParked = true
    const failingMs = Math.round(nowMs - state.sinceMs)
    const { destination, log } = this.#options
    log.warn(
      { destination, key, reason: state.reason, failingMs, event: 'key.parked' },
      'a key keeps failing while others work: its records are set aside until it works again'
    )
  }
}

/** For lanes that send what is not in the queue of its route: the first failure of a key ends all of it. */
export class StrictKeys implements Keys {
  readonly #closed = new Set<string>()
  failure: KeyFailure | null = null

  get isAnyClosed(): boolean {
    return this.#closed.size > 0
  }

  isClosed(key: string): boolean {
    return this.#closed.has(key)
  }

  isParked(): boolean {
    return false
  }

  isFailing(key: string): boolean {
    return this.#closed.has(key)
  }

  worked(): void {}

  failed(key: string, failure: KeyFailure): boolean {
    this.#closed.add(key)
    this.failure ??= failure
    return true
  }

  beginTry(): null {
    return null
  }

  endTry(): void {}
  forget(): void {}

  crowded(): void {}
}

/** For lanes of a replay: everything retries where it is. */
export class OpenKeys implements Keys {
  readonly isAnyClosed = false
  isClosed(): boolean {
    return false
  }
  isParked(): boolean {
    return false
  }
  isFailing(): boolean {
    return false
  }
  worked(): void {}
  failed(): boolean {
    return false
  }
  beginTry(): 'all' {
    return 'all'
  }
  endTry(): void {}
  forget(): void {}
  crowded(): void {}
}
