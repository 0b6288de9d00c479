// Runs on: ingest.
// Cuts the entries of a message by the value of a field, so that each lane of a route gets its own. The kernel finds the
// field and gathers the bytes; JavaScript sees one part per lane and chunk of entries, never a record.
// Limits: LANES_MAX lanes; CHUNK_BYTES_MAX bytes or STRETCHES_MAX changes of lane per chunk.

import { invariant } from '../core/invariant.ts'
import { LANES_MAX } from '../core/limits.ts'
import { type Kernel, TAIL_BYTES } from './instance.ts'
import type { BlockLender } from './json-converter.ts'

export interface LaneExports {
  laneSetTables(rows: number, rowsMax: number, lanes: number): void
  laneBegin(path: number, pathBytes: number): void
  laneSplit(
    start: number,
    end: number,
    form: number,
    laneCount: number,
    otherLane: number,
    bytesMax: number
  ): number
  laneRowCount(): number
  laneGather(target: number, laneCount: number): void
}

/** Entries of one lane, in their order. */
export interface LanePart {
  readonly lane: number
  readonly recordCount: number
  readonly entries: Buffer
}

export interface LaneRule {
  /** Names of keys, from the record inward. */
  readonly path: readonly string[]
  readonly laneCount: number
  /** Lane of records without the field. */
  readonly otherLane: number
}

const STRETCHES_MAX = 16_384
const ROW_BYTES = 12
const LANE_BYTES = 16
const PATH_BYTES_MAX = 4096
/** One frame holds it, whatever the lane. */
const CHUNK_BYTES_MAX = 4 * 1024 * 1024

export class LaneSplitter {
  readonly #kernel: Kernel<LaneExports>
  readonly #blocks: BlockLender
  readonly #rowsByte: number
  readonly #lanesByte: number
  readonly #pathByte: number
  /** What the path area holds. */
  #path: readonly string[] | null = null
  #pathBytes = 0
  #lent: Buffer[] = []

  constructor(kernel: Kernel<LaneExports>, blocks: BlockLender) {
    this.#kernel = kernel
    this.#blocks = blocks
    this.#rowsByte = kernel.reserve(STRETCHES_MAX * ROW_BYTES)
    this.#lanesByte = kernel.reserve(LANES_MAX * LANE_BYTES)
    this.#pathByte = kernel.reserve(PATH_BYTES_MAX)
    kernel.exports.laneSetTables(this.#rowsByte, STRETCHES_MAX, this.#lanesByte)
  }

  /**
   * Parts of a run of valid entries, those of one lane in order; views that are good until `release`. Null: no memory,
   * which is a matter of time.
   */
  split(entries: Buffer, form: 1 | 2, rule: LaneRule): LanePart[] | null {
    const { exports, memory } = this.#kernel
    invariant(rule.laneCount <= LANES_MAX, `${rule.laneCount} lanes`)
    const bytes = entries.buffer === memory.buffer ? entries : this.#copyOf(entries)
    if (bytes === null) return null
    this.#usePath(rule.path)
    exports.laneBegin(this.#pathByte, this.#pathBytes)
    const parts: LanePart[] = []
    const end = bytes.byteOffset + bytes.length
    for (let at = bytes.byteOffset; at < end; ) {
      const { laneCount, otherLane } = rule
      const next = exports.laneSplit(at, end, form, laneCount, otherLane, CHUNK_BYTES_MAX)
      invariant(next > at && next <= end, 'a run for lanes does not end where its last entry does')
      if (!this.#gather(parts, at, laneCount)) return null
      at = next
    }
    return parts
  }

  /** Ends the use of all parts since the last call. */
  release(): void {
    for (const block of this.#lent) this.#blocks.giveBack(block)
    this.#lent.length = 0
  }

  #gather(parts: LanePart[], chunkByte: number, laneCount: number): boolean {
    const { exports, memory } = this.#kernel
    const rowCount = exports.laneRowCount()
    if (rowCount === 0) return true
    if (rowCount === 1) {
      const lane = memory.readUInt32LE(this.#rowsByte)
      const start = chunkByte + memory.readInt32LE(this.#rowsByte + 4)
      const end = chunkByte + memory.readInt32LE(this.#rowsByte + 8)
      const recordCount = this.#laneWord(lane, 1)
      parts.push({ lane, recordCount, entries: memory.subarray(start, end) })
      return true
    }
    let byteCount = 0
    for (let lane = 0; lane < laneCount; lane++) byteCount += this.#laneWord(lane, 0)
    const target = this.#lend(byteCount)
    if (target === null) return false
    exports.laneGather(target.byteOffset, laneCount)
    let at = 0
    for (let lane = 0; lane < laneCount; lane++) {
      const laneBytes = this.#laneWord(lane, 0)
      if (laneBytes === 0) continue
      const recordCount = this.#laneWord(lane, 1)
      parts.push({ lane, recordCount, entries: target.subarray(at, at + laneBytes) })
      at += laneBytes
    }
    return true
  }

  #laneWord(lane: number, word: number): number {
    return this.#kernel.memory.readUInt32LE(this.#lanesByte + lane * LANE_BYTES + word * 4)
  }

  /** MessagePack texts side by side. */
  #usePath(path: readonly string[]): void {
    if (this.#path === path) return
    const { memory } = this.#kernel
    let at = this.#pathByte
    for (const name of path) {
      const byteCount = Buffer.byteLength(name)
      const next = at + 3 + byteCount
      invariant(next <= this.#pathByte + PATH_BYTES_MAX, 'the path of a lane key is too long')
      memory[at] = 0xda
      memory.writeUInt16BE(byteCount, at + 1)
      memory.write(name, at + 3)
      at = next
    }
    this.#pathBytes = at - this.#pathByte
    this.#path = path
  }

  #copyOf(entries: Buffer): Buffer | null {
    const copy = this.#lend(entries.length)
    copy?.set(entries)
    return copy?.subarray(0, entries.length) ?? null
  }

  #lend(byteCount: number): Buffer | null {
    const block = this.#blocks.borrow(byteCount + TAIL_BYTES)
    if (block !== null) this.#lent.push(block)
    return block
  }
}
