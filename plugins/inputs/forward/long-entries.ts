// Steps 2 and 3. Runs on: ingest.
// The entries of a body that is not in memory: checked part by part as it appears, then read again part by part while they
// are stored. The second reading ends where the last valid entry of the first one did, so both see the same runs.
// Batches within a batch are left out here: no sender makes them that long.

import type { ByteSource } from '../../../src/codec/zstd-frames.ts'
import { MESSAGE_PART_BYTES } from '../../../src/core/limits.ts'
import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'
import {
  type GiveUpReason,
  INVALID_REASONS,
  type InvalidReason
} from '../../../src/kernel/scan-unit.ts'
import type { LongMessage, PartReader, Run } from '../../../src/plugin/input.ts'
import { entryRuns } from '../../../src/plugin/unit-runs.ts'
import { EntryWindow } from './entry-window.ts'

/** Pieces of a body that are no entries; a body with more is given up. */
const GAPS_MAX = 4096

export interface Gap {
  readonly startByte: number
  endByte: number
}

/** What the check of a body found. */
export class LongCheck {
  recordCount = 0
  badTimeCount = 0
  markerCount = 0
  giveUpReason: GiveUpReason | null = null
  /** An array within the stream cannot be read on. */
  isBroken = false
  readonly invalid = new Map<InvalidReason, number>()
  readonly gaps: Gap[] = []
  /** Behind the last valid entry. */
  lastEndByte = 0
  readonly #window: EntryWindow
  /** Behind what is valid or a gap by now. */
  #seenByte = 0

  /** `entryCount`: of an array; null: entries up to the end. */
  constructor(kernel: ScanKernel, entryCount: number | null) {
    this.#window = new EntryWindow(kernel, entryCount)
  }

  get isOver(): boolean {
    return this.giveUpReason !== null || this.isBroken || this.#window.isComplete
  }

  /** Bytes of the body that entries take; behind them are the options of an array. */
  get bodyBytes(): number {
    return this.#window.consumedBytes
  }

  /** Where the next bytes belong. */
  room(byteCount: number): Buffer {
    return this.#window.room(byteCount)
  }

  /** Looks at what was put there. */
  look(): void {
    const part = this.#window.scan()
    if (part === null) {
      this.isBroken = true
      return
    }
    const { bodyByte, unit } = part
    // What was passed over since the part before: an entry that is too large.
    this.#gapTo(bodyByte + unit.bodyStartByte)
    this.recordCount += unit.recordCount
    this.badTimeCount += unit.badTimeCount
    this.markerCount += unit.markerCount
    for (const reason of INVALID_REASONS) this.#count(reason, unit.invalidCount(reason))
    for (let span = 0; span < unit.spanCount; span++) {
      this.#gapTo(bodyByte + unit.spanStartByte(span))
      this.#seenByte = bodyByte + unit.spanEndByte(span)
      this.lastEndByte = this.#seenByte
    }
    this.giveUpReason ??= unit.giveUpReason
    // Markers behind the last entry are no records and nothing to keep.
    if (unit.invalidTotal === 0 && unit.giveUpReason === null) {
      this.#seenByte = Math.max(this.#seenByte, bodyByte + unit.bodyEndByte)
    }
    if (this.gaps.length >= GAPS_MAX) this.giveUpReason ??= 'scattered_invalid'
    this.#window.advance(part)
  }

  /** The body ended after `byteCount` bytes. */
  finish(byteCount: number): void {
    const { restBytes, isSkipping, tooLargeCount } = this.#window
    this.#count('too_large', tooLargeCount)
    const isCut = restBytes > 0 && !this.#window.isComplete && this.giveUpReason === null
    if (isCut && !isSkipping) this.#count('cut_short', 1)
    this.#gapTo(byteCount)
    this.#window.release()
  }

  /** Gives the memory back that `finish` was not reached with. */
  release(): void {
    this.#window.release()
  }

  #count(reason: InvalidReason, count: number): void {
    if (count > 0) this.invalid.set(reason, (this.invalid.get(reason) ?? 0) + count)
  }

  #gapTo(byte: number): void {
    if (byte <= this.#seenByte) return
    const last = this.gaps.at(-1)
    if (last !== undefined && last.endByte === this.#seenByte) last.endByte = byte
    else this.gaps.push({ startByte: this.#seenByte, endByte: byte })
    this.#seenByte = byte
  }
}

export interface LongEntriesOptions {
  readonly kernel: ScanKernel
  readonly source: ByteSource
  readonly check: LongCheck
  /** Entries of an array; null: up to the end. */
  readonly entryCount: number | null
  readonly tag: Buffer
  readonly ingestId: Buffer | null
}

/** The valid entries of a body, read as often as they are offered. */
export class LongEntries implements LongMessage {
  readonly tag: Buffer
  readonly ingestId: Buffer | null
  readonly recordCount: number
  readonly byteCount: number
  readonly #options: LongEntriesOptions

  constructor(options: LongEntriesOptions) {
    this.#options = options
    this.tag = options.tag
    this.ingestId = options.ingestId
    this.recordCount = options.check.recordCount
    this.byteCount = options.check.lastEndByte
  }

  read(): PartReader {
    return new EntryReader(this.#options)
  }
}

class EntryReader implements PartReader {
  readonly #options: LongEntriesOptions
  readonly #window: EntryWindow
  #part: ReturnType<EntryWindow['scan']> = null
  #runs: { readonly run: Run; readonly endByte: number }[] = []
  #sourceByte = 0

  constructor(options: LongEntriesOptions) {
    this.#options = options
    this.#window = new EntryWindow(options.kernel, options.entryCount)
  }

  next(): { readonly run: Run; readonly isLast: boolean } | null {
    const { lastEndByte } = this.#options.check
    while (this.#runs.length === 0) {
      if (this.#part !== null) this.#window.advance(this.#part)
      if (this.#window.consumedBytes >= lastEndByte) return null
      if (!this.#fill()) return null
    }
    const next = this.#runs.shift()
    if (next === undefined) return null
    return { run: next.run, isLast: next.endByte === lastEndByte }
  }

  close(): void {
    this.#window.release()
  }

  #fill(): boolean {
    const { source, tag, ingestId } = this.#options
    const byteCount = Math.min(MESSAGE_PART_BYTES, source.byteCount - this.#sourceByte)
    if (byteCount === 0) return false
    source.read(this.#window.room(byteCount), this.#sourceByte)
    this.#sourceByte += byteCount
    this.#part = this.#window.scan()
    if (this.#part === null) return false
    const { bodyByte, bytes, unit } = this.#part
    const runs = entryRuns(unit, bytes, tag, ingestId, () => tag)
    this.#runs = runs.map((run, span) => ({ run, endByte: bodyByte + unit.spanEndByte(span) }))
    return true
  }
}
