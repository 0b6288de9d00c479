// Step 8. Runs on: any.
// From an answer of the server to verdicts. Pure. What is the record's fault is refused with its reason, what is the
// operator's fault waits (parked index, slow probe of the whole output), and everything unknown is tried again.

import type { FlushOutcome, Verdict } from '../../../src/plugin/output.ts'

/** Bytes of error text that a dead letter carries. */
const TEXT_BYTES_MAX = 2048
/** A server that asks for more is asked again after this. */
const RETRY_AFTER_MS_MAX = 5 * 60_000
/** Probe of a destination that somebody has to mend. */
const CONFIG_PROBE_MS = 60_000
/** Probe of a cluster that refuses writes as a whole. */
const BLOCKED_PROBE_MS = 30_000
/** Tries of a server error that may heal before its index is parked. */
const SERVER_ERROR_TRIES = 10

export interface BulkRequest {
  readonly rowCount: number
  /** 1 for the first try. */
  readonly attempt: number
  /** Whether rows bear ids of ours, so that a conflict means: stored before. */
  readonly hasId: boolean
}

/** Answer that is no list of items, cut to what is worth reading. */
export interface ErrorAnswer {
  readonly status: number
  /** Value of `Retry-After`, as sent. */
  readonly retryAfter: string | undefined
  readonly text: string
}

interface ServerError {
  readonly type?: unknown
  readonly reason?: unknown
  readonly caused_by?: unknown
}

/** Answers other than 200 and 201. */
export function judgeAnswer(
  answer: ErrorAnswer,
  request: BulkRequest,
  nowMs: number
): FlushOutcome {
  const { status } = answer
  const retryAfterMs = parseRetryAfter(answer.retryAfter, nowMs)
  if (status === 413) return splitOrRefuse('too_large', answer, request)
  if (status === 429) return retryAll('throttled', retryAfterMs)
  if (status === 503) return retryAll('unavailable', retryAfterMs)
  if (status === 408 || status >= 502) return retryAll('gateway', retryAfterMs)
  if (status === 501) return retryAll('endpoint', CONFIG_PROBE_MS)
  if (status >= 500) return retryAll('server_error', retryAfterMs)
  if (status === 400 && rootError(answer.text) !== null) {
    return splitOrRefuse('bad_request', answer, request)
  }
  if (status === 401) return retryAll('unauthorized', CONFIG_PROBE_MS)
  if (status === 403) {
    return rootError(answer.text)?.type === 'cluster_block_exception'
      ? retryAll('cluster_blocked', BLOCKED_PROBE_MS)
      : retryAll('forbidden', CONFIG_PROBE_MS)
  }
  // Redirects, wrong paths, proxies with pages of their own: somebody has to look at the endpoint.
  return retryAll('endpoint', CONFIG_PROBE_MS)
}

/** Body of a 200 that did not begin with `"errors":false` or did not have the length of a plain success. */
export function judgeItems(text: string, request: BulkRequest): FlushOutcome {
  const items = itemsOf(text)
  if (items === null) return retryAll('unreadable', 0)
  if (items.length !== request.rowCount) return retryAll('item_count', 0)
  const verdicts = items.map((item) => judgeItem(item, request))
  return verdicts.every((verdict) => verdict === STORED)
    ? { kind: 'all', verdict: STORED }
    : { kind: 'rows', verdicts }
}

const STORED: Verdict = { kind: 'stored' }
const DUPLICATE: Verdict = { kind: 'stored', duplicate: true }

function judgeItem(item: unknown, request: BulkRequest): Verdict {
  const result = firstValue(item)
  const status = result?.['status']
  if (typeof status !== 'number') return { kind: 'retry', reason: 'unreadable' }
  if (status >= 200 && status < 300) return STORED
  const error = asError(result?.['error'])
  switch (status) {
    case 409:
      // `create` with an id of ours met itself: an earlier try was stored and its answer got lost.
      return request.hasId ? DUPLICATE : { kind: 'retry', reason: 'conflict' }
    case 429:
      return isType(error, 'cluster_block_exception')
        ? { kind: 'park', reason: 'index_blocked' }
        : { kind: 'retry', reason: 'throttled' }
    case 401:
    case 403:
      return {
        kind: 'park',
        reason: isType(error, 'cluster_block_exception') ? 'index_blocked' : 'forbidden'
      }
    case 404:
      return judgeMissing(error)
    case 400:
      return judgeBadItem(error)
    case 413:
      return refuse('too_large', status, error)
    default:
      return judgeOther(status, error, request.attempt)
  }
}

