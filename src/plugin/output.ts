// Runs on: any (types only).
// The contract of outputs. An output is two halves: `render` turns records into bodies on a pool thread, `client`
// sends bodies on main and says what became of each row. Retry, backoff, dead letters, slots, metrics: delivery/.

import type { Clock } from '../core/clock.ts'
import type { Template } from '../core/template.ts'

/** What the kernel writes for each record; data, so that it crosses to the pool threads. */
export interface RenderSpec {
  /** `ndjson`: prefix, id, `{...}`, newline. `log_events`: `{"message":"...","timestamp":ms},` with the record as text. */
  readonly framing: 'ndjson' | 'log_events'
  /** Where each record goes: index, log group and stream, path. Evaluated per record, looked up when it changes. */
  readonly target: Template
  /** Field written first with the event time in RFC 3339 UTC; null: none. Ignored by `log_events`. */
  readonly timeField: { readonly key: string; readonly precision: 0 | 3 | 6 | 9 } | null
  /** What happens to a field of the record that is named like `timeField` or `tagField`: the output's own wins, and the
   * record's is left out (`overwrite`) or renamed to `<key>_original` (`rename`); `keep`: the record's stays instead. */
  readonly timeConflict: 'keep' | 'overwrite' | 'rename'
  /** Field that holds the tag; null: none. */
  readonly tagField: string | null
  /** Whether the position id is written after the target's prefix. */
  readonly hasId: boolean
  /** `log_events` only: text of this field instead of the whole record as JSON; null: whole record. */
  readonly messageField: string | null
  /** Longest rendered record in bytes; a longer one is refused as `too_large`. */
  readonly recordBytesMax: number
}

/** Bytes around the id of a record of one target, made once per target and cached. */
export type TargetText =
  | { readonly kind: 'ok'; readonly prefix: Uint8Array; readonly afterId: Uint8Array }
  /** Records of this target go to the dead letters with this reason. */
  | { readonly kind: 'refuse'; readonly reason: string }

/** One request body. Byte places are relative to the slot. */
export interface RenderedBody {
  readonly target: string
  readonly startByte: number
  readonly byteCount: number
  readonly rowStart: number
  readonly rowCount: number
  /** Compressed copy of the body, when the output compresses. */
  readonly compressed: { readonly startByte: number; readonly byteCount: number } | null
  /** Hex SHA-256 over what is sent, when the output asks for it. */
  readonly sha256: string | null
}

/** Area that a render half may use to put bodies together; what it returns must lie in `slot`. */
export interface RenderArea {
  /** Rendered records, back to back, as the kernel wrote them; with `isInOrder` in the slot, from its first byte on. */
  readonly rendered: Buffer
  /** Six words per row: start byte, byte count, target number, offset (relative), member list, time (ms, low word). */
  readonly rows: RenderedRows
  /** Text of each target number that `rows` uses. */
  readonly targets: readonly string[]
  /** Shared memory to put bodies into. */
  readonly slot: Buffer
}

export interface RenderedRows {
  readonly count: number
  startByte(row: number): number
  byteCount(row: number): number
  target(row: number): number
  /** Event time, milliseconds since 1970; 0 for what is before. */
  timeMs(row: number): number
  /** `log_events`: UTF-8 bytes of the message before it was escaped. */
  messageByteCount(row: number): number
}

/** What `finish` returns: bodies in the slot, and the new order of the rows (null: as rendered). */
export interface FinishedBodies {
  readonly bodies: readonly RenderedBody[]
  readonly order: Uint32Array | null
  /** Where each row, in the new order, stands in its body: start byte and byte count in the slot; null: rows stand back to back as rendered. */
  readonly places: Uint32Array | null
  /** How many rows (in rendered order, from the first) are in the bodies; the rest is rendered again later. */
  readonly rowsTaken: number
}

