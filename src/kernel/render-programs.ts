// Step 7. Runs on: pool.
// Programs within the kernel: at most PROGRAMS_MAX are held, each with its dictionary and counters; the one that was not
// used for longest leaves. A program that left is loaded again from its bytes when a task needs it.

import { MillraceError } from '../core/errors.ts'
import { COUNTERS_PER_STEP, PROGRAM_BYTES_MAX, PROGRAM_MAGIC } from './codes.ts'
import type { Kernel } from './instance.ts'
import { checkProgram } from './program-check.ts'
import { HEADER_BYTES } from './program-data.ts'
import { HEADER } from './program-header.ts'
import type { RenderExports } from './render-exports.ts'
import type { LoadedProgram, StepCount } from './render-face.ts'
import { counterName } from './render-names.ts'

export const PROGRAMS_MAX = 16
const COUNTER_BYTES = 8

interface Slot {
  readonly address: number
  program: KernelProgram | null
  /** Grows with each use. */
  usedAt: number
  /** Of the dictionary, while another program runs. */
  state: readonly number[]
}

/** A program and its compiled patterns. */
export class KernelProgram implements LoadedProgram {
  readonly bytes: Buffer
  readonly patterns: readonly RegExp[]
  readonly stepCount: number
  readonly isQuotedTwice: boolean

  constructor(bytes: Uint8Array) {
    this.bytes = Buffer.from(bytes)
    const isWhole =
      bytes.length <= PROGRAM_BYTES_MAX &&
      bytes.length > HEADER_BYTES &&
      this.word(HEADER.magic) === PROGRAM_MAGIC &&
      this.word(HEADER.byteCount) === bytes.length
    if (!isWhole) {
      throw new MillraceError('MR_TASK', `${bytes.length} bytes are no program of this version`)
    }
    checkProgram(this.bytes)
    this.stepCount = this.word(HEADER.stepCount)
    this.isQuotedTwice = this.word(HEADER.framing) !== 0
    this.patterns = this.table(HEADER.patterns, 4).map(
      ([source = 0, sourceBytes = 0, flags = 0, flagBytes = 0]) =>
        new RegExp(this.text(source, sourceBytes), this.text(flags, flagBytes))
    )
  }

  word(address: number): number {
    return this.bytes.readUInt32LE(address)
  }

  text(address: number, byteCount: number): string {
    return this.bytes.toString('utf8', address, address + byteCount)
  }

  /** Rows of a table whose address and count stand in the header. */
  table(place: number, words: number): readonly (readonly number[])[] {
    const address = this.word(place)
    return Array.from({ length: this.word(place + 4) }, (_, row) =>
      Array.from({ length: words }, (_, column) => this.word(address + (row * words + column) * 4))
    )
  }
}

export class ProgramSlots {
  readonly #kernel: Kernel<RenderExports>
  readonly #slots: readonly Slot[]
  #current: Slot | null = null
  #useCount = 0

  constructor(kernel: Kernel<RenderExports>) {
    this.#kernel = kernel
    const byteCount = kernel.exports.programSlotBytes()
    this.#slots = Array.from({ length: PROGRAMS_MAX }, () => ({
      address: kernel.reserve(byteCount),
      program: null,
      usedAt: 0,
      state: []
    }))
  }

  /** Makes the program the one that runs. */
  use(program: KernelProgram): void {
    const slot = this.#slotOf(program) ?? this.#load(program)
    slot.usedAt = ++this.#useCount
    if (slot === this.#current) return
    this.#leave()
    const { exports } = this.#kernel
    exports.useSlot(slot.address)
    const [ids = 0, fixedIds = 0, textBytes = 0, fixedTextBytes = 0, wraps = 0] = slot.state
    exports.restoreDictionary(
      ids,
      fixedIds,
      textBytes,
      fixedTextBytes,
      wraps,
      program.isQuotedTwice
    )
    this.#current = slot
  }

  /** Counters since they were last taken; a program that left takes its counters with it, so tasks take them at their end. */
  takeCounters(program: KernelProgram): readonly StepCount[] {
    const slot = this.#slotOf(program)
    if (slot === undefined) return []
    const { memory, exports } = this.#kernel
    const start = exports.programCounters(slot.address)
    const counts: StepCount[] = []
    for (let step = 0; step <= program.stepCount; step++) {
      for (let counter = 0; counter < COUNTERS_PER_STEP; counter++) {
        const at = start + (step * COUNTERS_PER_STEP + counter) * COUNTER_BYTES
        const low = memory.readUInt32LE(at)
        const high = memory.readUInt32LE(at + 4)
        if (low === 0 && high === 0) continue
        counts.push({ step, counter: counterName(counter), count: high * 2 ** 32 + low })
        memory.writeBigUInt64LE(0n, at)
      }
    }
    return counts
  }

  #slotOf(program: KernelProgram): Slot | undefined {
    return this.#slots.find((slot) => slot.program === program)
  }

  #leave(): void {
    if (this.#current === null) return
    const { exports } = this.#kernel
    this.#current.state = [0, 1, 2, 3, 4].map((which) => exports.dictionaryState(which))
  }

  #load(program: KernelProgram): Slot {
    const slot = this.#slots.reduce((oldest, each) => (each.usedAt < oldest.usedAt ? each : oldest))
    this.#leave()
    const { exports, memory } = this.#kernel
    memory.set(program.bytes, slot.address)
    exports.loadSlot(slot.address)
    for (const [address = 0, byteCount = 0] of program.table(HEADER.keys, 2)) {
      if (exports.internKey(slot.address + address, byteCount) === 0) {
        throw new MillraceError('MR_TASK', 'the keys of the program do not fit its dictionary')
      }
    }
    exports.sealDictionary()
    slot.program = program
    this.#current = slot
    return slot
  }
}
