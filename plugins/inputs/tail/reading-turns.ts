// Steps 2 to 5. Runs on: ingest.
// Files with something to read take turns, one chunk each; sockets of the thread are served in between. A file that found
// no room waits until there may be some; one whose chunk was given back waits RETRY_MS.

import type { Clock } from '../../../src/core/clock.ts'
import type { Appender, InputCounters } from '../../../src/plugin/input.ts'
import type { ReadOutcome } from './tail-file.ts'

/** Chunks of one turn of the event loop: about 2 ms. */
const CHUNKS_PER_TURN = 4
const RETRY_MS = 1000

export interface ReadingTurnsOptions<F> {
  readonly clock: Clock
  readonly appender: Appender
  readonly counters: InputCounters
  /** Reads one chunk; `idle` too when the file is gone. */
  read(file: F): ReadOutcome
}

export class ReadingTurns<F> {
  readonly #options: ReadingTurnsOptions<F>
  readonly #ready = new Set<F>()
  readonly #full = new Set<F>()
  readonly #later = new Set<F>()
  #isScheduled = false
  #isWaitingForRoom = false
  #cancelRetry: (() => void) | null = null
  #isStopped = false

  constructor(options: ReadingTurnsOptions<F>) {
    this.#options = options
  }

  /** Whether it has a turn, now or later. */
  has(file: F): boolean {
    return this.#ready.has(file) || this.#full.has(file) || this.#later.has(file)
  }

  add(file: F): void {
    this.#ready.add(file)
    this.#schedule()
  }

  addLater(file: F): void {
    this.#later.add(file)
    this.#cancelRetry ??= this.#options.clock.after(RETRY_MS, () => {
      this.#cancelRetry = null
      this.#wake(this.#later)
    })
  }

  remove(file: F): void {
    for (const files of [this.#ready, this.#full, this.#later]) files.delete(file)
  }

  stop(): void {
    this.#isStopped = true
    this.#cancelRetry?.()
    for (const files of [this.#ready, this.#full, this.#later]) files.clear()
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isStopped) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#run()
    })
  }

  #run(): void {
    let chunkCount = 0
    for (const file of this.#ready) {
      if (chunkCount++ === CHUNKS_PER_TURN) break
      this.#ready.delete(file)
      const outcome = this.#options.read(file)
      if (outcome === 'more') this.#ready.add(file)
      else if (outcome === 'full') this.#waitForRoom(file)
    }
    if (this.#ready.size > 0) this.#schedule()
  }

  #waitForRoom(file: F): void {
    this.#full.add(file)
    if (this.#isWaitingForRoom) return
    this.#isWaitingForRoom = true
    this.#options.counters.add('input_paused_total/room', 1)
    this.#options.appender.onRoom(() => {
      this.#isWaitingForRoom = false
      this.#wake(this.#full)
    })
  }

  #wake(files: Set<F>): void {
    if (this.#isStopped) return
    for (const file of files) this.#ready.add(file)
    files.clear()
    this.#schedule()
  }
}
