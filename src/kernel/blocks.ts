// Runs on: any.
// Power-of-two blocks in one region of kernel memory (a buddy allocator): partial messages and decompressed bodies.
// A block that is given back joins its free neighbour, so that the region never crumbles; no block is ever moved.

import { invariant } from '../core/invariant.ts'

const BLOCK_BYTES_MIN = 4096
const NONE = -1

export class BlockAllocator {
  /** Bytes of all blocks that are lent, rounded up to their sizes. */
  borrowedBytes = 0
  readonly #orderMax: number
  /** Per smallest block: order + 1 of the free block that starts here, or 0. */
  readonly #freeOrder: Uint8Array
  /** Per smallest block: order + 1 of the lent block that starts here, or 0. */
  readonly #lentOrder: Uint8Array
  readonly #next: Int32Array
  readonly #previous: Int32Array
  readonly #heads: Int32Array

  /** `regionBytes` is a power of two, at least 4 KiB. */
  constructor(regionBytes: number) {
    const count = regionBytes / BLOCK_BYTES_MIN
    invariant(count >= 1 && Number.isInteger(Math.log2(count)), `bad block region ${regionBytes}`)
    this.#orderMax = Math.log2(count)
    this.#freeOrder = new Uint8Array(count)
    this.#lentOrder = new Uint8Array(count)
    this.#next = new Int32Array(count)
    this.#previous = new Int32Array(count)
    this.#heads = new Int32Array(this.#orderMax + 1).fill(NONE)
    this.#push(0, this.#orderMax)
  }

  /** Start of a block of at least `byteCount` bytes in the region, or -1 when there is none. */
  take(byteCount: number): number {
    const order = orderOf(byteCount)
    let from = order
    while (from <= this.#orderMax && this.#heads[from] === NONE) from += 1
    if (from > this.#orderMax) return NONE
    const index = this.#heads[from] ?? NONE
    this.#remove(index, from)
    while (from > order) {
      from -= 1
      this.#push(index + 2 ** from, from)
    }
    this.#lentOrder[index] = order + 1
    this.borrowedBytes += BLOCK_BYTES_MIN * 2 ** order
    return index * BLOCK_BYTES_MIN
  }

  /** Takes back the block that starts at `startByte`. */
  give(startByte: number): void {
    let index = startByte / BLOCK_BYTES_MIN
    const lent = this.#lentOrder[index] ?? 0
    invariant(lent > 0, `no block is lent at ${startByte}`)
    let order = lent - 1
    this.#lentOrder[index] = 0
    this.borrowedBytes -= BLOCK_BYTES_MIN * 2 ** order
    while (order < this.#orderMax) {
      const buddy = index ^ (2 ** order)
      if (this.#freeOrder[buddy] !== order + 1) break
      this.#remove(buddy, order)
      index = Math.min(index, buddy)
      order += 1
    }
    this.#push(index, order)
  }

  /** Bytes of a block that holds `byteCount`. */
  static blockBytes(byteCount: number): number {
    return BLOCK_BYTES_MIN * 2 ** orderOf(byteCount)
  }

  #push(index: number, order: number): void {
    const head = this.#heads[order] ?? NONE
    this.#next[index] = head
    this.#previous[index] = NONE
    if (head !== NONE) this.#previous[head] = index
    this.#heads[order] = index
    this.#freeOrder[index] = order + 1
  }

  #remove(index: number, order: number): void {
    const next = this.#next[index] ?? NONE
    const previous = this.#previous[index] ?? NONE
    if (previous === NONE) this.#heads[order] = next
    else this.#next[previous] = next
    if (next !== NONE) this.#previous[next] = previous
    this.#freeOrder[index] = 0
  }
}

function orderOf(byteCount: number): number {
  let order = 0
  while (BLOCK_BYTES_MIN * 2 ** order < byteCount) order += 1
  return order
}
