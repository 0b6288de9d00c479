// Steps 2 to 4. Runs on: ingest.
// POST to a path that is a tag: the conventions of Fluentd's in_http. Bodies of records are converted while they come; forms,
// and what has no type that says enough, are read whole.

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { RecordRules } from '../../../src/kernel/json-converter.ts'
import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'
import type { InputContext } from '../../../src/plugin/input.ts'
import { type BodyForm, type BodyKind, isJsonStart, kindOf } from './body-form.ts'
import type { BodyIntake } from './body-intake.ts'
import { type FormedBody, fieldOfForm, fieldOfMultipart, fieldOfQuery } from './form-fields.ts'
import type { HttpOptions } from './options.ts'
import { RecordGatherer } from './record-gatherer.ts'
import type { RecordStore } from './record-store.ts'
import { NO_ROOM, type Refusal, refusal } from './refusal.ts'
import { requestFields } from './request-fields.ts'
import { type Target, targetOf, timeOf } from './request-tag.ts'
import { WholeBody } from './whole-body.ts'

export type Taken = { readonly kind: 'taken' } | Refusal

const TAKEN: Taken = { kind: 'taken' }
const UNKNOWN_TYPE = refusal(415, 'unknown_type', 'content type is not known')
/** Bytes of a whole body that are converted at once. */
const STEP_BYTES = 1024 * 1024
const NO_KEYS: readonly string[] = []

export class PostedRecords {
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

  /** `peer`: address of the sender, for `add_remote_addr`. */
  take(request: FastifyRequest, reply: FastifyReply, peer: string): Promise<Taken> {
    const contentType = request.headers['content-type'] ?? ''
    const { tag_header } = this.#options
    const headerTag = tag_header === null ? undefined : request.headers[tag_header.toLowerCase()]
    const named = typeof headerTag === 'string' ? headerTag : undefined
    const target = targetOf(request.originalUrl, named, this.#options)
    const kind = kindOf(contentType)
    if (kind === 'json' || kind === 'ndjson' || kind === 'msgpack') {
      return this.#takeStream(request, reply, kind, target, peer)
    }
    return this.#takeWhole(request, reply, kind, target, peer)
  }

  async #takeStream(
    request: FastifyRequest,
    reply: FastifyReply,
    form: BodyForm,
    target: Target,
    peer: string
  ): Promise<Taken> {
    const gatherer = this.#gatherer(request, form, target, peer)
    try {
      const use = () => this.#finish(gatherer, form, target)
      const taken = await this.#intake.read(request, reply, gatherer, use)
      return taken
    } finally {
      gatherer.release()
    }
  }

  async #takeWhole(
    request: FastifyRequest,
    reply: FastifyReply,
    kind: BodyKind,
    target: Target,
    peer: string
  ): Promise<Taken> {
    const body = new WholeBody(this.#context.kernel)
    try {
      return await this.#intake.read(request, reply, body, async () => {
        const contentType = request.headers['content-type'] ?? ''
        const formed = formedBody(kind, body.bytes, contentType, target.query)
        if (formed === null) return { ...UNKNOWN_TYPE, firstBytes: body.bytes.subarray(0, 64) }
        const gatherer = this.#gatherer(request, formed.form, target, peer)
        try {
          for (let start = 0; start < formed.bytes.length; start += STEP_BYTES) {
            if (!gatherer.add(formed.bytes.subarray(start, start + STEP_BYTES))) return NO_ROOM
          }
          return await this.#finish(gatherer, formed.form, target)
        } finally {
          gatherer.release()
        }
      })
    } finally {
      body.release()
    }
  }

  async #finish(gatherer: RecordGatherer, form: BodyForm, target: Target): Promise<Taken> {
    if (!gatherer.finish()) return NO_ROOM
    const { firstError, long, pieces, refused } = gatherer
    const messages = [{ tag: target.tag, pieces }]
    const outcome =
      long === null
        ? await this.#store.store({ messages, refused, firstError })
        : await this.#store.storeLong(target.tag, long, refused)
    if (outcome.kind === 'busy') return NO_ROOM
    if (outcome.kind === 'bad') {
      const firstBytes = refused[0] ?? Buffer.alloc(0)
      return { ...refusal(400, 'unreadable', outcome.reason), firstBytes }
    }
    this.#context.counters.add(`input_received_messages_total/${form}`, 1)
    return TAKEN
  }

  #gatherer(
    request: FastifyRequest,
    form: BodyForm,
    { query }: Target,
    peer: string
  ): RecordGatherer {
    const options = this.#options
    const { clock } = this.#context
    const time = timeOf(query)
    const nowMs = clock.nowMs()
    const extra = requestFields(request.raw, query, peer, options)
    const rules: RecordRules = {
      timeSeconds: time?.seconds ?? Math.floor(nowMs / 1000),
      timeNanos: time?.nanos ?? (nowMs % 1000) * 1e6,
      timeKeys: time === null ? options.time_keys : NO_KEYS,
      isTimeKept: options.keep_time_key,
      isTimeUnitGuessed: options.time_unit_guess,
      ...(extra === undefined ? {} : { extra })
    }
    return new RecordGatherer(this.#context, form, rules)
  }
}

/** null: a type that this input does not take. */
function formedBody(
  kind: BodyKind,
  bytes: Buffer,
  contentType: string,
  query: URLSearchParams
): FormedBody | null {
  if (kind === 'multipart') return fieldOfMultipart(bytes, contentType) ?? fieldOfQuery(query)
  if (isJsonStart(bytes)) return { form: 'json', bytes }
  return (kind === 'form' ? fieldOfForm(bytes) : null) ?? fieldOfQuery(query)
}
