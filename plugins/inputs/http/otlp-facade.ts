// Steps 1 to 5. Runs on: ingest.
// OTLP/HTTP: logs in protobuf and JSON to records; what is rejected of a request is told by `partialSuccess` and kept in the
// dead letters. Traces and metrics are refused with 404, which exporters do not send again.

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { OtlpRecords } from '../../../src/kernel/otlp-reader.ts'
import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'
import type { InputContext } from '../../../src/plugin/input.ts'
import { type BodyIntake, WHOLE_BODY_BYTES_MAX } from './body-intake.ts'
import type { Facade } from './exchange.ts'
import type { HttpOptions } from './options.ts'
import {
  encodingOfType,
  exportAnswer,
  type OtlpAnswer,
  type OtlpEncoding,
  statusAnswer
} from './otlp-message.ts'
import { OtlpTag } from './otlp-tag.ts'
import type { RecordStore, TaggedEntries } from './record-store.ts'
import { NO_ROOM, type Refusal, refusal } from './refusal.ts'
import { prefixedTag } from './request-tag.ts'
import { WholeBody } from './whole-body.ts'

const LOGS = '/v1/logs'
/** Signals that are no logs, by path, as their counter names them. */
const SIGNALS: Readonly<Record<string, string>> = {
  '/v1/traces': 'traces',
  '/v1/metrics': 'metrics',
  '/v1development/profiles': 'profiles'
}
const UNKNOWN_TYPE = refusal(
  415,
  'unknown_type',
  'content type is neither application/x-protobuf nor application/json'
)

export class OtlpFacade implements Facade {
  readonly #context: InputContext<ScanKernel>
  readonly #options: HttpOptions
  readonly #intake: BodyIntake
  readonly #store: RecordStore
  readonly #tag: OtlpTag

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
    this.#tag = new OtlpTag(options.otlp.tag)
  }

  owns(path: string): boolean {
    return path === LOGS || Object.hasOwn(SIGNALS, path)
  }

  async take(request: FastifyRequest, reply: FastifyReply): Promise<Refusal | null> {
    const path = request.originalUrl.split('?', 1)[0] ?? ''
    const signal = SIGNALS[path]
    if (signal !== undefined) {
      this.#context.counters.add(`http_nonlog_refused_total/${signal}`, 1)
      return refusal(404, 'signal', `${signal} are not taken, only logs`)
    }
    if (request.method !== 'POST') return refusal(405, 'method', 'only POST takes records')
    const encoding = encodingOfType(request.headers['content-type'])
    if (encoding === null) return { ...UNKNOWN_TYPE, firstBytes: Buffer.alloc(0) }
    const body = new WholeBody(this.#context.kernel)
    try {
      return await this.#intake.read(request, reply, body, () =>
        this.#take(reply, body.bytes, encoding)
      )
    } finally {
      body.release()
    }
  }

  refuse(request: FastifyRequest, reply: FastifyReply, why: Refusal): FastifyReply {
    const encoding = encodingOfType(request.headers['content-type']) ?? 'json'
    return send(reply, why.code, statusAnswer(encoding, why))
  }

  async #take(reply: FastifyReply, body: Buffer, encoding: OtlpEncoding): Promise<Refusal | null> {
    const { clock, counters, kernel } = this.#context
    const nowMs = clock.nowMs()
    const rules = {
      timeSeconds: Math.floor(nowMs / 1000),
      timeNanos: (nowMs % 1000) * 1e6,
      entryBytesMax: WHOLE_BODY_BYTES_MAX
    }
    const reader = kernel.otlp.open()
    try {
      const records =
        encoding === 'json' ? reader.readJson(body, rules) : reader.readProtobuf(body, rules)
      if (records.kind === 'failed') {
        if (records.reason === 'no_memory') return NO_ROOM
        const isLarge = records.reason === 'too_large'
        const text = `request is ${records.reason.replaceAll('_', ' ')}`
        const why = refusal(isLarge ? 413 : 400, isLarge ? 'too_large' : 'unreadable', text)
        return { ...why, firstBytes: body.subarray(0, 64) }
      }
      const { rejected } = records
      const messages = this.#messagesOf(records)
      const gathered = { messages, refused: rejected, firstError: null, isToldApart: true }
      const outcome = await this.#store.store(gathered)
      if (outcome.kind !== 'stored') return NO_ROOM
      counters.add('input_received_messages_total/otlp', 1)
      send(reply, 200, exportAnswer(encoding, rejected.length + outcome.invalidCount))
      return null
    } finally {
      reader.release()
    }
  }

  /** Neighbours of one tag are one message. */
  #messagesOf({ groups }: OtlpRecords): TaggedEntries[] {
    const messages: { tag: Buffer; pieces: Buffer[] }[] = []
    for (const { entries, shared } of groups) {
      const tag = prefixedTag(this.#tag.of(shared), this.#options)
      const last = messages.at(-1)
      if (last?.tag.equals(tag)) last.pieces.push(entries)
      else messages.push({ tag, pieces: [entries] })
    }
    return messages
  }
}

function send(reply: FastifyReply, code: number, { body, type }: OtlpAnswer): FastifyReply {
  return reply.code(code).type(type).send(body)
}
