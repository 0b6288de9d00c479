// Steps 1 to 5. Runs on: ingest.
// What shippers for Elasticsearch and OpenSearch need: `_bulk` with an honest answer per item, and the probes of their start.
// A full queue is 429 for the whole request, which their clients answer by waiting and sending it again.

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'
import type { InputContext } from '../../../src/plugin/input.ts'
import type { BodyIntake } from './body-intake.ts'
import { bulkAnswer } from './bulk-answer.ts'
import { BulkReader } from './bulk-reader.ts'
import { probeAnswer } from './elastic-probes.ts'
import type { Facade } from './exchange.ts'
import type { HttpOptions } from './options.ts'
import type { RecordStore } from './record-store.ts'
import { NO_ROOM, type Refusal, refusal } from './refusal.ts'
import { prefixedTag } from './request-tag.ts'
import { WholeBody } from './whole-body.ts'

const BULK = '_bulk'
/** Types of errors as Elasticsearch names them, by status. */
const ERROR_TYPES: Readonly<Record<number, string>> = {
  400: 'illegal_argument_exception',
  401: 'security_exception',
  404: 'resource_not_found_exception',
  413: 'content_too_long_exception',
  429: 'es_rejected_execution_exception',
  503: 'cluster_block_exception'
}

export class BulkFacade implements Facade {
  readonly #context: InputContext<ScanKernel>
  readonly #options: HttpOptions
  readonly #intake: BodyIntake
  readonly #store: RecordStore

  constructor(
    context: InputContext<ScanKernel>,
    options: HttpOptions,
    intake: BodyIntake,
    store: RecordStore
  ) {
    this.#context = context
    this.#options = options
    this.#intake = intake
    this.#store = store
  }

  owns(path: string, method: string): boolean {
    if (path === '/') return method === 'GET' || method === 'HEAD'
    return path.startsWith('/_') || path.endsWith(`/${BULK}`)
  }

  async take(request: FastifyRequest, reply: FastifyReply): Promise<Refusal | null> {
    const { method, originalUrl } = request
    const [path = '', search = ''] = originalUrl.split('?', 2)
    const parts = path.split('/').slice(1)
    if (parts.at(-1) === BULK && parts.length <= 2) {
      if (method !== 'POST' && method !== 'PUT') return refusal(405, 'method', 'POST or PUT')
      const index = parts.length === 2 ? decoded(parts[0] ?? '') : null
      return this.#bulk(request, reply, index, new URLSearchParams(search))
    }
    const probe = probeAnswer(method, path, this.#options.elasticsearch.version)
    if (probe === null) return refusal(404, 'not_found', `no handler for ${method} ${path}`)
    send(request, reply, probe.status, JSON.stringify(probe.body))
    return null
  }

  refuse(request: FastifyRequest, reply: FastifyReply, why: Refusal): FastifyReply {
    // The one answer that all clients of this interface wait after.
    const code = why.code === 503 ? 429 : why.code
    const error = { type: ERROR_TYPES[code] ?? 'exception', reason: why.text }
    const body = { error: { root_cause: [error], ...error }, status: code }
    return send(request, reply, code, JSON.stringify(body))
  }

  async #bulk(
    request: FastifyRequest,
    reply: FastifyReply,
    index: string | null,
    query: URLSearchParams
  ): Promise<Refusal | null> {
    const { clock, kernel } = this.#context
    const startMs = clock.monotonicMs()
    const body = new WholeBody(kernel)
    const reader = new BulkReader(kernel)
    try {
      return await this.#intake.read(request, reply, body, async () => {
        const filterPath = query.get('filter_path')
        return this.#take(request, reply, reader, body.bytes, { index, filterPath, startMs })
      })
    } finally {
      reader.release()
      body.release()
    }
  }

  async #take(
    request: FastifyRequest,
    reply: FastifyReply,
    reader: BulkReader,
    body: Buffer,
    asked: { index: string | null; filterPath: string | null; startMs: number }
  ): Promise<Refusal | null> {
    const { clock, counters } = this.#context
    const { elasticsearch, keep_time_key, time_keys, time_unit_guess } = this.#options
    const nowMs = clock.nowMs()
    const result = reader.read(body, {
      timeSeconds: Math.floor(nowMs / 1000),
      timeNanos: (nowMs % 1000) * 1e6,
      timeKeys: time_keys,
      isTimeKept: keep_time_key,
      isTimeUnitGuessed: time_unit_guess,
      index: asked.index,
      tagOf: (index) => prefixedTag(elasticsearch.tag ?? index, this.#options)
    })
    if (result.kind === 'no_memory') return NO_ROOM
    if (result.kind === 'malformed') {
      return { ...refusal(400, 'unreadable', result.reason), firstBytes: body.subarray(0, 64) }
    }
    const { items, messages, refused } = result
    const gathered = { messages, refused, firstError: null, isToldApart: true }
    const outcome = await this.#store.store(gathered)
    if (outcome.kind !== 'stored') return NO_ROOM
    counters.add('input_received_messages_total/bulk', 1)
    const tookMs = clock.monotonicMs() - asked.startMs
    send(request, reply, 200, bulkAnswer(items, tookMs, asked.filterPath))
    return null
  }
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

/** Clients of a version want the type that they asked for. */
function send(
  { headers }: FastifyRequest,
  reply: FastifyReply,
  code: number,
  body: string
): FastifyReply {
  const asked = `${headers.accept ?? ''} ${headers['content-type'] ?? ''}`
  const [, version] =
    /vnd\.elasticsearch\+x?-?(?:nd)?json; *compatible-with=(\d+)/.exec(asked) ?? []
  const type =
    version === undefined
      ? 'application/json; charset=UTF-8'
      : `application/vnd.elasticsearch+json;compatible-with=${version}`
  return reply.code(code).header('x-elastic-product', 'Elasticsearch').type(type).send(body)
}
