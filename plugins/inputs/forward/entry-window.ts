// Step 2. Runs on: ingest.
// A long body in parts: the bytes of a part lie in kernel memory behind what the part before left over, with the group
// marker that is open in front of both. Limit: the longest entry and one part (about 9 MiB), usually 2 MiB.

import { MillraceError } from '../../../src/core/errors.ts'
import { MESSAGE_PART_BYTES, RECORD_BYTES_MAX } from '../../../src/core/limits.ts'
import { PartProgress, type ScanKernel } from '../../../src/kernel/scan-kernel.ts'
import type { ScanUnit } from '../../../src/kernel/scan-unit.ts'

/** An entry that is not whole in so many bytes is too large to be one. */
const ENTRY_BYTES_MAX = RECORD_BYTES_MAX + MESSAGE_PART_BYTES

export interface ScannedPart {
  readonly unit: ScanUnit
  /** What the places of the unit point into. */
  readonly bytes: Buffer
  /** Place in the body of byte 0 of `bytes`; negative while a marker lies in front. */
  readonly bodyByte: number
}

export class EntryWindow {
  readonly #kernel: ScanKernel
  readonly #progress: PartProgress
  #block: Buffer
  #markerBytes = 0
  /** Bytes of the body in the block, behind the marker, and the place of the first of them. */
  #bodyBytes = 0
  #bodyByte = 0
  /** Of an entry that is too large: bytes and values that are still to be passed over; null: none is. */
  #skipping: { byteCount: number; valuesLeft: number } | null = null
  /** Entries that were too large. */
  tooLargeCount = 0
  /** Of the last scan, whose state in the kernel the next connection overwrites. */
  #marker = Buffer.alloc(0)
  #consumedBytes = 0

  /** `entryCount`: of an array; null: up to the end of the body. */
  constructor(kernel: ScanKernel, entryCount: number | null) {
    this.#kernel = kernel
    this.#progress = new PartProgress(entryCount ?? Number.POSITIVE_INFINITY, entryCount !== null)
    this.#block = borrow(kernel, 2 * MESSAGE_PART_BYTES)
  }

  /** Bytes of the body that were looked at, whole entries only. */
  get consumedBytes(): number {
    return this.#bodyByte
  }

  /** Bytes that are kept for the next part. */
  get restBytes(): number {
    return this.#bodyBytes
  }

  /** All entries of an array are read. */
  get isComplete(): boolean {
    return this.#progress.entriesLeft === 0
  }

  /** Where the next `byteCount` bytes of the body belong; `scan` follows when they are there. */
  room(byteCount: number): Buffer {
    const start = this.#markerBytes + this.#bodyBytes
    if (start + byteCount > this.#block.length) {
      const larger = borrow(this.#kernel, start + byteCount)
      this.#block.copy(larger, 0, 0, start)
      this.#kernel.giveBack(this.#block)
      this.#block = larger
    }
    this.#bodyBytes += byteCount
    return this.#block.subarray(start, start + byteCount)
  }

  /** The whole entries that are there now. Null: the stream cannot be read on. Call `advance` when done with them. */
  scan(): ScannedPart | null {
    if (this.#skipping !== null) this.#skip()
    const bytes = this.#block.subarray(0, this.#markerBytes + this.#bodyBytes)
    const bodyByte = this.#bodyByte - this.#markerBytes
    if (!this.#kernel.scanPart(bytes, this.#markerBytes, this.#progress)) return null
    this.#marker = Buffer.from(this.#kernel.openMarker(bytes))
    this.#consumedBytes = this.#kernel.consumedBytes
    return { unit: this.#kernel.unit(0), bytes, bodyByte }
  }

  /** Keeps what is behind the last whole entry. */
  advance(part: ScannedPart): void {
    const kernel = this.#kernel
    const marker = this.#marker
    const consumedBytes = this.#consumedBytes
    const rest = part.bytes.subarray(consumedBytes)
    this.#bodyByte += consumedBytes - this.#markerBytes
    this.#bodyBytes = rest.length
    this.#markerBytes = marker.length
    if (marker.length + rest.length > this.#block.length) {
      const larger = borrow(kernel, marker.length + rest.length)
      rest.copy(larger, marker.length)
      kernel.giveBack(this.#block)
      this.#block = larger
    } else rest.copy(this.#block, marker.length)
    marker.copy(this.#block)
    if (this.#bodyBytes > ENTRY_BYTES_MAX && !this.isComplete) this.#beginSkip()
  }

  /** Safe to call twice. */
  release(): void {
    if (this.#block.length > 0) this.#kernel.giveBack(this.#block)
    this.#block = Buffer.alloc(0)
  }

  #beginSkip(): void {
    this.#skipping = { byteCount: 0, valuesLeft: 1 }
    this.tooLargeCount++
    this.#progress.entriesLeft--
    this.#progress.entriesRead++
    this.#progress.invalidRun++
    this.#skip()
  }

  /** Passes over what is there of an entry that is too large. */
  #skip(): void {
    const skipping = this.#skipping
    if (skipping === null) return
    const bytes = this.#block.subarray(this.#markerBytes, this.#markerBytes + this.#bodyBytes)
    let byteCount = Math.min(skipping.byteCount, bytes.length)
    skipping.byteCount -= byteCount
    if (skipping.byteCount === 0 && byteCount < bytes.length) {
      const rest = bytes.subarray(byteCount)
      const skipped = this.#kernel.skip(rest, skipping.valuesLeft, Number.MAX_SAFE_INTEGER)
      const there = Math.min(skipped.byteCount, rest.length)
      byteCount += there
      // Nobody can tell where it ends: it takes the rest of the body with it.
      if (skipped.status === 'wrong') skipping.byteCount = Number.MAX_SAFE_INTEGER
      else skipping.byteCount = skipped.byteCount - there
      skipping.valuesLeft = skipped.valuesLeft
    }
    bytes.copy(bytes, 0, byteCount)
    this.#bodyByte += byteCount
    this.#bodyBytes -= byteCount
    if (skipping.byteCount === 0 && skipping.valuesLeft === 0) this.#skipping = null
  }

  /** An entry is being passed over. */
  get isSkipping(): boolean {
    return this.#skipping !== null
  }
}

function borrow(kernel: ScanKernel, byteCount: number): Buffer {
  const block = kernel.borrow(byteCount)
  if (block === null) {
    throw new MillraceError(
      'MR_INPUT_MESSAGE',
      `no memory for ${byteCount} bytes of a long message: its sender has to send it again`
    )
  }
  return block
}
