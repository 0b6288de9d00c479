// Runs on: ingest.
// The kernel as an ingest thread uses it: read buffer, slabs and blocks in its memory, the scanner, the frame hash.
// Invariants: nothing is allocated after construction except views; scan and scanBody take bytes inside this memory
// only; a scan reads no byte twice for a cut message (ScanProgress), and gives the same units however it is cut.

import { invariant } from '../core/invariant.ts'
import {
  ACK_TOKEN_BYTES_MAX,
  CONSECUTIVE_INVALID_MAX,
  MESSAGE_BYTES_MAX,
  MESSAGE_ENTRIES_MAX,
  MESSAGE_IN_ONE_FRAME_BYTES_MAX,
  RECORD_BYTES_MAX,
  RECORD_NESTING_MAX,
  SCAN_NESTING_MAX
} from '../core/limits.ts'
import { BlockAllocator } from './blocks.ts'
import { firstBytesOf } from './first-bytes.ts'
import { createFrameHash, type FrameHash, type HashExports } from './frame-hash.ts'
import { instantiateKernel, type Kernel } from './instance.ts'
import { JsonConverter, type JsonExports, jsonImports } from './json-converter.ts'
import { type LaneExports, LaneSplitter } from './lane-splitter.ts'
import { LineConverter, type LineExports } from './line-converter.ts'
import { type OtlpExports, OtlpReader } from './otlp-reader.ts'
import { ROW_BYTES, type ScanTables, ScanUnit } from './scan-unit.ts'

/**
 * done: every complete message is among the units. full: the tables are; take the units, then scan on from
 * consumedBytes. error: the stream cannot be read on from consumedBytes. json, http, tls, proxy: the connection's
 * first bytes are of that protocol. The units up to consumedBytes are good in every case.
 */
export type ScanStatus = 'done' | 'full' | 'error' | 'json' | 'http' | 'tls' | 'proxy'

export type ScanErrorReason =
  | 'not_a_message'
  | 'reserved_byte'
  | 'message_too_large'
  | 'nested_too_deep'
  | 'ack_token_too_long'

/** What a connection keeps between scans; the bytes of the next scan start where consumedBytes ended. */
export class ScanProgress {
  /** Bytes of the first incomplete message that have been skipped over. */
  scannedBytes = 0
  /** Values that the message still lacks there. */
  valuesLeft = 0
  /** A message has begun on this connection: another protocol is an error from now on. */
  isDecided = false
  /** Longest message; null: the limit of the kernel. */
  readonly messageBytesMax: number | null

  constructor(messageBytesMax: number | null = null) {
    this.messageBytesMax = messageBytesMax
  }
}

/** What is handed from part to part of a long body. */
export class PartProgress {
  /** Entries that are still to come, of an array; Infinity: up to the end of the body. */
  entriesLeft: number
  /** An array within the stream: what nests too deep there ends the stream, as in a message that is scanned whole. */
  readonly isStream: boolean
  entriesRead = 0
  invalidRun = 0

  constructor(entriesLeft: number, isStream: boolean) {
    this.entriesLeft = entriesLeft
    this.isStream = isStream
  }
}

/** What became of values that were passed over. */
export interface Skipped {
  /** wrong: they cannot end within the limit, or are none. */
  readonly status: 'ended' | 'open' | 'wrong'
  /** Where it stopped: the end of the values, a header that is cut, or behind the bytes that were there. */
  readonly byteCount: number
  readonly valuesLeft: number
}

export interface ScanKernelOptions {
  /** Addresses of the instance. Untouched pages cost nothing. */
  readonly memoryBytes?: number
  readonly readBytes?: number
  /** Region of blocks that borrow gives, a power of two. Default: a quarter of the memory. */
  readonly borrowBytesMax?: number
  readonly messageBytesMax?: number
  readonly messageEntriesMax?: number
  /** Numbers of 1e11 and above are taken for milli-, micro- or nanoseconds. */
  readonly isTimeUnitGuessed?: boolean
}

interface ScanExports extends HashExports, JsonExports, LaneExports, LineExports, OtlpExports {
  scanSetTables(...words: number[]): void
  scanSetLimits(...words: number[]): void
  scanStream(start: number, end: number, scanned: number, left: number, decided: number): number
  scanBody(start: number, end: number): number
  scanBodyPart(...words: number[]): number
  scanPartEntries(): number
  scanPartInvalidRun(): number
  scanPartLeft(): number
  scanPartMarker(): number
  scanPartMarkerBytes(): number
  scanSetMessageMax(byteCount: number): void
  skipPart(start: number, end: number, left: number, bytesMax: number): number
  skipPartBytes(): number
  skipPartLeft(): number
  scanConsumedBytes(): number
  scanNeededBytes(): number
  scanScannedBytes(): number
  scanValuesLeft(): number
  scanErrorReason(): number
  scanIsDecided(): number
  scanUnitCount(): number
}

