// Step 4. Runs on: ingest.
// The shards that one ingest thread writes: a writer, a control block and a place among the routes for each.

import type { MillraceConfig } from '../config/schema.ts'
import type { Clock } from '../core/clock.ts'
import { errnoOf, errorText } from '../core/errors.ts'
import { invariant } from '../core/invariant.ts'
import { SHARDS_PER_THREAD_MAX } from '../core/limits.ts'
import type { ScanKernel } from '../kernel/scan-kernel.ts'
import type { InputCounters } from '../plugin/input.ts'
import { segmentBytesFor } from '../storage/format/layout.ts'
import type { Compression } from '../storage/format/payload-encoder.ts'
import type { Storage } from '../storage/storage.ts'
import type { WriterObserver } from '../storage/writer/append.ts'
import { trimKeptMemory } from '../storage/writer/kept-frames.ts'
import { ShardWriter } from '../storage/writer/shard-writer.ts'
import type { DiskNews, FromIngest, IngestThreadData, ShardSpec } from '../threads/messages.ts'
import { ControlBlock, type Doorbell } from './control-block.ts'
import { type RoomOptions, SharedRoom } from './pressure.ts'
import type { RouteTarget } from './route-target.ts'

/** What a log asks of its shards. */
type LogPolicy = Pick<RoomOptions, 'overflow' | 'bytesMax'> & {
  readonly isDroppedAcked: boolean
  readonly ageMsMax: number | null
  readonly durability: 'sync' | 'interval' | 'os' | 'memory'
  readonly syncIntervalMs: number
  readonly compression: Compression
}

export interface ShardSetOptions {
  readonly data: IngestThreadData<MillraceConfig>
  readonly clock: Clock
  readonly storage: Storage
  readonly kernel: ScanKernel
  readonly doorbell: Doorbell
  /** Counters of what belongs to no input. */
  readonly counters: InputCounters
  post(message: FromIngest): void
  /** There may be room again. */
  onRoom(): void
}

/** A sync that takes longer is worth a warning, one per shard and interval. */
const SLOW_SYNC_MS = 1000
const SLOW_SYNC_EVERY_MS = 10_000
/** Memory of a shard where small runs are gathered. */
const SLAB_BYTES = 1024 * 1024

/** How long a segment is written, and how many of them lie within the age that records may reach. */
const SEGMENT_MS_MAX = 3_600_000
const SEGMENT_MS_MIN = 1000
const SEGMENTS_PER_AGE = 8

export class ShardSet {
  /** By log, in the order of their numbers. */
  readonly #targets = new Map<string, RouteTarget[]>()
  readonly #clock: Clock
  readonly #doorbell: Doorbell

  constructor(options: ShardSetOptions) {
    const { shards } = options.data
    this.#clock = options.clock
    invariant(shards.length <= SHARDS_PER_THREAD_MAX, `${shards.length} shards on one thread`)
    this.#doorbell = options.doorbell
    for (const spec of shards.toSorted((one, other) => one.shardNumber - other.shardNumber)) {
      const target = createTarget(options, spec)
      const others = this.#targets.get(spec.log)
      if (others === undefined) this.#targets.set(spec.log, [target])
      else others.push(target)
    }
  }

  /** The shards of a log that this thread writes, one per lane. */
  lanes(log: string): readonly RouteTarget[] {
    const targets = this.#targets.get(log)
    invariant(targets !== undefined, `no shard of ${log} on this thread`)
    return targets
  }

  /** The shard of a log without lanes. */
  target(log: string): RouteTarget {
    const [target, ...others] = this.lanes(log)
    invariant(target !== undefined && others.length === 0, `${log} has lanes`)
    return target
  }

