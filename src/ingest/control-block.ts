// Step 4. Runs on: ingest.
// The ingest side of a shard's control block (threads/shared.ts): publishes what readers may see and reads what main says
// about room. Invariant: the visible end is stored after every word that it covers, so main never counts ahead of it.

import { HISTOGRAM_CELLS, Histogram } from '../metrics/histogram.ts'
import {
  packEnd,
  SHARD_STATES,
  type ShardState,
  SYNC_SECONDS_BYTE,
  WORD
} from '../threads/shared.ts'

/** Where readers may read to, and what lies before it. */
export interface VisibleEnd {
  readonly segmentOrdinal: number
  readonly byte: number
  /** Offset after the last visible record. */
  readonly offset: number
}

export class ControlBlock {
  readonly #words: BigInt64Array
  readonly #syncSeconds: Histogram
  readonly #doorbell: Doorbell

  constructor(shared: SharedArrayBuffer, doorbell: Doorbell) {
    this.#words = new BigInt64Array(shared, 0, SYNC_SECONDS_BYTE / BigInt64Array.BYTES_PER_ELEMENT)
    this.#syncSeconds = new Histogram(new Float64Array(shared, SYNC_SECONDS_BYTE, HISTOGRAM_CELLS))
    this.#doorbell = doorbell
  }

  /** Makes records visible to readers and rings. */
  publish(end: VisibleEnd, watermarkMs: number): void {
    // A reader that took the end of one commit and the offset of the next would count the difference as lost.
    Atomics.add(this.#words, WORD.sequence, 1n)
    this.#store(WORD.visibleOffset, end.offset)
    this.#store(WORD.watermarkMs, watermarkMs)
    Atomics.store(this.#words, WORD.visibleEnd, packEnd(end.segmentOrdinal, end.byte))
    Atomics.add(this.#words, WORD.sequence, 1n)
    this.#doorbell.ring()
  }

  /** No later frame will bear an append time below `watermarkMs`. Does not ring: the caller does, once for all shards. */
  setWatermark(watermarkMs: number): void {
    this.#store(WORD.watermarkMs, watermarkMs)
  }

  setAppendedBytes(byteCount: number): void {
    this.#store(WORD.appendedBytes, byteCount)
  }

  setState(state: ShardState): void {
    this.#store(WORD.state, SHARD_STATES.indexOf(state))
    this.#doorbell.ring()
  }

  /** The segment gets no more frames; called when its end is visible. */
  setClosed(ordinal: number): void {
    this.#store(WORD.closedOrdinal, ordinal + 1)
    this.#doorbell.ring()
  }

  setUnsyncedBytes(byteCount: number): void {
    this.#store(WORD.unsyncedBytes, byteCount)
  }

  /** Whether a message waits for room, and how long messages did so far. */
  setBlocked(isBlocked: boolean, blockedMs: number): void {
    this.#store(WORD.blockedMs, Math.round(blockedMs))
    this.#store(WORD.isBlocked, isBlocked ? 1 : 0)
  }

  addDroppedNewest(recordCount: number): void {
    this.#store(WORD.droppedNewest, this.#load(WORD.droppedNewest) + recordCount)
  }

  /** Age of the running sync. */
  setSyncAge(ageMs: number): void {
    this.#store(WORD.syncAgeMs, Math.round(ageMs))
  }

  addSync(seconds: number): void {
    this.#syncSeconds.observe(seconds)
  }

  /** Whether main has declared that the route has no room. */
  get isFull(): boolean {
    return this.#load(WORD.isFull) !== 0
  }

  /** Bytes on disk that wait for a destination. */
  get pendingBytes(): number {
    const held = this.#load(WORD.recoveredBytes) + this.#load(WORD.appendedBytes)
    return held - this.#load(WORD.removedBytes) - this.#load(WORD.keptBytes)
  }

  /** Bytes on their way to the disk, as of the last commit of the thread that writes the shard. */
  get unsyncedBytes(): number {
    return this.#load(WORD.unsyncedBytes)
  }

  #load(word: number): number {
    return Number(Atomics.load(this.#words, word))
  }

  #store(word: number, value: number): void {
    Atomics.store(this.#words, word, BigInt(value))
  }
}

/** Wakes main: one word per ingest thread that it awaits. */
export class Doorbell {
  readonly #word: Int32Array

  constructor(shared: SharedArrayBuffer) {
    this.#word = new Int32Array(shared, 0, 1)
  }

  ring(): void {
    Atomics.add(this.#word, 0, 1)
    Atomics.notify(this.#word, 0)
  }
}
