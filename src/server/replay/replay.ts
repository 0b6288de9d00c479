// Step 10. Runs on: main.
// Sends letters again, a batch at a time, by the way of every record: steps, render, flush. Ids stay what they were, so a
// second replay changes nothing where the destination knows ids. What becomes of a letter is told when all of its entries
// have a verdict of every destination that it goes to.
//
// Holds one batch: the entries once in memory and once in files below `spool/`, which pool threads read.

import type { ReplayLaneParts } from '../../delivery/destination.ts'
import type { LaneCursor } from '../../delivery/lane-source.ts'
import type { StoredLetter } from '../letters/scan.ts'
import type { ReplayEntry, ReplaySegment } from './segment.ts'
import { type ReplayPlace, replaySource, writeSegments } from './source.ts'

/** Letters of one batch, and bytes of their entries. */
export const BATCH_LETTERS_MAX = 5000
export const BATCH_BYTES_MAX = 4 * 1024 * 1024

/** What became of a letter. `refused`: it stays. */
export type LetterFate = 'stored' | 'duplicate' | 'filtered' | 'refused'

/** Runs a lane of the destination `<route>/<output>` until its signal aborts; false: there is no such destination. */
export type RunReplay = (destination: string, parts: ReplayLaneParts) => Promise<boolean>

export interface ReplayOptions extends ReplayPlace {
  readonly run: RunReplay
  readonly signal: AbortSignal
  readonly onFate: (letter: StoredLetter, fate: LetterFate) => void
  readonly onRefused: (reason: string, destination: string) => void
}

/** A letter and the destinations that it goes to. */
export interface Addressed {
  readonly stored: StoredLetter
  readonly destinations: readonly string[]
}

/** Letters in, fates out; an abort leaves the rest without one. */
export async function replayBatch(
  batch: readonly Addressed[],
  options: ReplayOptions
): Promise<void> {
  const tickets = batch.map(
    ({ destinations, stored }) => new Ticket(stored, destinations, options.onFate)
  )
  const groups = Map.groupBy(tickets, ({ group }) => group)
  await Promise.all([...groups.values()].map((group) => replayGroup(group, options)))
}

/** Letters of one log and epoch: ids are made of both, and offsets are unique within them. */
async function replayGroup(tickets: readonly Ticket[], options: ReplayOptions): Promise<void> {
  const segments = writeSegments(entriesOf(tickets), options)
  try {
    const destinations = new Set(tickets.flatMap((ticket) => ticket.destinations))
    const lanes = [...destinations].map((destination) => {
      const mine = tickets.filter((ticket) => ticket.destinations.includes(destination))
      return runLane(destination, mine, segments, options)
    })
    await Promise.all(lanes)
  } finally {
    for (const { path } of segments) options.storage.unlink(path)
  }
}

async function runLane(
  destination: string,
  tickets: readonly Ticket[],
  segments: readonly ReplaySegment[],
  options: ReplayOptions
): Promise<void> {
  const logId = tickets[0]?.stored.letter.logId
  if (logId === undefined) return
  const end = new AbortController()
  const stop = () => end.abort()
  const account = new ReplayAccount(tickets, stop)
  const wanted = segments.map((segment) => ({
    ...segment,
    frames: segment.frames.filter(({ firstOffset }) => account.wants(firstOffset))
  }))
  options.signal.addEventListener('abort', stop, { once: true })
  if (options.signal.aborted) stop()
  try {
    await options.run(destination, {
      source: replaySource(wanted, logId),
      cursor: account,
      signal: end.signal,
      writeLetters: async (requests) => {
        for (const { reason, step } of requests) {
          options.onRefused(step === '' ? reason : `${step}: ${reason}`, destination)
        }
      },
      onLane: () => undefined
    })
  } finally {
    options.signal.removeEventListener('abort', stop)
  }
}

function entriesOf(tickets: readonly Ticket[]): ReplayEntry[] {
  const entries = new Map<number, ReplayEntry>()
  for (const { stored } of tickets) {
    const { letter } = stored
    // A record may have two letters: its entries are sent once, for both.
    for (const member of letter.members) entries.set(member.offset, { letter, member })
  }
  return [...entries.values()].sort((one, other) => one.member.offset - other.member.offset)
}

/** One letter on its way to all of its destinations. */
class Ticket {
  readonly stored: StoredLetter
  readonly destinations: readonly string[]
  /** Log and epoch. */
  readonly group: string
  readonly #onFate: ReplayOptions['onFate']
  #waiting: number
  #isRefused = false
  #filteredCount = 0
  #duplicateCount = 0

  constructor(
    stored: StoredLetter,
    destinations: readonly string[],
    onFate: ReplayOptions['onFate']
  ) {
    this.stored = stored
    this.destinations = destinations
    const { epoch, logId } = stored.letter
    this.group = `${Buffer.from(logId).toString('hex')} ${epoch}`
    this.#onFate = onFate
    this.#waiting = destinations.length * stored.letter.members.length
  }

  settle(kind: Parameters<LaneCursor['finish']>[2]['kind']): void {
    this.#waiting--
    if (kind === 'dead_lettered' || kind === 'lost') this.#isRefused = true
    // Dropped by a step on purpose is done too: the configuration says so now.
    if (kind === 'dropped') this.#filteredCount++
    if (kind === 'duplicate') this.#duplicateCount++
    if (this.#waiting === 0) this.#onFate(this.stored, this.#fate())
  }

  #fate(): LetterFate {
    const count = this.destinations.length * this.stored.letter.members.length
    if (this.#isRefused) return 'refused'
    if (this.#filteredCount === count) return 'filtered'
    return this.#duplicateCount + this.#filteredCount === count ? 'duplicate' : 'stored'
  }
}

/** Entries of one destination that have no verdict yet, by offset. */
class ReplayAccount implements LaneCursor {
  readonly lowOffset = 0
  readonly rangeCount = 0
  readonly passCount = 0
  readonly passReason = ''
  readonly #waiting = new Map<number, Ticket[]>()
  readonly #onComplete: () => void

  constructor(tickets: readonly Ticket[], onComplete: () => void) {
    this.#onComplete = onComplete
    for (const ticket of tickets) {
      for (const { offset } of ticket.stored.letter.members) {
        const known = this.#waiting.get(offset)
        if (known === undefined) this.#waiting.set(offset, [ticket])
        else known.push(ticket)
      }
    }
  }

  wants(offset: number): boolean {
    return this.#waiting.has(offset)
  }

  finish: LaneCursor['finish'] = (first, end, fate) => {
    for (const offset of this.#within(first, end)) {
      const tickets = this.#waiting.get(offset) ?? []
      this.#waiting.delete(offset)
      for (const ticket of tickets) ticket.settle(fate.kind)
    }
    if (this.#waiting.size === 0) this.#onComplete()
  }

  has(): boolean {
    return false
  }

  finishedWithin(): readonly (readonly [number, number])[] {
    return []
  }

  /** A damaged stretch may be longer than what waits. */
  #within(first: number, end: number): number[] {
    if (end - first > this.#waiting.size) {
      return [...this.#waiting.keys()].filter((offset) => offset >= first && offset < end)
    }
    const offsets: number[] = []
    for (let offset = first; offset < end; offset++) {
      if (this.#waiting.has(offset)) offsets.push(offset)
    }
    return offsets
  }
}
