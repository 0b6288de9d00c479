// Runs on: any.
// Every metric: name without the prefix `millrace_`, kind, labels, help. The registry, docs/reference/metrics.md and the
// dashboard read this list; nothing is exported that is not here. Label sets are fixed; tags, indices, groups, streams and
// clients never become labels.

import { INGEST_COUNTERS } from './ingest-counters.ts'

export interface MetricFamily {
  readonly name: string
  readonly kind: 'counter' | 'gauge' | 'histogram'
  readonly labels: readonly string[]
  readonly help: string
}

/** Upper bounds of histogram buckets, seconds. */
export const SECONDS_BUCKETS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600
] as const

const SHARD = ['route', 'shard'] as const
const CURSOR = ['route', 'shard', 'destination'] as const

const ROUTER_METRICS: readonly MetricFamily[] = [
  family('build_info', 'gauge', ['version', 'node'], 'Version of Millrace and of Node; always 1.'),
  family('config_info', 'gauge', ['hash', 'generation'], 'Configuration in force; always 1.'),
  family('thread_utilization_ratio', 'gauge', ['thread'], 'Share of time a thread was busy.'),
  family(
    'thread_cpu_seconds_total',
    'counter',
    ['thread'],
    'CPU seconds by role of the thread: ingest (steps 1 to 5), pool (7), main (6, 8 to 10).'
  ),
  family(
    'stage_seconds_total',
    'counter',
    ['stage'],
    'Time of pool tasks by stage: read (frames), run (steps and render), finish (bodies, gzip, sha256).'
  ),
  family(
    'tls_certificate_expiry_seconds',
    'gauge',
    ['listener'],
    'Seconds until the certificate of a listener ends; below 0 when it has.'
  ),
  family('queue_appended_records_total', 'counter', SHARD, 'Records that a shard ever took.'),
  family('queue_appended_bytes_total', 'counter', SHARD, 'Bytes written to segments since start.'),
  family(
    'queue_due_records_total',
    'counter',
    CURSOR,
    'Records that a destination had to get since it began: delivered, dead-lettered, moved, dropped, lost and pending together.'
  ),
  family('queue_delivered_records_total', 'counter', CURSOR, 'Records that the destination has.'),
  family(
    'queue_duplicate_suppressed_records_total',
    'counter',
    CURSOR,
    'Of the delivered: those that the destination had already.'
  ),
  family('queue_dead_lettered_records_total', 'counter', CURSOR, 'Records in the dead letters.'),
  family(
    'queue_dropped_records_total',
    'counter',
    [...CURSOR, 'reason'],
    'Records left out on purpose, by reason: filtered, overflow_oldest, overflow_newest, expired, lag, operator.'
  ),
  family(
    'queue_dropped_bytes_total',
    'counter',
    [...CURSOR, 'reason'],
    'Stored bytes of records that were dropped to make room, for their age or for a lag.'
  ),
  family(
    'queue_moved_records_total',
    'counter',
    CURSOR,
    'Records set aside because their target does not take them; they are still stored.'
  ),
  family(
    'queue_lost_records_total',
    'counter',
    [...CURSOR, 'reason'],
    'Records lost, by reason: corrupt, unsynced. Any increase deserves a page.'
  ),
  family('queue_pending_records', 'gauge', CURSOR, 'Records that wait for the destination.'),
  family(
    'queue_pending_bytes',
    'gauge',
    CURSOR,
    'Stored bytes from the oldest record that waits for the destination.'
  ),
  family(
    'queue_backfilling',
    'gauge',
    CURSOR,
    'With `drain_order: newest_first`: 1 while old records are sent beside new ones.'
  ),
  family(
    'queue_newest_first_total',
    'counter',
    CURSOR,
    'With `drain_order: newest_first`: how often new records were given precedence.'
  ),
  family(
    'queue_cursor_persist_seconds',
    'histogram',
    SHARD,
    'Time of a write of the cursors of a shard, with its sync.'
  ),
  family(
    'queue_oldest_pending_age_seconds',
    'gauge',
    CURSOR,
    'Age of the oldest record that waits, by append time.'
  ),
  family('queue_segments', 'gauge', SHARD, 'Segment files of a shard.'),
  family('queue_disk_bytes', 'gauge', SHARD, 'Bytes of the segment files of a shard.'),
  family(
    'queue_kept_bytes',
    'gauge',
    SHARD,
    'Of the bytes on disk: segments that wait for no required destination. New records take their place.'
  ),
  family(
    'queue_blocked_seconds_total',
    'counter',
    SHARD,
    'Time for which a message waited for room in a shard.'
  ),
  family('queue_blocked_now', 'gauge', SHARD, 'Whether a message waits for room in a shard.'),
  family(
    'queue_age_paused',
    'gauge',
    [],
    'Whether nothing is dropped for its age, because a clock jumped within the last 10 minutes.'
  ),
  family(
    'queue_clock_jumps_total',
    'counter',
    [],
    'Jumps of the wall clock against the monotonic clock by more than an hour.'
  ),
  family('queue_volume_free_bytes', 'gauge', [], 'Free bytes of the volume of the data directory.'),
  family('queue_volume_free_inodes', 'gauge', [], 'Free inodes of that volume.'),
  family(
    'queue_state',
    'gauge',
    [...SHARD, 'state'],
    'State of a shard: ok, full, read_only, failed, draining; 1 for the one that holds.'
  ),
  family(
    'queue_orphaned_bytes',
    'gauge',
    [],
    'Bytes of queues that nothing in the configuration names; `millrace queue ls` lists them.'
  ),
  family('queue_sync_duration_seconds', 'histogram', SHARD, 'Time of a sync of the disk.'),
  family(
    'queue_sync_errors_total',
    'counter',
    [...SHARD, 'errno'],
    'Syncs that failed, by the error of the system.'
  ),
  family(
    'queue_segment_poisoned_total',
    'counter',
    SHARD,
    'Segments cut at their last durable byte, because a sync or a write of them failed.'
  ),
  family('queue_dlq_records', 'gauge', ['log'], 'Dead letters kept, by log.'),
  family('queue_dlq_bytes', 'gauge', ['log'], 'Bytes of the dead letters, by log.'),
  family(
    'queue_dlq_written_records_total',
    'counter',
    ['log'],
    'Dead letters ever written: those kept, removed and lost.'
  ),
  family(
    'queue_dlq_removed_records_total',
    'counter',
    ['log', 'reason'],
    'Dead letters that left: replayed, operator (purged), overflow_oldest, filtered (by a step of a replay).'
  ),
  family(
    'queue_dlq_lost_records_total',
    'counter',
    ['log', 'reason'],
    'Dead letters lost, by reason: corrupt, unsynced.'
  ),
  family(
    'queue_replayed_records_total',
    'counter',
    ['route', 'destination', 'result'],
    'Delivered records that `queue replay` sent again since the start: stored, duplicate, filtered, failed. Apart from the delivered ones.'
  ),
  family('queue_jobs_running', 'gauge', [], 'Replays and purges under way.'),
  family(
    'queue_parked_records',
    'gauge',
    ['route', 'destination'],
    'Records set aside because the destination refuses their index or log stream.'
  ),
  family('queue_parked_bytes', 'gauge', ['route', 'destination'], 'Bytes of what is set aside.'),
  family(
    'queue_parked_keys',
    'gauge',
    ['route', 'destination'],
    'Indices or log streams that records are set aside for.'
  ),
  family(
    'queue_park_full',
    'gauge',
    ['route', 'destination'],
    '1 while nothing more is set aside, for want of queue.park_bytes or with too many stretches: what fails waits in the queue.'
  ),
  family('queue_durability_info', 'gauge', ['route', 'policy'], 'Durability of a route; always 1.'),
  family(
    'queue_cursor_reset_total',
    'counter',
    CURSOR,
    'Cursors that could not be read at start: the destination begins again at the oldest record.'
  ),
  family(
    'queue_corrupt_frames_total',
    'counter',
    SHARD,
    'Damaged frames that deliveries met; each counts once, and as one where frames cannot be told apart.'
  ),
  family(
    'queue_quarantined_bytes',
    'gauge',
    SHARD,
    'Bytes of damaged ranges that are kept in the quarantine of the queue.'
  ),
  family(
    'queue_recovery_unacked_records_total',
    'counter',
    SHARD,
    'Records found torn at start that were never acknowledged.'
  ),
  family(
    'queue_scrub_read_bytes_total',
    'counter',
    [],
    'Bytes of sealed segments that the scrub has checked (`queue.scrub_rate`).'
  ),
  family(
    'queue_scrub_damaged_records_total',
    'counter',
    [],
    'Stored records that the scrub found damaged since start; destinations count them as lost when they pass them.'
  ),
  family(
    'queue_scrub_damaged_ranges_total',
    'counter',
    [],
    'Damaged ranges of bytes that the scrub found since start; the log names file and place.'
  ),
  family(
    'queue_scrub_passes_total',
    'counter',
    [],
    'Times that the scrub has been through the store.'
  ),
  family('queue_startup_recovery_seconds', 'gauge', [], 'How long recovery took at start.'),
  family(
    'step_records_total',
    'counter',
    ['route', 'step', 'result', 'reason'],
    'Records by what a step did to them: in, failed, dropped, changed, dead_letter.'
  ),
  family(
    'join_records_total',
    'counter',
    ['route', 'result'],
    'Joined records: complete, incomplete (of these evicted), and parts: orphan, duplicate_part.'
  ),
  family('output_requests_total', 'counter', ['destination', 'code'], 'Flushes by outcome.'),
  family('output_request_seconds', 'histogram', ['destination'], 'Time of a flush.'),
  family(
    'output_circuit_open',
    'gauge',
    ['destination'],
    'Whether the output answers nothing useful, so that it gets one request at a time: 1 or 0.'
  ),
  family('output_in_flight', 'gauge', ['destination'], 'Slots in use.'),
  family('output_sent_bytes_total', 'counter', ['destination'], 'Bytes of bodies as sent.'),
  family('output_retries_total', 'counter', ['destination'], 'Bodies that had to be sent again.'),
  family('output_throttled_total', 'counter', ['destination'], 'Answers that asked to slow down.')
]

/** Families of what ingest threads count. */
const INPUT_METRICS = [
  ...new Map(
    INGEST_COUNTERS.map(({ help, kind, labels, metric }) => [
      metric,
      family(metric, kind, ['input', ...Object.keys(labels)], help)
    ])
  ).values()
]

export const METRICS: readonly MetricFamily[] = [...INPUT_METRICS, ...ROUTER_METRICS]

function family(
  name: string,
  kind: MetricFamily['kind'],
  labels: readonly string[],
  help: string
): MetricFamily {
  return { name, kind, labels, help }
}
