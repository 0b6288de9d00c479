// Steps 1 and 5. Runs on: ingest.
// One request from its header to its answer: who may send, which of the interfaces it is for, what it is told. Nothing of a
// body is read for a sender that may not send. A body that is not wanted is thrown away for a while, because a connection
// that ends with unread bytes takes the answer with it.

import type { IncomingMessage } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { errorText } from '../../../src/core/errors.ts'
import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'
import type { InputContext } from '../../../src/plugin/input.ts'
import { peerFields } from '../../../src/plugin/listening.ts'
import { type SenderWarnings, shownBytes } from '../../../src/plugin/sender-warnings.ts'
import { Authentication } from './authentication.ts'
import type { BodyIntake } from './body-intake.ts'
import { Cors } from './cors.ts'
import type { HttpOptions } from './options.ts'
import { PostedRecords } from './posted-records.ts'
import type { RecordStore } from './record-store.ts'
import { type Refusal, refusal, STOPPING } from './refusal.ts'
import type { SenderAddress } from './sender-address.ts'

/** An interface with paths and answers of its own. */
export interface Facade {
  /** Whether a request is one of its own. */
  owns(path: string, method: string): boolean
  /** Settles when the request is answered, with null, or is to be refused. */
  take(request: FastifyRequest, reply: FastifyReply): Promise<Refusal | null>
  /** Answers a refusal in its form. */
  refuse(request: FastifyRequest, reply: FastifyReply, why: Refusal): FastifyReply
}

const RETRY_AFTER_SECONDS = '1'
const LINGER_MS = 10_000
const NOT_ALLOWED = refusal(403, 'origin', 'origin is not allowed')
const NO_METHOD = refusal(405, 'method', 'only POST takes records')
/** Codes with a counter of their own; others count as 400 or 500. */
const COUNTED_CODES = [400, 401, 403, 404, 405, 408, 413, 415, 429, 431, 500, 503]
const EMPTY_GIF = Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7', 'base64')

export interface ExchangeParts {
  readonly context: InputContext<ScanKernel>
  readonly options: HttpOptions
  readonly intake: BodyIntake
  readonly store: RecordStore
  readonly warnings: SenderWarnings
  readonly addresses: SenderAddress
  readonly facades: readonly Facade[]
}

export class Exchange {
  isStopping = false
  readonly #parts: ExchangeParts
  readonly #authentication: Authentication
  readonly #cors: Cors
  readonly #records: PostedRecords
  readonly #storedCode: number

  constructor(parts: ExchangeParts) {
    const { context, intake, options, store } = parts
    this.#parts = parts
    this.#authentication = new Authentication(options.auth)
    this.#cors = new Cors(options)
    this.#records = new PostedRecords(context, options, intake, store)
    this.#storedCode = options.use_204_response ? 204 : options.response_code
  }

