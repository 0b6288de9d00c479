// Step 2. Runs on: ingest.
// Bytes of unfinished messages, summed over all connections of a thread. Above the bound the largest holders stop reading,
// one for each message part that arrives; the one that needs least to complete always goes on, so that the sum falls again.
// Limit: bytesMax plus one read per holder.

export interface BytesHolder {
  /** Bytes that have to come before its message is complete, as far as known. */
  readonly missingBytes: number
  stopReading(): void
  readOn(): void
}

export class HeldBytes {
  readonly #bytesMax: number
  readonly #holders = new Map<BytesHolder, number>()
  readonly #stopped = new Set<BytesHolder>()
  #byteCount = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get byteCount(): number {
    return this.#byteCount
  }

  get stoppedCount(): number {
    return this.#stopped.size
  }

  /** `holder` keeps `byteCount` bytes now; 0: none. */
  set(holder: BytesHolder, byteCount: number): void {
    const before = this.#holders.get(holder) ?? 0
    if (before === byteCount) return
    this.#byteCount += byteCount - before
    if (byteCount === 0) this.#holders.delete(holder)
    else this.#holders.set(holder, byteCount)
    if (byteCount === 0 && this.#stopped.delete(holder)) holder.readOn()
    if (this.#byteCount > this.#bytesMax) this.#stopLargest()
    else if (this.#stopped.size > 0) this.#resumeAll()
  }

  /** Forgets a holder that is gone, without calling it. */
  remove(holder: BytesHolder): void {
    this.#stopped.delete(holder)
    this.set(holder, 0)
  }

  #stopLargest(): void {
    let nearest: BytesHolder | null = null
    for (const holder of this.#holders.keys()) {
      if (nearest === null || holder.missingBytes < nearest.missingBytes) nearest = holder
    }
    let largest: BytesHolder | null = null
    let largestBytes = 0
    for (const [holder, byteCount] of this.#holders) {
      if (holder === nearest || this.#stopped.has(holder) || byteCount <= largestBytes) continue
      largest = holder
      largestBytes = byteCount
    }
    if (largest !== null) {
      this.#stopped.add(largest)
      largest.stopReading()
    }
    if (nearest !== null && this.#stopped.delete(nearest)) nearest.readOn()
  }

  #resumeAll(): void {
    const stopped = [...this.#stopped]
    this.#stopped.clear()
    for (const holder of stopped) holder.readOn()
  }
}