/** The pool half. The module's default export is a `CreateRender`. Pure: same records, same bytes. */
export interface RenderHalf {
  readonly spec: RenderSpec
  /** The body is all rows as rendered: they go to the slot while they are made. */
  readonly isInOrder?: boolean
  /** Called once per distinct target and thread. */
  targetText(target: string): TargetText
  /** Groups, orders, compresses and hashes; most outputs use `finishPlain`. */
  finish(area: RenderArea): FinishedBodies
}

export interface RenderContext {
  readonly hostname: string
  /** Compiles a template that validation has accepted; constants (`${hostname}`, `${data_dir}`) become text. */
  template(text: string): Template
}

export type CreateRender<C> = (config: C, context: RenderContext) => RenderHalf

/** What became of a row, or of a whole body. A closed union: an unknown failure is a `retry`. */
export type Verdict =
  | {
      readonly kind: 'stored' /** The destination had it already: counted `duplicate_suppressed`. */
      readonly duplicate?: boolean
    }
  | { readonly kind: 'retry'; readonly reason: string; readonly retryAfterMs?: number }
  /** The target cannot take it until somebody mends it; others go on. */
  | { readonly kind: 'park'; readonly reason: string }
  /** The record can never be stored there: dead letter. */
  | {
      readonly kind: 'refuse'
      readonly reason: string
      readonly status?: number
      readonly text?: string
    }

/** Outcome of one flush. `split`: the body was refused as a whole and has to be halved (413, whole-request 400). */
export type FlushOutcome =
  | { readonly kind: 'all'; readonly verdict: Verdict }
  | { readonly kind: 'rows'; readonly verdicts: readonly Verdict[] }
  | {
      readonly kind: 'split'
      readonly reason: string
      readonly status?: number
      readonly text?: string
    }

/** One body on its way to the destination. Must not be kept after `flush` settled. */
export interface Batch {
  readonly target: string
  /** What is sent: the compressed bytes when there are any. A view on shared memory. */
  readonly body: Buffer
  readonly isCompressed: boolean
  readonly sha256: string | null
  /** Rows in the order of the body. */
  readonly rowCount: number
  /** Bytes before compression. */
  readonly rawByteCount: number
  /** 1 for the first try. */
  readonly attempt: number
  /** Plain bytes of one row, for messages and checks. */
  rowBytes(row: number): Buffer
}

export interface OutputContext {
  /** Name of the output in the configuration. */
  readonly id: string
  readonly clock: Clock
  readonly log: OutputLog
  readonly dataDir: string
}

export interface OutputLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/**
 * The main half. `start` may connect and may be called again after it failed. `flush` settles within the signal, may run
 * `requestsMax` times at once, and gives a verdict for each row in the order of the body; an exception counts as `retry`
 * for all. The body's memory belongs to the output until `flush` settles: it settles only when the response is complete
 * or the socket is closed. `stop` is safe before `start`, twice, and during `flush`. No timer or socket outlives it.
 */
export interface Output {
  start(signal: AbortSignal): Promise<void>
  flush(batch: Batch, signal: AbortSignal): Promise<FlushOutcome>
  /**
   * What the destination may refuse by itself, of a row as rendered: its index. Absent: the target of the body. Called
   * only while something fails.
   */
  keyOf?(row: Buffer): string
  stop(): Promise<void>
}

/** How much of what delivery may use for this output. */
export interface OutputSizes {
  /** Largest body in bytes before compression. */
  readonly bodyBytesMax: number
  /** Requests in flight at most; also the number of slots. */
  readonly requestsMax: number
  /** How long records may wait for more to fill a body, milliseconds. */
  readonly lingerMs: number
  /** Deadline of one flush, milliseconds. */
  readonly flushTimeoutMs: number
  /** Requests of one target run one after another (CloudWatch streams, files). */
  readonly isOrderedPerTarget: boolean
  /** Bytes that a slot needs beyond the body: compressed copy, gathered rows. */
  readonly slotExtraBytes: number
  /** Ceilings of the first wait and of every wait between tries; absent: 1 s and 60 s. */
  readonly retry?: { readonly firstDelayMs: number; readonly delayMsMax: number }
}