const MIB = 1024 * 1024
const MEMORY_BYTES = 1024 * MIB
const READ_BYTES = 256 * 1024
/** Results of one scan. A read of 256 KiB rarely holds as many; more are taken in another turn. */
const UNITS_MAX = 4096
const ACKS_MAX = 16_384
/** Runs of valid entries in one message; a body with more gaps is given up where they end. */
const MESSAGE_SPANS_MAX = 4096
const SPANS_MAX = 3 * MESSAGE_SPANS_MAX
/** Message-mode messages are put together up to the size of a frame that is worth a write. */
const MERGED_UNIT_BYTES_MAX = 256 * 1024

/** More entries than a count can say. */
const ENDLESS = 0xffffffff

/** Words of assembly/scan.ts. */
const STATUS = { done: 0, full: 1, failed: 2, undecided: 3 } as const
const ERRORS: readonly (ScanErrorReason | null)[] = [
  null,
  'not_a_message',
  'reserved_byte',
  'message_too_large',
  'nested_too_deep',
  'ack_token_too_long'
]

export class ScanKernel {
  /** Sockets read into this. */
  readonly readBuffer: Buffer
  readonly hash: FrameHash
  readonly json: JsonConverter
  readonly lanes: LaneSplitter
  readonly lines: LineConverter
  readonly otlp: OtlpReader
  /** Of the last scan: bytes behind which everything is told by the units. */
  consumedBytes = 0
  /** Of the last scan: least length of the first incomplete message; no need to scan before. 0: there is none. */
  neededBytes = 0
  /** Of the last scan: why the status is 'error'. */
  errorReason: ScanErrorReason | null = null
  /** Of the last scan: units to read with unit(). */
  unitCount = 0
  readonly #kernel: Kernel<ScanExports>
  readonly #unit: ScanUnit
  readonly #blocks: BlockAllocator
  readonly #blocksByte: number
  readonly #messageBytesMax: number
  /** The limit that the kernel has now. */
  #messageMax: number

