// Step 7. Runs on: pool.
// The typed face of the render kernel: frames in, rendered records out. Nobody else sees addresses. JavaScript is called
// for new targets, doubles that need the engine, and what a program asks for (patterns, steps, joins).

import { randomBytes } from 'node:crypto'
import { invariant } from '../core/invariant.ts'
import { FRAME_PAYLOAD_BYTES_MAX, RECORD_BYTES_MAX } from '../core/limits.ts'
import { REASON_TARGET } from './codes.ts'
import { createFrameHash, type FrameHash, type HashExports } from './frame-hash.ts'
import { instantiateKernel, type Kernel } from './instance.ts'
import { type MemoryCopy, memoryCopy } from './memory-copy.ts'
import { RenderCalls } from './render-calls.ts'
import type { RenderExports } from './render-exports.ts'
import type {
  FramePlace,
  JoinedFate,
  JoinedRecord,
  LoadedProgram,
  RenderImports,
  RenderKernelFace,
  RunStop,
  StepCount,
  TaskLimits,
  VerdictRun
} from './render-face.ts'
import { counterName, FATES, STOPS } from './render-names.ts'
import { KernelProgram, ProgramSlots } from './render-programs.ts'
import { RenderRows, ROW_BYTES } from './render-rows.ts'

const MIB = 1024 * 1024

/** Addresses to reserve: 24 MiB of them are left for the output. Only touched pages are memory. */
export const RENDER_MEMORY_BYTES = 112 * MIB
/** Holds the largest frame with its header. */
const INPUT_BYTES = FRAME_PAYLOAD_BYTES_MAX + RECORD_BYTES_MAX
/** Twice the largest record and room for what a hash over its keys takes. */
const ARENA_BYTES = 24 * MIB
/** First member of a joined record and the joined text. */
const JOINED_BYTES = RECORD_BYTES_MAX + 4 * MIB
const TARGET_BYTES = 4 * MIB
const VERDICT_RUN_BYTES = 16
const VERDICT_RUNS_MAX = 65_536
const FINISHED_RANGE_BYTES = 16
/** Ranges of a cursor (CURSOR_RANGES_MAX) and single entries that a task has to leave out. */
const FINISHED_RANGES_MAX = 8192
/** Rendered records of one task. */
export const RENDER_ROWS_MAX = 131_072

export interface RenderKernelOptions {
  readonly imports: RenderImports
  readonly memoryBytes?: number
  /** Seed of the key dictionary; random unless a test needs it. */
  readonly seed?: bigint
}

export class RenderKernel implements RenderKernelFace {
  readonly input: Buffer
  readonly output: Buffer
  readonly rows: RenderRows
  /** For the frames in `input`. */
  readonly hash: FrameHash
  readonly #kernel: Kernel<RenderExports & HashExports>
  readonly #calls: RenderCalls
  readonly #programs: ProgramSlots
  readonly #inputByte: number
  readonly #outputByte: number
  readonly #joinedByte: number
  readonly #verdictByte: number
  readonly #finishedByte: number
  /** By the memory of an output's slots. */
  readonly #copies = new WeakMap<WebAssembly.Memory, MemoryCopy>()
  #logId: Uint8Array = new Uint8Array(8)
  #epoch = 0

