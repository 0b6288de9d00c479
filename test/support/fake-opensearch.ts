// A strict stand-in for the bulk API of OpenSearch on loopback: `create` semantics with 409, gzip, the filtered answer,
// and faults by plan. Runs inside a test or by itself:
//
//   node test/support/fake-opensearch.ts --port 0 [--no-docs] [--discard]     prints the port
//   GET  /_fake/stats   counters        GET  /_fake/docs    one line per document: index, id, source, created
//   POST /_fake/plan    faults of the next bulk requests, a JSON array of `RequestFault`
//   POST /_fake/items   faults of items, a JSON array of `ItemFault`       POST /_fake/reset   forget everything
//
// `--discard` counts lines and stores nothing: a sink for measurements.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { parseArgs } from 'node:util'
import { gunzipSync } from 'node:zlib'
import { systemClock } from '../../src/core/clock.ts'
import { type BulkItem, BulkSyntaxError, indexNameFault, parseBulk } from './bulk-body.ts'

/** What happens to one bulk request instead of, or besides, storing it. */
export type RequestFault =
  /** Answers this and stores nothing. */
  | {
      readonly kind: 'status'
      readonly status: number
      readonly body?: string
      readonly headers?: Readonly<Record<string, string>>
    }
  /** Answers before the body was read and closes the connection. */
  | { readonly kind: 'early_status'; readonly status: number; readonly body?: string }
  /** Reads the body and never answers. */
  | { readonly kind: 'hang' }
  | { readonly kind: 'reset_before_apply' }
  | { readonly kind: 'reset_after_apply' }
  /** Stores, then sends the answer one byte at a time. */
  | { readonly kind: 'trickle'; readonly byteDelayMs: number }
  /** Reads the body, waits, then stores and answers: a server that has too much to do. */
  | { readonly kind: 'slow'; readonly delayMs: number }
  /** Stores, announces a longer answer than it sends, and closes. */
  | { readonly kind: 'truncated' }
  /** Stores and answers 200 with this body. */
  | { readonly kind: 'garbage'; readonly body: string }
  /** Stores and answers with more (or fewer) items than were sent. */
  | { readonly kind: 'item_count'; readonly delta: number }
  | { readonly kind: 'none' }

/** Refuses items that match; the first rule that does wins. */
export interface ItemFault {
  readonly status: number
  readonly type: string
  readonly reason: string
  /** Only items of this index. */
  readonly index?: string
  /** Only documents that contain this text. */
  readonly contains?: string
  /** Every n-th item, counted over all requests. */
  readonly every?: number
  /** How often one id is refused before it is taken; default: always. */
  readonly timesPerId?: number
}

export interface FakeOpenSearchOptions {
  readonly port?: number
  /** Answer 413 above this many bytes, after decompression. */
  readonly bodyBytesMax?: number
  /** `user:password` that requests have to bear. */
  readonly basicAuth?: string
  readonly keepDocuments?: boolean
  readonly isDiscarding?: boolean
}

export interface FakeDocument {
  readonly index: string
  readonly id: string
  readonly source: string
  /** How many times `create` came for it; above 1: repeats that were answered 409. */
  createCount: number
}

export interface BulkRecord {
  readonly headers: IncomingMessage['headers']
  readonly url: string
  /** As received, before decompression. */
  readonly body: Buffer
  readonly isGzip: boolean
}

const NDJSON_TYPE = 'application/x-ndjson'
/** Requests whose bytes are kept for tests to look at. */
const RECORDS_MAX = 1000

export class FakeOpenSearch {
  readonly #options: FakeOpenSearchOptions
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #documents = new Map<string, FakeDocument>()
  readonly #refusals = new Map<string, number>()
  #plan: RequestFault[] = []
  #itemFaults: ItemFault[] = []
  #itemNumber = 0
  #autoId = 0
  /** Requests of the data plane as received, newest last. */
  requests: BulkRecord[] = []
  stats = emptyStats()
  /** Awaited before the documents of a request are stored. */
  gate: (body: string) => Promise<void> = async () => {}