function judgeOther(status: number, error: ServerError | null, attempt: number): Verdict {
  if (status === 503) return { kind: 'retry', reason: 'unavailable' }
  if (status >= 500) {
    return attempt > SERVER_ERROR_TRIES
      ? { kind: 'park', reason: 'server_error' }
      : { kind: 'retry', reason: 'server_error' }
  }
  if (status === 408) return { kind: 'retry', reason: 'gateway' }
  return status >= 400
    ? refuse('bad_request', status, error)
    : { kind: 'retry', reason: 'unreadable' }
}

function judgeMissing(error: ServerError | null): Verdict {
  return { kind: 'park', reason: isPipelineMissing(error) ? 'pipeline_missing' : 'index_missing' }
}

/** A 400 is the record's fault, but for those that somebody has to mend in the cluster. */
function judgeBadItem(error: ServerError | null): Verdict {
  const reason = reasonOf(error)
  // Nothing says why: not enough to give a record up.
  if (error === null) return { kind: 'retry', reason: 'unreadable' }
  if (/maximum (normal |frozen )?shards open/.test(reason)) {
    return { kind: 'park', reason: 'shard_limit' }
  }
  if (isType(error, 'index_closed_exception')) return { kind: 'park', reason: 'index_closed' }
  if (isType(error, 'index_not_found_exception')) return { kind: 'park', reason: 'index_missing' }
  if (isPipelineMissing(error)) return { kind: 'park', reason: 'pipeline_missing' }
  if (reason.includes('Document ID is not supported')) {
    return { kind: 'park', reason: 'id_not_supported' }
  }
  if (isType(error, 'invalid_index_name_exception')) return refuse('index_name', 400, error)
  return refuse(isPipelineFailure(error) ? 'pipeline' : 'mapping', 400, error)
}

function isPipelineMissing(error: ServerError | null): boolean {
  return /pipeline with id \[.*\] does not exist/.test(reasonOf(error))
}

function isPipelineFailure(error: ServerError): boolean {
  const type = String(error.type)
  return type === 'ingest_processor_exception' || type === 'script_exception'
}

/** A lone row has nobody to be parted from. */
function splitOrRefuse(reason: string, answer: ErrorAnswer, request: BulkRequest): FlushOutcome {
  const text = cutText(answer.text)
  const { status } = answer
  return request.rowCount > 1
    ? { kind: 'split', reason, status, text }
    : { kind: 'all', verdict: { kind: 'refuse', reason, status, text } }
}

export function retryAll(reason: string, retryAfterMs: number): FlushOutcome {
  return {
    kind: 'all',
    verdict: retryAfterMs > 0 ? { kind: 'retry', reason, retryAfterMs } : { kind: 'retry', reason }
  }
}

function refuse(reason: string, status: number, error: ServerError | null): Verdict {
  const cause = asError(error?.caused_by)
  const parts = [error, cause].flatMap((each) =>
    each === null ? [] : [`${String(each.type ?? '')}: ${reasonOf(each)}`]
  )
  return { kind: 'refuse', reason, status, text: cutText(parts.join('; caused by ')) }
}

/** `type` of the error at the root of an answer; null: not an error of the server's own. */
export function rootError(text: string): { type: string } | null {
  const root = asError(asObject(parseJson(text))?.['error'])
  return root === null ? null : { type: String(root.type ?? '') }
}

/** Seconds or a date, as milliseconds from now; 0: nothing useful. */
export function parseRetryAfter(value: string | undefined, nowMs: number): number {
  if (value === undefined) return 0
  const delayMs = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - nowMs
  return Number.isFinite(delayMs) ? Math.min(Math.max(delayMs, 0), RETRY_AFTER_MS_MAX) : 0
}

function cutText(text: string): string {
  const bytes = Buffer.from(text)
  if (bytes.length <= TEXT_BYTES_MAX) return text
  // A character that the cut parts decodes to U+FFFD, which is taken off again.
  return bytes.toString('utf8', 0, TEXT_BYTES_MAX).replace(/\ufffd$/, '')
}

function itemsOf(text: string): unknown[] | null {
  const items = asObject(parseJson(text))?.['items']
  return Array.isArray(items) ? items : null
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function asObject(value: unknown): Record<string, unknown> | null {
  // A cast: the narrowing of `object` to something that can be indexed.
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null
}

function asError(value: unknown): ServerError | null {
  return asObject(value)
}

function firstValue(item: unknown): Record<string, unknown> | null {
  const object = asObject(item)
  return object === null ? null : asObject(Object.values(object)[0])
}

function isType(error: ServerError | null, type: string): boolean {
  return error?.type === type
}

function reasonOf(error: ServerError | null): string {
  return typeof error?.reason === 'string' ? error.reason : ''
}
