// Step 8. Runs on: main.
// Sends prebuilt bodies to PutLogEvents and tells what became of each row. Puts first and creates what the service says
// is missing. The service cannot recognise a repeat: what may have been stored and is sent again stands there twice.

import { gunzipSync } from 'node:zlib'
import type { PutLogEventsCommandOutput } from '@aws-sdk/client-cloudwatch-logs'
import { linkAbort } from '../../../src/core/abort.ts'
import { errorText, MillraceError } from '../../../src/core/errors.ts'
import { unreachable } from '../../../src/core/invariant.ts'
import type {
  Batch,
  FlushOutcome,
  Output,
  OutputContext,
  Verdict
} from '../../../src/plugin/output.ts'
import { TroubleLog } from '../../../src/plugin/trouble-log.ts'
import { Creation } from './creation.ts'
import { countedBytes } from './event-rows.ts'
import { type Failure, failureOf } from './failures.ts'
import {
  type CloudWatchOptions,
  EVENT_OVERHEAD_BYTES,
  MESSAGE_BYTES_MAX,
  parseTarget,
  type StreamName
} from './options.ts'
import type { LogsService, PreparedBody } from './service.ts'

const CREDENTIALS_PROBE_MS = 30_000
const CONFIG_PROBE_MS = 60_000
/** New credentials are looked for at most this often. */
const RENEW_MS = 10_000
/** The service's texts are a sentence or two. */
const TEXT_CHARS_MAX = 600
const STORED: Verdict = { kind: 'stored' }

export class CloudWatchOutput implements Output {
  readonly #options: CloudWatchOptions
  readonly #context: OutputContext
  readonly #trouble: TroubleLog
  readonly #flushes = new Set<Promise<FlushOutcome>>()
  #stopped = new AbortController()
  #service: LogsService | null = null
  #creation: Creation | null = null
  /** Longest message that the server takes, learned from its refusals. */
  #messageBytesMax = MESSAGE_BYTES_MAX
  /** The server could not read gzip: bodies are sent plain from then on. */
  #isPlainOnly = false
  #renewedMs = Number.NEGATIVE_INFINITY

  constructor(options: CloudWatchOptions, context: OutputContext) {
    this.#options = options
    this.#context = context
    this.#trouble = new TroubleLog(context.log, context.clock)
  }

