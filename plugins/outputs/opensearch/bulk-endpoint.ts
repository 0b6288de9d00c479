// Step 8. Runs on: main.
// One node: the official client with one connection pool of its own. The client's retries, its list of dead nodes and
// its parsing of answers are off; what is used is its request building, authentication and TLS. A send settles only when
// the answer is complete and the body is written, or the socket is closed: the body's memory is used again after that.

import { type ClientRequest, Agent as HttpAgent, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import type { ConnectionOptions as TlsConnectionOptions } from 'node:tls'
import { Client, Connection } from '@opensearch-project/opensearch'
import type { Clock } from '../../../src/core/clock.ts'
import { errnoOf, errorText } from '../../../src/core/errors.ts'

/** Answers to a plain success are `{"errors":false,"items":[...]}`; 256 bytes are enough to know. */
const PREFIX_BYTES = 256

export interface EndpointOptions {
  readonly url: string
  readonly path: string
  readonly querystring: string
  readonly socketsMax: number
  readonly connectTimeoutMs: number
  readonly requestTimeoutMs: number
  readonly responseBytesMax: number
  readonly headers: Readonly<Record<string, string>>
  readonly auth: { readonly username: string; readonly password: string } | null
  readonly tls: TlsConnectionOptions | null
  readonly clock: Clock
}

export type SendResult =
  | {
      readonly kind: 'answer'
      readonly status: number
      readonly retryAfter: string | undefined
      /** Whether the answer begins like a bulk response without errors. */
      readonly isErrorFree: boolean
      readonly byteCount: number
      text(): string
    }
  | {
      readonly kind: 'failure'
      readonly reason: 'connect' | 'tls' | 'reset' | 'timeout' | 'broken_answer' | 'long_answer'
      /** Nothing reached the server: another node may get the body at once. */
      readonly isUnsent: boolean
      /** The server closed an idle connection just then: not a fault. */
      readonly isStale: boolean
      readonly message: string
    }

export class BulkEndpoint {
  readonly url: string
  readonly #options: EndpointOptions
  readonly #client: Client
  readonly #agent: HttpAgent | HttpsAgent
  /** Set by the connection while `transport.request` runs, which calls it synchronously. */
  #latest: ClientRequest | null = null

  constructor(options: EndpointOptions) {
    this.#options = options
    this.url = options.url
    const agentOptions = {
      keepAlive: true,
      maxSockets: options.socketsMax,
      // The newest idle connection first: the others may age and close when there is little to do.
      scheduling: 'lifo'
    } as const
    const isTls = options.url.startsWith('https:')
    this.#agent = isTls
      ? new HttpsAgent({ ...agentOptions, ...options.tls })
      : new HttpAgent(agentOptions)
    this.#client = new Client({
      node: options.url,
      Connection: this.#connectionClass(),
      agent: () => this.#agent,
      headers: { ...options.headers },
      maxRetries: 0,
      requestTimeout: options.requestTimeoutMs,
      resurrectStrategy: 'none',
      ...(options.tls === null ? {} : { ssl: options.tls }),
      ...(options.auth === null ? {} : { auth: { ...options.auth } })
    })
  }

  /** The library prints late socket errors with console.log; here they end with the request that they belong to. */
  #connectionClass(): typeof Connection {
    const taken = (request: ClientRequest) => {
      this.#latest = request
    }
    return class QuietConnection extends Connection {
      override request(
        params: Parameters<Connection['request']>[0],
        callback: Parameters<Connection['request']>[1]
      ): ClientRequest {
        const request = super.request(params, (error, response) => {
          if (response !== null) request.removeAllListeners('error').on('error', ignore)
          callback(error, response)
        })
        taken(request)
        return request
      }
    }
  }

  async send(body: Buffer, isCompressed: boolean, signal: AbortSignal): Promise<SendResult> {
    const { path, querystring, requestTimeoutMs } = this.#options
    const answer = this.#client.transport.request(
      { method: 'POST', path: `${path}/_bulk`, querystring, bulkBody: body },
      {
        asStream: true,
        requestTimeout: requestTimeoutMs,
        headers: isCompressed ? { 'content-encoding': 'gzip' } : {}
      }
    )
    const request = this.#latest
    this.#latest = null
    if (request === null) return failed('connect', true, false, errorText(await caught(answer)))
    const flight = new Flight(request, this.#options, signal)
    try {
      const { body: response } = await answer
      // A cast: with `asStream` the body is the response of node:http.
      return await flight.read(response as IncomingMessage)
    } catch (error) {
      return flight.failure(error)
    } finally {
      await flight.close()
    }
  }

  /** Closes every connection; requests in flight fail. */
  close(): void {
    this.#agent.destroy()
  }
}