  constructor(options: ScanKernelOptions = {}) {
    const memoryBytes = options.memoryBytes ?? MEMORY_BYTES
    const kernel: Kernel<ScanExports> = instantiateKernel<ScanExports>({
      memoryBytes,
      imports: jsonImports(() => kernel.memory)
    })
    this.#kernel = kernel
    const tables = reserveTables(this.#kernel)
    this.#unit = new ScanUnit(this.#kernel.memory, tables)
    this.hash = createFrameHash(this.#kernel)
    this.readBuffer = this.reserve(options.readBytes ?? READ_BYTES)
    const regionBytes = options.borrowBytesMax ?? 2 ** Math.floor(Math.log2(memoryBytes / 4))
    this.#blocks = new BlockAllocator(regionBytes)
    this.#blocksByte = this.#kernel.reserve(regionBytes)
    this.json = new JsonConverter(this.#kernel, this)
    this.lanes = new LaneSplitter(this.#kernel, this)
    this.lines = new LineConverter(this.#kernel, this)
    this.otlp = new OtlpReader(this.#kernel, this, this.json)
    this.#messageBytesMax = options.messageBytesMax ?? MESSAGE_BYTES_MAX
    this.#messageMax = this.#messageBytesMax
    this.#kernel.exports.scanSetLimits(
      this.#messageBytesMax,
      MERGED_UNIT_BYTES_MAX,
      MESSAGE_SPANS_MAX,
      MESSAGE_IN_ONE_FRAME_BYTES_MAX,
      RECORD_BYTES_MAX,
      RECORD_NESTING_MAX,
      SCAN_NESTING_MAX,
      CONSECUTIVE_INVALID_MAX,
      options.messageEntriesMax ?? MESSAGE_ENTRIES_MAX,
      ACK_TOKEN_BYTES_MAX,
      options.isTimeUnitGuessed === false ? 0 : 1
    )
  }

  /** A permanent zeroed area, for a slab. Throws when the memory is used up. */
  reserve(byteCount: number): Buffer {
    const start = this.#kernel.reserve(byteCount)
    return this.#kernel.memory.subarray(start, start + byteCount)
  }

  /** Bytes that reserve can still give. */
  freeBytes(): number {
    return this.#kernel.freeBytes()
  }

  /** A block of the next power of two, its bytes as they were left, or null when the region has none. */
  borrow(byteCount: number): Buffer | null {
    const at = this.#blocks.take(byteCount)
    if (at < 0) return null
    const start = this.#blocksByte + at
    return this.#kernel.memory.subarray(start, start + BlockAllocator.blockBytes(byteCount))
  }

  /** Ends a loan. `block` is what borrow gave, or any view that starts where it does. */
  giveBack(block: Buffer): void {
    this.#blocks.give(block.byteOffset - this.#blocksByte)
  }

  /** Bytes of all blocks that are lent. */
  get borrowedBytes(): number {
    return this.#blocks.borrowedBytes
  }

  /** Scans bytes of a connection. They begin with the message that `progress` speaks of. */
  scan(bytes: Buffer, progress: ScanProgress): ScanStatus {
    const { exports } = this.#kernel
    const start = this.#startOf(bytes)
    const messageMax = progress.messageBytesMax ?? this.#messageBytesMax
    if (messageMax !== this.#messageMax) {
      this.#messageMax = messageMax
      exports.scanSetMessageMax(messageMax)
    }
    const status = exports.scanStream(
      start,
      start + bytes.length,
      progress.scannedBytes,
      progress.valuesLeft,
      progress.isDecided ? 1 : 0
    )
    this.#takeResults()
    const isOpen = status === STATUS.done
    progress.isDecided = exports.scanIsDecided() !== 0
    progress.scannedBytes = isOpen ? exports.scanScannedBytes() : 0
    progress.valuesLeft = isOpen ? exports.scanValuesLeft() : 0
    if (status === STATUS.undecided) return this.#statusOfFirstBytes(bytes)
    if (isOpen) return 'done'
    return status === STATUS.full ? 'full' : 'error'
  }

  /** Scans the decompressed body of one message; its entries are unit 0. */
  scanBody(bytes: Buffer): void {
    const start = this.#startOf(bytes)
    this.#kernel.exports.scanBody(start, start + bytes.length)
    this.#takeResults()
    this.consumedBytes = bytes.length
  }

  /**
   * Scans a part of a long body; its whole entries are unit 0, consumedBytes tells how far they go. The first `markerBytes`
   * bytes are the group marker that was open at the end of the part before. False: the stream cannot be read on.
   */
  scanPart(bytes: Buffer, markerBytes: number, progress: PartProgress): boolean {
    const { exports } = this.#kernel
    const start = this.#startOf(bytes)
    const isFailed = exports.scanBodyPart(
      start,
      start + markerBytes,
      start + bytes.length,
      Math.min(progress.entriesLeft, ENDLESS),
      progress.isStream ? 1 : 0,
      progress.invalidRun,
      progress.entriesRead
    )
    this.#takeResults()
    if (isFailed !== 0) return false
    if (progress.isStream) progress.entriesLeft = exports.scanPartLeft() >>> 0
    progress.entriesRead = exports.scanPartEntries() >>> 0
    progress.invalidRun = exports.scanPartInvalidRun() >>> 0
    return true
  }

  /** The group marker that is open behind the part scanned last, within its bytes; empty: none. */
  openMarker(bytes: Buffer): Buffer {
    const { exports } = this.#kernel
    const start = exports.scanPartMarker()
    return bytes.subarray(start, start + exports.scanPartMarkerBytes())
  }

  /** Passes over `valuesLeft` values that begin where `bytes` do. */
  skip(bytes: Buffer, valuesLeft: number, byteCountMax: number): Skipped {
    const { exports } = this.#kernel
    const start = this.#startOf(bytes)
    const limit = Math.max(0, byteCountMax)
    const outcome = exports.skipPart(start, start + bytes.length, valuesLeft, limit)
    return {
      status: outcome === 1 ? 'ended' : outcome === 0 ? 'open' : 'wrong',
      byteCount: exports.skipPartBytes(),
      valuesLeft: exports.skipPartLeft()
    }
  }

  /** A unit of the last scan. The same view every time, good until the next call. */
  unit(index: number): ScanUnit {
    invariant(index >= 0 && index < this.unitCount, `no unit ${index} of ${this.unitCount}`)
    return this.#unit.select(index)
  }

  #startOf(bytes: Buffer): number {
    invariant(bytes.buffer === this.#kernel.memory.buffer, 'bytes lie outside the kernel memory')
    return bytes.byteOffset
  }

  #takeResults(): void {
    const { exports } = this.#kernel
    this.consumedBytes = exports.scanConsumedBytes()
    this.neededBytes = exports.scanNeededBytes()
    this.errorReason = ERRORS[exports.scanErrorReason()] ?? null
    this.unitCount = exports.scanUnitCount()
  }

  #statusOfFirstBytes(bytes: Buffer): ScanStatus {
    const first = firstBytesOf(bytes.subarray(this.consumedBytes))
    if (first === 'unknown') return 'error'
    this.errorReason = null
    if (first !== 'wait') return first
    this.neededBytes = bytes.length - this.consumedBytes + 1
    return 'done'
  }
}

function reserveTables(kernel: Kernel<ScanExports>): ScanTables {
  const tables = {
    unitsByte: kernel.reserve(UNITS_MAX * ROW_BYTES.unit),
    unitsMax: UNITS_MAX,
    spansByte: kernel.reserve(SPANS_MAX * ROW_BYTES.span),
    spansMax: SPANS_MAX,
    acksByte: kernel.reserve(ACKS_MAX * ROW_BYTES.ack),
    acksMax: ACKS_MAX
  }
  kernel.exports.scanSetTables(
    tables.unitsByte,
    tables.unitsMax,
    tables.spansByte,
    tables.spansMax,
    tables.acksByte,
    tables.acksMax
  )
  return tables
}