  async start(): Promise<void> {
    if (this.#service !== null) return
    const { LogsService } = await import('./service.ts')
    const { clock, log } = this.#context
    const service = new LogsService(this.#options, clock)
    try {
      await service.checkRegion()
    } catch (error) {
      service.destroy()
      throw new MillraceError('MR_OUTPUT_START', 'no AWS region is known; set `region`', {
        cause: error
      })
    }
    this.#stopped = new AbortController()
    this.#service = service
    const rules = {
      canCreateGroup: this.#options.auto_create_group,
      canCreateStream: this.#options.auto_create_stream
    }
    this.#creation = new Creation(service, rules, clock, (group) =>
      log.warn({ event: 'output.retention_failed', group }, 'retention of a new group was not set')
    )
  }

  async flush(batch: Batch, signal: AbortSignal): Promise<FlushOutcome> {
    const service = this.#service
    if (service === null || signal.aborted) return all(retry('aborted'))
    if (batch.body.length === 0) return all(STORED)
    if (batch.rowCount === 1) {
      const refused = this.#refuseLong(batch.rowBytes(0))
      if (refused !== null) return this.#noted(all(refused))
    }
    const deadline = linkAbort(signal, this.#stopped.signal)
    const cancel = this.#context.clock.after(this.#options.request_timeout, () => deadline.abort())
    const flush = this.#send(service, batch, deadline.signal)
    this.#flushes.add(flush)
    try {
      return this.#noted(await flush)
    } finally {
      this.#flushes.delete(flush)
      cancel()
      deadline.release()
    }
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    await Promise.allSettled(this.#flushes)
    this.#service?.destroy()
    this.#service = null
    this.#creation = null
  }

  #noted(outcome: FlushOutcome): FlushOutcome {
    if (!this.#stopped.signal.aborted) this.#trouble.note(outcome)
    return outcome
  }

  async #send(service: LogsService, batch: Batch, signal: AbortSignal): Promise<FlushOutcome> {
    const name = parseTarget(batch.target)
    const body = this.#bodyOf(batch)
    const first = await attempt(() => service.put(name, body, signal))
    if (first.kind === 'done') return judgeAnswer(first.output, batch)
    const { failure } = first
    if (failure.kind === 'group_missing' || failure.kind === 'stream_missing') {
      return await this.#provide(service, batch, name, failure.kind, signal)
    }
    if (failure.kind === 'sequence_token' && failure.token !== null && !body.isCompressed) {
      const { token } = failure
      const second = await attempt(() => service.putWithToken(body, token, signal))
      return second.kind === 'done'
        ? judgeAnswer(second.output, batch)
        : this.#judge(second, batch, service)
    }
    return this.#judge(first, batch, service)
  }

  /** Makes what is missing and sends once more. */
  async #provide(
    service: LogsService,
    batch: Batch,
    name: StreamName,
    missing: 'group_missing' | 'stream_missing',
    signal: AbortSignal
  ): Promise<FlushOutcome> {
    const what = missing === 'group_missing' ? 'group' : 'stream'
    const outcome = await this.#creation?.provide(name, what, signal)
    switch (outcome?.kind) {
      case undefined:
        return all(retry('aborted'))
      case 'missing':
        return all({ kind: 'park', reason: `${outcome.what}_missing` })
      case 'settling':
        return all(retry('settling'))
      case 'failed':
        return (
          judgeCreation(outcome.failure) ?? this.#judge({ ...outcome, text: '' }, batch, service)
        )
      case 'ready':
        break
      default:
        return unreachable(outcome)
    }
    const second = await attempt(() => service.put(name, this.#bodyOf(batch), signal))
    if (second.kind === 'done') return judgeAnswer(second.output, batch)
    const isInvisible = ['group_missing', 'stream_missing'].includes(second.failure.kind)
    return isInvisible ? all(retry('settling')) : this.#judge(second, batch, service)
  }

  #bodyOf(batch: Batch): PreparedBody {
    return batch.isCompressed && this.#isPlainOnly
      ? { bytes: gunzipSync(batch.body), isCompressed: false, sha256: null }
      : { bytes: batch.body, isCompressed: batch.isCompressed, sha256: batch.sha256 }
  }

  #judge({ failure, text }: FailedAttempt, batch: Batch, service: LogsService): FlushOutcome {
    switch (failure.kind) {
      case 'throttled':
      case 'server_error':
      case 'connect':
      case 'reset':
      case 'timeout':
      case 'unreadable':
      case 'clock_skew':
      case 'conflict':
      case 'unknown':
        return this.#retryOrPlain(failure.kind, batch)
      case 'already_accepted':
      case 'exists':
        return all(STORED)
      case 'credentials':
        this.#renew(service)
        return all({ ...retry(failure.kind), retryAfterMs: CREDENTIALS_PROBE_MS })
      case 'tls':
      case 'endpoint':
        return all({ ...retry(failure.kind), retryAfterMs: CONFIG_PROBE_MS })
      case 'group_missing':
      case 'stream_missing':
      case 'denied':
      case 'kms':
      case 'quota':
      case 'group_refuses':
        return all({ kind: 'park', reason: failure.kind })
      case 'event_too_large':
        return this.#learnLimit(failure.limitBytes, batch)
      case 'bad_events':
        return refuseEvents(failure.indices, batch, text)
      case 'batch_rules':
        return splitOrRefuse(failure.rule, batch, text)
      case 'bad_name':
      case 'bad_request':
      case 'sequence_token':
        return batch.isCompressed && !this.#isPlainOnly
          ? this.#retryOrPlain(failure.kind, batch)
          : splitOrRefuse(failure.kind, batch, text)
      default:
        return unreachable(failure)
    }
  }

  /** Emulators and old proxies answer gzip with a 400 or a 500: the body goes plain from then on. */
  #retryOrPlain(reason: string, batch: Batch): FlushOutcome {
    const mayBeGzip = ['server_error', 'bad_request', 'unknown'].includes(reason)
    if (mayBeGzip && batch.isCompressed && batch.attempt > 1) this.#isPlainOnly = true
    if (reason === 'bad_request' && batch.isCompressed) this.#isPlainOnly = true
    return all(retry(reason))
  }