  /** Once a second: readers learn that nothing older will come, old segments end. */
  tick(): void {
    for (const { control, room, writer } of this.#all()) {
      control.setWatermark(writer.tick())
      control.setSyncAge(writer.syncAgeMs)
      room.exchange()
      room.lookAgain(this.#clock.monotonicMs())
    }
    trimKeptMemory(this.#clock.monotonicMs())
    this.#doorbell.ring()
  }

  /** Main made room in these logs. */
  probe(logs: readonly string[]): void {
    for (const log of logs) {
      for (const { writer } of this.#targets.get(log) ?? []) writer.probe()
    }
  }

  /** Ends the segment of a shard, when it is one of this thread and nothing of it is on its way. */
  seal(log: string, shardNumber: number): void {
    this.#targets
      .get(log)
      ?.find((target) => target.shardNumber === shardNumber)
      ?.writer.seal()
  }

  /** Writes and syncs everything and ends the segments. */
  async close(): Promise<void> {
    await Promise.all(this.#all().map(({ writer }) => writer.close()))
    this.#doorbell.ring()
  }

  #all(): RouteTarget[] {
    return [...this.#targets.values()].flat()
  }
}

function createTarget(options: ShardSetOptions, spec: ShardSpec): RouteTarget {
  const { clock, data, doorbell, kernel, storage } = options
  const policy = policyOf(data.config, spec.log)
  const control = new ControlBlock(spec.control, doorbell)
  // All threads share the limit; a lane may fill its own part of it alone.
  const laneCount = data.shards.filter(({ log }) => log === spec.log).length
  const bytesMax = policy.bytesMax / laneCount
  const writer = new ShardWriter({
    storage,
    clock,
    hash: kernel.hash,
    store: data.store,
    shard: spec,
    slab: kernel.reserve(SLAB_BYTES),
    segmentBytes: segmentBytesOf(options, spec, bytesMax / data.count),
    segmentMsMax: segmentMsMaxOf(policy),
    durability: policy.durability,
    compression: policy.compression,
    syncIntervalMs: policy.syncIntervalMs,
    observer: observe(options, spec, control)
  })
  const { isDroppedAcked, overflow } = policy
  const others = spec.others.map((shared) => new ControlBlock(shared, doorbell))
  return {
    kind: 'shard',
    log: spec.log,
    shardNumber: spec.shardNumber,
    writer,
    control,
    room: new SharedRoom({ bytesMax, overflow, writer, control, others }),
    isDroppedAcked,
    isDirty: false
  }
}

/**
 * Space comes back by whole files, and the newest one stays: it is a small share of the limit, and of a volume that is
 * smaller than the limit. A drain would else give nothing back to a volume that is full.
 */
function segmentBytesOf(
  { data, storage }: ShardSetOptions,
  { directory }: ShardSpec,
  bytesMax: number
): number {
  const { totalBytes } = storage.statfs(directory)
  // Some file systems tell no size.
  const shareOf = totalBytes > 0 ? Math.min(bytesMax, totalBytes) : bytesMax
  return Math.min(data.config.queue.segmentBytesMax, segmentBytesFor(shareOf))
}

function observe(
  options: ShardSetOptions,
  { log, shardNumber }: ShardSpec,
  control: ControlBlock
): WriterObserver {
  const { clock, counters, onRoom, post } = options
  const tell = (news: DiskNews) => post({ kind: 'disk', log, shardNumber, news })
  let warnedMs = Number.NEGATIVE_INFINITY
  return {
    onSegment: (segment) => post({ kind: 'segment', log, shardNumber, segment }),
    onVisible({ segmentOrdinal, endByte, nextOffset, appendTimeMs, appendedBytes }) {
      control.setAppendedBytes(appendedBytes)
      control.publish({ segmentOrdinal, byte: endByte, offset: nextOffset }, appendTimeMs)
      onRoom()
    },
    onClosed: (ordinal) => control.setClosed(ordinal),
    onReleased: () => onRoom(),
    onState(state, error) {
      control.setState(state)
      tell({ event: 'state', state, error: error ? errorText(error) : '' })
      const fields = { log, shard: shardNumber, state, error: error ? errorText(error) : null }
      if (state === 'ok') {
        post({ kind: 'log', level: 'info', fields, message: 'the shard takes records again' })
        onRoom()
      } else if (state !== 'draining') {
        post({ kind: 'log', level: 'error', fields, message: 'the shard takes no records' })
      }
    },
    onGivenUp(recordCount, _byteCount, reason) {
      counters.add(`input_rejected_records_total/${reason}`, recordCount)
      onRoom()
    },
    onSync(durationMs, byteCount, error) {
      control.addSync(durationMs / 1000)
      if (error !== null) {
        tell({ event: 'sync_failed', errno: errnoOf(error), error: errorText(error) })
      }
      if (durationMs < SLOW_SYNC_MS || clock.monotonicMs() - warnedMs < SLOW_SYNC_EVERY_MS) return
      warnedMs = clock.monotonicMs()
      const fields = { log, shard: shardNumber, seconds: durationMs / 1000, bytes: byteCount }
      post({
        kind: 'log',
        level: 'warn',
        fields,
        message: 'the disk is slow: a sync took this long'
      })
    },
    onPoisoned(path, validEndByte, error) {
      tell({ event: 'poisoned', errno: errnoOf(error), error: errorText(error) })
      const fields = { log, path, valid_end_byte: validEndByte, error: String(error) }
      const message = 'a write failed: the segment ends at its last durable byte'
      post({ kind: 'log', level: 'error', fields, message })
    }
  }
}

/** Dead letters are kept like records; what they may hold is set for all of them. */
function policyOf(config: MillraceConfig, log: string): LogPolicy {
  const route = config.routes.find(({ id }) => log === `routes/${id}`)
  if (route !== undefined) return route
  const { dlqBytesMax, dlqOverflow } = config.queue
  return {
    durability: 'sync',
    compression: 'none',
    syncIntervalMs: 0,
    overflow: dlqOverflow,
    isDroppedAcked: false,
    ageMsMax: null,
    bytesMax: dlqBytesMax
  }
}

/** Records go by whole segments: one that is written for long would keep what is much older than it may be. */
function segmentMsMaxOf({ ageMsMax }: LogPolicy): number {
  const shareMs = ageMsMax === null ? SEGMENT_MS_MAX : ageMsMax / SEGMENTS_PER_AGE
  return Math.min(SEGMENT_MS_MAX, Math.max(SEGMENT_MS_MIN, shareMs))
}
