// Runs on: main.
// Where each metric is read from at scrape time.

import type { DeadLetterLogStatus, ParkedStatus } from '../../admin/status.ts'
import type { MillraceConfig } from '../../config/schema.ts'
import type { Destination } from '../../delivery/destination.ts'
import { HISTOGRAM_CELLS } from '../../metrics/histogram.ts'
import { INGEST_COUNTERS } from '../../metrics/ingest-counters.ts'
import type { MetricRegistry, Sample } from '../../metrics/registry.ts'
import type { AgeClock } from '../../storage/retention/age-clock.ts'
import { nodeStorage } from '../../storage/storage.ts'
import { SHARD_STATES, SYNC_SECONDS_BYTE } from '../../threads/shared.ts'
import { type DiskCounts, type DiskHealth, volumeOf } from '../disk/health.ts'
import type { Scrubber } from '../disk/scrub.ts'
import type { ReplayJobs } from '../replay/jobs.ts'
import type { DeliverySet } from '../stages/delivery-set.ts'
import type { IngestThreads } from '../stages/ingest-threads.ts'
import type { OpenedShard } from '../store/open-shards.ts'
import type { Store } from '../store/store.ts'
import { cursorStatuses, type ServerStatus } from './server-status.ts'

export interface MetricsParts {
  readonly ages: AgeClock
  readonly config: MillraceConfig
  readonly version: string
  readonly store: Store
  readonly disk: DiskHealth
  readonly scrubber: Scrubber
  readonly ingest: IngestThreads
  readonly delivery: DeliverySet
  readonly status: ServerStatus
  readonly deadLetters: { status(): DeadLetterLogStatus[] }
  readonly jobs: Pick<ReplayJobs, 'runningCount' | 'replayed'>
  readonly generation: number
  readonly configHash: string
}

export function provideMetrics(registry: MetricRegistry, parts: MetricsParts): void {
  provideProcess(registry, parts)
  provideShards(registry, parts)
  provideCursors(registry, parts)
  provideLetters(registry, parts)
  provideOutputs(registry, parts)
  provideInputs(registry, parts)
}

function provideProcess(registry: MetricRegistry, parts: MetricsParts): void {
  const { ages, config, configHash, delivery, generation, ingest, store, version } = parts
  const node = process.version
  registry.provide('build_info', () => [{ labels: { version, node }, value: 1 }])
  registry.provide('config_info', () => [
    { labels: { hash: configHash, generation: String(generation) }, value: 1 }
  ])
  registry.provide('thread_utilization_ratio', () => [
    ...ingest
      .utilization()
      .map((value, index) => ({ labels: { thread: `ingest-${index}` }, value })),
    { labels: { thread: 'pool' }, value: delivery.pool.utilization }
  ])
  registry.provide('thread_cpu_seconds_total', async () => [
    { labels: { thread: 'ingest' }, value: await ingest.cpuSeconds() },
    { labels: { thread: 'pool' }, value: await delivery.pool.cpuSeconds() },
    { labels: { thread: 'main' }, value: mainCpuSeconds() }
  ])
  registry.provide('stage_seconds_total', () => poolStages(delivery.destinations))
  const scrubbed = () => parts.scrubber.counts
  registry.provide('queue_scrub_read_bytes_total', () => [
    { labels: {}, value: scrubbed().readBytes }
  ])
  registry.provide('queue_scrub_damaged_records_total', () => [
    { labels: {}, value: scrubbed().damagedRecords }
  ])
  registry.provide('queue_scrub_damaged_ranges_total', () => [
    { labels: {}, value: scrubbed().damagedRanges }
  ])
  registry.provide('queue_scrub_passes_total', () => [{ labels: {}, value: scrubbed().passes }])
  registry.provide('queue_age_paused', () => [{ labels: {}, value: ages.isPaused ? 1 : 0 }])
  registry.provide('queue_clock_jumps_total', () => [{ labels: {}, value: ages.jumpCount }])
  registry.provide('queue_startup_recovery_seconds', () => [
    { labels: {}, value: store.recoverySeconds }
  ])
  registry.provide('queue_volume_free_bytes', () => {
    const volume = volumeOf(nodeStorage, config.dataDir)
    return volume === null ? [] : [{ labels: {}, value: volume.freeBytes }]
  })
  registry.provide('queue_volume_free_inodes', () => {
    const volume = volumeOf(nodeStorage, config.dataDir)
    return volume === null ? [] : [{ labels: {}, value: volume.freeInodes }]
  })
}