  #renew(service: LogsService): void {
    const nowMs = this.#context.clock.monotonicMs()
    if (nowMs - this.#renewedMs < RENEW_MS) return
    this.#renewedMs = nowMs
    service.renewCredentials()
  }

  #learnLimit(limitBytes: number | null, batch: Batch): FlushOutcome {
    if (limitBytes !== null) {
      this.#messageBytesMax = Math.min(this.#messageBytesMax, limitBytes - EVENT_OVERHEAD_BYTES)
    }
    const verdicts = rowsOf(batch).map((row) => this.#refuseLong(row) ?? retry('with_too_large'))
    return verdicts.some(({ kind }) => kind === 'refuse')
      ? { kind: 'rows', verdicts }
      : splitOrRefuse('too_large', batch, '')
  }

  /** null: short enough. The escaped length is an upper bound, so most rows need no counting. */
  #refuseLong(row: Buffer): Verdict | null {
    if (row.length <= this.#messageBytesMax) return null
    const byteCount = countedBytes(row)
    if (byteCount <= this.#messageBytesMax) return null
    const text = `message of ${byteCount} bytes exceeds ${this.#messageBytesMax}`
    return { kind: 'refuse', reason: 'too_large', text }
  }
}

interface FailedAttempt {
  readonly kind: 'failed'
  readonly failure: Failure
  /** What the service said, for dead letters. */
  readonly text: string
}

type Attempt = { kind: 'done'; output: PutLogEventsCommandOutput } | FailedAttempt

async function attempt(put: () => Promise<PutLogEventsCommandOutput>): Promise<Attempt> {
  try {
    return { kind: 'done', output: await put() }
  } catch (error) {
    const text = errorText(error).slice(0, TEXT_CHARS_MAX)
    return { kind: 'failed', failure: failureOf(error), text }
  }
}

/** Ends of the ranges are exclusive, the start is inclusive, and 0 is a value (PutLogEvents). */
function judgeAnswer(output: PutLogEventsCommandOutput, batch: Batch): FlushOutcome {
  const rejected = output.rejectedLogEventsInfo
  if (rejected === undefined) return all(STORED)
  const tooOldEnd = rejected.tooOldLogEventEndIndex ?? 0
  const expiredEnd = rejected.expiredLogEventEndIndex ?? 0
  const tooNewStart = rejected.tooNewLogEventStartIndex ?? Number.POSITIVE_INFINITY
  let event = 0
  const verdicts = rowsOf(batch).map((row): Verdict => {
    if (row.length === 0) return STORED
    const index = event++
    if (index < tooOldEnd) return { kind: 'refuse', reason: 'too_old' }
    if (index < expiredEnd) return { kind: 'refuse', reason: 'expired' }
    if (index >= tooNewStart) return { kind: 'refuse', reason: 'too_new' }
    return STORED
  })
  return verdicts.every((verdict) => verdict === STORED) ? all(STORED) : { kind: 'rows', verdicts }
}

/** Failures that mean something else when a name is made than when events are put. */
function judgeCreation(failure: Failure): FlushOutcome | null {
  return failure.kind === 'bad_request' || failure.kind === 'bad_name'
    ? all({ kind: 'park', reason: 'creation_refused' })
    : null
}

function refuseEvents(indices: readonly number[], batch: Batch, text: string): FlushOutcome {
  const bad = new Set(indices)
  let event = 0
  const verdicts = rowsOf(batch).map((row): Verdict => {
    if (row.length === 0) return STORED
    return bad.has(event++)
      ? { kind: 'refuse', reason: 'bad_event', text }
      : retry('with_bad_event')
  })
  return { kind: 'rows', verdicts }
}

function splitOrRefuse(reason: string, batch: Batch, text: string): FlushOutcome {
  return batch.rowCount > 1
    ? { kind: 'split', reason, text }
    : all({ kind: 'refuse', reason, text })
}

function rowsOf(batch: Batch): Buffer[] {
  return Array.from({ length: batch.rowCount }, (_, row) => batch.rowBytes(row))
}

function retry(reason: string): { kind: 'retry'; reason: string } {
  return { kind: 'retry', reason }
}

function all(verdict: Verdict): FlushOutcome {
  return { kind: 'all', verdict }
}
