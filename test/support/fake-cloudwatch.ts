// A strict stand-in for CloudWatch Logs on loopback: every rule of PutLogEvents with the service's texts, signatures
// checked, groups and streams that have to exist, faults by plan. Runs inside a test or by itself:
//
//   node test/support/fake-cloudwatch.ts --port 0 [--no-events] [--discard] [--create]      prints the port
//   GET  /_fake/stats    counters            GET  /_fake/events   one line per event: group, stream, timestamp, message
//   POST /_fake/plan     faults of the next PutLogEvents calls, a JSON array of `CallFault`
//
// Keys are AK / SK. `--create` lets every group and stream exist. `--discard` counts events and checks nothing.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { parseArgs } from 'node:util'
import { gunzipSync } from 'node:zlib'
import { signatureFault } from './sigv4.ts'

/** What happens to one call instead of, or besides, doing it. */
export type CallFault =
  /** Answers with an error of the service. */
  | {
      readonly kind: 'error'
      readonly code: string
      readonly message?: string
      readonly status?: number
      readonly fields?: Readonly<Record<string, unknown>>
    }
  /** Answers this text. */
  | { readonly kind: 'status'; readonly status: number; readonly body: string }
  | { readonly kind: 'hang' }
  | { readonly kind: 'reset_before_apply' }
  | { readonly kind: 'reset_after_apply' }
  /** Stores, then answers with an error. */
  | { readonly kind: 'error_after_apply'; readonly code: string; readonly status: number }
  /** Stores, announces a longer answer than it sends, and closes. */
  | { readonly kind: 'truncated' }
  /** Stores and answers 200 with this body. */
  | { readonly kind: 'garbage'; readonly body: string }
  | { readonly kind: 'none' }

export interface FakeCloudWatchOptions {
  readonly port?: number
  readonly nowMs?: () => number
  /** Limit of one event, 26 bytes included; older partitions have 262,144. */
  readonly eventBytesMax?: number
  /** A proxy in front that answers 413 above this. */
  readonly bodyBytesMax?: number
  readonly isGzipRefused?: boolean
  /** Calls on a name that are still answered "does not exist" after it was made. */
  readonly invisibleCalls?: number
  readonly isEverythingThere?: boolean
  readonly keepEvents?: boolean
  readonly isDiscarding?: boolean
}

export interface LogEvent {
  readonly timestamp: number
  readonly message: string
}

interface Stream {
  readonly events: LogEvent[]
  invisibleCalls: number
}

interface Group {
  readonly streams: Map<string, Stream>
  readonly request: Readonly<Record<string, unknown>>
  retentionDays: number | null
}

export interface CallRecord {
  readonly operation: string
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
  readonly input: Readonly<Record<string, unknown>>
}

const EVENT_OVERHEAD = 26
const BATCH_BYTES_MAX = 1_048_576
const EVENTS_MAX = 10_000
const DAY_MS = 86_400_000
const TOO_OLD_MS = 14 * DAY_MS
const TOO_NEW_MS = 2 * 3_600_000
const KEYS = new Map([['AK', 'SK']])
const RETENTION_DAYS = [
  1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288,
  3653
]
const CALLS_MAX = 2000

class ServiceFault extends Error {
  readonly code: string
  readonly status: number
  readonly fields: Readonly<Record<string, unknown>>

  constructor(code: string, message: string, status = 400, fields: Record<string, unknown> = {}) {
    super(message)
    this.code = code
    this.status = status
    this.fields = fields
  }
}

export class FakeCloudWatch {
  readonly #options: FakeCloudWatchOptions
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #groups = new Map<string, Group>()
  /** Faults of the next calls of an operation. */
  readonly #plans = new Map<string, CallFault[]>()
  calls: CallRecord[] = []
  stats = emptyStats()