function mainCpuSeconds(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1e6
}

function poolStages(destinations: readonly Destination[]): Sample[] {
  return (['read', 'run', 'finish'] as const).map((stage) => ({
    labels: { stage },
    value: destinations.reduce((sum, { stageMs }) => sum + stageMs[stage], 0) / 1000
  }))
}

function provideShards(
  registry: MetricRegistry,
  { config, disk, status, store }: MetricsParts
): void {
  const routes = () => store.shards.filter(({ spec }) => spec.log.startsWith('routes/'))
  const each = (name: string, value: (opened: OpenedShard) => number) =>
    registry.provide(name, () =>
      routes().map((opened) => ({ labels: labelsOf(opened), value: value(opened) }))
    )
  each('queue_appended_records_total', ({ shardLog }) => shardLog.endOffset)
  each('queue_appended_bytes_total', ({ shardLog }) => shardLog.appendedBytes)
  each('queue_segments', ({ shardLog }) => shardLog.segments.all.length)
  each('queue_disk_bytes', ({ shardLog }) => shardLog.heldBytes)
  each('queue_kept_bytes', ({ shardLog }) => shardLog.keptBytes)
  each('queue_blocked_seconds_total', ({ shardLog }) => shardLog.blockedMs / 1000)
  each('queue_blocked_now', ({ shardLog }) => (shardLog.isBlocked ? 1 : 0))
  registry.provide('queue_cursor_persist_seconds', () =>
    routes().map((opened) => ({
      labels: labelsOf(opened),
      value: opened.shardLog.persistSeconds.cells
    }))
  )
  each('queue_recovery_unacked_records_total', ({ unackedRecords }) => unackedRecords)
  registry.provide('queue_cursor_reset_total', () =>
    routes().flatMap((opened) =>
      [...opened.cursors.keys()].map((destination) => ({
        labels: { ...labelsOf(opened), destination },
        value: opened.resetOutputs.has(destination) ? 1 : 0
      }))
    )
  )
  each('queue_corrupt_frames_total', ({ shardLog }) => shardLog.damage.frameCount)
  each('queue_quarantined_bytes', ({ shardLog }) => shardLog.damage.quarantinedBytes)
  registry.provide('queue_state', () =>
    routes().flatMap((opened) =>
      SHARD_STATES.map((state) => ({
        labels: { ...labelsOf(opened), state },
        value: status.stateOf(opened.shardLog) === state ? 1 : 0
      }))
    )
  )
  registry.provide('queue_sync_duration_seconds', () =>
    routes().map((opened) => ({
      labels: labelsOf(opened),
      value: new Float64Array(opened.spec.control, SYNC_SECONDS_BYTE, HISTOGRAM_CELLS)
    }))
  )
  registry.provide('queue_segment_poisoned_total', () => {
    const counts = disk.counts
    return routes().map((opened) => ({
      labels: labelsOf(opened),
      value: countsOf(counts, opened)?.poisonedCount ?? 0
    }))
  })
  registry.provide('queue_sync_errors_total', () => {
    const counts = disk.counts
    return routes().flatMap((opened) =>
      [...(countsOf(counts, opened)?.syncErrors ?? [])].map(([errno, value]) => ({
        labels: { ...labelsOf(opened), errno },
        value
      }))
    )
  })
  registry.provide('queue_orphaned_bytes', () => [
    { labels: {}, value: store.orphans.reduce((sum, { bytes }) => sum + bytes, 0) }
  ])
  registry.provide('queue_durability_info', () =>
    config.routes.map(({ durability, id }) => ({
      labels: { route: id, policy: durability },
      value: 1
    }))
  )
}

function countsOf(counts: readonly DiskCounts[], { spec }: OpenedShard): DiskCounts | undefined {
  return counts.find(({ log, shardNumber }) => log === spec.log && shardNumber === spec.shardNumber)
}

function labelsOf({ shardLog }: OpenedShard): { route: string; shard: string } {
  return { route: shardLog.route, shard: shardLog.label }
}

