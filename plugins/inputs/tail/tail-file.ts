// Steps 1, 2 and 5. Runs on: ingest.
// One file that is followed: its handle, how far it is stored, the chunk that is on its way. Invariants: one chunk at a
// time, and the position moves when it is durable, so the order of a file is the order in the queue; a chunk that found no
// room, or that the queue gave back, is offered again with the same bounds. Bytes stay in the file, not in memory: a
// chunk is read again when it is offered again, and a line without an end is read twice in all, however it grows.

import fs from 'node:fs'
import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'
import { type EntryTime, entryTimeOf, packFields } from '../../../src/plugin/entry-writer.ts'
import type { AppendSource, DurableListener, InputContext } from '../../../src/plugin/input.ts'
import type { LineStore } from '../../../src/plugin/line-store.ts'
import { ChunkIds } from './chunk-id.ts'
import { type Fingerprint, NO_FINGERPRINT, readFingerprint } from './fingerprint.ts'
import type { FilePosition } from './position-book.ts'

/** One chunk of a file. */
const CHUNK_BYTES = 256 * 1024
/** What the kernel may read behind a text. */
const BLOCK_BYTES_EXTRA = 64
const LINE_FEED = 10
const NO_LOGS: readonly string[] = []

export interface TailFileParts {
  readonly context: InputContext<ScanKernel>
  readonly lines: LineStore
  readonly lineBytesMax: number
  readonly pathKey: string | null
  /** A position moved. */
  onMoved(): void
  /** The chunk that was on its way is durable, or was given back. */
  onSettled(file: TailFile, isStored: boolean): void
}

export interface TailFileStart {
  readonly handle: number
  readonly key: string
  /** Where it was found first. */
  readonly home: string
  readonly tag: Buffer
  readonly positionByte: number
  readonly fingerprint: Fingerprint
  /** Chunks behind the position may be in the queue: the process before was killed. */
  readonly isStoredMaybe: boolean
}

/** A chunk as it is offered to the queue, until it is durable. */
interface Chunk {
  readonly startByte: number
  readonly textBytes: number
  readonly isLast: boolean
  readonly time: EntryTime
  readonly storedIn: readonly string[]
  readonly listener: DurableListener
  endByte: number
}

/** `taken`: wait until it is settled. `more`: there may be more to read now. `idle`: there is nothing. */
export type ReadOutcome = 'taken' | 'more' | 'full' | 'idle'

export class TailFile {
  readonly key: string
  readonly home: string
  /** Monotonic: since when its name leads to another file, or to none. */
  rotatedMs: number | null = null
  /** Monotonic: when it last grew, and when it is looked at next. */
  grownMs: number
  nextLookMs = 0
  modifiedMs = 0
  readonly #parts: TailFileParts
  readonly #handle: number
  readonly #tag: Buffer
  readonly #ids: ChunkIds
  readonly #fields
  #source: AppendSource
  #fingerprint: Fingerprint
  #positionByte: number
  /** No line ends between the position and here. */
  #searchedByte: number
  #sizeBytes = 0
  #lagBytes = 0
  /** Offered and not taken, or given back. */
  #offer: Chunk | null = null
  #flight: Chunk | null = null
  #isStoredMaybe: boolean

  constructor(parts: TailFileParts, start: TailFileStart) {
    const { context, pathKey } = parts
    this.#parts = parts
    this.#handle = start.handle
    this.key = start.key
    this.home = start.home
    this.#tag = start.tag
    this.#ids = new ChunkIds(context.id, start.key)
    this.#fields = packFields(pathKey === null ? [] : [[pathKey, start.home]])
    this.#source = { inputId: context.id, peer: '' }
    this.#fingerprint = start.fingerprint
    this.#positionByte = start.positionByte
    this.#searchedByte = start.positionByte
    this.#isStoredMaybe = start.isStoredMaybe
    this.grownMs = context.clock.monotonicMs()
    context.counters.add('files_open', 1)
  }

  get isBusy(): boolean {
    return this.#flight !== null || this.#offer !== null
  }

  get isOnItsWay(): boolean {
    return this.#flight !== null
  }

  get isStoredWhole(): boolean {
    return this.#positionByte === this.#sizeBytes
  }

