// Runs on: main.
// Admin HTTP on one address: health, metrics, queues and dead letters. Loopback by default. Routes that change something or
// show records answer only where the listener is loopback or a Unix socket, or the caller has the token. `Host` must be an
// address or localhost, so that a web page cannot reach it by rebinding a name.

import { timingSafeEqual } from 'node:crypto'
import { isIP } from 'node:net'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Clock } from '../core/clock.ts'
import { errorText, MillraceError } from '../core/errors.ts'
import { formatListenAddress, type ListenAddress } from '../net/listen-address.ts'
import { listenUnix } from '../net/unix-socket.ts'
import { addLetterRoutes } from './letter-routes.ts'
import { PAGE_POLICY, renderPage } from './page.ts'
import { addQueueChanges, addQueueImport } from './queue-changes.ts'
import type { AdminSource, Health } from './status.ts'

export interface AdminOptions {
  readonly address: ListenAddress
  /** Bearer token of the guarded routes; null: loopback listeners and Unix sockets only. */
  readonly token: string | null
  /** Names besides addresses and localhost that `Host` may hold. */
  readonly hostNames: readonly string[]
  readonly clock: Clock
  /** Permission bits of a Unix socket; default: the user and the group of the process. */
  readonly socketMode?: number
}

/** The user and the group of the process. */
const SOCKET_MODE = 0o660
/** Connections that the system holds until they are accepted. */
const BACKLOG = 511

export class AdminServer {
  readonly #app: FastifyInstance
  readonly #source: AdminSource
  readonly #options: AdminOptions
  #unlink = () => Promise.resolve()

  constructor(source: AdminSource, options: AdminOptions) {
    this.#source = source
    this.#options = options
    this.#app = Fastify({ logger: false, forceCloseConnections: true })
    // Faults of a request are its own; all else is ours.
    this.#app.setErrorHandler((error, _, reply) => {
      const isUsage = error instanceof MillraceError && error.code === 'MR_USAGE'
      const { statusCode } = Object(error) as { statusCode?: number } // fastify's own faults have one
      const code = isUsage ? 400 : (statusCode ?? 500)
      return reply.code(code).send({ error: errorText(error) })
    })
    this.#app.addHook('onRequest', (request, reply) => this.#checkHost(request, reply))
    this.#health()
    this.#api()
  }

  /** Address as bound: `http://127.0.0.1:9480`, `unix:///run/millrace/admin.sock`. */
  async start(): Promise<string> {
    const { address } = this.#options
    if (address.kind === 'unix') {
      await this.#app.ready()
      this.#unlink = await listenUnix(this.#app.server, address.path, BACKLOG, {
        mode: this.#options.socketMode ?? SOCKET_MODE,
        uid: null,
        gid: null
      })
      return formatListenAddress(address)
    }
    const { host, port } = address
    try {
      return await this.#app.listen({ host, port })
    } catch (error) {
      throw new MillraceError('MR_LISTEN', `admin cannot listen on ${host}:${port}`, {
        cause: error
      })
    }
  }

  async stop(): Promise<void> {
    await this.#unlink()
    const { server } = this.#app
    server.closeAllConnections()
    if (server.listening) await new Promise((resolve) => server.close(resolve))
    await this.#app.close()
  }

  #health(): void {
    const source = this.#source
    const answer = (health: Health, reply: FastifyReply) =>
      reply.code(health.isOk ? 200 : 503).send({ ok: health.isOk, reasons: health.reasons })
    this.#app.get('/livez', (_, reply) => answer(source.liveness(), reply))
    this.#app.get('/readyz', (_, reply) => answer(source.readiness(), reply))
    this.#app.get('/metrics', async (_, reply) =>
      reply.type(source.metricsContentType).send(await source.metricsText())
    )
    this.#app.get('/', (_, reply) =>
      reply
        .type('text/html; charset=utf-8')
        .header('content-security-policy', PAGE_POLICY)
        .send(renderPage(source, this.#options.clock.nowMs()))
    )
  }

  #api(): void {
    const source = this.#source
    this.#app.get('/api/v1/queues', () => source.queues())
    this.#app.get('/api/v1/status', () => ({
      version: source.version,
      uptimeSeconds: (this.#options.clock.nowMs() - source.startedMs) / 1000,
      addresses: source.addresses(),
      readiness: source.readiness()
    }))
    const guard = {
      preHandler: (request: FastifyRequest, reply: FastifyReply) => this.#guard(request, reply)
    }
    addQueueChanges(this.#app, guard, source.changes)
    addQueueImport(this.#app, guard, source.imports)
    this.#app.get('/api/v1/store', guard, () => source.store())
    addLetterRoutes(this.#app, source, guard)
  }

  async #checkHost(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const name = request.hostname.replace(/^\[|\]$/g, '')
    const isKnown =
      isIP(name) !== 0 || name === 'localhost' || this.#options.hostNames.includes(name)
    if (!isKnown) await reply.code(421).send({ error: `host ${name} is not served here` })
  }

  async #guard(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { address, token } = this.#options
    // The mode of the socket says who may.
    if (address.kind === 'unix' || (token === null && isLocal(address))) return
    const given = Buffer.from(request.headers.authorization ?? '')
    const wanted = Buffer.from(`Bearer ${token ?? ''}`)
    const isRight =
      token !== null && given.length === wanted.length && timingSafeEqual(given, wanted)
    if (!isRight) {
      await reply.code(401).send({ error: 'set admin.token and send it as a bearer token' })
    }
  }
}

/** Whether only this machine's own users reach it. */
function isLocal(address: ListenAddress): boolean {
  if (address.kind === 'unix') return true
  const { host } = address
  return host === 'localhost' || host === '::1' || host.startsWith('127.')
}