  constructor(options: FakeOpenSearchOptions = {}) {
    this.#options = options
    this.#server = createServer((request, response) => {
      void this.#serve(request, response).catch((error) => response.destroy(error))
    })
    this.#server.on('connection', (socket) => {
      this.stats.connections++
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(this.#options.port ?? 0, '127.0.0.1', resolve)
    })
    return this
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.closeConnections()
    await closed
  }

  closeConnections(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  get connectionCount(): number {
    return this.#sockets.size
  }

  get documents(): FakeDocument[] {
    return [...this.#documents.values()]
  }

  /** Faults of the next bulk requests, one each, in order. */
  plan(...faults: readonly RequestFault[]): void {
    this.#plan.push(...faults)
  }

  /** Requests from now on have no fault. */
  clearPlan(): void {
    this.#plan = []
  }

  itemFaults(...faults: readonly ItemFault[]): void {
    this.#itemFaults = [...faults]
  }

  reset(): void {
    this.#documents.clear()
    this.#refusals.clear()
    this.#plan = []
    this.#itemFaults = []
    this.requests = []
    this.stats = emptyStats()
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://fake')
    if (url.pathname.startsWith('/_fake/')) return await this.#control(url, request, response)
    if (!url.pathname.endsWith('/_bulk')) {
      return answerJson(response, request.method === 'GET' ? 200 : 404, ROOT_INFO)
    }
    this.stats.requests++
    const fault = this.#plan.shift() ?? { kind: 'none' }
    if (fault.kind === 'early_status') {
      response.writeHead(fault.status, { connection: 'close', 'content-type': 'text/html' })
      response.end(fault.body ?? '')
      response.on('finish', () => request.socket.destroySoon())
      return
    }
    const body = await readBody(request)
    const refusal = this.#refuseRequest(request, body)
    if (refusal !== null) return refusal(response)
    await this.#bulk(url, request, response, body, fault)
  }

  #refuseRequest(
    request: IncomingMessage,
    body: Buffer
  ): ((response: ServerResponse) => void) | null {
    this.stats.receivedBytes += body.length
    const { basicAuth, bodyBytesMax } = this.#options
    if (
      basicAuth !== undefined &&
      request.headers.authorization !== `Basic ${Buffer.from(basicAuth).toString('base64')}`
    ) {
      return (response) => answerError(response, 401, 'security_exception', 'missing credentials')
    }
    if (request.headers['content-type'] !== NDJSON_TYPE) {
      return (response) =>
        answerError(response, 406, 'media_type_header_exception', 'Content-Type is not NDJSON')
    }
    if (bodyBytesMax !== undefined && plainBytes(request, body).length > bodyBytesMax) {
      this.stats.tooLarge++
      return (response) => response.writeHead(413, { connection: 'close' }).end()
    }
    return null
  }

  async #bulk(
    url: URL,
    request: IncomingMessage,
    response: ServerResponse,
    body: Buffer,
    fault: RequestFault
  ): Promise<void> {
    const isGzip = request.headers['content-encoding'] === 'gzip'
    if (!this.#options.isDiscarding) {
      this.requests.push({ headers: request.headers, url: url.href, body, isGzip })
      if (this.requests.length > RECORDS_MAX) this.requests.shift()
    }
    switch (fault.kind) {
      case 'status':
        response.writeHead(fault.status, { 'content-type': 'application/json', ...fault.headers })
        response.end(fault.body ?? '')
        return
      case 'hang':
        return
      case 'reset_before_apply':
        request.socket.resetAndDestroy()
        return
      case 'slow':
        await systemClock.sleep(fault.delayMs)
        break
      default:
    }
    const text = plainBytes(request, body)
    this.stats.plainBytes += text.length
    if (this.#options.isDiscarding) return answerDiscarded(response, text, this.stats)
    await this.gate(text.toString())
    let items: BulkItem[]
    try {
      items = parseBulk(text)
    } catch (error) {
      if (!(error instanceof BulkSyntaxError)) throw error
      this.stats.malformed++
      return answerError(response, 400, 'illegal_argument_exception', error.message)
    }
    const results = items.map((item) => this.#apply(item))
    await answerItems(request, response, url, results, fault)
  }

  #apply(item: BulkItem): ItemResult {
    this.stats.items++
    this.#itemNumber++
    const result = this.#judge(item)
    this.stats.statuses[result.status] = (this.stats.statuses[result.status] ?? 0) + 1
    return result
  }

  #judge(item: BulkItem): ItemResult {
    const nameFault = indexNameFault(item.index)
    if (nameFault !== null) {
      return failure(400, 'invalid_index_name_exception', `Invalid index name, ${nameFault}`)
    }
    const fault = this.#itemFaults.find((each) => this.#matches(each, item))
    if (fault !== undefined) return failure(fault.status, fault.type, fault.reason)
    if (item.documentFault !== null) {
      return failure(400, 'mapper_parsing_exception', item.documentFault)
    }
    const id = item.id ?? `auto-${++this.#autoId}`
    const key = `${item.index}\u0000${id}`
    const known = this.#documents.get(key)
    if (known !== undefined) {
      known.createCount++
      return failure(
        409,
        'version_conflict_engine_exception',
        `[${id}]: version conflict, document already exists (current version [1])`
      )
    }
    const source = this.#options.keepDocuments === false ? '' : item.source
    this.#documents.set(key, { index: item.index, id, source, createCount: 1 })
    this.stats.distinctDocuments++
    return { status: 201, error: null }
  }

  #matches(fault: ItemFault, item: BulkItem): boolean {
    if (fault.index !== undefined && fault.index !== item.index) return false
    if (fault.contains !== undefined && !item.source.includes(fault.contains)) return false
    if (fault.every !== undefined && this.#itemNumber % fault.every !== 0) return false
    if (fault.timesPerId === undefined) return true
    const key = `${item.index}\u0000${item.id}`
    const count = this.#refusals.get(key) ?? 0
    if (count >= fault.timesPerId) return false
    this.#refusals.set(key, count + 1)
    return true
  }

  async #control(url: URL, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = (await readBody(request)).toString()
    switch (`${request.method} ${url.pathname}`) {
      case 'GET /_fake/stats':
        return answerJson(response, 200, this.stats)
      case 'GET /_fake/docs':
        response.writeHead(200, { 'content-type': NDJSON_TYPE })
        for (const document of this.#documents.values()) {
          response.write(`${JSON.stringify(document)}\n`)
        }
        response.end()
        return
      case 'POST /_fake/plan':
        this.plan(...(JSON.parse(body) as RequestFault[]))
        return answerJson(response, 200, {})
      case 'POST /_fake/items':
        this.itemFaults(...(JSON.parse(body) as ItemFault[]))
        return answerJson(response, 200, {})
      case 'POST /_fake/reset':
        this.reset()
        return answerJson(response, 200, {})
      default:
        return answerJson(response, 404, {})
    }
  }
}

