// Step 7. Runs on: pool.
// The index of rendered records, read where the kernel wrote it: 40 bytes per row (assembly/emit.ts).

import type { KernelRows } from './render-face.ts'

export const ROW_BYTES = 40

export class RenderRows implements KernelRows {
  count = 0
  readonly #words: Uint32Array

  /** `words` begins at the index and covers as many rows as it holds. */
  constructor(words: Uint32Array) {
    this.#words = words
  }

  startByte(row: number): number {
    return this.#word(row, 0)
  }

  byteCount(row: number): number {
    return this.#word(row, 1)
  }

  target(row: number): number {
    return this.#word(row, 2)
  }

  memberList(row: number): number {
    return this.#word(row, 3)
  }

  offset(row: number): number {
    return this.#word(row, 5) * 2 ** 32 + this.#word(row, 4)
  }

  timeMs(row: number): number {
    return this.#word(row, 7) * 2 ** 32 + this.#word(row, 6)
  }

  messageByteCount(row: number): number {
    return this.#word(row, 8)
  }

  #word(row: number, word: number): number {
    return this.#words[row * (ROW_BYTES / 4) + word] ?? 0
  }
}
