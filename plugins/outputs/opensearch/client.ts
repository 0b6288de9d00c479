// Step 8. Runs on: main.
// Sends bodies to `_bulk` and tells what became of each row. A deadline ends every request.

import { readFile } from 'node:fs/promises'
import type { ConnectionOptions as TlsConnectionOptions } from 'node:tls'
import { linkAbort } from '../../../src/core/abort.ts'
import { MillraceError } from '../../../src/core/errors.ts'
import { unreachable } from '../../../src/core/invariant.ts'
import type { Batch, FlushOutcome, Output, OutputContext } from '../../../src/plugin/output.ts'
import { TroubleLog } from '../../../src/plugin/trouble-log.ts'
import { Balancer } from './balancer.ts'
import type { BulkEndpoint, SendResult } from './bulk-endpoint.ts'
import { judgeAnswer, judgeItems, retryAll } from './failures.ts'
import type { OpenSearchOptions, TlsOptions } from './options.ts'
import { SizeCap, SplitBudget } from './size-cap.ts'

/** `{"errors":false,"items":[` and `]}`; each item is `{"create":{"status":201}}` and a comma. */
const SUCCESS_FRAME_BYTES = '{"errors":false,"items":[]}'.length - 1
const SUCCESS_ITEM_BYTES = '{"create":{"status":201}},'.length
/** Up to the name of the index, as render.ts writes it. */
const ACTION_HEAD_BYTES = '{"create":{"_index":"'.length
const BACKSLASH = 0x5c
/** Certificates and redirects need somebody to mend them. */
const CONFIG_PROBE_MS = 60_000
/** Of an answer that is no list of items: an error with its causes is far below, a page of a proxy may not be. */
const ERROR_TEXT_CHARS = 256 * 1024

export class OpenSearchOutput implements Output {
  readonly #options: OpenSearchOptions
  readonly #context: OutputContext
  readonly #trouble: TroubleLog
  readonly #cap: SizeCap
  readonly #splits: SplitBudget
  readonly #flushes = new Set<Promise<FlushOutcome>>()
  #stopped = new AbortController()
  #balancer: Balancer<BulkEndpoint> | null = null

  constructor(options: OpenSearchOptions, context: OutputContext) {
    this.#options = options
    this.#context = context
    this.#trouble = new TroubleLog(context.log, context.clock)
    this.#cap = new SizeCap(options.bulk_bytes, context.clock)
    this.#splits = new SplitBudget(context.clock)
  }

