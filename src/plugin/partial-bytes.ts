// Step 2. Runs on: ingest.
// Bytes of a connection's unfinished message, in a block of kernel memory that is there only while needed. A short rest is
// put in front of the next read, so that a stream of small messages is never copied; a long message grows by doubling.
// However a message is cut, each byte of it is copied a bounded number of times.

import type { ScanKernel } from '../kernel/scan-kernel.ts'

/** Room in front of the read buffer for the rest of the read before. */
const HEAD_BYTES = 256 * 1024
/** Chunks of a thousand records (336 KB) fit: most of them are then stored from where they were read to. */
const READ_BYTES = 512 * 1024
/** A rest of up to this length goes in front of a read however short; a longer one only of a read that is as long. */
const SHORT_REST_BYTES_MAX = 4096
/**
 * Up to this a block is made as long as the message will be, but no longer than a multiple of what came of it: a declared
 * length alone takes no memory.
 */
const NEEDED_BYTES_MAX = 256 * 1024
const NEEDED_PER_KEPT = 8
/** A block this large that holds little is changed for a smaller one. */
const SHRINK_BYTES_MIN = 1024 * 1024

/** One buffer per input that all its sockets read into, with room in front. */
export class ReadArea {
  readonly readBuffer: Buffer
  readonly #area: Buffer

  constructor(kernel: ScanKernel) {
    this.#area = kernel.reserve(HEAD_BYTES + READ_BYTES)
    this.readBuffer = this.#area.subarray(HEAD_BYTES)
  }

  /** What was read, with `rest` in front of it. */
  behind(rest: Buffer, byteCount: number): Buffer {
    rest.copy(this.#area, HEAD_BYTES - rest.length)
    return this.#area.subarray(HEAD_BYTES - rest.length, HEAD_BYTES + byteCount)
  }
}

/** `no_memory`: the region of blocks is used up; the message cannot be kept. */
export type Kept = 'kept' | 'no_memory'

export class PartialBytes {
  readonly #kernel: ScanKernel
  readonly #area: ReadArea
  #block: Buffer | null = null
  #byteCount = 0
  #neededBytes = 0

  constructor(kernel: ScanKernel, area: ReadArea) {
    this.#kernel = kernel
    this.#area = area
  }

  get byteCount(): number {
    return this.#byteCount
  }

  /** Memory in use, for the sum over all connections. */
  get heldBytes(): number {
    return this.#block === null ? 0 : this.#block.length
  }

  get missingBytes(): number {
    return Math.max(0, this.#neededBytes - this.#byteCount)
  }

  /** What is kept. */
  bytes(): Buffer {
    return this.#block === null ? Buffer.alloc(0) : this.#block.subarray(0, this.#byteCount)
  }

  /** Whether `byteCount` more bytes do not complete the message, so that there is nothing to scan. */
  isShort(byteCount: number): boolean {
    return this.#byteCount > 0 && this.#byteCount + byteCount < this.#neededBytes
  }

  /** What is kept and the `byteCount` bytes just read, side by side. */
  join(byteCount: number): Buffer | 'no_memory' {
    const headBytesMax = Math.min(HEAD_BYTES, Math.max(SHORT_REST_BYTES_MAX, byteCount))
    if (this.#byteCount <= headBytesMax) return this.#area.behind(this.bytes(), byteCount)
    return this.add(byteCount) === 'kept' ? this.bytes() : 'no_memory'
  }

  /** Keeps the `byteCount` bytes just read behind the others. */
  add(byteCount: number): Kept {
    const kept = this.#byteCount + byteCount
    const wanted = Math.min(this.#neededBytes, NEEDED_BYTES_MAX, kept * NEEDED_PER_KEPT)
    const block = this.#grow(Math.max(kept, wanted))
    if (block === null) return 'no_memory'
    this.#area.readBuffer.copy(block, this.#byteCount, 0, byteCount)
    this.#byteCount += byteCount
    return 'kept'
  }

  /** Keeps `rest`, which lies in what `join` or `bytes` gave, instead of all else. */
  keep(rest: Buffer, neededBytes: number): Kept {
    this.#neededBytes = neededBytes
    if (rest.length === 0) {
      this.release()
      return 'kept'
    }
    const isSpare =
      this.heldBytes >= SHRINK_BYTES_MIN && Math.max(rest.length, neededBytes) < this.heldBytes / 4
    if (isSpare) return this.#moveTo(this.#kernel.borrow(rest.length), rest)
    if (this.#block !== null && rest.length <= this.#block.length) {
      // All of it is where it belongs while a message grows piece by piece.
      const isInPlace =
        rest.buffer === this.#block.buffer && rest.byteOffset === this.#block.byteOffset
      if (!isInPlace) rest.copy(this.#block)
      this.#byteCount = rest.length
      return 'kept'
    }
    return this.#moveTo(this.#kernel.borrow(rest.length), rest)
  }

  release(): void {
    if (this.#block !== null) this.#kernel.giveBack(this.#block)
    this.#block = null
    this.#byteCount = 0
  }

  #grow(byteCount: number): Buffer | null {
    if (this.#block !== null && byteCount <= this.#block.length) return this.#block
    const kept = this.bytes()
    return this.#moveTo(this.#kernel.borrow(byteCount), kept) === 'kept' ? this.#block : null
  }

  #moveTo(block: Buffer | null, rest: Buffer): Kept {
    if (block === null) return 'no_memory'
    rest.copy(block)
    const byteCount = rest.length
    this.release()
    this.#block = block
    this.#byteCount = byteCount
    return 'kept'
  }
}
