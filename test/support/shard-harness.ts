// One shard on a simulated or real disk, with the parts that main and an ingest thread have of it.

import path from 'node:path'
import type { Clock } from '../../src/core/clock.ts'
import type { StoreKeys } from '../../src/core/encryption-keys.ts'
import { logIdOf } from '../../src/core/position.ts'
import { createFrameHash, type HashExports } from '../../src/kernel/frame-hash.ts'
import { instantiateKernel } from '../../src/kernel/instance.ts'
import { Cursor, type CursorOptions } from '../../src/storage/cursor/cursor.ts'
import type { FrameHash } from '../../src/storage/format/frame.ts'
import { PayloadDecoder } from '../../src/storage/format/payload-decoder.ts'
import type { Compression } from '../../src/storage/format/payload-encoder.ts'
import { splitEntries } from '../../src/storage/format/stored-entries.ts'
import type { RecoveryResult } from '../../src/storage/reader/segments.ts'
import { readFrameAt, ShardReader } from '../../src/storage/reader/shard-reader.ts'
import { ShardSegments } from '../../src/storage/reader/shard-segments.ts'
import { recoverShard } from '../../src/storage/recovery/recovery.ts'
import type { Storage } from '../../src/storage/storage.ts'
import type {
  AppendGroup,
  Durability,
  RejectReason,
  ShardWriterOptions,
  VisibleEnd
} from '../../src/storage/writer/append.ts'
import { ShardWriter } from '../../src/storage/writer/shard-writer.ts'
import type { ShardState } from '../../src/threads/shared.ts'

const kernel = instantiateKernel<HashExports>({ memoryBytes: 2 * 1024 * 1024 })
/** The kernel's XXH64: what the product uses. */
export const hash: FrameHash = createFrameHash(kernel)

export const STORE = {
  uuid: Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex'),
  secret: Buffer.from('f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff', 'hex'),
  keys: null
}
export const SHARD_PATH = 'routes/web/shard-00'
export const DIRECTORY = `/data/${SHARD_PATH}`
export const LOG_ID = logIdOf(STORE.uuid, SHARD_PATH)

/** `[time, {"i": id, "p": padding}]` */
export function entryOf(id: number, paddingBytes = 0): Buffer {
  const head = Buffer.from('92ce00000000' + '82a169ce00000000a170db00000000', 'hex')
  head.writeUInt32BE(1_700_000_000 + (id % 1000), 2)
  head.writeUInt32BE(id, 10)
  head.writeUInt32BE(paddingBytes, 17)
  return Buffer.concat([head, Buffer.alloc(paddingBytes, 0x61 + (id % 26))])
}

export function idOf(entry: Buffer): number {
  return entry.readUInt32BE(10)
}

export interface GroupParts {
  readonly tag?: string
  readonly source?: string
  readonly ingestId?: string
  readonly continues?: boolean
  readonly paddingBytes?: number
}

export function groupOf(ids: readonly number[], parts: GroupParts = {}): AppendGroup {
  return {
    tag: Buffer.from(parts.tag ?? 'docker.web'),
    ingestId: parts.ingestId === undefined ? null : Buffer.from(parts.ingestId, 'latin1'),
    source: Buffer.from(parts.source ?? 'in\0'),
    form: 1,
    entries: Buffer.concat(ids.map((id) => entryOf(id, parts.paddingBytes ?? 0))),
    recordCount: ids.length,
    minTimeSeconds: 1_700_000_000,
    maxTimeSeconds: 1_700_000_999,
    continues: parts.continues ?? false
  }
}

export interface HarnessOptions {
  readonly storage: Storage
  readonly clock: Clock
  readonly durability?: Durability
  readonly segmentBytes?: number
  readonly directory?: string
  readonly logId?: Uint8Array
  readonly cursorHighOffset?: number
  readonly holdingLowOffset?: number | null
  readonly syncIntervalMs?: number
  readonly hash?: FrameHash
  readonly compression?: Compression
  readonly keys?: StoreKeys
  /** Wraps the storage of the writer alone. */
  readonly writerStorage?: Storage
}

/** An id that was read back, with its place. */
export interface ReadRecord {
  readonly id: number
  readonly offset: number
  readonly epoch: number
}

export interface ReadHole {
  readonly firstOffset: number
  readonly endOffset: number
  readonly reason: string
}

export class ShardHarness {
  readonly recovered: RecoveryResult
  readonly segments: ShardSegments
  readonly writer: ShardWriter
  readonly acked: number[] = []
  readonly rejected: { readonly ids: readonly number[]; readonly reason: RejectReason }[] = []
  readonly states: { readonly state: ShardState; readonly error: unknown }[] = []
  readonly visible: VisibleEnd[] = []
  readonly givenUp: { readonly recordCount: number; readonly reason: RejectReason }[] = []
  readonly poisoned: string[] = []
  readonly closed: number[] = []
  syncCount = 0
  onAck: (ids: readonly number[]) => void = () => undefined
  readonly #options: HarnessOptions

