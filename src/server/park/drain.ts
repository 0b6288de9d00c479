// Step 10. Runs on: main.
// Tries the keys of a park, each by itself with one record at a time, and delivers what was set aside for a key that works
// again: in order, by the way of every record (steps, render, flush), with the ids that the records have.

import { join } from 'node:path'
import type { Clock, Random } from '../../core/clock.ts'
import { errorText } from '../../core/errors.ts'
import type { DeadLetter } from '../../delivery/dead-letter-record.ts'
import type { Destination } from '../../delivery/destination.ts'
import { StrictKeys } from '../../delivery/keys.ts'
import { outcomeOf } from '../../delivery/lane-cursor.ts'
import type { LaneCursor } from '../../delivery/lane-source.ts'
import { DEFAULT_RETRY, type RetryPolicy, retryDelayMs } from '../../delivery/retry.ts'
import type { Fate, WriteLetters } from '../../delivery/task-settlement.ts'
import { WakeUp } from '../../delivery/wake-up.ts'
import type { ReadMembers } from '../letters/member-reader.ts'
import type { ReplayEntry } from '../replay/segment.ts'
import { replaySource, writeSegments } from '../replay/source.ts'
import type { StoreContext } from '../store/open-shards.ts'
import type { ParkedPlace, ParkLog } from './log.ts'

/** Records and bytes that are delivered together once a key works. */
const BATCH_RECORDS = 2000
const BATCH_BYTES = 4 * 1024 * 1024
/** Keys that are tried or drained at once. */
const KEYS_AT_ONCE = 4
const LOOK_MS = 200

/** Writer of dead letters of records that are read from the park. */
export type ParkLetters = (
  origin: Pick<DeadLetter, 'shard' | 'logId'>,
  readMembers: (offsets: readonly number[]) => ReadMembers
) => WriteLetters

export interface ParkDrainOptions {
  readonly log: ParkLog
  readonly context: StoreContext
  readonly destination: Destination
  readonly letters: ParkLetters
  /** Makes what was moved durable in the cursors of the route: nothing leaves the park before. */
  readonly settleRoute: () => Promise<void>
  readonly random: Random
}

interface KeyTry {
  count: number
  dueMs: number
  isRunning: boolean
}

export class ParkDrain {
  readonly #options: ParkDrainOptions
  readonly #clock: Clock
  readonly #retry: RetryPolicy
  readonly #tries = new Map<string, KeyTry>()
  readonly #running = new Set<Promise<void>>()
  readonly #wakeUp = new WakeUp()

