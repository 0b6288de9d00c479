// Runs on: any.
// The options as the code sees them, and the service's limits.

/** Bytes of a request: text of each message plus 26 (PutLogEvents). */
export const BATCH_BYTES_MAX = 1_048_576
export const BATCH_EVENTS_MAX = 10_000
/** What the service adds to each message when it counts. */
export const EVENT_OVERHEAD_BYTES = 26
export const MESSAGE_BYTES_MAX = BATCH_BYTES_MAX - EVENT_OVERHEAD_BYTES
/** Escaping doubles a message of quotes; only control characters take more, and such a record is no log line. */
export const ROW_BYTES_MAX = 2 * MESSAGE_BYTES_MAX + 64
/** Newest minus oldest event of a request stays below this. */
export const BATCH_SPAN_MS = 86_400_000
/** Names of groups and streams, in characters. */
export const NAME_CHARS_MAX = 512

export interface CloudWatchOptions {
  readonly region?: string
  readonly endpoint?: string
  readonly profile?: string
  readonly aws_key_id?: string
  readonly aws_sec_key?: string
  readonly aws_session_token?: string
  readonly log_group_name: string
  readonly log_stream_name: string
  readonly default_log_group_name: string
  readonly sanitize_char: string
  readonly allowed_log_groups?: readonly string[]
  readonly allow_unconfined_names: boolean
  readonly auto_create_group: boolean
  readonly auto_create_stream: boolean
  readonly retention_in_days?: number
  readonly log_group_class?: 'STANDARD' | 'INFREQUENT_ACCESS' | 'DELIVERY'
  readonly kms_key_id?: string
  readonly tags?: Readonly<Record<string, string>>
  readonly log_key?: string
  readonly include_tag_key: boolean
  readonly tag_key: string
  readonly max_event_bytes: number
  readonly oversize: 'dlq' | 'truncate'
  readonly truncate_suffix: string
  readonly compression: 'none' | 'gzip'
  readonly batch_events: number
  readonly flush_interval: number
  readonly max_in_flight: number
  readonly connect_timeout: number
  readonly request_timeout: number
  readonly retry: { readonly base: number; readonly cap: number }
}

/** Stands between group and stream in a target; neither name can have it. */
export const TARGET_SEPARATOR = '\u0000'

export interface StreamName {
  readonly group: string
  readonly stream: string
}

export function parseTarget(target: string): StreamName {
  const cut = target.indexOf(TARGET_SEPARATOR)
  return { group: target.slice(0, cut), stream: target.slice(cut + 1) }
}