function provideLetters(registry: MetricRegistry, { deadLetters, jobs }: MetricsParts): void {
  const each = (name: string, value: (log: DeadLetterLogStatus) => number) =>
    registry.provide(name, () =>
      deadLetters.status().map((log) => ({ labels: { log: log.log }, value: value(log) }))
    )
  each('queue_dlq_records', ({ records }) => records)
  each('queue_dlq_bytes', ({ bytes }) => bytes)
  each('queue_dlq_written_records_total', ({ written }) => written)
  const byReason = (
    name: string,
    counts: (log: DeadLetterLogStatus) => Readonly<Record<string, number>>
  ) =>
    registry.provide(name, () =>
      deadLetters.status().flatMap((log) =>
        Object.entries(counts(log)).map(([reason, value]) => ({
          labels: { log: log.log, reason },
          value
        }))
      )
    )
  byReason('queue_dlq_removed_records_total', ({ removed }) => removed)
  byReason('queue_dlq_lost_records_total', ({ lost }) => lost)
  registry.provide('queue_replayed_records_total', () =>
    [...jobs.replayed()].flatMap(([key, results]) => {
      const [route = '', destination = ''] = key.split('/')
      return Object.entries(results).map(([result, value]) => ({
        labels: { route, destination, result },
        value
      }))
    })
  )
  registry.provide('queue_jobs_running', () => [{ labels: {}, value: jobs.runningCount }])
}

function provideCursors(registry: MetricRegistry, { delivery, status }: MetricsParts): void {
  const { destinations } = delivery
  type Cursor = ReturnType<typeof cursorStatuses>[number]
  const labels = ({ destination, route, shard }: Cursor) => ({ route, shard, destination })
  const each = (name: string, value: (cursor: Cursor) => number) =>
    registry.provide(name, () =>
      destinations.flatMap(cursorStatuses).map((cursor) => ({
        labels: labels(cursor),
        value: value(cursor)
      }))
    )
  each('queue_due_records_total', ({ appended }) => appended)
  each('queue_moved_records_total', ({ moved }) => moved)
  each('queue_delivered_records_total', ({ delivered }) => delivered)
  each('queue_duplicate_suppressed_records_total', ({ duplicateSuppressed }) => duplicateSuppressed)
  each('queue_dead_lettered_records_total', ({ deadLettered }) => deadLettered)
  each('queue_pending_records', ({ pending }) => pending)
  each('queue_oldest_pending_age_seconds', ({ oldestPendingMs }) =>
    oldestPendingMs === null ? 0 : Math.max(0, Date.now() - oldestPendingMs) / 1000
  )
  const byReason = (name: string, reasons: (cursor: Cursor) => Readonly<Record<string, number>>) =>
    registry.provide(name, () =>
      destinations.flatMap(cursorStatuses).flatMap((cursor) =>
        Object.entries(reasons(cursor)).map(([reason, value]) => ({
          labels: { ...labels(cursor), reason },
          value
        }))
      )
    )
  byReason('queue_dropped_records_total', ({ dropped }) => dropped)
  byReason('queue_lost_records_total', ({ lost }) => lost)
  provideBytes(registry, destinations)
  provideOrder(registry, destinations)
  provideParks(registry, destinations, status)
  for (const [name, labelNames] of TASK_COUNTERS) {
    registry.provide(name, () => taskSamples(destinations, name, labelNames))
  }
}

function provideBytes(registry: MetricRegistry, destinations: readonly Destination[]): void {
  const shards = () =>
    destinations.flatMap(({ output, route, shards }) =>
      shards.map(({ cursor, shardLog }) => ({
        cursor,
        shardLog,
        labels: { route, shard: shardLog.label, destination: output.id }
      }))
    )
  registry.provide('queue_pending_bytes', () =>
    shards().map(({ cursor, labels, shardLog }) => ({
      labels,
      value: shardLog.pendingBytes(cursor)
    }))
  )
  registry.provide('queue_dropped_bytes_total', () =>
    shards().flatMap(({ cursor, labels }) =>
      [...cursor.counts]
        .filter(([name, { bytes }]) => name.startsWith('dropped:') && bytes > 0)
        .map(([name, { bytes }]) => ({
          labels: { ...labels, reason: name.slice('dropped:'.length) },
          value: bytes
        }))
    )
  )
}