  constructor(options: FakeCloudWatchOptions = {}) {
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
    for (const socket of this.#sockets) socket.destroy()
    await closed
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

  plan(operation: string, ...faults: readonly CallFault[]): void {
    this.#plans.set(operation, [...(this.#plans.get(operation) ?? []), ...faults])
  }

  /** Makes a group and a stream without a call. */
  add(group: string, stream: string): void {
    this.#groups.set(group, this.#groups.get(group) ?? emptyGroup())
    this.#groups.get(group)?.streams.set(stream, { events: [], invisibleCalls: 0 })
  }

  remove(group: string, stream: string): void {
    this.#groups.get(group)?.streams.delete(stream)
  }

  group(name: string): Group | undefined {
    return this.#groups.get(name)
  }

  /** Events of a stream as GetLogEvents would give them, in the order of arrival. */
  events(group: string, stream: string): readonly LogEvent[] {
    return this.#groups.get(group)?.streams.get(stream)?.events ?? []
  }

  operations(): string[] {
    return this.calls.map(({ operation }) => operation)
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBody(request)
    if (request.url?.startsWith('/_fake/')) return this.#control(request, response, body)
    const operation = String(request.headers['x-amz-target'] ?? '').replace('Logs_20140328.', '')
    this.stats.calls[operation] = (this.stats.calls[operation] ?? 0) + 1
    if (this.#options.isDiscarding) return this.#discard(operation, body, response)
    const fault = this.#plans.get(operation)?.shift() ?? { kind: 'none' }
    if (fault.kind === 'hang') return
    if (fault.kind === 'reset_before_apply') {
      request.socket.resetAndDestroy()
      return
    }
    try {
      if (fault.kind === 'error') {
        const { code, message = code, status = 400, fields = {} } = fault
        throw new ServiceFault(code, message, status, fields)
      }
      if (fault.kind === 'status') {
        response.writeHead(fault.status, { 'content-type': 'text/html' }).end(fault.body)
        return
      }
      const input = this.#admit(request, operation, body)
      this.calls.push({ operation, headers: request.headers, body, input })
      if (this.calls.length > CALLS_MAX) this.calls.shift()
      const output = this.#run(operation, input)
      if (fault.kind === 'error_after_apply') {
        throw new ServiceFault(fault.code, fault.code, fault.status)
      }
      answer(request, response, output, fault)
    } catch (error) {
      if (!(error instanceof ServiceFault)) throw error
      this.stats.errors[error.code] = (this.stats.errors[error.code] ?? 0) + 1
      send(response, error.status, {
        __type: `com.amazonaws.logs#${error.code}`,
        message: error.message,
        ...error.fields
      })
    }
  }

  /** Transport rules: type, signature, encoding, size. */
  #admit(
    request: IncomingMessage,
    operation: string,
    body: Buffer
  ): Readonly<Record<string, unknown>> {
    if (request.headers['content-type'] !== 'application/x-amz-json-1.1') {
      throw new ServiceFault('SerializationException', 'wrong content type')
    }
    const fault = signatureFault(request, body, (keyId) => KEYS.get(keyId))
    if (fault !== null) throw new ServiceFault('InvalidSignatureException', fault)
    const { bodyBytesMax, isGzipRefused } = this.#options
    if (bodyBytesMax !== undefined && body.length > bodyBytesMax) {
      throw new ServiceFault('RequestEntityTooLargeException', 'too large', 413)
    }
    const isGzip = request.headers['content-encoding'] === 'gzip'
    if (isGzip && isGzipRefused) throw new ServiceFault('SerializationException', 'not JSON')
    const plain = isGzip ? gunzipSync(body) : body
    if (operation === 'PutLogEvents') {
      this.stats.receivedBytes += body.length
      this.stats.plainBytes += plain.length
    }
    try {
      return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(plain))
    } catch {
      throw new ServiceFault('SerializationException', 'the body is no JSON')
    }
  }

  #run(operation: string, input: Readonly<Record<string, unknown>>): object {
    switch (operation) {
      case 'PutLogEvents':
        return this.#put(input)
      case 'CreateLogGroup':
        return this.#createGroup(input)
      case 'CreateLogStream':
        return this.#createStream(input)
      case 'PutRetentionPolicy': {
        const group = this.#groupOf(input)
        const days = Number(input['retentionInDays'])
        if (!RETENTION_DAYS.includes(days)) {
          throw invalid('Invalid retention value. Valid values are: [...]')
        }
        group.retentionDays = days
        return {}
      }
      default:
        throw new ServiceFault('UnknownOperationException', `unknown operation ${operation}`)
    }
  }

