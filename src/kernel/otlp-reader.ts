// Runs on: ingest.
// OTLP logs to entries in the kernel, a group per resource and scope; JSON goes by way of protobuf, so one reader serves both.
// No JavaScript object per record. Limits: GROUPS_MAX groups, REJECTS_MAX records that nest too deep, PAIRS_BYTES_MAX of
// resource and scope, `entryBytesMax` of all entries.

import { invariant } from '../core/invariant.ts'
import { RECORD_NESTING_MAX } from '../core/limits.ts'
import { type Kernel, TAIL_BYTES } from './instance.ts'
import type { BlockLender, JsonConverter } from './json-converter.ts'

export interface OtlpExports {
  otlpBegin(...values: number[]): void
  otlpNext(target: number, targetEnd: number): number
  otlpEnd(): number
  otlpPairCount(): number
  otlpPairsEnd(): number
  otlpRejectCount(): number
  otlpJsonToProtobuf(start: number, end: number, target: number, targetEnd: number): number
  jsonRecordCount(): number
}

/** Records of one resource and scope. */
export interface OtlpGroup {
  /** Entries of form 1. */
  readonly entries: Buffer
  readonly recordCount: number
  /** A map of `resource` and `scope` in MessagePack, as they stand in each of the records. */
  readonly shared: Buffer
}

export type OtlpFailure =
  | 'malformed'
  | 'resource_too_large'
  | 'too_many_scopes'
  | 'too_large'
  | 'no_memory'

export interface OtlpRecords {
  readonly kind: 'records'
  readonly groups: readonly OtlpGroup[]
  /** LogRecord messages in protobuf that nest too deep. */
  readonly rejected: readonly Buffer[]
}

export type OtlpResult = OtlpRecords | { readonly kind: 'failed'; readonly reason: OtlpFailure }

export interface OtlpRules {
  /** Time of records that bear none. */
  readonly timeSeconds: number
  readonly timeNanos: number
  readonly entryBytesMax: number
}

const GROUPS_MAX = 10_000
const REJECTS_MAX = 1000
const REJECT_BYTES = 8
const PAIRS_BYTES_MAX = 256 * 1024
const BLOCK_BYTES_MIN = 64 * 1024
/** Words of assembly/otlp.ts. */
const STATUS = { done: 0, group: 1, malformed: 2, noRoom: 3, resourceTooLarge: 4 } as const
const JSON_NO_ROOM = 1

interface ReaderParts {
  readonly kernel: Kernel<OtlpExports>
  readonly lender: BlockLender
  readonly json: JsonConverter
  readonly pairsByte: number
  readonly rejectsByte: number
}

export class OtlpReader {
  readonly #parts: ReaderParts

  constructor(kernel: Kernel<OtlpExports>, lender: BlockLender, json: JsonConverter) {
    const pairsByte = kernel.reserve(PAIRS_BYTES_MAX)
    const rejectsByte = kernel.reserve(REJECTS_MAX * REJECT_BYTES)
    this.#parts = { kernel, lender, json, pairsByte, rejectsByte }
  }

  /** For one request. */
  open(): OtlpReading {
    return new OtlpReading(this.#parts)
  }
}

export class OtlpReading {
  readonly #kernel: Kernel<OtlpExports>
  readonly #lender: BlockLender
  readonly #json: JsonConverter
  readonly #pairsByte: number
  readonly #rejectsByte: number
  readonly #blocks: Buffer[] = []

  constructor({ kernel, lender, json, pairsByte, rejectsByte }: ReaderParts) {
    this.#kernel = kernel
    this.#lender = lender
    this.#json = json
    this.#pairsByte = pairsByte
    this.#rejectsByte = rejectsByte
  }