  async serve(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { facades } = this.#parts
    const { headers, method } = request
    if (this.isStopping) reply.header('connection', 'close')
    if (method === 'OPTIONS') return this.#preflight(request, reply)
    const path = request.originalUrl.split('?', 1)[0] ?? ''
    const facade = facades.find((each) => each.owns(path, method))
    const refuse = (why: Refusal) => this.#refuse(request, reply, why, facade)
    if (!this.#cors.admits(headers.origin, reply)) return refuse(NOT_ALLOWED)
    const denied = this.#denied(request, reply, path)
    if (denied !== null) return refuse(denied)
    if (this.isStopping && method !== 'GET' && method !== 'HEAD') return refuse(STOPPING)
    if (facade !== undefined) {
      const why = await facade.take(request, reply)
      return why === null ? this.#counted(request, reply) : refuse(why)
    }
    if (method === 'GET' || method === 'HEAD')
      return this.#counted(request, reply.code(200).send(''))
    if (method !== 'POST') return refuse(NO_METHOD)
    const taken = await this.#records.take(request, reply, this.#parts.addresses.of(request.raw))
    return taken.kind === 'refused' ? refuse(taken) : this.#stored(request, reply)
  }

  /** What the parser of HTTP could not read; `code` is what it was told. */
  countBroken(code: number): void {
    this.#count(code)
  }

  /** A fault of ours: nothing is known to be stored, so the sender may come again. */
  fail(error: unknown, reply: FastifyReply): FastifyReply {
    this.#parts.warnings.warn({ error: errorText(error) }, 'a request failed within the router')
    this.#count(500)
    return reply.code(500).type('text/plain; charset=utf-8').send('500 the router failed\n')
  }

  #stored(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const { respond_with_empty_img } = this.#parts.options
    if (respond_with_empty_img) reply.code(200).type('image/gif').send(EMPTY_GIF)
    else reply.code(this.#storedCode).type('text/plain; charset=utf-8').send('')
    return this.#counted(request, reply)
  }

  #preflight(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const method = request.headers['access-control-request-method']
    if (!this.#cors.admitsPreflight(request.headers.origin, method, reply)) {
      return this.#refuse(request, reply, NOT_ALLOWED)
    }
    return this.#counted(request, reply.code(200).send(''))
  }

  #denied({ headers, raw }: FastifyRequest, reply: FastifyReply, path: string): Refusal | null {
    const failure = this.#authentication.failureOf(headers.authorization)
    if (failure === null) return null
    const { counters } = this.#parts.context
    counters.add(`input_auth_failures_total/${failure}`, 1)
    this.#parts.warnings.warn(
      { reason: failure, ...this.#peerOf(raw), path: shownPath(path) },
      'a sender is not who it has to be: its request was refused'
    )
    reply.header('www-authenticate', [...this.#authentication.challenges])
    return refusal(401, `auth_${failure}`, 'who sends has to say who it is')
  }

  #refuse(
    request: FastifyRequest,
    reply: FastifyReply,
    why: Refusal,
    facade?: Facade
  ): FastifyReply {
    if (why.code === 503) reply.header('retry-after', RETRY_AFTER_SECONDS)
    if (why.code !== 503 && (why.firstBytes !== undefined || why.code === 413))
      this.#tell(request, why)
    if (facade !== undefined) return this.#counted(request, facade.refuse(request, reply, why))
    const { code, text } = why
    reply.code(code).type('text/plain; charset=utf-8').send(`${code} ${text}\n`)
    return this.#counted(request, reply)
  }

  /** A sender drops what is refused for good, so somebody has to know. */
  #tell({ originalUrl, raw }: FastifyRequest, { firstBytes, reason, text }: Refusal): void {
    this.#parts.context.counters.add(`input_rejected_records_total/${reason}`, 1)
    const fields = { reason, ...this.#peerOf(raw), path: shownPath(originalUrl) }
    const shown = firstBytes === undefined ? {} : { first_bytes: shownBytes(firstBytes) }
    this.#parts.warnings.warn({ ...fields, ...shown }, `a request was refused: ${text}`)
  }

  #counted(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    this.#count(reply.statusCode)
    if (!request.raw.readableEnded) this.#linger(request)
    return reply
  }

  /** Throws the rest of a body away for a while. */
  #linger({ raw }: FastifyRequest): void {
    raw.resume()
    const cancel = this.#parts.context.clock.after(LINGER_MS, () => {
      if (!raw.complete) raw.socket.destroy()
    })
    raw.once('close', cancel)
  }

  #peerOf(request: IncomingMessage): object {
    return peerFields(this.#parts.addresses.peerOf(request))
  }

  #count(code: number): void {
    const counted = code < 300 ? 200 : COUNTED_CODES.includes(code) ? code : code < 500 ? 400 : 500
    this.#parts.context.counters.add(`http_requests_total/${counted}`, 1)
  }
}

const SHOWN_PATH_MAX = 200

const shownPath = (url: string): string => url.slice(0, SHOWN_PATH_MAX)