  /** Reads the TLS files and builds the clients. Connections are made by the first requests. */
  async start(): Promise<void> {
    if (this.#balancer !== null) return
    const tls = this.#options.tls === undefined ? null : await readTls(this.#options.tls)
    // The library takes 0.3 s to load: only processes that send to OpenSearch pay for it.
    const { BulkEndpoint } = await import('./bulk-endpoint.ts')
    const endpoints = this.#options.endpoints.map(
      (endpoint) => new BulkEndpoint(endpointOptions(endpoint, this.#options, tls, this.#context))
    )
    this.#stopped = new AbortController()
    this.#balancer = new Balancer(endpoints, this.#context.clock)
  }

  async flush(batch: Batch, signal: AbortSignal): Promise<FlushOutcome> {
    const balancer = this.#balancer
    if (balancer === null || signal.aborted) return retryAll('aborted', 0)
    if (this.#cap.isAbove(batch.rawByteCount) && batch.rowCount > 1) {
      return { kind: 'split', reason: 'too_large', status: 413 }
    }
    const deadline = linkAbort(signal, this.#stopped.signal)
    const cancel = this.#context.clock.after(this.#options.request_timeout, () => deadline.abort())
    const flush = this.#send(batch, balancer, deadline.signal)
    this.#flushes.add(flush)
    try {
      return await flush
    } finally {
      this.#flushes.delete(flush)
      cancel()
      deadline.release()
    }
  }

  keyOf(row: Buffer): string {
    return indexOf(row)
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    await Promise.allSettled(this.#flushes)
    for (const endpoint of this.#balancer?.endpoints ?? []) endpoint.close()
    this.#balancer = null
  }

  async #send(
    batch: Batch,
    balancer: Balancer<BulkEndpoint>,
    signal: AbortSignal
  ): Promise<FlushOutcome> {
    const tried = new Set<BulkEndpoint>()
    let staleCount = 0
    for (;;) {
      const endpoint = balancer.take(tried)
      if (endpoint === null) return this.#failed('connect', retryAll('connect', 0))
      const result = await endpoint.send(batch.body, batch.isCompressed, signal)
      balancer.give(endpoint, isHealthy(result))
      if (result.kind === 'answer') return this.#judge(result, batch)
      // An idle connection that the server had closed says nothing about the server: once more, on a new one.
      if (result.isStale && staleCount++ === 0) continue
      if (!result.isUnsent || signal.aborted) return this.#judgeFailure(result, batch, signal)
      tried.add(endpoint)
      if (tried.size === balancer.endpoints.length) return this.#judgeFailure(result, batch, signal)
    }
  }

  #judge(answer: Extract<SendResult, { kind: 'answer' }>, batch: Batch): FlushOutcome {
    const { rowCount, attempt } = batch
    const request = { rowCount, attempt, hasId: this.#options.id === 'position' }
    if (answer.status === 200 || answer.status === 201) {
      this.#cap.accepted()
      // The length of a plain success follows from the number of items: nothing has to be parsed or counted.
      const isPlain =
        answer.isErrorFree &&
        answer.byteCount === SUCCESS_FRAME_BYTES + SUCCESS_ITEM_BYTES * rowCount
      const outcome: FlushOutcome = isPlain
        ? { kind: 'all', verdict: { kind: 'stored' } }
        : judgeItems(answer.text(), request)
      this.#trouble.note(outcome)
      return outcome
    }
    const text = answer.text().slice(0, ERROR_TEXT_CHARS)
    const { status, retryAfter } = answer
    const nowMs = this.#context.clock.nowMs()
    const outcome = judgeAnswer({ status, retryAfter, text }, request, nowMs)
    if (status === 413) this.#cap.refused(batch.rawByteCount)
    // When every request is bad, it is not the records: nothing is refused, somebody has to look.
    else if (status === 400 && isGivenUp(outcome) && !this.#splits.take()) {
      return this.#failed('bad_requests', retryAll('bad_requests', CONFIG_PROBE_MS))
    }
    return this.#failed(`status_${status}`, outcome)
  }

  #judgeFailure(
    failure: Extract<SendResult, { kind: 'failure' }>,
    batch: Batch,
    signal: AbortSignal
  ): FlushOutcome {
    if (this.#stopped.signal.aborted) return retryAll('aborted', 0)
    const { reason } = failure
    if (signal.aborted) return this.#failed('timeout', retryAll('timeout', 0))
    switch (reason) {
      case 'tls':
        // Never without the check: the connection waits for a certificate that fits.
        return this.#failed(reason, retryAll(reason, CONFIG_PROBE_MS))
      case 'long_answer':
        return this.#failed(
          reason,
          batch.rowCount > 1 ? { kind: 'split', reason } : retryAll(reason, 0)
        )
      case 'connect':
      case 'reset':
      case 'timeout':
      case 'broken_answer':
        return this.#failed(reason, retryAll(reason, 0))
      default:
        return unreachable(reason)
    }
  }

  #failed(event: string, outcome: FlushOutcome): FlushOutcome {
    this.#trouble.note(outcome, event)
    return outcome
  }
}

/** The name in the action line, as JSON text: enough to tell indices apart. */
function indexOf(row: Buffer): string {
  const start = ACTION_HEAD_BYTES
  let end = row.indexOf('"', start)
  while (end > start && row[end - 1] === BACKSLASH) end = row.indexOf('"', end + 1)
  return end < 0 ? '' : row.toString('utf8', start, end)
}

/** Whether the node, not the request, is to blame. */
function isHealthy(result: SendResult): boolean {
  if (result.kind === 'answer') return result.status !== 503
  return result.isStale || result.reason === 'long_answer'
}

function isGivenUp(outcome: FlushOutcome): boolean {
  return outcome.kind === 'split' || (outcome.kind === 'all' && outcome.verdict.kind === 'refuse')
}

function endpointOptions(
  endpoint: string,
  options: OpenSearchOptions,
  tls: TlsConnectionOptions | null,
  context: OutputContext
) {
  const url = new URL(endpoint)
  const username = options.user ?? decodeURIComponent(url.username)
  const password = options.password ?? decodeURIComponent(url.password)
  const path = `${url.pathname.replace(/\/+$/, '')}${options.path.replace(/\/+$/, '')}`
  const query = new URLSearchParams({
    filter_path: 'errors,items.*.status,items.*.error',
    timeout: `${options.server_timeout}ms`
  })
  if (options.pipeline !== undefined) query.set('pipeline', options.pipeline)
  if (options.require_alias) query.set('require_alias', 'true')
  return {
    url: url.origin,
    path,
    querystring: query.toString(),
    socketsMax: options.inflight_max,
    connectTimeoutMs: options.connect_timeout,
    requestTimeoutMs: options.request_timeout,
    responseBytesMax: options.max_response_bytes,
    headers: {
      ...options.headers,
      ...(options.api_key === undefined ? {} : { authorization: `ApiKey ${options.api_key}` })
    },
    auth: username === '' ? null : { username, password },
    tls,
    clock: context.clock
  }
}

async function readTls(options: TlsOptions): Promise<TlsConnectionOptions> {
  const read = async (path: string | undefined) => {
    if (path === undefined) return undefined
    try {
      return await readFile(path)
    } catch (error) {
      throw new MillraceError('MR_OUTPUT_START', `cannot read ${path}`, { cause: error })
    }
  }
  const [ca, cert, key] = await Promise.all([
    read(options.ca_file),
    read(options.cert_file),
    read(options.key_file)
  ])
  return {
    rejectUnauthorized: options.verify,
    minVersion: options.min_version === '1.3' ? 'TLSv1.3' : 'TLSv1.2',
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(options.key_passphrase === undefined ? {} : { passphrase: options.key_passphrase }),
    ...(options.server_name === undefined ? {} : { servername: options.server_name })
  }
}
