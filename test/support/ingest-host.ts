// An ingest thread's inside on the test's own thread, with real files: what it stored can be read back.

import fs from 'node:fs'
import path from 'node:path'
import { decode, ExtensionCodec } from '@msgpack/msgpack'
import type { Test } from 'tap'
import type { MillraceConfig, RouteConfig } from '../../src/config/schema.ts'
import { type Clock, systemClock } from '../../src/core/clock.ts'
import { skipValue } from '../../src/core/msgpack-skip.ts'
import { logIdOf } from '../../src/core/position.ts'
import type { ResendChannel } from '../../src/ingest/dedupe.ts'
import { IngestMain } from '../../src/ingest/ingest-main.ts'
import { ScanKernel } from '../../src/kernel/scan-kernel.ts'
import {
  INGEST_COUNTERS,
  ingestCounterBytes,
  ingestCounterPlace
} from '../../src/metrics/ingest-counters.ts'
import { createResendMemory, type ResendMemory } from '../../src/server/store/resend-memory.ts'
import { decodeFrameHeader, decodeGroups, isPayloadIntact } from '../../src/storage/format/frame.ts'
import { FRAME_HEADER, frameBytesOf, SEGMENT_HEADER } from '../../src/storage/format/layout.ts'
import { parseSegmentName, segmentSalt } from '../../src/storage/format/segment-names.ts'
import { nodeStorage, type Storage } from '../../src/storage/storage.ts'
import type {
  FromIngest,
  IngestThreadData,
  ShardSpec,
  ShardStart
} from '../../src/threads/messages.ts'
import { CONTROL_BLOCK_BYTES } from '../../src/threads/shared.ts'
import { FakeClock, settled } from './fake-clock.ts'

export const STORE = { uuid: Buffer.alloc(16, 1), secret: Buffer.alloc(16, 2), keys: null }
export const hash = new ScanKernel({ memoryBytes: 16 * 1024 * 1024 }).hash

export interface StoredRecord {
  readonly tag: string
  readonly time: unknown
  readonly record: unknown
}

export interface StoredGroup {
  readonly tag: string
  readonly form: number
  readonly recordCount: number
  readonly ingestId: Buffer | null
  readonly source: string
  readonly entries: Buffer
}

export interface HostOptions {
  readonly directory: string
  /** By id: type and options. */
  readonly inputs: MillraceConfig['inputs']
  readonly inputModules: Readonly<Record<string, string>>
  readonly routes?: readonly Partial<RouteConfig>[]
  readonly clock?: Clock
  readonly storage?: Storage
  /** Of all routes, or by log. */
  readonly recoveredIngestIds?: readonly string[] | Readonly<Record<string, readonly string[]>>
  /** Instead of the ids: windows that another host uses too, and how the two tell each other. */
  readonly resends?: ResendMemory
  readonly channel?: ResendChannel
  readonly starts?: Readonly<Record<string, ShardStart>>
  readonly ticketSecret?: Uint8Array
  readonly thread?: { readonly index: number; readonly count: number }
}

export function routeOf(rest: Partial<RouteConfig>): RouteConfig {
  return {
    id: 'all',
    match: { kind: 'all' },
    from: null,
    goesOn: false,
    steps: [],
    to: [],
    durability: 'sync',
    syncIntervalMs: 200,
    overflow: 'block',
    isDroppedAcked: false,
    bytesMax: 8 * 2 ** 30,
    ageMsMax: null,
    keepMs: 0,
    lanes: 1,
    laneKey: null,
    compression: 'none',
    ...rest
  }
}

export class IngestHost {
  readonly main: IngestMain
  readonly data: IngestThreadData<MillraceConfig>
  readonly messages: FromIngest[] = []
  readonly shards: readonly ShardSpec[]
  readonly #options: HostOptions
  readonly #counters: Float64Array

