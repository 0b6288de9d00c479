// Steps 1 and 2. Runs on: ingest.
// The HTTP input of one ingest thread: one fastify with its listeners. A request is answered when its records are durable;
// 503 with Retry-After is the only answer that says "come again", because Fluentd drops its chunk on any other error.
// Limits: max_body_bytes per request, OPEN_BODY_BYTES_MAX for all requests of a thread.

import { createServer } from 'node:http'
import type { Socket } from 'node:net'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'
import { type ListenAddress, parseListenAddress } from '../../../src/net/listen-address.ts'
import type { Listener } from '../../../src/net/listener.ts'
import type { CreateInput, Input, InputAddresses, InputContext } from '../../../src/plugin/input.ts'
import { isListenedHere, openListener } from '../../../src/plugin/listening.ts'
import { SenderWarnings } from '../../../src/plugin/sender-warnings.ts'
import { formOf, plainBody } from './body-form.ts'
import { type AllowsOrigin, allowsOrigin } from './cors.ts'
import type { HttpOptions } from './options.ts'
import { RecordStore } from './record-store.ts'
import { targetOf, timeOf } from './request-tag.ts'

const RETRY_AFTER_SECONDS = '1'
/** Bodies in memory; a request above it is told to come again. */
const OPEN_BODY_BYTES_MAX = 128 * 1024 * 1024
const COUNTED_CODES = [200, 400, 403, 405, 413, 415, 503]

const createInput: CreateInput<HttpOptions, ScanKernel> = (options, context) =>
  new HttpInput(options, context)

export default createInput

class HttpInput implements Input {
  readonly #options: HttpOptions
  readonly #context: InputContext<ScanKernel>
  readonly #store: RecordStore
  readonly #isAllowed: AllowsOrigin
  readonly #warnings: SenderWarnings
  readonly #servers: { readonly app: FastifyInstance; readonly listener: Listener }[] = []
  #openBodyBytes = 0
  #isStopping = false

  constructor(options: HttpOptions, context: InputContext<ScanKernel>) {
    this.#options = options
    this.#context = context
    this.#store = new RecordStore(context)
    this.#warnings = new SenderWarnings(context)
    this.#isAllowed = allowsOrigin(options.cors_allow_origins)
  }

  async start(): Promise<InputAddresses> {
    const addresses: string[] = []
    for (const text of this.#options.listen) {
      const address = parseListenAddress(text)
      if (isListenedHere(address, this.#context)) addresses.push(await this.#listen(address))
    }
    return addresses
  }

  async stop(signal: AbortSignal): Promise<void> {
    const servers = this.#servers.splice(0)
    const cut = () => {
      for (const { app } of servers) app.server.closeAllConnections()
    }
    this.#isStopping = true
    signal.addEventListener('abort', cut, { once: true })
    for (const { app, listener } of servers) {
      // Closes idle connections and waits for the others, which are told to close with their answer.
      await listener.close()
      await app.close()
    }
    signal.removeEventListener('abort', cut)
  }

  async #listen(address: ListenAddress): Promise<string> {
    const app = this.#createApp()
    await app.ready()
    const { server } = app
    const [serve] = server.listeners('connection')
    const listener = await openListener(address, {
      context: this.#context,
      options: this.#options,
      warnings: this.#warnings,
      keepaliveMs: 0,
      hasRoom: () => true,
      // Whatever the socket is, the server reads requests from it and knows it as its own.
      take: (socket) => {
        this.#count(socket)
        serve?.call(server, socket)
      },
      server
    })
    this.#servers.push({ app, listener })
    return listener.address
  }

  #count(socket: Socket): void {
    const { counters } = this.#context
    counters.add('connections', 1)
    counters.add('connections_total', 1)
    socket.on('close', () => counters.add('connections', -1))
  }

