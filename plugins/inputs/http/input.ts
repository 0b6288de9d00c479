// Steps 1 and 2. Runs on: ingest.
// The HTTP input of one ingest thread: its listeners and the fastify behind each. A request is answered when its records
// are durable; 503 with Retry-After is the only answer that says "come again", because Fluentd drops its chunk on any
// other error. Limits: HEADER_BYTES_MAX and header_timeout per request, max_connections of the input.

import { createServer, type RequestListener, type Server, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import Fastify, { type FastifyInstance } from 'fastify'
import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'
import { type ListenAddress, parseListenAddress } from '../../../src/net/listen-address.ts'
import type { Listener } from '../../../src/net/listener.ts'
import type { Peer } from '../../../src/net/peer.ts'
import { connectionsMaxOf } from '../../../src/plugin/connection-cap.ts'
import type { CreateInput, Input, InputAddresses, InputContext } from '../../../src/plugin/input.ts'
import { isListenedHere, openListener, peerFields } from '../../../src/plugin/listening.ts'
import { SenderWarnings, shownBytes } from '../../../src/plugin/sender-warnings.ts'
import { BodyIntake } from './body-intake.ts'
import { BulkFacade } from './bulk-facade.ts'
import { BulkOff } from './bulk-off.ts'
import { Exchange } from './exchange.ts'
import type { HttpOptions } from './options.ts'
import { OtlpFacade } from './otlp-facade.ts'
import { RecordStore } from './record-store.ts'
import { SenderAddress } from './sender-address.ts'

/** Request line and header together. */
const HEADER_BYTES_MAX = 32 * 1024
const BROKEN = 'bytes that are no HTTP request, or no header that ends in time: connection closed'
/** Node looks for headers that are late this often. */
const HEADER_CHECK_MS = 1000

const createInput: CreateInput<HttpOptions, ScanKernel> = (options, context) =>
  new HttpInput(options, context)

export default createInput

class HttpInput implements Input {
  readonly #options: HttpOptions
  readonly #context: InputContext<ScanKernel>
  readonly #warnings: SenderWarnings
  readonly #addresses: SenderAddress
  readonly #intake: BodyIntake
  readonly #exchange: Exchange
  readonly #servers: { readonly app: FastifyInstance; readonly listener: Listener }[] = []
  #connectionCount = 0
  #connectionsMax = 0

  constructor(options: HttpOptions, context: InputContext<ScanKernel>) {
    this.#options = options
    this.#context = context
    this.#warnings = new SenderWarnings(context)
    this.#addresses = new SenderAddress(options.trusted_proxies)
    this.#intake = new BodyIntake(context, options)
    const store = new RecordStore(context)
    const parts = [context, options, this.#intake, store] as const
    this.#exchange = new Exchange({
      context,
      options,
      intake: this.#intake,
      store,
      warnings: this.#warnings,
      addresses: this.#addresses,
      facades: [
        ...(options.otlp.enabled ? [new OtlpFacade(...parts)] : []),
        options.elasticsearch.enabled ? new BulkFacade(...parts) : new BulkOff()
      ]
    })
  }

  async start(): Promise<InputAddresses> {
    this.#connectionsMax = connectionsMaxOf(this.#options, this.#context)
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
    this.#exchange.isStopping = true
    signal.addEventListener('abort', cut, { once: true })
    for (const { app, listener } of servers) {
      // Closes idle connections and waits for the others, which are told to close with their answer.
      await listener.close()
      await app.close()
    }
    signal.removeEventListener('abort', cut)
    this.#intake.stop()
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
      hasRoom: (waitingCount) => this.#connectionCount + waitingCount < this.#connectionsMax,
      // Whatever the socket is, the server reads requests from it and knows it as its own.
      take: (socket, peer) => {
        this.#count(socket, peer)
        serve?.call(server, socket)
      },
      server
    })
    this.#servers.push({ app, listener })
    return listener.address
  }

  #count(socket: Socket, peer: Peer): void {
    const { counters } = this.#context
    this.#addresses.add(socket, peer)
    this.#connectionCount++
    counters.add('connections', 1)
    counters.add('connections_total', 1)
    socket.on('close', () => {
      this.#connectionCount--
      counters.add('connections', -1)
    })
  }

  #createApp(): FastifyInstance {
    const app = Fastify({
      return503OnClosing: false,
      forceCloseConnections: 'idle',
      // The path is a tag, whatever it holds; there is one route.
      rewriteUrl: () => '/',
      serverFactory: (handler) => this.#createServer(handler),
      clientErrorHandler: (error, socket) => this.#answerBroken(error, socket)
    })
    // Before fastify looks at the type of the body: devices send JSON under types that are none.
    app.addHook('onRequest', (request, reply) => this.#exchange.serve(request, reply))
    app.get('/', (_request, reply) => reply.send(''))
    app.setErrorHandler((error, _request, reply) => this.#exchange.fail(error, reply))
    return app
  }

  #createServer(handler: RequestListener): Server {
    const { header_timeout, keepalive_timeout } = this.#options
    const server = createServer(
      {
        noDelay: true,
        keepAlive: true,
        maxHeaderSize: HEADER_BYTES_MAX,
        headersTimeout: header_timeout,
        connectionsCheckingInterval: HEADER_CHECK_MS,
        // Bodies have a pace instead of a time.
        requestTimeout: 0,
        keepAliveTimeout: keepalive_timeout
      },
      handler
    )
    // The body is asked for when the request is known to be wanted.
    server.on('checkContinue', handler)
    return server
  }

  /** Bytes that are no HTTP, headers that are too long or too late. */
  #answerBroken(error: NodeJS.ErrnoException, socket: Socket): void {
    const code =
      error.code === 'HPE_HEADER_OVERFLOW'
        ? 431
        : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
          ? 408
          : 400
    // The other side went away: there is nobody to answer.
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy()
      return
    }
    this.#exchange.countBroken(code)
    const bytes = 'rawPacket' in error ? error.rawPacket : null
    const shown = bytes instanceof Uint8Array ? { first_bytes: shownBytes(bytes) } : {}
    const fields = { ...peerFields(this.#addresses.peerOf({ socket })), status: code }
    this.#warnings.warn({ ...fields, reason: error.code, ...shown }, BROKEN)
    const status = `HTTP/1.1 ${code} ${STATUS_CODES[code] ?? ''}`
    socket.end(`${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
  }
}
