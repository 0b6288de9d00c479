// Step 7. Runs on: pool.
// Rendered rows on their way into the slot. Where the body is the rows as rendered they leave kernel memory in pieces that
// are still in the cache, and the next ones are rendered over them: 4 MiB written once there and once in the slot would
// both go through main memory.

import { invariant } from '../core/invariant.ts'
import type { RenderKernelFace } from '../kernel/render-face.ts'

/** Smaller pieces wait for more. */
const PIECE_BYTES_MIN = 256 * 1024

/** Where a task's bodies go. */
export interface SlotPlace {
  readonly memory: WebAssembly.Memory
  readonly startByte: number
  readonly byteCount: number
}

export class SlotOutput {
  readonly #face: RenderKernelFace
  readonly #slot: SlotPlace
  #byteCount = 0

  constructor(face: RenderKernelFace, slot: SlotPlace) {
    this.#face = face
    this.#slot = slot
  }

  /** Between frames. */
  takePiece(): void {
    if (this.#face.outputByteCount >= PIECE_BYTES_MIN) this.#take()
  }

  /** All rows of the task, in the slot. */
  takeAll(): Buffer {
    this.#take()
    const { memory, startByte } = this.#slot
    return Buffer.from(memory.buffer, startByte, this.#byteCount)
  }

  #take(): void {
    const { byteCount, memory, startByte } = this.#slot
    const endByte = this.#byteCount + this.#face.outputByteCount
    invariant(endByte <= byteCount, `${endByte} rendered bytes for a slot of ${byteCount}`)
    this.#byteCount += this.#face.takeOutput(memory, startByte + this.#byteCount)
  }
}