function provideOrder(registry: MetricRegistry, destinations: readonly Destination[]): void {
  const each = (name: string, value: (shard: Destination['shards'][number]) => number) =>
    registry.provide(name, () =>
      destinations
        .filter(({ isNewestFirst }) => isNewestFirst)
        .flatMap(({ output, route, shards }) =>
          shards.map((shard) => ({
            labels: { route, shard: shard.shardLog.label, destination: output.id },
            value: value(shard)
          }))
        )
    )
  each('queue_backfilling', ({ isBackfilling }) => (isBackfilling ? 1 : 0))
  each('queue_newest_first_total', ({ jumpCount }) => jumpCount)
}

function provideParks(
  registry: MetricRegistry,
  destinations: readonly Destination[],
  status: ServerStatus
): void {
  const each = (name: string, value: (park: ParkedStatus) => number) =>
    registry.provide(name, () => {
      const used = status.queues().parked
      return destinations.map(({ output, route }) => {
        const park = used.find((one) => one.route === route && one.destination === output.id)
        const labels = { route, destination: output.id }
        return { labels, value: park === undefined ? 0 : value(park) }
      })
    })
  each('queue_parked_records', ({ records }) => records)
  each('queue_parked_bytes', ({ bytes }) => bytes)
  each('queue_parked_keys', ({ keys }) => keys)
  each('queue_park_full', ({ isFull }) => (isFull ? 1 : 0))
}

/** Counters that results of tasks bring as `<metric>|<label value>|...`, and what the values are of. */
const TASK_COUNTERS = [
  ['step_records_total', ['route', 'step', 'result', 'reason']],
  ['join_records_total', ['route', 'result']]
] as const

/** Destinations of one route count into the same series: each runs the steps for itself. */
function taskSamples(
  destinations: readonly Destination[],
  name: string,
  labelNames: readonly string[]
): Sample[] {
  const sums = new Map<string, number>()
  for (const { counters } of destinations) {
    for (const [key, value] of counters) {
      if (key.startsWith(`${name}|`)) sums.set(key, (sums.get(key) ?? 0) + value)
    }
  }
  return [...sums].map(([key, value]) => {
    const [, ...values] = key.split('|')
    const labels = labelNames.map((label, index) => [label, values[index] ?? ''])
    return { labels: Object.fromEntries(labels), value }
  })
}

function provideOutputs(registry: MetricRegistry, { delivery }: MetricsParts): void {
  const outputs = [...delivery.outputs.values()]
  const each = (name: string, value: (output: (typeof outputs)[number]) => Sample['value']) =>
    registry.provide(name, () =>
      outputs.map((output) => ({ labels: { destination: output.id }, value: value(output) }))
    )
  registry.provide('output_requests_total', () =>
    outputs.flatMap(({ id, requests }) =>
      Object.entries(requests).map(([code, value]) => ({
        labels: { destination: id, code },
        value
      }))
    )
  )
  each('output_request_seconds', ({ requestSeconds }) => requestSeconds.cells)
  each('output_circuit_open', ({ circuit }) => (circuit.isOpen ? 1 : 0))
  each('output_in_flight', ({ slots }) => slots.inUse)
  each('output_sent_bytes_total', ({ sentBytes }) => sentBytes)
  each('output_retries_total', ({ retryCount }) => retryCount)
  each('output_throttled_total', ({ throttledCount }) => throttledCount)
}

function provideInputs(registry: MetricRegistry, { config, ingest }: MetricsParts): void {
  registry.provide('tls_certificate_expiry_seconds', () =>
    [...ingest.certificates].map(([listener, endsMs]) => ({
      labels: { listener },
      value: (endsMs - Date.now()) / 1000
    }))
  )
  const inputs = Object.keys(config.inputs)
  const names = new Set(INGEST_COUNTERS.map(({ metric }) => metric))
  // Records that a shard gave up belong to no input; nothing else is counted there.
  const withNone = [...inputs, '']
  for (const name of names) {
    registry.provide(name, () =>
      INGEST_COUNTERS.flatMap((counter, place) =>
        counter.metric === name
          ? (name === 'input_rejected_records_total' ? withNone : inputs).map((input, ordinal) => ({
              labels: { input, ...counter.labels },
              value: ingest.counter(ordinal, place)
            }))
          : []
      )
    )
  }
}
