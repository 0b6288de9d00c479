// Step 2. Runs on: ingest.
// Bytes of a body in a block of kernel memory that grows by doubling.

import type { BlockLender } from '../../../src/kernel/json-converter.ts'

/** Where the bytes of a body go, piece by piece. */
export interface BodyTarget {
  /** False: there is no memory; the body is given up. */
  add(bytes: Buffer): boolean
  /** Memory in use. */
  readonly heldBytes: number
}

export class WholeBody implements BodyTarget {
  readonly #lender: BlockLender
  #block: Buffer | null = null
  #byteCount = 0

  constructor(lender: BlockLender) {
    this.#lender = lender
  }

  get heldBytes(): number {
    return this.#block?.length ?? 0
  }

  get byteCount(): number {
    return this.#byteCount
  }

  /** In the kernel's memory; good until more is added. */
  get bytes(): Buffer {
    return this.#block?.subarray(0, this.#byteCount) ?? Buffer.alloc(0)
  }

  add(bytes: Buffer): boolean {
    const byteCount = this.#byteCount + bytes.length
    if (this.#block === null || byteCount > this.#block.length) {
      const larger = this.#lender.borrow(byteCount)
      if (larger === null) return false
      if (this.#block !== null) {
        this.#block.copy(larger, 0, 0, this.#byteCount)
        this.#lender.giveBack(this.#block)
      }
      this.#block = larger
    }
    bytes.copy(this.#block, this.#byteCount)
    this.#byteCount = byteCount
    return true
  }

  /** Drops the first bytes. */
  dropFirst(byteCount: number): void {
    this.#block?.copyWithin(0, byteCount, this.#byteCount)
    this.#byteCount -= byteCount
  }

  release(): void {
    if (this.#block !== null) this.#lender.giveBack(this.#block)
    this.#block = null
    this.#byteCount = 0
  }
}
