// The sink: `node bench/sink/main.ts`. Listens on a free port of 127.0.0.1 and prints it as the first line.
// Speaks `_bulk` and PutLogEvents, plain or gzip; GET /_sink/stats and POST /_sink/reset are for the runner.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { gunzipSync } from 'node:zlib'
import { bulkAnswer, countBulk } from './bulk.ts'
import { answerCloudWatch } from './cloudwatch.ts'
import { Seen } from './seen.ts'

/** Sequence numbers per run; one bit each. */
const NUMBERS_MAX = 200_000_000
const ROOT =
  '{"name":"sink","cluster_name":"sink","cluster_uuid":"sink","version":{"distribution":"opensearch","number":"2.19.1",' +
  '"build_type":"tar","lucene_version":"9.12.1","minimum_wire_compatibility_version":"7.10.0",' +
  '"minimum_index_compatibility_version":"7.0.0"},"tagline":"The OpenSearch Project: https://opensearch.org/"}'

const seen = new Seen(NUMBERS_MAX)
const totals = { requests: 0, wireBytes: 0, bodyBytes: 0 }

function stats(): string {
  const cpu = process.cpuUsage()
  const cpuSeconds = (cpu.user + cpu.system) / 1e6
  return JSON.stringify({ distinct: seen.distinct, doubled: seen.doubled, cpuSeconds, ...totals })
}

function reset(): string {
  seen.reset()
  totals.requests = 0
  totals.wireBytes = 0
  totals.bodyBytes = 0
  return '{}'
}

/** Whole body in one buffer. Known length: one copy into one allocation. */
function readBody(request: IncomingMessage, done: (body: Buffer) => void): void {
  const expected = Number(request.headers['content-length'] ?? Number.NaN)
  if (Number.isNaN(expected)) {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => done(Buffer.concat(parts)))
    return
  }
  const body = Buffer.allocUnsafeSlow(expected)
  let at = 0
  request.on('data', (part: Buffer) => {
    at += part.copy(body, at)
  })
  request.on('end', () => done(body))
}

interface Answer {
  readonly status: number
  readonly body: string | Buffer
}

function answer(request: IncomingMessage, wire: Buffer): Answer {
  const url = request.url ?? '/'
  if (url === '/_sink/stats') return { status: 200, body: stats() }
  if (url === '/_sink/reset') return { status: 200, body: reset() }
  const isGzip = request.headers['content-encoding'] === 'gzip'
  const body = isGzip ? gunzipSync(wire) : wire
  totals.wireBytes += wire.length
  totals.bodyBytes += body.length
  totals.requests++
  const target = request.headers['x-amz-target']
  if (typeof target === 'string') {
    return answerCloudWatch(seen, target.slice(target.indexOf('.') + 1), body)
  }
  if (url.includes('/_bulk')) {
    return { status: 200, body: bulkAnswer(countBulk(seen, body), url.includes('filter_path')) }
  }
  return { status: 200, body: url === '/' ? ROOT : '{"acknowledged":true}' }
}

function answerOrFail(request: IncomingMessage, wire: Buffer): Answer {
  try {
    return answer(request, wire)
  } catch (error) {
    process.stderr.write(`${error}\n`)
    return { status: 500, body: JSON.stringify({ error: String(error) }) }
  }
}

function send(response: ServerResponse, { status, body }: Answer): void {
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    'x-amzn-requestid': '00000000-0000-0000-0000-000000000000'
  })
  response.end(body)
}

const server = createServer((request, response) => {
  readBody(request, (wire) => send(response, answerOrFail(request, wire)))
})
server.keepAliveTimeout = 60_000
const port = Number(process.argv[2] ?? 0)
server.listen(port, '127.0.0.1', () => {
  const address = server.address()
  if (typeof address === 'object' && address !== null) console.log(address.port)
})
process.on('SIGTERM', () => process.exit(0))
