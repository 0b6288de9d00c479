// Step 8. Runs on: main.
// The HTTP side of the SDK: one keep-alive agent, hard deadlines, answers read whole. A call settles only when the
// answer is complete and the body written, or the socket is closed; the SDK's own handler promises neither, and its
// request timeout only logs.

import {
  type ClientRequest,
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage
} from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import type { Clock } from '../../../src/core/clock.ts'
import { errnoOf, errorText } from '../../../src/core/errors.ts'
import { TransportError } from './failures.ts'

/** Answers are a few hundred bytes; a page of a proxy may be longer. */
const ANSWER_BYTES_MAX = 1024 * 1024

/** What the SDK hands over, as far as it is used. */
export interface SdkRequest {
  readonly protocol: string
  readonly hostname: string
  readonly port?: number
  readonly path: string
  readonly method: string
  readonly headers: Record<string, string>
  readonly query?: Record<string, unknown>
  readonly body?: Uint8Array | string
}

export interface SdkResponse {
  readonly statusCode: number
  readonly headers: Record<string, string>
  readonly body: Uint8Array
}

export class SdkHttpHandler {
  readonly metadata = { handlerProtocol: 'http/1.1' }
  readonly #http: HttpAgent
  readonly #https: HttpsAgent
  readonly #connectTimeoutMs: number
  readonly #clock: Clock

  constructor(socketsMax: number, connectTimeoutMs: number, clock: Clock) {
    const options = { keepAlive: true, maxSockets: socketsMax, scheduling: 'lifo' } as const
    this.#http = new HttpAgent(options)
    this.#https = new HttpsAgent(options)
    this.#connectTimeoutMs = connectTimeoutMs
    this.#clock = clock
  }

  async handle(
    request: SdkRequest,
    options: { abortSignal?: AbortSignal | undefined } = {}
  ): Promise<{ response: SdkResponse }> {
    const signal = options.abortSignal
    const first = await this.#exchange(request, signal)
    if (first !== STALE) return { response: first }
    // The service closed the idle connection just then: once more, on another one.
    const second = await this.#exchange(request, signal)
    if (second !== STALE) return { response: second }
    throw new TransportError('sent', 'connection closed twice')
  }

  updateHttpClientConfig(): void {}

  httpHandlerConfigs(): Record<string, never> {
    return {}
  }

  destroy(): void {
    this.#http.destroy()
    this.#https.destroy()
  }

  async #exchange(
    request: SdkRequest,
    signal: AbortSignal | undefined
  ): Promise<SdkResponse | typeof STALE> {
    const isTls = request.protocol === 'https:'
    const call = (isTls ? httpsRequest : httpRequest)({
      host: request.hostname.replace(/^\[|\]$/g, ''),
      method: request.method,
      path: pathOf(request),
      headers: request.headers,
      agent: isTls ? this.#https : this.#http,
      ...(request.port === undefined ? {} : { port: request.port })
    })
    const closed = new Promise<void>((resolve) => call.once('close', resolve))
    const state = { isConnected: false, hasResponse: false, isComplete: false }
    const cancelTimer = this.#watchConnect(call, isTls, state)
    const onAbort = () => call.destroy()
    if (signal?.aborted) onAbort()
    else signal?.addEventListener('abort', onAbort, { once: true })
    try {
      return await readAnswer(call, request.body, state)
    } catch (error) {
      if (isStale(call, error, state)) return STALE
      throw transportError(error, state, signal)
    } finally {
      cancelTimer()
      signal?.removeEventListener('abort', onAbort)
      if (!call.writableFinished || !state.isComplete) call.destroy()
      await closed
    }
  }

  #watchConnect(call: ClientRequest, isTls: boolean, state: ExchangeState): () => void {
    call.once('socket', (socket) => {
      if (!socket.connecting) state.isConnected = true
      else {
        socket.once(isTls ? 'secureConnect' : 'connect', () => {
          state.isConnected = true
        })
      }
    })
    return this.#clock.after(this.#connectTimeoutMs, () => {
      if (!state.isConnected) call.destroy()
    })
  }
}

const STALE = Symbol('stale')

interface ExchangeState {
  isConnected: boolean
  /** The first byte of an answer came. */
  hasResponse: boolean
  isComplete: boolean
}

async function readAnswer(
  call: ClientRequest,
  body: Uint8Array | string | undefined,
  state: ExchangeState
): Promise<SdkResponse> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    call.once('response', resolve)
    call.on('error', reject)
    call.end(body)
  })
  state.hasResponse = true
  const chunks: Buffer[] = []
  let byteCount = 0
  for await (const chunk of response) {
    // A cast: without an encoding node:http gives Buffers.
    const bytes = chunk as Buffer
    byteCount += bytes.length
    if (byteCount > ANSWER_BYTES_MAX) {
      throw new Error(`answer of over ${ANSWER_BYTES_MAX} bytes`)
    }
    chunks.push(bytes)
  }
  if (!response.complete) throw new Error('the answer ended early')
  state.isComplete = true
  return {
    statusCode: response.statusCode ?? 0,
    headers: plainHeaders(response),
    body: Buffer.concat(chunks)
  }
}

function isStale(call: ClientRequest, error: unknown, state: ExchangeState): boolean {
  return call.reusedSocket && !state.hasResponse && ['ECONNRESET', 'EPIPE'].includes(errnoOf(error))
}

function transportError(
  error: unknown,
  state: ExchangeState,
  signal: AbortSignal | undefined
): TransportError {
  const message = errorText(error)
  if (signal?.aborted) return new TransportError('timeout', message, error)
  if (state.isConnected) return new TransportError('sent', message, error)
  const code = errnoOf(error)
  const isTls =
    code.startsWith('ERR_TLS') || code.startsWith('ERR_SSL') || /CERT|SIGNATURE|ISSUER/.test(code)
  return new TransportError(isTls ? 'tls' : 'connect', message, error)
}

function plainHeaders(response: IncomingMessage): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(response.headers)) {
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(', ') : value
  }
  return headers
}

function pathOf(request: SdkRequest): string {
  const query = new URLSearchParams()
  for (const [key, value] of Object.entries(request.query ?? {})) query.append(key, String(value))
  return query.size === 0 ? request.path : `${request.path}?${query}`
}