  #createApp(): FastifyInstance {
    const options = this.#options
    const app = Fastify({
      bodyLimit: options.max_body_bytes,
      keepAliveTimeout: options.keepalive_timeout,
      requestTimeout: options.request_timeout,
      return503OnClosing: true,
      forceCloseConnections: 'idle',
      // The path is a tag, whatever it holds; there is one route.
      rewriteUrl: () => '/',
      serverFactory: (handler) => {
        const server = createServer({ noDelay: true, keepAlive: true }, handler)
        server.keepAliveTimeout = options.keepalive_timeout
        server.requestTimeout = options.request_timeout
        return server
      }
    })
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => {
      done(null, body)
    })
    this.#addHooks(app)
    app.post('/', (request, reply) => this.#post(request, reply))
    app.get('/', (_request, reply) => this.#answer(reply, 200, ''))
    app.options('/', (request, reply) => this.#preflight(request, reply))
    app.all('/*', (_request, reply) => this.#answer(reply, 405, 'only POST takes records'))
    return app
  }

  #addHooks(app: FastifyInstance): void {
    app.setNotFoundHandler((_request, reply) => this.#answer(reply, 405, 'only POST takes records'))
    app.setErrorHandler((error: Error & { statusCode?: number }, _request, reply) => {
      const code = error.statusCode ?? 500
      return this.#answer(reply, code, error.message)
    })
  }

  async #post(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { origin } = request.headers
    if (origin !== undefined) {
      if (!this.#isAllowed(origin)) return this.#answer(reply, 403, 'origin is not allowed')
      reply.header('access-control-allow-origin', origin)
    }
    // The only parser gives the body as it came; without a body there is none.
    const body = request.body instanceof Buffer ? request.body : Buffer.alloc(0)
    if (this.#openBodyBytes + body.length > OPEN_BODY_BYTES_MAX) return this.#busy(reply)
    this.#openBodyBytes += body.length
    try {
      return await this.#take(request, reply, body)
    } finally {
      this.#openBodyBytes -= body.length
    }
  }

  async #take(request: FastifyRequest, reply: FastifyReply, body: Buffer): Promise<FastifyReply> {
    const { max_decompressed_bytes, tag_header, time_key, response_code } = this.#options
    const { counters } = this.#context
    counters.add('received_bytes', body.length)
    const encoding = request.headers['content-encoding']
    const plain = await plainBody(encoding, body, max_decompressed_bytes)
    if (plain.kind === 'failed') {
      const isLarge = plain.reason === 'too_large'
      const code = isLarge ? 413 : plain.reason === 'unknown_encoding' ? 415 : 400
      return this.#answer(reply, code, `body is ${plain.reason.replaceAll('_', ' ')}`)
    }
    const headerTag = tag_header === null ? undefined : request.headers[tag_header.toLowerCase()]
    const named = typeof headerTag === 'string' ? headerTag : undefined
    const { tag, query } = targetOf(request.originalUrl, named, this.#options)
    const formed = formOf(request.headers['content-type'] ?? '', plain.bytes, query)
    if (formed === null) return this.#answer(reply, 415, 'content type is not known')
    const outcome = await this.#store.store(formed, { tag, time: timeOf(query), timeKey: time_key })
    if (outcome.kind === 'busy') return this.#busy(reply)
    if (outcome.kind === 'bad') return this.#answer(reply, 400, outcome.reason)
    counters.add(`input_received_messages_total/${formed.form}`, 1)
    return this.#answer(reply, response_code, '')
  }

  #preflight(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const { origin } = request.headers
    const isPost = request.headers['access-control-request-method'] === 'POST'
    if (origin === undefined || !isPost || !this.#isAllowed(origin)) {
      return this.#answer(reply, 403, 'origin is not allowed')
    }
    reply.header('access-control-allow-origin', origin)
    reply.header('access-control-allow-methods', 'POST')
    reply.header('access-control-allow-headers', 'content-type, content-encoding')
    return this.#answer(reply, 200, '')
  }

  #busy(reply: FastifyReply): FastifyReply {
    reply.header('retry-after', RETRY_AFTER_SECONDS)
    return this.#answer(reply, 503, 'no room in the queue, come again')
  }

  #answer(reply: FastifyReply, code: number, reason: string): FastifyReply {
    const counted = code < 300 ? 200 : COUNTED_CODES.includes(code) ? code : code < 500 ? 400 : 503
    this.#context.counters.add(`http_requests_total/${counted}`, 1)
    if (this.#isStopping) reply.header('connection', 'close')
    reply.code(code).type('text/plain; charset=utf-8')
    return reply.send(reason === '' ? '' : `${code} ${reason}\n`)
  }
}
