// Runs on: any.
// Counters of steps 1 to 5. Each ingest thread adds to 64-bit floats in shared memory, one writer per word; main sums the
// threads when metrics are asked for. Cell = ordinal of the input x INGEST_COUNTERS.length + place in the list; inputs are
// numbered in the order of the configuration, and what belongs to none has the number after them. Every counter has the
// label `input` (empty for none) besides those that stand here. Main adds the log lines of its own that it dropped.

export interface IngestCounter {
  /** What code says to add to it. */
  readonly key: string
  /** Metric without the prefix `millrace_`. */
  readonly metric: string
  readonly labels: Readonly<Record<string, string>>
  readonly kind: 'counter' | 'gauge'
  readonly help: string
}

const CONNECTIONS_CLOSED = 'Connections that ended, by reason.'
const MESSAGES = 'Messages taken, by form.'
const REJECTED =
  'Records, or messages that could not be counted in records, that were not taken, by reason.'
const MISMATCH = 'Connections that spoke another protocol, by protocol.'
const NONLOG = 'Messages of other signals than logs, acknowledged and not stored.'
const TLS_FAILED = 'TLS handshakes that failed, by reason.'
const TLS_RELOADS =
  'Changed certificate files by result: ok, failed (the old certificate stays in use).'
const PROXY_FAILED = 'Connections reset for their PROXY protocol header, by reason.'
const HANDSHAKES = 'Handshakes with a shared key, by result.'
const AUTH_FAILURES = 'Requests and connections refused because of who sent them, by reason.'
const NONLOG_REFUSED = 'OTLP requests of other signals than logs, answered 404.'
const DATAGRAMS =
  'Datagrams that were not taken: full (the queue has no room), too_large, empty, system (its receive buffer was full).'
const PAUSED = 'Times a connection stopped being read, by reason.'
const REQUESTS = 'Requests by status code; 200 stands for all 2xx.'