  #createGroup(input: Readonly<Record<string, unknown>>): object {
    const name = String(input['logGroupName'])
    checkName(name, /^[A-Za-z0-9._/#-]+$/)
    if (name.startsWith('aws/')) throw invalid('Log groups starting with aws/ are reserved')
    if (this.#groups.has(name)) {
      throw new ServiceFault(
        'ResourceAlreadyExistsException',
        'The specified log group already exists'
      )
    }
    this.#groups.set(name, { ...emptyGroup(), request: input })
    return {}
  }

  #createStream(input: Readonly<Record<string, unknown>>): object {
    const group = this.#groupOf(input)
    const name = String(input['logStreamName'])
    checkName(name, /^[^:*]*$/)
    if (group.streams.has(name)) {
      throw new ServiceFault(
        'ResourceAlreadyExistsException',
        'The specified log stream already exists'
      )
    }
    group.streams.set(name, { events: [], invisibleCalls: this.#options.invisibleCalls ?? 0 })
    return {}
  }

  #groupOf(input: Readonly<Record<string, unknown>>): Group {
    const name = String(input['logGroupName'])
    if (this.#options.isEverythingThere && !this.#groups.has(name)) {
      this.#groups.set(name, emptyGroup())
    }
    const group = this.#groups.get(name)
    if (group === undefined) {
      throw new ServiceFault('ResourceNotFoundException', 'The specified log group does not exist.')
    }
    return group
  }

  #put(input: Readonly<Record<string, unknown>>): object {
    const streamName = String(input['logStreamName'])
    checkName(String(input['logGroupName']), /^[A-Za-z0-9._/#-]+$/)
    checkName(streamName, /^[^:*]*$/)
    const events = checkEvents(input['logEvents'], this.#options.eventBytesMax ?? BATCH_BYTES_MAX)
    const group = this.#groupOf(input)
    let stream = group.streams.get(streamName)
    if (stream === undefined && this.#options.isEverythingThere) {
      stream = { events: [], invisibleCalls: 0 }
      group.streams.set(streamName, stream)
    }
    if (stream === undefined || stream.invisibleCalls-- > 0) {
      throw new ServiceFault(
        'ResourceNotFoundException',
        'The specified log stream does not exist.'
      )
    }
    return this.#store(group, stream, events)
  }

  /** Ends are exclusive, the start is inclusive. */
  #store(group: Group, stream: Stream, events: readonly LogEvent[]): object {
    const nowMs = this.#options.nowMs?.() ?? Date.now()
    const before = (limitMs: number) => events.filter(({ timestamp }) => timestamp < limitMs).length
    const tooOldEnd = before(nowMs - TOO_OLD_MS)
    const expiredEnd =
      group.retentionDays === null ? 0 : before(nowMs - group.retentionDays * DAY_MS)
    const tooNewStart = events.findIndex(({ timestamp }) => timestamp > nowMs + TOO_NEW_MS)
    const start = Math.max(tooOldEnd, expiredEnd)
    const end = tooNewStart === -1 ? events.length : tooNewStart
    const accepted = events.slice(start, end)
    checkSpan(accepted)
    this.stats.events += accepted.length
    this.stats.rejected += events.length - accepted.length
    if (this.#options.keepEvents !== false) for (const event of accepted) stream.events.push(event)
    const info = {
      ...(tooOldEnd > 0 ? { tooOldLogEventEndIndex: tooOldEnd } : {}),
      ...(expiredEnd > tooOldEnd ? { expiredLogEventEndIndex: expiredEnd } : {}),
      ...(tooNewStart === -1 ? {} : { tooNewLogEventStartIndex: tooNewStart })
    }
    return Object.keys(info).length === 0 ? {} : { rejectedLogEventsInfo: info }
  }

  #discard(operation: string, body: Buffer, response: ServerResponse): void {
    if (operation === 'PutLogEvents') {
      this.stats.receivedBytes += body.length
      const plain = body[0] === 0x1f ? gunzipSync(body) : body
      this.stats.plainBytes += plain.length
      for (let at = plain.indexOf(MARK); at !== -1; at = plain.indexOf(MARK, at + 1)) {
        this.stats.events++
      }
    }
    send(response, 200, {})
  }

  #control(request: IncomingMessage, response: ServerResponse, body: Buffer): void {
    switch (`${request.method} ${request.url}`) {
      case 'GET /_fake/stats':
        send(response, 200, this.stats)
        return
      case 'GET /_fake/events':
        response.writeHead(200, { 'content-type': 'application/x-ndjson' })
        for (const [group, { streams }] of this.#groups) {
          for (const [stream, { events }] of streams) {
            for (const event of events) {
              response.write(`${JSON.stringify({ group, stream, ...event })}\n`)
            }
          }
        }
        response.end()
        return
      case 'POST /_fake/plan':
        this.plan('PutLogEvents', ...(JSON.parse(body.toString()) as CallFault[]))
        send(response, 200, {})
        return
      default:
        send(response, 404, {})
    }
  }
}

/** Once per event of a body that the kernel rendered. */
const MARK = Buffer.from('","timestamp":')

function checkEvents(value: unknown, eventBytesMax: number): LogEvent[] {
  const events = value as LogEvent[]
  if (!Array.isArray(events) || events.length === 0 || events.length > EVENTS_MAX) {
    throw invalid(
      "1 validation error detected: Value at 'logEvents' failed to satisfy constraint: Member must have length less than or equal to 10000"
    )
  }
  let bytes = 0
  let lastMs = 0
  events.forEach(({ message, timestamp }, index) => {
    const path = `logEvents.${index + 1}.member`
    if (typeof message !== 'string' || message === '') {
      throw invalid(
        `1 validation error detected: Value '' at '${path}.message' failed to satisfy constraint: Member must have length greater than or equal to 1`
      )
    }
    if (!Number.isInteger(timestamp) || timestamp < 0) {
      throw invalid(`1 validation error detected: Value at '${path}.timestamp' is not valid`)
    }
    const eventBytes = Buffer.byteLength(message) + EVENT_OVERHEAD
    if (eventBytes > eventBytesMax) {
      throw invalid(`Log event too large: ${eventBytes} bytes exceeds limit of ${eventBytesMax}`)
    }
    bytes += eventBytes
    if (timestamp < lastMs) {
      throw invalid('Log events in a single PutLogEvents request must be in chronological order.')
    }
    lastMs = timestamp
  })
  if (bytes > BATCH_BYTES_MAX) {
    throw invalid(`Upload too large: ${bytes} bytes exceeds limit of ${BATCH_BYTES_MAX}`)
  }
  return events
}

function checkSpan(events: readonly LogEvent[]): void {
  const first = events[0]
  const last = events.at(-1)
  if (first !== undefined && last !== undefined && last.timestamp - first.timestamp >= DAY_MS) {
    throw invalid(
      'The batch of log events in a single PutLogEvents request cannot span more than 24 hours.'
    )
  }
}

function checkName(name: string, pattern: RegExp): void {
  if (name.length === 0 || name.length > 512) {
    throw invalid('Invalid LogGroup or LogStream, both must have length less than or equal to 512.')
  }
  if (!pattern.test(name)) {
    throw invalid(`Member must satisfy regular expression pattern: ${pattern.source}`)
  }
}

function invalid(message: string): ServiceFault {
  return new ServiceFault('InvalidParameterException', message)
}

function answer(
  request: IncomingMessage,
  response: ServerResponse,
  output: object,
  fault: CallFault
): void {
  if (fault.kind === 'reset_after_apply') {
    request.socket.resetAndDestroy()
    return
  }
  if (fault.kind === 'truncated') {
    response.writeHead(200, { 'content-length': 100 })
    response.write('{"next', () => request.socket.destroySoon())
    return
  }
  if (fault.kind === 'garbage') {
    response.writeHead(200, { 'content-type': 'text/html' }).end(fault.body)
    return
  }
  send(response, 200, output)
}

function send(response: ServerResponse, status: number, value: object): void {
  response.writeHead(status, {
    'content-type': 'application/x-amz-json-1.1',
    'x-amzn-requestid': '00000000-0000-0000-0000-000000000000'
  })
  response.end(JSON.stringify(value))
}

function emptyGroup(): Group {
  return { streams: new Map(), request: {}, retentionDays: null }
}

function emptyStats() {
  return {
    connections: 0,
    calls: {} as Record<string, number>,
    errors: {} as Record<string, number>,
    receivedBytes: 0,
    plainBytes: 0,
    events: 0,
    rejected: 0
  }
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks)
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '0' },
      'no-events': { type: 'boolean', default: false },
      discard: { type: 'boolean', default: false },
      create: { type: 'boolean', default: false }
    }
  })
  const fake = await new FakeCloudWatch({
    port: Number(values.port),
    keepEvents: !values['no-events'],
    isDiscarding: values.discard,
    isEverythingThere: values.create
  }).start()
  process.stdout.write(`${fake.port}\n`)
}