/** One request from its start until its socket is free again. */
class Flight {
  readonly #request: ClientRequest
  readonly #responseBytesMax: number
  readonly #signal: AbortSignal
  readonly #closed: Promise<void>
  #error: Error | null = null
  #isConnected = false
  #isAnswered = false
  #isTooLong = false
  #isConnectLate = false
  #cancelConnectTimer: () => void = () => undefined
  readonly #onAbort = () => {
    this.#request.destroy()
  }

  constructor(request: ClientRequest, options: EndpointOptions, signal: AbortSignal) {
    this.#request = request
    this.#responseBytesMax = options.responseBytesMax
    this.#signal = signal
    this.#closed = new Promise((resolve) => request.once('close', resolve))
    // Before the library's own listener, which wraps the error and loses its code.
    request.prependListener('error', (error) => {
      this.#error ??= error
    })
    request.once('socket', (socket) => {
      if (!socket.connecting) {
        this.#isConnected = true
        return
      }
      socket.once(options.url.startsWith('https:') ? 'secureConnect' : 'connect', () => {
        this.#isConnected = true
        this.#cancelConnectTimer()
      })
    })
    this.#cancelConnectTimer = options.clock.after(options.connectTimeoutMs, () => {
      if (this.#isConnected) return
      this.#isConnectLate = true
      request.destroy()
    })
    if (signal.aborted) this.#onAbort()
    else signal.addEventListener('abort', this.#onAbort, { once: true })
  }

  async read(response: IncomingMessage): Promise<SendResult> {
    this.#isAnswered = true
    const chunks: Buffer[] = []
    let byteCount = 0
    for await (const chunk of response) {
      // A cast: without an encoding node:http gives Buffers.
      const bytes = chunk as Buffer
      byteCount += bytes.length
      if (byteCount > this.#responseBytesMax) {
        this.#isTooLong = true
        throw new Error(`answer of over ${this.#responseBytesMax} bytes`)
      }
      chunks.push(bytes)
    }
    if (!response.complete) throw new Error('the answer ended early')
    const status = response.statusCode ?? 0
    return {
      kind: 'answer',
      status,
      retryAfter: response.headers['retry-after'],
      isErrorFree:
        status < 300 &&
        (chunks[0]?.toString('latin1', 0, PREFIX_BYTES).includes('"errors":false') ?? false),
      byteCount,
      text: () => Buffer.concat(chunks).toString('utf8')
    }
  }

  failure(thrown: unknown): SendResult {
    const error = this.#error ?? thrown
    const message = errorText(error)
    if (this.#isTooLong) return failed('long_answer', false, false, message)
    if (!this.#isConnected) {
      const isTls = !this.#isConnectLate && isTlsFault(error)
      return failed(isTls ? 'tls' : 'connect', true, false, message)
    }
    if (this.#signal.aborted) return failed('timeout', false, false, 'no answer in time')
    if (this.#isAnswered) return failed('broken_answer', false, false, message)
    const isStale =
      this.#request.reusedSocket && ['ECONNRESET', 'EPIPE'].includes(errnoOf(this.#error))
    return failed('reset', false, isStale, message)
  }

  /** An early answer leaves the rest of the body unwritten: the connection is of no use then. */
  async close(): Promise<void> {
    this.#cancelConnectTimer()
    this.#signal.removeEventListener('abort', this.#onAbort)
    if (!this.#request.writableFinished || !this.#isAnswered) this.#request.destroy()
    await this.#closed
  }
}

function isTlsFault(error: unknown): boolean {
  const code = errnoOf(error)
  return (
    code.startsWith('ERR_TLS') || code.startsWith('ERR_SSL') || /CERT|SIGNATURE|ISSUER/.test(code)
  )
}

function failed(
  reason: Extract<SendResult, { kind: 'failure' }>['reason'],
  isUnsent: boolean,
  isStale: boolean,
  message: string
): SendResult {
  return { kind: 'failure', reason, isUnsent, isStale, message }
}

async function caught(promise: PromiseLike<unknown>): Promise<unknown> {
  try {
    await promise
    return new Error('no request was made')
  } catch (error) {
    return error
  }
}

function ignore(): void {}
