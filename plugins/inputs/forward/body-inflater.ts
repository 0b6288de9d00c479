// Step 2. Runs on: ingest.
// Compressed bodies -> plain ones in a block of kernel memory. Small ones at once; large ones in steps while the connection
// rests and others go on, from a copy of the body, because the connection's own bytes may move or go meanwhile.

import {
  type Compression,
  type Inflated,
  inflateAtOnce,
  inflateInSteps
} from '../../../src/codec/inflate.ts'
import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'

/** `no_memory`: the region of blocks is used up. */
export type InflateFailure = 'undecodable' | 'too_large' | 'no_memory'

export type Body =
  | { readonly kind: 'body'; readonly block: Buffer; readonly byteCount: number }
  | { readonly kind: 'failed'; readonly reason: InflateFailure }

/** The block of a `body` belongs to who gets it. null: takes steps, use `inBackground`. */
export function inflateNow(
  kernel: ScanKernel,
  compression: Compression,
  compressed: Buffer,
  byteCountMax: number
): Body | null {
  const target = new Target(kernel)
  const result = inflateAtOnce(compression, compressed, byteCountMax, (part) => target.add(part))
  return result === null ? null : target.finish(result)
}

export async function inflateInBackground(
  kernel: ScanKernel,
  compression: Compression,
  compressed: Buffer,
  byteCountMax: number
): Promise<Body> {
  const copy = kernel.borrow(compressed.length)
  if (copy === null) return { kind: 'failed', reason: 'no_memory' }
  compressed.copy(copy)
  const target = new Target(kernel)
  try {
    const source = copy.subarray(0, compressed.length)
    const result = await inflateInSteps(compression, source, byteCountMax, (part) =>
      target.add(part)
    )
    return target.finish(result)
  } finally {
    kernel.giveBack(copy)
  }
}

/** A block that grows by doubling. */
class Target {
  readonly #kernel: ScanKernel
  #block: Buffer | null = null
  #byteCount = 0
  #hasMemory = true

  constructor(kernel: ScanKernel) {
    this.#kernel = kernel
  }

  add(part: Buffer): void {
    if (!this.#hasMemory) return
    const byteCount = this.#byteCount + part.length
    if (this.#block === null || byteCount > this.#block.length) {
      const larger = this.#kernel.borrow(byteCount)
      if (larger === null) {
        this.#hasMemory = false
        return
      }
      if (this.#block !== null) {
        this.#block.copy(larger, 0, 0, this.#byteCount)
        this.#kernel.giveBack(this.#block)
      }
      this.#block = larger
    }
    part.copy(this.#block, this.#byteCount)
    this.#byteCount = byteCount
  }

  finish(result: Inflated): Body {
    const block = this.#block ?? this.#kernel.borrow(1)
    if (result.kind === 'done' && this.#hasMemory && block !== null) {
      return { kind: 'body', block, byteCount: this.#byteCount }
    }
    if (block !== null) this.#kernel.giveBack(block)
    return {
      kind: 'failed',
      reason: result.kind === 'failed' ? result.reason : 'no_memory'
    }
  }
}