  constructor(options: HostOptions) {
    this.#options = options
    const routes = (options.routes ?? [{}]).map(routeOf)
    const inputIds = Object.keys(options.inputs)
    const logs = [
      ...routes.map(({ id }) => `routes/${id}`),
      ...inputIds.map((id) => `dlq/in.${id}`),
      'dlq/unmatched'
    ]
    const { index, count } = options.thread ?? { index: 0, count: 1 }
    this.shards = logs.flatMap((log) => {
      const lanes = routes.find(({ id }) => log === `routes/${id}`)?.lanes ?? 1
      return Array.from({ length: lanes }, (_, lane) => this.#spec(log, index * lanes + lane))
    })
    const counters = new SharedArrayBuffer(ingestCounterBytes(inputIds.length))
    this.#counters = new Float64Array(counters)
    this.data = {
      index,
      count,
      generation: 1,
      config: configOf(options, routes),
      inputModules: options.inputModules,
      store: STORE,
      shards: this.shards,
      resends: options.resends ?? resendsOf(logs, options.recoveredIngestIds ?? []),
      doorbell: new SharedArrayBuffer(4),
      counters,
      ticketSecret: options.ticketSecret ?? Buffer.alloc(32, 3)
    }
    this.main = new IngestMain({
      data: this.data,
      clock: options.clock ?? systemClock,
      storage: options.storage ?? nodeStorage,
      channel: options.channel ?? null,
      post: (message) => this.messages.push(message),
      importModule: (url) => import(url)
    })
  }

  /** Opens the listeners; the addresses of the first input. */
  async start(t: Test): Promise<readonly string[]> {
    t.teardown(() => this.stop())
    await this.main.handle({ kind: 'start' })
    for (const message of this.messages) {
      if (message.kind === 'failed') throw new Error(`${message.code}: ${message.message}`)
      if (message.kind === 'listening') return Object.values(message.addresses)[0] ?? []
    }
    throw new Error('no answer')
  }

  /** Stops; a clock that stands still is pushed on. */
  async stop(): Promise<void> {
    const { clock } = this.#options
    let isStopped = false
    const stopping = this.main.stop(100).then(() => {
      isStopped = true
    })
    while (clock instanceof FakeClock && !isStopped) {
      clock.advance(50)
      await settled()
    }
    await stopping
  }

  get warnings(): string[] {
    return this.messages.flatMap((message) =>
      message.kind === 'log' && message.level !== 'info' ? [message.message] : []
    )
  }

  counter(key: string, inputOrdinal = 0): number {
    const place = ingestCounterPlace(key)
    if (place === undefined) throw new Error(`no counter ${key}`)
    return this.#counters[inputOrdinal * INGEST_COUNTERS.length + place] ?? 0
  }

  words(log: string): BigInt64Array {
    const spec = this.shards.find((shard) => shard.log === log)
    if (spec === undefined) throw new Error(`no shard of ${log}`)
    return new BigInt64Array(spec.control)
  }

  groups(log = 'routes/all', shardNumber = this.#options.thread?.index ?? 0): StoredGroup[] {
    return storedGroups(this.#options.directory, log, shardNumber)
  }

  /** Records in the order of the queue, decoded. */
  records(log = 'routes/all', shardNumber?: number): StoredRecord[] {
    return this.groups(log, shardNumber).flatMap(recordsOf)
  }

  recordCount(log = 'routes/all'): number {
    return this.groups(log).reduce((sum, group) => sum + group.recordCount, 0)
  }

  #spec(log: string, shardNumber: number): ShardSpec {
    const name = `shard-${String(shardNumber).padStart(2, '0')}`
    const directory = path.join(this.#options.directory, log, name)
    fs.mkdirSync(directory, { recursive: true })
    return {
      log,
      shardNumber,
      directory,
      logId: logIdOf(STORE.uuid, `${log}/${name}`),
      control: new SharedArrayBuffer(CONTROL_BLOCK_BYTES),
      others: [],
      start: this.#options.starts?.[log] ?? FIRST_START
    }
  }
}

const FIRST_START: ShardStart = {
  epoch: 1_700_000_000,
  nextOffset: 0,
  nextOrdinal: 0,
  prevValidEndByte: 0,
  lastAppendTimeMs: 0
}

/** Windows with what a start found, all of it in shard 0. */
export function resendsOf(
  logs: readonly string[],
  ids: NonNullable<HostOptions['recoveredIngestIds']>
): ResendMemory {
  const stored = logs.filter((log) => !log.startsWith('dlq/in.'))
  return createResendMemory(
    new Map(stored.map((log) => [log, [[{ shardNumber: 0, ids: idsOf(ids, log) }]]]))
  )
}

function idsOf(
  ids: NonNullable<HostOptions['recoveredIngestIds']>,
  log: string
): readonly string[] {
  if (!log.startsWith('routes/')) return []
  // An array is no record, which the union type cannot tell apart by itself.
  return Array.isArray(ids) ? ids : ((ids as Record<string, readonly string[]>)[log] ?? [])
}

function configOf(options: HostOptions, routes: readonly RouteConfig[]): MillraceConfig {
  return {
    dataDir: options.directory,
    baseDir: options.directory,
    threads: { ingest: 1, pool: 1 },
    admin: { listen: [], hosts: [], token: null },
    queue: {
      minFree: { kind: 'bytes', bytes: 0 },
      segmentBytesMax: 128 * 1024 * 1024,
      dlqBytesMax: 2 ** 30,
      dlqOverflow: 'drop_oldest',
      parkBytesMax: 2 ** 30,
      onIoError: 'degrade',
      isNetworkFsAllowed: false,
      keys: null,
      catchupBytesPerSecond: 64 * 2 ** 20,
      scrubBytesPerSecond: 0
    },
    drainTimeoutMs: 1000,
    inputs: options.inputs,
    routes,
    outputs: {}
  }
}

/** Groups of all segments of a shard, every frame verified. */
export function storedGroups(directory: string, log: string, shardNumber: number): StoredGroup[] {
  const name = `shard-${String(shardNumber).padStart(2, '0')}`
  const shardDirectory = path.join(directory, log, name)
  const logId = logIdOf(STORE.uuid, `${log}/${name}`)
  const groups: StoredGroup[] = []
  for (const file of fs.readdirSync(shardDirectory).sort()) {
    const parsed = parseSegmentName(file)
    if (parsed === null) continue
    const { epoch, firstOffset } = parsed
    const salt = segmentSalt(STORE.secret, logId, epoch, firstOffset)
    const bytes = fs.readFileSync(path.join(shardDirectory, file))
    groups.push(...segmentGroups(bytes, salt, epoch))
  }
  return groups
}

function segmentGroups(bytes: Buffer, salt: bigint, epoch: number): StoredGroup[] {
  const groups: StoredGroup[] = []
  let at: number = SEGMENT_HEADER.byteCount
  for (;;) {
    const header = decodeFrameHeader(bytes, at, hash, salt, epoch)
    if (header === null) return groups
    const start = at + FRAME_HEADER.byteCount
    const payload = bytes.subarray(start, start + header.storedBytes)
    if (!isPayloadIntact(payload, header, hash, salt)) throw new Error(`damaged frame at ${at}`)
    for (const group of decodeGroups(payload, header) ?? []) {
      groups.push({
        tag: group.tag.toString(),
        form: group.form,
        recordCount: group.recordCount,
        ingestId: group.ingestId,
        source: group.source.toString(),
        entries: group.entries
      })
    }
    at += frameBytesOf(header.storedBytes)
  }
}

const extensions = new ExtensionCodec()

function recordsOf(group: StoredGroup): StoredRecord[] {
  const records: StoredRecord[] = []
  for (const bytes of valuesOf(group.entries)) {
    const value = decode(bytes, { extensionCodec: extensions, useBigInt64: true }) as unknown[]
    const [time, record] = group.form === 2 ? value.slice(1) : value
    records.push({ tag: group.tag, time, record })
  }
  return records
}

function valuesOf(entries: Buffer): Buffer[] {
  const values: Buffer[] = []
  let start = 0
  while (start < entries.length) {
    const end = skipValue(entries, start)
    if (end < 0) throw new Error('stored entries are no MessagePack')
    values.push(entries.subarray(start, end))
    start = end
  }
  return values
}