  /** Reads an ExportLogsServiceRequest in the kernel's memory. The result is good until `release`. */
  readProtobuf(body: Buffer, rules: OtlpRules): OtlpResult {
    const { exports, memory } = this.#kernel
    // A message without a field has no bytes.
    if (body.length === 0) return { kind: 'records', groups: [], rejected: [] }
    invariant(body.buffer === memory.buffer, 'bytes lie outside the kernel memory')
    exports.otlpBegin(
      body.byteOffset,
      body.byteOffset + body.length,
      this.#pairsByte,
      PAIRS_BYTES_MAX,
      this.#rejectsByte,
      REJECTS_MAX,
      RECORD_NESTING_MAX,
      rules.timeSeconds,
      rules.timeNanos
    )
    return this.#readGroups(Math.max(BLOCK_BYTES_MIN, body.length * 2), rules.entryBytesMax)
  }

  /** The same in JSON. */
  readJson(text: Buffer, rules: OtlpRules): OtlpResult {
    const object = this.#json.toObject(text)
    if (object === null) return failed('no_memory')
    try {
      if (object.error !== null) return failed('malformed')
      const message = this.#toProtobuf(object.bytes)
      return 'kind' in message ? message : this.readProtobuf(message, rules)
    } finally {
      this.#lender.giveBack(object.bytes)
    }
  }

  /** Gives back the memory of the last result. */
  release(): void {
    for (const block of this.#blocks.splice(0)) this.#lender.giveBack(block)
  }

  #toProtobuf(object: Buffer): Buffer | OtlpResult {
    const { exports } = this.#kernel
    for (let byteCount = object.length * 2 + 4096; ; byteCount *= 2) {
      const block = this.#lender.borrow(byteCount)
      if (block === null) return failed('no_memory')
      const start = object.byteOffset
      const target = block.byteOffset
      const targetEnd = target + block.length - TAIL_BYTES
      const end = exports.otlpJsonToProtobuf(start, start + object.length, target, targetEnd)
      if (end > JSON_NO_ROOM) {
        this.#blocks.push(block)
        return block.subarray(0, end - target)
      }
      this.#lender.giveBack(block)
      if (end !== JSON_NO_ROOM) return failed('malformed')
    }
  }

  #readGroups(blockBytes: number, bytesMax: number): OtlpResult {
    const { exports } = this.#kernel
    const groups: OtlpGroup[] = []
    let block = this.#borrow(blockBytes)
    let at = 0
    let byteCount = 0
    while (block !== null) {
      const target = block.byteOffset + at
      const status = exports.otlpNext(target, block.byteOffset + block.length - TAIL_BYTES)
      if (status === STATUS.done) return { kind: 'records', groups, rejected: this.#rejected() }
      if (status === STATUS.noRoom) {
        if (block.length >= bytesMax * 2) return failed('too_large')
        // A group lies in one block, so a block that was empty was too small.
        block = this.#borrow(at === 0 ? block.length * 2 : block.length)
        at = 0
        continue
      }
      if (status !== STATUS.group) {
        return failed(status === STATUS.malformed ? 'malformed' : 'resource_too_large')
      }
      const end = exports.otlpEnd() - block.byteOffset
      byteCount += end - at
      if (byteCount > bytesMax) return failed('too_large')
      if (groups.length === GROUPS_MAX) return failed('too_many_scopes')
      const entries = block.subarray(at, end)
      groups.push({ entries, recordCount: exports.jsonRecordCount(), shared: this.#shared() })
      // Vectors that are stored behind an end may reach into what comes next, which is not written yet.
      at = end
    }
    return failed('no_memory')
  }

  #borrow(byteCount: number): Buffer | null {
    const block = this.#lender.borrow(byteCount)
    if (block !== null) this.#blocks.push(block)
    return block
  }

  #shared(): Buffer {
    const { exports, memory } = this.#kernel
    const pairs = memory.subarray(this.#pairsByte, exports.otlpPairsEnd())
    return Buffer.concat([Buffer.of(0x80 + exports.otlpPairCount()), pairs])
  }

  #rejected(): Buffer[] {
    const { exports, memory } = this.#kernel
    return Array.from({ length: exports.otlpRejectCount() }, (_, index) => {
      const row = this.#rejectsByte + index * REJECT_BYTES
      return memory.subarray(memory.readUInt32LE(row), memory.readUInt32LE(row + 4))
    })
  }
}

function failed(reason: OtlpFailure): OtlpResult {
  return { kind: 'failed', reason }
}