export const INGEST_COUNTERS = [
  gauge('connections', 'input_connections', 'Open connections.'),
  counter('connections_total', 'input_connections_total', 'Connections accepted.'),
  labelled('input_connections_closed_total', 'reason', CONNECTIONS_CLOSED, [
    'peer',
    'protocol',
    'too_many',
    'frame_timeout',
    'unread_acks',
    'oversize',
    'rejected',
    'memory',
    'spool',
    'age',
    'idle',
    'auth',
    'handshake_timeout',
    'denied',
    'stop'
  ]),
  counter(
    'received_bytes',
    'input_received_bytes_total',
    'Bytes read from sockets, and of files the bytes taken.'
  ),
  counter('received_records', 'input_received_records_total', 'Records taken.'),
  labelled('input_received_messages_total', 'mode', MESSAGES, [
    'message',
    'batch',
    'gzip',
    'zstd',
    'json',
    'ndjson',
    'msgpack',
    'bulk',
    'otlp'
  ]),
  labelled('input_rejected_records_total', 'reason', REJECTED, [
    'bad_message',
    'not_an_entry',
    'bad_record',
    'too_deep',
    'too_large',
    'cut_short',
    'nested_batch',
    'undecodable',
    'closed',
    'overflow',
    'stopped',
    'unreadable',
    'unknown_type',
    'unknown_encoding',
    'too_slow',
    'spool',
    'bad_frame',
    'rate'
  ]),
  labelled('input_dropped_datagrams_total', 'reason', DATAGRAMS, [
    'full',
    'too_large',
    'empty',
    'system'
  ]),
  labelled('input_auth_failures_total', 'reason', AUTH_FAILURES, [
    'missing',
    'malformed',
    'wrong',
    'key',
    'user',
    'address'
  ]),
  labelled('forward_handshakes_total', 'result', HANDSHAKES, ['accepted', 'refused', 'timeout']),
  counter(
    'unauthenticated_bytes',
    'forward_unauthenticated_bytes_total',
    'Bytes that clients sent without having proved that they know the shared key; dropped.'
  ),
  counter(
    'cut_lines',
    'input_cut_lines_total',
    'Records whose line goes on in the next record, because it is over the limit of a line.'
  ),
  counter(
    'unread_lines',
    'input_unread_lines_total',
    'Lines that do not have the form of container logs, stored as they are.'
  ),
  gauge('files_open', 'input_files_open', 'Files that are open to be followed.'),
  gauge(
    'file_lag_bytes',
    'input_file_lag_bytes',
    'Bytes of followed files that are not stored yet, as last seen.'
  ),
  gauge(
    'files_unreadable',
    'input_files_unreadable',
    'Files and directories that are wanted and cannot be read.'
  ),
  counter(
    'file_rotations',
    'input_file_rotations_total',
    'Followed files that left their name: renamed, replaced or deleted.'
  ),
  counter(
    'file_truncations',
    'input_file_truncations_total',
    'Followed files that were truncated or written anew in place, and are read from the beginning.'
  ),
  counter(
    'truncated_bytes',
    'input_file_truncated_bytes_total',
    'Bytes that were seen and not read yet when their file was truncated.'
  ),
  counter(
    'file_retries',
    'input_file_retries_total',
    'Chunks of files that the queue gave back, and that are read again.'
  ),
  counter(
    'recognised_chunks',
    'input_file_recognised_chunks_total',
    'Chunks of files found in the queue after a crash, and not stored twice.'
  ),
  counter(
    'journal_restarts',
    'input_journal_restarts_total',
    'Times the program that reads the journal ended, and was to be started again.'
  ),
  counter(
    'journal_retries',
    'input_journal_retries_total',
    'Batches of journal entries that the queue gave back, and that are offered again.'
  ),
  counter(
    'cut_fields',
    'input_cut_fields_total',
    'Fields of journal entries that were cut or left out, because field or entry is over its limit.'
  ),
  counter('acks', 'input_acks_total', 'Acknowledgements written.'),
  labelled('input_paused_total', 'reason', PAUSED, ['room', 'memory', 'acks', 'spool']),
  counter(
    'decompressed_bytes',
    'input_decompressed_bytes_total',
    'Bytes that came out of compressed bodies.'
  ),
  gauge(
    'spool_bytes',
    'ingest_spool_bytes',
    'Bytes of unfinished long messages in spool files of the data directory.'
  ),
  counter(
    'dead_letters',
    'input_dead_letters_total',
    'Bodies and entries stored in the dead letters of the input.'
  ),
  labelled('input_tls_failures_total', 'reason', TLS_FAILED, [
    'not_tls',
    'certificate_missing',
    'certificate_refused',
    'version',
    'timeout',
    'closed',
    'other'
  ]),
  labelled('input_tls_reloads_total', 'result', TLS_RELOADS, ['ok', 'failed']),
  labelled('input_proxy_failures_total', 'reason', PROXY_FAILED, [
    'not_listed',
    'missing',
    'malformed',
    'timeout'
  ]),
  labelled('forward_protocol_mismatch_total', 'proto', MISMATCH, ['http', 'tls', 'proxy', 'other']),
  labelled('forward_nonlog_dropped_total', 'signal', NONLOG, [
    'metrics',
    'traces',
    'blobs',
    'profiles'
  ]),
  counter(
    'group_markers',
    'forward_group_markers_total',
    'Group markers of OpenTelemetry batches, stored and not counted as records.'
  ),
  counter(
    'nested_forward',
    'forward_nested_forward_total',
    'Batches found in the place of an entry of another batch, stored under their own tag.'
  ),
  counter(
    'compression_mismatch',
    'forward_compression_mismatch_total',
    'Bodies whose compression is not the one that the message names.'
  ),
  counter(
    'oversize_frames',
    'forward_oversize_frames_total',
    'Messages larger than the limit, known before the body came.'
  ),
  counter(
    'bad_time',
    'forward_bad_time_total',
    'Entries whose time is of no known form; they bear the time of arrival.'
  ),
  counter(
    'duplicate_chunks',
    'forward_duplicate_chunks_total',
    'Messages sent again although stored: acknowledged and not stored twice.'
  ),
  counter(
    'heartbeats',
    'forward_heartbeats_total',
    'Connections that ended without a byte, and heartbeat datagrams.'
  ),
  labelled('http_nonlog_refused_total', 'signal', NONLOG_REFUSED, [
    'traces',
    'metrics',
    'profiles'
  ]),
  labelled('http_requests_total', 'code', REQUESTS, [
    '200',
    '400',
    '401',
    '403',
    '404',
    '405',
    '408',
    '413',
    '415',
    '429',
    '431',
    '500',
    '503'
  ])
].flat() satisfies readonly IngestCounter[]

const PLACES: ReadonlyMap<string, number> = new Map(
  INGEST_COUNTERS.map(({ key }, place) => [key, place])
)

/** Bytes of shared memory for the counters of one thread. */
export function ingestCounterBytes(inputCount: number): number {
  return (inputCount + 1) * INGEST_COUNTERS.length * Float64Array.BYTES_PER_ELEMENT
}

/** First cell of an input. */
export function ingestCounterBase(inputOrdinal: number): number {
  return inputOrdinal * INGEST_COUNTERS.length
}

/** Place of a counter within the cells of an input; undefined: there is none of that key. */
export function ingestCounterPlace(key: string): number | undefined {
  return PLACES.get(key)
}

function counter(key: string, metric: string, help: string): IngestCounter[] {
  return [{ key, metric, labels: {}, kind: 'counter', help }]
}

function gauge(key: string, metric: string, help: string): IngestCounter[] {
  return [{ key, metric, labels: {}, kind: 'gauge', help }]
}

/** One counter per value of a label; its key is `<metric>/<value>`. */
function labelled(
  metric: string,
  label: string,
  help: string,
  values: readonly string[]
): IngestCounter[] {
  return values.map((value) => ({
    key: `${metric}/${value}`,
    metric,
    labels: { [label]: value },
    kind: 'counter',
    help
  }))
}
