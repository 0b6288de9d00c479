// A disk with a volatile write cache, as a power cut sees it: what was written since the last flush may be there or not,
// sector by sector, whatever the order. What was flushed, or written with FUA, is there.

import type { Random } from '../../src/core/clock.ts'

/** What a disk writes whole or not at all. */
const SECTOR_BYTES = 512

interface CachedWrite {
  readonly startByte: number
  readonly bytes: Buffer
  /** Written with FUA: it survives, and older writes to its place do not come after it. */
  readonly isForced: boolean
}

export interface CutReport {
  readonly cachedSectors: number
  readonly keptSectors: number
}

export class VolatileDisk {
  /** What the machine reads. */
  readonly #current: Buffer
  /** What survives. */
  readonly #durable: Buffer
  #cached: CachedWrite[] = []
  #writesLeft = Number.POSITIVE_INFINITY
  #onWritten: () => void = () => undefined
  flushCount = 0

  constructor(content: Buffer) {
    this.#durable = content
    this.#current = Buffer.from(content)
  }

  get byteCount(): number {
    return this.#current.length
  }

  read(startByte: number, byteCount: number): Buffer {
    return this.#current.subarray(startByte, startByte + byteCount)
  }

  /** `bytes` must not be changed afterwards. */
  write(startByte: number, bytes: Buffer, isForced: boolean): void {
    bytes.copy(this.#current, startByte)
    this.#cached.push({ startByte, bytes, isForced })
    if (--this.#writesLeft === 0) this.#onWritten()
  }

  /** Calls back within the write that makes the count full: most often, nothing has flushed it yet. */
  afterWrites(count: number, onWritten: () => void): void {
    this.#writesLeft = count
    this.#onWritten = onWritten
  }

  flush(): void {
    this.flushCount++
    for (const { bytes, startByte } of this.#cached) bytes.copy(this.#durable, startByte)
    this.#cached = []
  }

  /** The power goes: a random share of the cached sectors had reached the medium. */
  cut(random: Random): CutReport {
    const share = random()
    let cachedSectors = 0
    let keptSectors = 0
    for (const { bytes, isForced, startByte } of this.#cached) {
      if (isForced) {
        bytes.copy(this.#durable, startByte)
        continue
      }
      for (let at = 0; at < bytes.length; at += SECTOR_BYTES) {
        cachedSectors++
        if (random() >= share) continue
        keptSectors++
        bytes.copy(this.#durable, startByte + at, at, at + SECTOR_BYTES)
      }
    }
    this.#cached = []
    this.#durable.copy(this.#current)
    return { cachedSectors, keptSectors }
  }
}
