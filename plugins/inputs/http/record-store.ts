// Steps 3 and 4. Runs on: ingest.
// Entries of a request -> queue. What of it cannot be read goes to the dead letters and the good records stand. Nothing is
// kept when there is no room: the sender is told to come again. A request of several tags is several messages; when room
// ends between them the rest waits, because the sender would send all of it again.

import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'
import { CommitCount } from '../../../src/plugin/commit-count.ts'
import type {
  AppendOutcome,
  AppendSource,
  DurableListener,
  InputContext,
  RefusedBytes,
  Run
} from '../../../src/plugin/input.ts'
import { entryRuns, refusedBytes } from '../../../src/plugin/unit-runs.ts'
import type { LongEntries } from './long-entries.ts'

export type StoreOutcome =
  /** `invalidCount`: entries that are no records or too large; they are in the dead letters. */
  | { readonly kind: 'stored'; readonly invalidCount: number }
  /** No room, or the disk failed: the sender has to come again. */
  | { readonly kind: 'busy' }
  /** Nothing in the request is a record. */
  | { readonly kind: 'bad'; readonly reason: string }

export interface TaggedEntries {
  readonly tag: Buffer
  /** In the kernel's memory, kept until the outcome is there. */
  readonly pieces: readonly Buffer[]
}

export interface Gathered {
  readonly messages: readonly TaggedEntries[]
  /** Bytes that cannot be read. */
  readonly refused: readonly Buffer[]
  readonly firstError: string | null
  /** The sender is told about each record: a request without a good one is no bad request. */
  readonly isToldApart?: boolean
}

/** How long the rest of a request waits for room when a part of it is stored. */
const ROOM_MS_MAX = 10_000
/** A disk in trouble may hold records for long, and a sender waits in vain; it is told to come again. */
const DURABLE_MS_MAX = 30_000
/** How long entries in a file wait for room, and are written. */
const LONG_MS_MAX = 30_000
const NO_RECORD = 'no record at the start of the body'

export class RecordStore {
  readonly #context: InputContext<ScanKernel>

  constructor(context: InputContext<ScanKernel>) {
    this.#context = context
  }

  /** Entries that wait in a file, and what of their body cannot be read. */
  async storeLong(
    tag: Buffer,
    entries: LongEntries,
    refused: readonly Buffer[]
  ): Promise<StoreOutcome> {
    const { appender, clock, counters, id } = this.#context
    const source = { inputId: id, peer: '' }
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const append = appender.appendLong(source, entries.message(tag), {
      onDurable: () => resolve(true),
      onRejected: () => resolve(false)
    })
    const cancelWait = clock.after(LONG_MS_MAX, () => {
      append.cancel()
      resolve(false)
    })
    const isStored = await promise
    cancelWait()
    if (!isStored) return { kind: 'busy' }
    counters.add('received_records', entries.recordCount)
    const bytes = Buffer.concat(refused)
    if (bytes.length > 0) {
      if (!(await this.#refuseLater(source, { reason: 'unreadable', tag, bytes }))) {
        return { kind: 'busy' }
      }
      counters.add('dead_letters', 1)
    }
    return { kind: 'stored', invalidCount: 0 }
  }

  async store(gathered: Gathered): Promise<StoreOutcome> {
    const { counters, id } = this.#context
    const letters = [...gathered.refused]
    let { firstError } = gathered
    let recordCount = 0
    let invalidCount = 0
    const messages: Run[][] = []
    for (const { tag, pieces } of gathered.messages) {
      const runs: Run[] = []
      for (const piece of pieces) {
        const scanned = this.#scan(tag, piece)
        runs.push(...scanned.runs)
        recordCount += scanned.recordCount
        invalidCount += scanned.invalidCount
        if (scanned.refused === null) continue
        letters.push(scanned.refused)
        firstError ??= NO_RECORD
      }
      if (runs.length > 0) messages.push(runs)
    }
    const refused = Buffer.concat(letters)
    const isEmpty = recordCount === 0 && gathered.isToldApart !== true
    if (isEmpty && (refused.length > 0 || firstError !== null)) {
      return { kind: 'bad', reason: firstError ?? NO_RECORD }
    }
    const source = { inputId: id, peer: '' }
    const isStored = await this.#append(source, messages, refused, gathered.messages[0]?.tag)
    if (!isStored) return { kind: 'busy' }
    counters.add('received_records', recordCount)
    if (refused.length > 0) counters.add('dead_letters', 1)
    return { kind: 'stored', invalidCount }
  }

  #scan(tag: Buffer, piece: Buffer) {
    const { kernel } = this.#context
    kernel.scanBody(piece)
    const unit = kernel.unit(0)
    // The tag of the request is that of everything in it.
    const runs = entryRuns(unit, piece, tag, null, () => tag)
    const isWhole = unit.invalidTotal === 0 && unit.giveUpReason === null
    const refused = isWhole ? null : refusedBytes(unit, piece)
    const invalidCount = unit.invalidTotal
    return { runs, recordCount: unit.recordCount, invalidCount, refused }
  }

  /** Settles when all of it is durable, or cannot be. */
  async #append(
    source: AppendSource,
    messages: readonly Run[][],
    refused: Buffer,
    tag: Buffer = Buffer.alloc(0)
  ): Promise<boolean> {
    const { appender, clock } = this.#context
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const cancelWait = clock.after(DURABLE_MS_MAX, () => resolve(false))
    const settle = (isStored: boolean) => {
      cancelWait()
      resolve(isStored)
    }
    const answer: DurableListener = {
      onDurable: () => settle(true),
      onRejected: () => settle(false)
    }
    const [first = [], ...others] = messages
    const listener = others.length === 0 ? answer : new CommitCount(answer, messages.length)
    const letter = { reason: 'unreadable', tag, bytes: refused }
    // Together or not at all: a request that is told to come again must not leave its dead letter each time.
    const outcome =
      refused.length > 0
        ? appender.appendWithLetter(source, first, letter, listener)
        : appender.append(source, first, listener)
    if (outcome === 'full') {
      cancelWait()
      return false
    }
    for (const runs of others) {
      if (!(await this.#appendLater(source, runs, listener))) return false
    }
    return promise
  }

  #appendLater(
    source: AppendSource,
    runs: readonly Run[],
    listener: DurableListener
  ): Promise<boolean> {
    return this.#offer(() => this.#context.appender.append(source, runs, listener))
  }

  /** Settles when the letter is durable, or cannot be. */
  async #refuseLater(source: AppendSource, letter: RefusedBytes): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const listener = { onDurable: () => resolve(true), onRejected: () => resolve(false) }
    const isTaken = await this.#offer(() => this.#context.appender.refuse(source, letter, listener))
    return isTaken && promise
  }

  /** Offers something again whenever there may be room, for a while. */
  async #offer(offer: () => AppendOutcome): Promise<boolean> {
    const { appender, clock } = this.#context
    const endMs = clock.monotonicMs() + ROOM_MS_MAX
    while (offer() === 'full') {
      if (clock.monotonicMs() >= endMs) return false
      const { promise, resolve } = Promise.withResolvers<void>()
      appender.onRoom(resolve)
      await promise
    }
    return true
  }
}
