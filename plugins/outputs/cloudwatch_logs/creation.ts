// Step 8. Runs on: main.
// Groups and streams that are missing, made once however many flushes want them. The service allows few such calls a
// second, so they queue; other streams go on.

import type { Clock } from '../../../src/core/clock.ts'
import type { Failure } from './failures.ts'
import type { StreamName } from './options.ts'

/** Calls of the control plane; each rejects with what the SDK throws. */
export interface ControlPlane {
  createStream(name: StreamName, signal: AbortSignal): Promise<void>
  createGroup(group: string, signal: AbortSignal): Promise<void>
  setRetention(group: string, signal: AbortSignal): Promise<void>
  failureOf(error: unknown): Failure
}

export interface CreationRules {
  readonly canCreateGroup: boolean
  readonly canCreateStream: boolean
}

/** Below the quotas of 50 and 5 calls a second. */
const STREAMS_PER_SECOND = 40
const GROUPS_PER_SECOND = 4
/** A name that was just made may stay unknown to other servers of the service for a while. */
const VISIBLE_AFTER_MS = 30_000
/** Names whose creation is remembered. */
const RECENT_MAX = 10_000

export type CreationOutcome =
  | { readonly kind: 'ready' }
  /** Made before, not visible everywhere yet. */
  | { readonly kind: 'settling' }
  | { readonly kind: 'missing'; readonly what: 'group' | 'stream' }
  | { readonly kind: 'failed'; readonly failure: Failure }

export class Creation {
  readonly #control: ControlPlane
  readonly #rules: CreationRules
  readonly #clock: Clock
  readonly #onRetentionFailed: (group: string) => void
  readonly #running = new Map<string, Promise<CreationOutcome>>()
  /** Name -> when it was made. */
  readonly #recent = new Map<string, number>()
  readonly #streamCalls: Pace
  readonly #groupCalls: Pace

  constructor(
    control: ControlPlane,
    rules: CreationRules,
    clock: Clock,
    onRetentionFailed: (group: string) => void
  ) {
    this.#control = control
    this.#rules = rules
    this.#clock = clock
    this.#onRetentionFailed = onRetentionFailed
    this.#streamCalls = new Pace(STREAMS_PER_SECOND, clock)
    this.#groupCalls = new Pace(GROUPS_PER_SECOND, clock)
  }

  /** Called when the service said that the group or the stream of a batch is missing. */
  async provide(
    name: StreamName,
    missing: 'group' | 'stream',
    signal: AbortSignal
  ): Promise<CreationOutcome> {
    if (!this.#rules.canCreateStream) return { kind: 'missing', what: missing }
    const key = `${name.group}\u0000${name.stream}`
    const madeMs = this.#recent.get(key)
    if (madeMs !== undefined && this.#clock.monotonicMs() - madeMs < VISIBLE_AFTER_MS) {
      return { kind: 'settling' }
    }
    return await this.#once(key, () => this.#makeStream(name, key, signal))
  }

  async #makeStream(name: StreamName, key: string, signal: AbortSignal): Promise<CreationOutcome> {
    for (let isGroupMade = false; ; isGroupMade = true) {
      const failure = await this.#call(this.#streamCalls, signal, () =>
        this.#control.createStream(name, signal)
      )
      if (failure === null || failure.kind === 'exists') {
        this.#remember(key)
        return { kind: 'ready' }
      }
      if (failure.kind !== 'group_missing') return { kind: 'failed', failure }
      if (isGroupMade) return { kind: 'settling' }
      if (!this.#rules.canCreateGroup) return { kind: 'missing', what: 'group' }
      const outcome = await this.#once(name.group, () => this.#makeGroup(name.group, signal))
      if (outcome.kind !== 'ready') return outcome
    }
  }

  async #makeGroup(group: string, signal: AbortSignal): Promise<CreationOutcome> {
    const failure = await this.#call(this.#groupCalls, signal, () =>
      this.#control.createGroup(group, signal)
    )
    if (failure !== null && failure.kind !== 'exists') return { kind: 'failed', failure }
    if (failure === null) {
      const fault = await this.#call(this.#groupCalls, signal, () =>
        this.#control.setRetention(group, signal)
      )
      // Retention is no reason to hold records back.
      if (fault !== null) this.#onRetentionFailed(group)
    }
    return { kind: 'ready' }
  }

  async #call(pace: Pace, signal: AbortSignal, call: () => Promise<void>): Promise<Failure | null> {
    try {
      await pace.turn(signal)
      await call()
      return null
    } catch (error) {
      return signal.aborted ? { kind: 'timeout' } : this.#control.failureOf(error)
    }
  }

  /** Everybody who asks while it runs gets the same answer. */
  async #once(key: string, make: () => Promise<CreationOutcome>): Promise<CreationOutcome> {
    const running = this.#running.get(key)
    if (running !== undefined) return await running
    const made = make()
    this.#running.set(key, made)
    try {
      return await made
    } finally {
      this.#running.delete(key)
    }
  }

  #remember(key: string): void {
    this.#recent.delete(key)
    this.#recent.set(key, this.#clock.monotonicMs())
    const [oldest] = this.#recent.keys()
    if (this.#recent.size > RECENT_MAX && oldest !== undefined) this.#recent.delete(oldest)
  }
}

/** Hands out turns at an even pace. */
class Pace {
  readonly #intervalMs: number
  readonly #clock: Clock
  #nextMs = 0

  constructor(perSecond: number, clock: Clock) {
    this.#intervalMs = 1000 / perSecond
    this.#clock = clock
  }

  async turn(signal: AbortSignal): Promise<void> {
    const nowMs = this.#clock.monotonicMs()
    const turnMs = Math.max(nowMs, this.#nextMs)
    this.#nextMs = turnMs + this.#intervalMs
    if (turnMs > nowMs) await this.#clock.sleep(turnMs - nowMs, signal)
  }
}