  get isDeleted(): boolean {
    return fs.fstatSync(this.#handle).nlink === 0
  }

  position(seenMs: number): FilePosition {
    return {
      key: this.key,
      path: this.home,
      positionByte: this.#positionByte,
      fingerprint: this.#fingerprint,
      seenMs
    }
  }

  /** Looks how far the file goes. True: there is something that was not read. Throws errors of the file system. */
  look(nowMs: number): boolean {
    const { mtimeMs, size } = fs.fstatSync(this.#handle)
    if (size !== this.#sizeBytes || mtimeMs !== this.modifiedMs) {
      const fingerprint =
        size < this.#positionByte ? null : readFingerprint(this.#handle, this.#fingerprint)
      if (fingerprint === null) this.#beginAnew()
      else this.#fingerprint = fingerprint
      if (size !== this.#sizeBytes) this.grownMs = nowMs
      this.modifiedMs = mtimeMs
      this.#sizeBytes = size
      this.#showLag()
    }
    return this.#sizeBytes > this.#searchedByte || this.#offer !== null
  }

  /** Offers the next chunk. `isEnd`: nothing more is expected, a last line needs no end. */
  read(isEnd: boolean): ReadOutcome {
    if (this.#flight !== null) return 'taken'
    const { context, lineBytesMax } = this.#parts
    // A line that is too long is cut when one byte more than the limit and its end are there.
    const byteCount = Math.max(CHUNK_BYTES, lineBytesMax + 2)
    const block = context.kernel.borrow(byteCount + BLOCK_BYTES_EXTRA)
    if (block === null) return 'full'
    try {
      const text = block.subarray(0, byteCount)
      if (this.#isStoredMaybe && this.#offer === null) return this.#passStored(text)
      const chunk = this.#offer ?? this.#nextChunk(text, isEnd)
      return chunk === null ? 'idle' : this.#store(chunk, text)
    } finally {
      context.kernel.giveBack(block)
    }
  }

  close(): void {
    this.#parts.context.counters.add('files_open', -1)
    this.#parts.context.counters.add('file_lag_bytes', -this.#lagBytes)
    this.#lagBytes = 0
    fs.closeSync(this.#handle)
  }

  #store(chunk: Chunk, into: Buffer): ReadOutcome {
    const { context, lines } = this.#parts
    const text = this.#textOf(into, chunk.startByte, chunk.textBytes)
    if (text.length < chunk.textBytes) {
      // It was truncated meanwhile, which the next look says.
      this.#drop(chunk)
      return 'idle'
    }
    const outcome = lines.append(
      this.#source,
      {
        tag: this.#tag,
        text,
        fields: this.#fields,
        time: chunk.time,
        isLast: chunk.isLast,
        idOf: (byteCount) => this.#ids.idOf(text, chunk.startByte, byteCount),
        storedIn: chunk.storedIn
      },
      chunk.listener
    )
    this.#offer = outcome.kind === 'full' ? chunk : null
    if (outcome.kind === 'full') return 'full'
    const { consumedBytes } = outcome
    if (outcome.kind === 'taken') {
      chunk.endByte = chunk.startByte + consumedBytes
      this.#flight = chunk
      context.counters.add('received_bytes', consumedBytes)
      return 'taken'
    }
    if (consumedBytes > 0) this.#moveTo(chunk.startByte + consumedBytes)
    else this.#searchedByte = chunk.startByte + text.length
    return this.#searchedByte < this.#sizeBytes ? 'more' : 'idle'
  }

  /** What comes behind the position; null: no line ends there. */
  #nextChunk(scratch: Buffer, isEnd: boolean): Chunk | null {
    const startByte = this.#positionByte
    const isLong = this.#searchedByte > startByte
    if (isLong && !isEnd && !this.#hasLineEnd(scratch)) return null
    const textBytes = Math.min(scratch.length, this.#sizeBytes - startByte)
    if (textBytes <= 0) return null
    const isLast = isEnd && startByte + textBytes === this.#sizeBytes
    return this.#chunkOf(startByte, textBytes, isLast, NO_LOGS)
  }

  #chunkOf(
    startByte: number,
    textBytes: number,
    isLast: boolean,
    storedIn: readonly string[]
  ): Chunk {
    const time = entryTimeOf(this.#parts.context.clock.nowMs())
    const chunk: Chunk = {
      startByte,
      textBytes,
      isLast,
      time,
      storedIn,
      endByte: startByte,
      listener: {
        onDurable: () => this.#onDurable(chunk),
        onRejected: (_reason, logs) => this.#onRejected(chunk, logs ?? NO_LOGS)
      }
    }
    return chunk
  }

  /** Searches on where the last search ended. True too when the line is too long for a record. */
  #hasLineEnd(scratch: Buffer): boolean {
    while (this.#searchedByte < this.#sizeBytes) {
      if (this.#searchedByte - this.#positionByte > this.#parts.lineBytesMax + 1) return true
      const byteCount = Math.min(scratch.length, this.#sizeBytes - this.#searchedByte)
      const part = this.#textOf(scratch, this.#searchedByte, byteCount)
      if (part.includes(LINE_FEED)) return true
      if (part.length === 0) return false
      this.#searchedByte += part.length
    }
    return this.#searchedByte - this.#positionByte > this.#parts.lineBytesMax + 1
  }

  /** Passes over a chunk that the queue has from before a kill. */
  #passStored(scratch: Buffer): ReadOutcome {
    const { resends, counters } = this.#parts.context
    const startByte = this.#positionByte
    const byteCount = Math.min(scratch.length, Math.max(0, this.#sizeBytes - startByte))
    const text = resends.isEmpty ? null : this.#textOf(scratch, startByte, byteCount)
    let end = text?.indexOf(LINE_FEED) ?? -1
    for (; text !== null && end >= 0; end = text.indexOf(LINE_FEED, end + 1)) {
      const answer = resends.find({
        tag: this.#tag,
        id: this.#ids.idOf(text, startByte, end + 1),
        isKept: false,
        isWholeOnly: false,
        listener: NOBODY
      })
      if (answer === 'fresh' || answer === 'pending') continue
      counters.add('recognised_chunks', 1)
      if (answer === 'stored') {
        this.#moveTo(startByte + end + 1)
        return 'more'
      }
      return this.#store(this.#chunkOf(startByte, end + 1, false, answer.storedIn), scratch)
    }
    this.#isStoredMaybe = false
    return 'more'
  }

  #textOf(into: Buffer, startByte: number, byteCount: number): Buffer {
    return into.subarray(0, fs.readSync(this.#handle, into, 0, byteCount, startByte))
  }

  #onDurable(chunk: Chunk): void {
    if (this.#flight !== chunk) return
    this.#flight = null
    this.#moveTo(chunk.endByte)
    this.#parts.onSettled(this, true)
  }

  #onRejected({ startByte, textBytes, isLast, ...chunk }: Chunk, logs: readonly string[]): void {
    // A chunk of what stood there before a truncation is of no use any more.
    if (this.#flight?.listener !== chunk.listener) return
    this.#flight = null
    this.#parts.context.counters.add('file_retries', 1)
    const storedIn = [...new Set([...chunk.storedIn, ...logs])]
    this.#offer = this.#chunkOf(startByte, textBytes, isLast, storedIn)
    this.#parts.onSettled(this, false)
  }

  #moveTo(byte: number): void {
    this.#positionByte = byte
    this.#searchedByte = byte
    this.#showLag()
    this.#parts.onMoved()
  }

  #drop(chunk: Chunk): void {
    if (this.#offer !== chunk) return
    this.#offer = null
    // The appender expects the message that it had no room for from the old one.
    this.#source = { ...this.#source }
  }

  /** Truncated, or written anew in its place. */
  #beginAnew(): void {
    const { counters } = this.#parts.context
    counters.add('file_truncations', 1)
    counters.add('truncated_bytes', Math.max(0, this.#sizeBytes - this.#positionByte))
    if (this.#offer !== null) this.#drop(this.#offer)
    this.#flight = null
    this.#isStoredMaybe = false
    this.#fingerprint = readFingerprint(this.#handle, NO_FINGERPRINT) ?? NO_FINGERPRINT
    this.#moveTo(0)
  }

  #showLag(): void {
    const lagBytes = Math.max(0, this.#sizeBytes - this.#positionByte)
    this.#parts.context.counters.add('file_lag_bytes', lagBytes - this.#lagBytes)
    this.#lagBytes = lagBytes
  }
}

const NOBODY: DurableListener = { onDurable() {}, onRejected() {} }
