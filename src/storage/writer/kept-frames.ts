// Step 4. Runs on: ingest, main (dead letters).
// Copies of the frames that were written and are not durable yet, so that they can be written again elsewhere when their
// sync fails: the page cache cannot be asked for them, because a failed write-back marks its pages clean. Frames are
// numbered from 0 in the order of writing. Copied in cache-warm pieces right after the write; the cost is in
// docs/decisions/0013. Limit: what may be unsynced (UNSYNCED_BYTES_MAX per ingest thread, and one message).

import { UNSYNCED_BYTES_MAX } from '../../core/limits.ts'
import type { FrameFacts } from './frame-slab.ts'

const CHUNK_BYTES = 1024 * 1024
/** Chunks that wait for use, per thread: as many as may be unsynced, or a busy disk would have us map memory all the time. */
const FREE_CHUNKS_MAX = UNSYNCED_BYTES_MAX / CHUNK_BYTES
const TRIM_EVERY_MS = 1000

/** Chunks of one thread that hold nothing. The one that was given back last is the warmest and goes first. */
class FreeChunks {
  readonly #chunks: Buffer[] = []
  /** So many were not needed since the last trim. */
  #idleCount = 0
  #trimmedMs = 0

  take(): Buffer {
    const chunk = this.#chunks.pop() ?? Buffer.allocUnsafeSlow(CHUNK_BYTES)
    this.#idleCount = Math.min(this.#idleCount, this.#chunks.length)
    return chunk
  }

  giveBack(chunk: Buffer): void {
    if (this.#chunks.length < FREE_CHUNKS_MAX) this.#chunks.push(chunk)
  }

  trim(monotonicMs: number): void {
    if (monotonicMs - this.#trimmedMs < TRIM_EVERY_MS) return
    this.#trimmedMs = monotonicMs
    this.#chunks.splice(0, this.#idleCount)
    this.#idleCount = this.#chunks.length
  }
}

/** Every thread loads its own module. */
const freeChunks = new FreeChunks()

/** Gives memory back to the system that no shard of the thread needed for a second; called once a second. */
export function trimKeptMemory(monotonicMs: number): void {
  freeChunks.trim(monotonicMs)
}

/** A frame as it was before anything of a segment entered it. */
export interface KeptFrame {
  /** The payload, in pieces. */
  readonly payload: readonly Uint8Array[]
  readonly payloadBytes: number
  readonly facts: Readonly<FrameFacts>
  /** Part of a message that goes on in the next frame. */
  readonly continues: boolean
  /** Number of the chunk that holds its first byte, counted since the object was made. */
  readonly firstChunk: number
}

export class KeptFrames {
  readonly #frames: KeptFrame[] = []
  #startFrame = 0
  readonly #chunks: Buffer[] = []
  #startChunk = 0
  /** Used bytes of the last chunk. */
  #fillBytes = CHUNK_BYTES
  #byteCount = 0

  /** Number after the newest frame. */
  get end(): number {
    return this.#startFrame + this.#frames.length
  }

  /** Payload bytes held. */
  get byteCount(): number {
    return this.#byteCount
  }

  at(number: number): KeptFrame | undefined {
    return this.#frames[number - this.#startFrame]
  }

  add(parts: readonly Uint8Array[], facts: Readonly<FrameFacts>, continues: boolean): void {
    if (this.#fillBytes === CHUNK_BYTES) this.#grow()
    const firstChunk = this.#startChunk + this.#chunks.length - 1
    const payload: Buffer[] = []
    let payloadBytes = 0
    for (const part of parts) {
      for (let at = 0; at < part.length; ) {
        if (this.#fillBytes === CHUNK_BYTES) this.#grow()
        const chunk = this.#chunks.at(-1)
        if (chunk === undefined) break
        const endByte = Math.min(CHUNK_BYTES, this.#fillBytes + part.length - at)
        const piece = chunk.subarray(this.#fillBytes, endByte)
        piece.set(part.subarray(at, at + piece.length))
        payload.push(piece)
        at += piece.length
        this.#fillBytes = endByte
      }
      payloadBytes += part.length
    }
    this.#frames.push({ payload, payloadBytes, facts: { ...facts }, continues, firstChunk })
    this.#byteCount += payloadBytes
  }

  /** Frames below `number` are durable. */
  releaseTo(number: number): void {
    const count = number - this.#startFrame
    if (count <= 0) return
    for (const frame of this.#frames.splice(0, count)) this.#byteCount -= frame.payloadBytes
    this.#startFrame = number
    const keptFrom = this.#frames[0]?.firstChunk ?? this.#startChunk + this.#chunks.length
    for (const chunk of this.#chunks.splice(0, keptFrom - this.#startChunk)) {
      freeChunks.giveBack(chunk)
    }
    this.#startChunk = keptFrom
    if (this.#chunks.length === 0) this.#fillBytes = CHUNK_BYTES
  }

  /** Forgets the newest frames, from `number` on: parts of a message that did not become whole. */
  cutTo(number: number): void {
    // Their room comes back with the frames before them.
    for (const frame of this.#frames.splice(Math.max(0, number - this.#startFrame))) {
      this.#byteCount -= frame.payloadBytes
    }
  }

  #grow(): void {
    this.#chunks.push(freeChunks.take())
    this.#fillBytes = 0
  }
}