  constructor(options: RenderKernelOptions) {
    this.#calls = new RenderCalls(options.imports)
    const kernel = instantiateKernel<RenderExports & HashExports>({
      memoryBytes: options.memoryBytes ?? RENDER_MEMORY_BYTES,
      imports: this.#calls.functions
    })
    this.#kernel = kernel
    this.hash = createFrameHash(kernel)
    this.#calls.bind(kernel)
    kernel.exports.initRender(options.seed ?? randomBytes(8).readBigUInt64LE())
    this.#programs = new ProgramSlots(kernel)
    const arena = kernel.reserve(ARENA_BYTES)
    const rowIndex = kernel.reserve(RENDER_ROWS_MAX * ROW_BYTES)
    this.#verdictByte = kernel.reserve(VERDICT_RUNS_MAX * VERDICT_RUN_BYTES)
    this.#finishedByte = kernel.reserve(FINISHED_RANGES_MAX * FINISHED_RANGE_BYTES)
    const targets = kernel.reserve(TARGET_BYTES)
    this.#joinedByte = kernel.reserve(JOINED_BYTES)
    this.#inputByte = kernel.reserve(INPUT_BYTES)
    const outputBytes = kernel.freeBytes()
    invariant(outputBytes >= MIB, 'kernel memory leaves less than 1 MiB for rendered records')
    this.#outputByte = kernel.reserve(outputBytes)
    const { memory, exports } = kernel
    exports.renderAreas(
      arena,
      ARENA_BYTES,
      this.#outputByte,
      rowIndex,
      this.#verdictByte,
      this.#finishedByte,
      targets
    )
    this.input = memory.subarray(this.#inputByte, this.#inputByte + INPUT_BYTES)
    this.output = memory.subarray(this.#outputByte, this.#outputByte + outputBytes)
    this.rows = new RenderRows(
      new Uint32Array(memory.buffer, rowIndex, (RENDER_ROWS_MAX * ROW_BYTES) / 4)
    )
  }

  get outputByteCount(): number {
    return this.#kernel.exports.renderedEnd() - this.#outputByte
  }

  takeOutput(into: WebAssembly.Memory, atByte: number): number {
    const byteCount = this.outputByteCount
    let copy = this.#copies.get(into)
    if (copy === undefined) {
      copy = memoryCopy(this.#kernel.wasmMemory, into)
      this.#copies.set(into, copy)
    }
    copy(atByte, this.#outputByte, byteCount)
    this.#kernel.exports.takeOutput()
    return byteCount
  }

  get targets(): readonly string[] {
    return this.#calls.targets
  }

  get resumeOffset(): number {
    return Number(this.#kernel.exports.resumeOffset())
  }

  /** Bytes that were no UTF-8, and entries whose time could not be read, since `begin`. */
  get invalidByteCount(): number {
    return Number(this.#kernel.exports.invalidByteCount())
  }

  get badTimeCount(): number {
    return Number(this.#kernel.exports.badTimeCount())
  }

  loadProgram(bytes: Uint8Array): LoadedProgram {
    return new KernelProgram(bytes)
  }

  begin(program: LoadedProgram, limits: TaskLimits): void {
    const loaded = asKernelProgram(program)
    this.#programs.use(loaded)
    this.#calls.beginTask(loaded.patterns)
    const outputBytesMax = Math.min(limits.outputBytesMax, this.output.length)
    const rowsMax = Math.min(limits.rowsMax, RENDER_ROWS_MAX)
    this.#kernel.exports.beginTask(outputBytesMax, rowsMax)
    this.rows.count = 0
  }

  setShard(logId: Uint8Array, epoch: number): void {
    this.#logId = logId
    this.#epoch = epoch
    this.#calls.epoch = epoch
    this.#applyShard(epoch)
  }

  setFinished(fromOffset: number, ranges: readonly (readonly [number, number])[]): void {
    invariant(ranges.length <= FINISHED_RANGES_MAX, `${ranges.length} finished ranges`)
    let at = this.#finishedByte
    for (const [first, end] of ranges) {
      this.#kernel.memory.writeBigUInt64LE(BigInt(first), at)
      this.#kernel.memory.writeBigUInt64LE(BigInt(end), at + 8)
      at += FINISHED_RANGE_BYTES
    }
    this.#kernel.exports.setFinished(BigInt(fromOffset), ranges.length)
  }

  setOpenGroups(isAnyOpen: boolean): void {
    this.#kernel.exports.setOpenGroups(isAnyOpen)
  }

  run(frame: FramePlace): RunStop {
    invariant(
      frame.startByte >= 0 &&
        frame.startByte <= frame.endByte &&
        frame.endByte <= this.input.length,
      'a frame lies outside of the input area'
    )
    this.#calls.appendTimeMs = frame.appendTimeMs
    this.#kernel.exports.beginFrame(
      this.#inputByte + frame.startByte,
      this.#inputByte + frame.endByte,
      BigInt(frame.firstOffset),
      BigInt(frame.appendTimeMs)
    )
    return this.resume()
  }

  resume(): RunStop {
    const stop = this.#kernel.exports.runFrame()
    this.rows.count = this.#kernel.exports.renderedCount()
    return STOPS[stop] ?? 'damaged'
  }

  renderJoined(record: JoinedRecord): JoinedFate {
    const { exports, memory } = this.#kernel
    const parts = [record.entry, record.tag, record.source, record.text]
    const byteCount = parts.reduce((sum, part) => sum + part.length + 16, 0)
    if (byteCount > JOINED_BYTES) return { kind: 'dead_letter', step: 0, reason: 'too_large' }
    let next = this.#joinedByte
    const [entry = 0, tag = 0, source = 0, text = 0] = parts.map((part) => {
      const place = next
      memory.set(part, place)
      next += (part.length + 15) & ~15
      return place
    })
    if (record.epoch !== this.#epoch) this.#applyShard(record.epoch)
    exports.setJoinedPlace(
      BigInt(record.offset),
      BigInt(record.appendTimeMs),
      tag,
      record.tag.length,
      source,
      record.source.length
    )
    const outcome = exports.runJoined(
      entry,
      entry + record.entry.length,
      record.form,
      text,
      record.text.length,
      record.isIncomplete,
      record.memberList,
      Buffer.from(record.idSuffix, 'latin1').readInt32LE(0)
    )
    if (record.epoch !== this.#epoch) this.#applyShard(this.#epoch)
    this.rows.count = exports.renderedCount()
    return this.#joinedFate(outcome)
  }

  /** For tests of the wrap of record generations. */
  presetGeneration(generation: number): void {
    this.#kernel.exports.setGeneration(generation | 0)
  }

  verdicts(): readonly VerdictRun[] {
    const { memory, exports } = this.#kernel
    return Array.from({ length: exports.verdictCount() }, (_, run) => {
      const at = this.#verdictByte + run * VERDICT_RUN_BYTES
      const word = memory.readUInt32LE(at + 12)
      return {
        firstOffset: Number(memory.readBigUInt64LE(at)),
        count: memory.readUInt32LE(at + 8),
        fate: FATES[word & 15] ?? 'dead_letter',
        step: (word >>> 4) & 0xfff,
        reason: this.#reasonName(word >>> 16)
      }
    })
  }

  takeCounters(program: LoadedProgram): readonly StepCount[] {
    return this.#programs.takeCounters(asKernelProgram(program))
  }

  #joinedFate(outcome: number): JoinedFate {
    if (outcome === JOINED_OUT) return { kind: 'out' }
    if (outcome === JOINED_FULL) return { kind: 'full' }
    const word = this.#kernel.exports.joinedReason()
    return {
      kind: outcome === JOINED_DROPPED ? 'dropped' : 'dead_letter',
      step: word & 0xff,
      reason: this.#reasonName(word >>> 8)
    }
  }

  #reasonName(reason: number): string {
    if (reason === 0) return ''
    return reason < REASON_TARGET
      ? counterName(reason)
      : this.#calls.refusal(reason - REASON_TARGET)
  }

  #applyShard(epoch: number): void {
    const logId = Buffer.from(this.#logId)
    this.#kernel.exports.setShard(logId.readInt32BE(0), logId.readInt32BE(4), epoch | 0)
  }
}

// Outcomes of runJoined.
const JOINED_OUT = 0
const JOINED_DROPPED = 1
const JOINED_FULL = 3

function asKernelProgram(program: LoadedProgram): KernelProgram {
  invariant(program instanceof KernelProgram, 'the program was not loaded by this kernel')
  return program
}