  constructor(options: ParkDrainOptions) {
    this.#options = options
    this.#clock = options.context.clock
    this.#retry = options.destination.output.sizes.retry ?? DEFAULT_RETRY
    options.log.onAppended(() => this.#wakeUp.ring())
  }

  /** Until the signal aborts; then what is on its way is waited for. */
  async run(signal: AbortSignal): Promise<void> {
    const { log } = this.#options
    while (!signal.aborted) {
      const { keys } = log
      if (keys.length === 0 && this.#running.size === 0) await log.retire()
      if (log.keys.length === 0) await this.#wakeUp.wait(signal)
      else await this.#clock.sleep(LOOK_MS, signal).catch(() => undefined)
      for (const key of log.keys) this.#look(key, signal)
      for (const key of this.#tries.keys()) {
        if (log.pendingOf(key) === 0) this.#tries.delete(key)
      }
    }
    await Promise.all(this.#running)
  }

  #look(key: string, signal: AbortSignal): void {
    const nowMs = this.#clock.monotonicMs()
    const known = this.#tries.get(key)
    if (known === undefined) {
      // It failed just now, or was parked before this start.
      const dueMs = nowMs + retryDelayMs(this.#retry, 1, this.#options.random)
      this.#tries.set(key, { count: 1, dueMs, isRunning: false })
      return
    }
    const isFull = this.#running.size >= KEYS_AT_ONCE
    if (known.isRunning || nowMs < known.dueMs || isFull || signal.aborted) return
    known.isRunning = true
    const running = this.#repair(key, known, signal)
      .catch((error) => this.#trouble(key, known, error))
      .finally(() => {
        known.isRunning = false
        this.#running.delete(running)
      })
    this.#running.add(running)
  }

  /** One record; when it is stored, everything. */
  async #repair(key: string, state: KeyTry, signal: AbortSignal): Promise<void> {
    const { destination, log, settleRoute } = this.#options
    await settleRoute()
    let recordCountMax = 1
    while (!signal.aborted) {
      const places = log.read(key, recordCountMax, BATCH_BYTES)
      // What comes from now on waits in the queue, or a busy key would never be done.
      const isLast = places.length === log.pendingOf(key)
      if (isLast && recordCountMax > 1) destination.keys.finish(key, true)
      const isStored = await this.#send(places, signal)
      const isEmpty = log.settle(key)
      if (!isStored) return this.#postpone(key, state)
      if (isEmpty && destination.keys.repaired(key)) return
      if (isEmpty) await this.#clock.sleep(LOOK_MS, signal).catch(() => undefined)
      recordCountMax = BATCH_RECORDS
    }
  }

  #postpone(key: string, state: KeyTry): void {
    this.#options.destination.keys.finish(key, false)
    state.count++
    const delayMs = retryDelayMs(this.#retry, state.count, this.#options.random)
    state.dueMs = this.#clock.monotonicMs() + delayMs
  }

  #trouble(key: string, state: KeyTry, error: unknown): void {
    this.#postpone(key, state)
    const { context, destination } = this.#options
    context.log.error(
      { destination: destination.key, key, error: errorText(error), event: 'park.trouble' },
      'parked records could not be sent; they stay parked and are tried again'
    )
  }

  /** False: something of it is left. */
  async #send(places: readonly ParkedPlace[], signal: AbortSignal): Promise<boolean> {
    const byShard = Map.groupBy(places, ({ entry }) => entry.shard)
    for (const ofShard of byShard.values()) {
      if (signal.aborted || !(await this.#sendShard(ofShard, signal))) return false
    }
    return true
  }

  async #sendShard(places: readonly ParkedPlace[], signal: AbortSignal): Promise<boolean> {
    const { context, destination, letters, log } = this.#options
    const [first] = places
    if (first === undefined) return true
    const { logId, shard } = first.entry
    const sorted = places.toSorted((one, other) => one.entry.offset - other.entry.offset)
    const account = new ParkAccount(sorted, log)
    const directory = join(context.dataDir, 'spool')
    const segments = writeSegments(sorted.map(entryOf), { ...context, directory })
    const keys = new StrictKeys()
    const limit = new AbortController()
    const wakeUp = new WakeUp()
    const onAbort = () => limit.abort()
    signal.addEventListener('abort', onAbort, { once: true })
    const lane = destination.parkedLane({
      source: replaySource(segments, logId),
      cursor: account,
      signal: limit.signal,
      keys,
      writeLetters: letters({ shard, logId }, account.readMembers),
      onProgress: () => wakeUp.ring()
    })
    const running = lane.run()
    try {
      while (!account.isComplete && !limit.signal.aborted) {
        if (keys.failure !== null && lane.isQuiet) break
        await wakeUp.wait(limit.signal)
      }
    } finally {
      signal.removeEventListener('abort', onAbort)
      limit.abort()
      await running
      for (const { path } of segments) context.storage.unlink(path)
    }
    return account.isComplete
  }
}

function entryOf({ entry }: ParkedPlace): ReplayEntry {
  const { bytes, form, offset, appendTimeMs } = entry
  return { letter: entry, member: { offset, form, appendTimeMs, bytes } }
}

/** The records of one batch by the offsets that they had. */
class ParkAccount implements LaneCursor {
  readonly lowOffset = 0
  readonly rangeCount = 0
  readonly passCount = 0
  readonly passReason = ''
  readonly #log: ParkLog
  readonly #places: ReadonlyMap<number, ParkedPlace>
  readonly #left: Set<number>

  constructor(places: readonly ParkedPlace[], log: ParkLog) {
    this.#log = log
    this.#places = new Map(places.map((place) => [place.entry.offset, place]))
    this.#left = new Set(this.#places.keys())
  }

  get isComplete(): boolean {
    return this.#left.size === 0
  }

  readonly readMembers = (offsets: readonly number[]): ReadMembers => {
    const entries = offsets.flatMap((offset) => this.#places.get(offset)?.entry ?? [])
    const [first] = entries
    return {
      tag: first?.tag ?? '',
      source: first?.source ?? new Uint8Array(),
      epoch: first?.epoch ?? 0,
      members: entries.map(({ appendTimeMs, bytes, form, offset }) => ({
        offset,
        form,
        appendTimeMs,
        bytes
      }))
    }
  }

  finish(first: number, end: number, fate: Fate): void {
    for (let offset = first; offset < end; offset++) {
      const place = this.#places.get(offset)
      if (place === undefined || !this.#left.delete(offset)) continue
      this.#log.finish(place.parkOffset, outcomeOf(fate), place.entry.bytes.length)
    }
  }

  has(offset: number): boolean {
    return this.#places.has(offset) && !this.#left.has(offset)
  }

  finishedWithin(first: number, end: number): readonly (readonly [number, number])[] {
    return [...this.#places.keys()]
      .filter((offset) => offset >= first && offset < end && !this.#left.has(offset))
      .map((offset) => [offset, offset + 1])
  }
}