interface ItemResult {
  readonly status: number
  readonly error: { readonly type: string; readonly reason: string } | null
}

const ROOT_INFO = { version: { number: '3.0.0', distribution: 'opensearch' } }

function emptyStats() {
  return {
    connections: 0,
    requests: 0,
    receivedBytes: 0,
    plainBytes: 0,
    items: 0,
    distinctDocuments: 0,
    malformed: 0,
    tooLarge: 0,
    statuses: {} as Record<string, number>
  }
}

function failure(status: number, type: string, reason: string): ItemResult {
  return { status, error: { type, reason } }
}

async function answerItems(
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
  results: ItemResult[],
  fault: RequestFault
): Promise<void> {
  if (fault.kind === 'reset_after_apply') {
    request.socket.resetAndDestroy()
    return
  }
  if (fault.kind === 'item_count') {
    if (fault.delta < 0) results.length += fault.delta
    else for (let i = 0; i < fault.delta; i++) results.push({ status: 201, error: null })
  }
  const isFiltered = url.searchParams.get('filter_path') !== null
  const text =
    fault.kind === 'garbage' ? fault.body : isFiltered ? filtered(results) : unfiltered(results)
  const bytes = Buffer.from(text)
  const headers = { 'content-type': 'application/json', 'content-length': bytes.length }
  if (fault.kind === 'truncated') {
    response.writeHead(200, headers)
    response.write(bytes.subarray(0, bytes.length >> 1), () => request.socket.destroySoon())
    return
  }
  response.writeHead(200, headers)
  if (fault.kind === 'trickle') {
    for (let i = 0; i < bytes.length && !response.destroyed; i++) {
      response.write(bytes.subarray(i, i + 1))
      await systemClock.sleep(fault.byteDelayMs)
    }
    response.end()
    return
  }
  response.end(bytes)
}

/** As the server answers to `filter_path=errors,items.*.status,items.*.error`. */
function filtered(results: readonly ItemResult[]): string {
  const hasErrors = results.some(({ error }) => error !== null)
  const items = results.map(({ status, error }) =>
    error === null
      ? `{"create":{"status":${status}}}`
      : JSON.stringify({ create: { status, error: { ...error, index_uuid: 'x', shard: '0' } } })
  )
  return `{"errors":${hasErrors},"items":[${items.join(',')}]}`
}

function unfiltered(results: readonly ItemResult[]): string {
  const items = results.map(({ status, error }) => ({
    create: { _id: 'x', _version: 1, status, ...(error === null ? {} : { error }) }
  }))
  return JSON.stringify({ took: 1, errors: results.some(({ error }) => error !== null), items })
}

const SUCCESS_ITEM = '{"create":{"status":201}}'

function answerDiscarded(
  response: ServerResponse,
  text: Buffer,
  stats: ReturnType<typeof emptyStats>
): void {
  let lineCount = 0
  for (let at = text.indexOf(10); at !== -1; at = text.indexOf(10, at + 1)) lineCount++
  const itemCount = lineCount >> 1
  stats.items += itemCount
  stats.distinctDocuments += itemCount
  const items = `${SUCCESS_ITEM},`.repeat(itemCount - 1) + SUCCESS_ITEM
  response.writeHead(200, { 'content-type': 'application/json' })
  response.end(`{"errors":false,"items":[${items}]}`)
}

function plainBytes(request: IncomingMessage, body: Buffer): Buffer {
  return request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks)
}

function answerError(response: ServerResponse, status: number, type: string, reason: string): void {
  const error = { root_cause: [{ type, reason }], type, reason }
  answerJson(response, status, { error, status })
}

function answerJson(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(value))
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '0' },
      'no-docs': { type: 'boolean', default: false },
      discard: { type: 'boolean', default: false }
    }
  })
  const fake = await new FakeOpenSearch({
    port: Number(values.port),
    keepDocuments: !values['no-docs'],
    isDiscarding: values.discard
  }).start()
  process.stdout.write(`${fake.port}\n`)
}