  constructor(options: HarnessOptions) {
    const { storage, clock } = options
    this.#options = options
    const directory = options.directory ?? DIRECTORY
    const durability = options.durability ?? 'sync'
    const logId = options.logId ?? LOG_ID
    const shared = {
      storage,
      hash: options.hash ?? hash,
      storeSecret: STORE.secret,
      decoder: new PayloadDecoder({ uuid: STORE.uuid, keys: options.keys ?? null }),
      logId,
      durability
    }
    this.recovered = recoverShard({
      ...shared,
      directory,
      nowMs: clock.nowMs(),
      cursorHighOffset: options.cursorHighOffset ?? 0,
      holdingLowOffset: options.holdingLowOffset ?? null
    })
    this.segments = new ShardSegments({ ...shared, recovered: this.recovered })
    this.writer = new ShardWriter(this.#writerOptions(directory, logId, durability))
  }

  #writerOptions(directory: string, logId: Uint8Array, durability: Durability): ShardWriterOptions {
    const { storage, clock, writerStorage, segmentBytes, syncIntervalMs } = this.#options
    return {
      storage: writerStorage ?? storage,
      clock,
      hash: this.#options.hash ?? hash,
      store: { ...STORE, keys: this.#options.keys ?? null },
      compression: this.#options.compression ?? 'none',
      shard: { shardNumber: 0, directory, logId, start: this.recovered.start },
      slab: Buffer.allocUnsafeSlow(512 * 1024),
      segmentBytes: segmentBytes ?? 1024 * 1024,
      durability,
      ...(syncIntervalMs === undefined ? {} : { syncIntervalMs }),
      observer: {
        onSegment: (segment) => this.segments.add(segment),
        onVisible: (end) => {
          this.visible.push(end)
          this.segments.setVisible(end.segmentOrdinal, end.endByte, end.nextOffset)
        },
        onClosed: (ordinal) => {
          this.closed.push(ordinal)
          this.segments.setClosed(ordinal)
        },
        onState: (state, error) => this.states.push({ state, error }),
        onGivenUp: (recordCount, _byteCount, reason) => this.givenUp.push({ recordCount, reason }),
        onPoisoned: (file) => this.poisoned.push(path.basename(file)),
        onSync: () => {
          this.syncCount++
        }
      }
    }
  }

  /** Appends one message and asks for its ack. */
  append(ids: readonly number[], parts: GroupParts = {}): boolean {
    return this.writer.append(groupOf(ids, parts), {
      onDurable: () => {
        this.acked.push(...ids)
        this.onAck(ids)
      },
      onRejected: (reason) => this.rejected.push({ ids, reason })
    })
  }

  /** Everything that readers can read now. */
  readAll(fromOffset = this.segments.oldestOffset): { records: ReadRecord[]; holes: ReadHole[] } {
    return readAll(this.segments, fromOffset)
  }

  get ids(): number[] {
    return this.readAll().records.map(({ id }) => id)
  }
}

export function readAll(
  segments: ShardSegments,
  fromOffset: number
): { records: ReadRecord[]; holes: ReadHole[] } {
  const records: ReadRecord[] = []
  const holes: ReadHole[] = []
  const reader = new ShardReader(segments, fromOffset)
  for (let next = reader.next(); next !== null; next = reader.next()) {
    if (next.kind === 'hole') {
      const { firstOffset, endOffset, reason } = next
      holes.push({ firstOffset, endOffset, reason })
      continue
    }
    const { firstOffset, recordCount } = next.frame
    const frame = readFrameAt(segments, next.frame)
    if (frame === null) {
      for (const hole of segments.judge(firstOffset, firstOffset + recordCount)) {
        holes.push({
          firstOffset: hole.firstOffset,
          endOffset: hole.endOffset,
          reason: hole.reason
        })
      }
      continue
    }
    for (const group of frame.groups) {
      splitEntries(group)?.forEach(({ startByte, endByte }, index) => {
        records.push({
          id: idOf(group.entries.subarray(startByte, endByte)),
          offset: group.firstOffset + index,
          epoch: frame.epoch
        })
      })
    }
  }
  return { records, holes }
}

export function cursorOptions(storage: Storage, outputId = 'search'): CursorOptions {
  return {
    storage,
    hash,
    storeSecret: STORE.secret,
    logId: LOG_ID,
    outputId,
    directory: DIRECTORY
  }
}

export function openCursor(storage: Storage, startOffset = 0, outputId = 'search'): Cursor {
  const options = cursorOptions(storage, outputId)
  const loaded = Cursor.load(options, startOffset)
  return loaded === null ? Cursor.create(options, startOffset) : loaded.cursor
}
