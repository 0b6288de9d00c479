// Steps 2 and 3. Runs on: ingest.
// Entries of a body that are too many for memory: in a spool file, piece by piece, checked when they come and read again
// when they are stored. Limit: one piece in memory.

import { invariant } from '../../../src/core/invariant.ts'
import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'
import type { LongMessage, PartReader, Run, SpoolFile, Spools } from '../../../src/plugin/input.ts'
import { entryRuns, refusedBytes } from '../../../src/plugin/unit-runs.ts'

export class LongEntries {
  recordCount = 0
  readonly #kernel: ScanKernel
  readonly #file: SpoolFile
  /** Bytes of each piece; all of them hold records. */
  readonly #pieceBytes: number[] = []

  /** Throws MR_STORE_IO when the disk fails. */
  constructor(kernel: ScanKernel, spools: Spools) {
    this.#kernel = kernel
    this.#file = spools.open()
  }

  /** Gives what of the piece is no record, or null; `full`: the volume has no room. Throws when the disk fails. */
  add(piece: Buffer): Buffer | null | 'full' {
    this.#kernel.scanBody(piece)
    const unit = this.#kernel.unit(0)
    const isWhole = unit.invalidTotal === 0 && unit.giveUpReason === null
    const refused = isWhole ? null : refusedBytes(unit, piece)
    if (unit.recordCount > 0) {
      if (!this.#file.hasRoom || !this.#file.append(piece)) return 'full'
      this.#pieceBytes.push(piece.length)
      this.recordCount += unit.recordCount
    }
    return refused
  }

  message(tag: Buffer): LongMessage {
    const { byteCount } = this.#file
    return {
      tag,
      ingestId: null,
      recordCount: this.recordCount,
      byteCount,
      read: () => new PieceReader(this.#kernel, this.#file, this.#pieceBytes, tag)
    }
  }

  release(): void {
    this.#file.close()
  }
}

class PieceReader implements PartReader {
  readonly #kernel: ScanKernel
  readonly #file: SpoolFile
  readonly #pieceBytes: readonly number[]
  readonly #tag: Buffer
  #piece = 0
  #atByte = 0
  #block: Buffer | null = null
  #runs: Run[] = []

  constructor(kernel: ScanKernel, file: SpoolFile, pieceBytes: readonly number[], tag: Buffer) {
    this.#kernel = kernel
    this.#file = file
    this.#pieceBytes = pieceBytes
    this.#tag = tag
  }

  next(): { readonly run: Run; readonly isLast: boolean } | null {
    if (this.#runs.length === 0) this.#read()
    const run = this.#runs.shift()
    if (run === undefined) return null
    return { run, isLast: this.#runs.length === 0 && this.#piece === this.#pieceBytes.length }
  }

  close(): void {
    if (this.#block !== null) this.#kernel.giveBack(this.#block)
    this.#block = null
    this.#runs = []
  }

  #read(): void {
    this.close()
    const byteCount = this.#pieceBytes[this.#piece]
    if (byteCount === undefined) return
    this.#block = this.#kernel.borrow(byteCount)
    // The request is answered "come again".
    invariant(this.#block !== null, `no memory for a part of ${byteCount} bytes`)
    const bytes = this.#block.subarray(0, byteCount)
    this.#file.read(bytes, this.#atByte)
    this.#atByte += byteCount
    this.#piece++
    this.#kernel.scanBody(bytes)
    this.#runs = entryRuns(this.#kernel.unit(0), bytes, this.#tag, null, () => this.#tag)
  }
}
