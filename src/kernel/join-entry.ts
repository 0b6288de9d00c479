// Step 7. Runs on: pool.
// An entry as a join sees it, read from the words that the kernel left for it (assembly/join.ts).

import type { JoinEntry } from './render-face.ts'

/** Byte places in the kernel's words. */
const PLACE = {
  entry: 0,
  entryEnd: 4,
  form: 8,
  isFinished: 12,
  offset: 16,
  tag: 24,
  tagBytes: 28,
  source: 32,
  sourceBytes: 36,
  fieldCount: 40,
  fields: 48
} as const

export class KernelJoinEntry implements JoinEntry {
  epoch = 0
  appendTimeMs = 0
  readonly #memory: Buffer
  readonly #place: number

  constructor(memory: Buffer, place: number) {
    this.#memory = memory
    this.#place = place
  }

  get offset(): number {
    return Number(this.#memory.readBigUInt64LE(this.#place + PLACE.offset))
  }

  get isFinished(): boolean {
    return this.#word(PLACE.isFinished) !== 0
  }

  get form(): 1 | 2 {
    return this.#word(PLACE.form) === 2 ? 2 : 1
  }

  get tag(): Buffer {
    return this.#view(this.#word(PLACE.tag), this.#word(PLACE.tagBytes))
  }

  get source(): Buffer {
    return this.#view(this.#word(PLACE.source), this.#word(PLACE.sourceBytes))
  }

  get entry(): Buffer {
    const start = this.#word(PLACE.entry)
    return this.#view(start, this.#word(PLACE.entryEnd) - start)
  }

  field(index: number): Buffer | null {
    if (index >= this.#word(PLACE.fieldCount)) return null
    const at = PLACE.fields + index * 8
    const start = this.#word(at)
    return start === 0 ? null : this.#view(start, this.#word(at + 4))
  }

  #view(start: number, byteCount: number): Buffer {
    return this.#memory.subarray(start, start + byteCount)
  }

  #word(place: number): number {
    return this.#memory.readUInt32LE(this.#place + place)
  }
}
