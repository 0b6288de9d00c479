// OTLP/HTTP: what OpenTelemetry's own exporters send, by hand what they do not, and the answers of the specification.

import zlib from 'node:zlib'
import { OTLPLogExporter as JsonExporter } from '@opentelemetry/exporter-logs-otlp-http'
import { OTLPLogExporter as ProtobufExporter } from '@opentelemetry/exporter-logs-otlp-proto'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs'
import t from 'tap'
import { WORD } from '../../../src/threads/shared.ts'
import { FakeClock } from '../../../test/support/fake-clock.ts'
import { httpHost } from '../../../test/support/http-host.ts'
import {
  bytesOf,
  fieldsOf,
  fixed64Of,
  message,
  pair,
  requestOf,
  text,
  varintOf
} from '../../../test/support/otlp-message.ts'

const PROTOBUF = { 'content-type': 'application/x-protobuf' }
const JSON_TYPE = { 'content-type': 'application/json' }

async function post(
  url: string,
  body: Buffer | string,
  headers: Record<string, string> = PROTOBUF,
  path = '/v1/logs'
) {
  const response = await fetch(url + path, {
    method: 'POST',
    body: typeof body === 'string' ? body : new Uint8Array(body),
    headers
  })
  const answer = Buffer.from(await response.arrayBuffer())
  return { status: response.status, headers: response.headers, answer }
}

const timeOf = (time: unknown): bigint => {
  const bytes = Buffer.from((time as { data: Uint8Array }).data)
  return BigInt(bytes.readUInt32BE(0)) * 1_000_000_000n + BigInt(bytes.readUInt32BE(4))
}

for (const [name, Exporter] of [
  ['protobuf', ProtobufExporter],
  ['JSON', JsonExporter]
] as const) {
  for (const compression of ['none', 'gzip'] as const) {
    t.test(`W17 OpenTelemetry's exporter in ${name}, compression ${compression}`, async (t) => {
      const { host, url } = await httpHost(t)
      const exporter = new Exporter({
        url: `${url}/v1/logs`,
        // The type of the option is an enum of the package that the exporters build on.
        compression: compression as never
      })
      const provider = new LoggerProvider({
        resource: resourceFromAttributes({ 'service.name': 'shop', 'host.cpus': 4 }),
        processors: [new BatchLogRecordProcessor({ exporter })]
      })
      const logger = provider.getLogger('checkout', '1.2.3')
      logger.emit({
        timestamp: [1_700_000_000, 123_456_789],
        severityNumber: 13,
        severityText: 'WARN',
        body: 'card was refused: ü€😀',
        attributes: { 'http.status': 402, ratio: 0.5, ok: false, list: ['a', 'b'] }
      })
      logger.emit({ body: { user: 'u1', nested: { deep: [1, true, null] } }, eventName: 'signup' })
      for (let n = 0; n < 100; n++) provider.getLogger('other').emit({ body: `line ${n}` })
      await provider.forceFlush()
      await provider.shutdown()
      const records = host.records()
      t.equal(records.length, 102)
      t.equal(new Set(records.map(({ tag }) => tag)).size, 1)
      t.equal(records[0]?.tag, 'otlp.shop')
      t.equal(timeOf(records[0]?.time), 1_700_000_000_123_456_789n)
      t.match(records[0]?.record, {
        log: 'card was refused: ü€😀',
        severity_number: 13,
        severity_text: 'WARN',
        attributes: { 'http.status': 402, ratio: 0.5, ok: false, list: ['a', 'b'] },
        resource: { attributes: { 'service.name': 'shop', 'host.cpus': 4 } },
        scope: { name: 'checkout', version: '1.2.3' }
      })
      t.match(records[1]?.record, {
        user: 'u1',
        nested: { deep: [1, true, null] },
        event_name: 'signup'
      })
      t.match(records[101]?.record, { log: 'line 99', scope: { name: 'other' } })
      t.equal(host.counter('input_received_messages_total/otlp') > 0, true)
    })
  }
}

const ID = '0102030405060708090a0b0c0d0e0f10'
const RECORD = {
  timeUnixNano: '1700000000123456789',
  observedTimeUnixNano: '1800000000000000000',
  severityNumber: 9,
  severityText: 'INFO',
  body: { stringValue: 'hello' },
  traceId: ID.toUpperCase(),
  spanId: ID.slice(0, 16),
  flags: 257,
  attributes: [
    { key: 'int', value: { intValue: '-9223372036854775808' } },
    { key: 'number', value: { intValue: 7 } },
    { key: 'double', value: { doubleValue: 1.5 } },
    { key: 'inf', value: { doubleValue: '-Infinity' } },
    { key: 'bytes', value: { bytesValue: 'AQID/w==' } },
    { key: 'empty', value: {} },
    { key: 'null', value: null },
    { key: 'list', value: { arrayValue: { values: [{ boolValue: true }, {}] } } }
  ],
  unknownField: { a: [1] }
}
const jsonRequest = (records: unknown[], resource: object = { attributes: [] }) => ({
  resourceLogs: [
    { resource, scopeLogs: [{ scope: { name: 's' }, logRecords: records }], schemaUrl: 'x' }
  ]
})

t.test('W17 JSON: ids as hex, integers as texts or numbers, names that are unknown', async (t) => {
  const { host, url } = await httpHost(t)
  const resource = { attributes: [{ key: 'service.name', value: { stringValue: 'a b' } }] }
  const { status, answer, headers } = await post(
    url,
    JSON.stringify(jsonRequest([RECORD], resource)),
    JSON_TYPE
  )
  t.equal(status, 200)
  t.equal(answer.toString(), '{}')
  t.match(headers.get('content-type'), /^application\/json/)
  const [stored] = host.records()
  t.equal(stored?.tag, 'otlp.a b')
  t.equal(timeOf(stored?.time), 1_700_000_000_123_456_789n)
  t.match(stored?.record, {
    log: 'hello',
    severity_number: 9,
    severity_text: 'INFO',
    trace_id: ID,
    span_id: ID.slice(0, 16),
    trace_flags: 1,
    attributes: {
      int: -9_223_372_036_854_775_808n,
      number: 7,
      double: 1.5,
      inf: -Infinity,
      bytes: new Uint8Array([1, 2, 3, 255]),
      empty: null,
      null: null,
      list: [true, null]
    }
  })
})

t.test('W17 times: that of the record, else when it was observed, else now', async (t) => {
  const clock = new FakeClock(1_900_000_000_000)
  const { host, url } = await httpHost(t, {}, { clock })
  const records = [
    message(fixed64Of(1, 5_000_000_007n), fixed64Of(11, 9n)),
    message(fixed64Of(11, 6_000_000_000n)),
    message(bytesOf(5, text('x')))
  ]
  const { status, answer } = await post(url, requestOf([], 's', records))
  t.equal(status, 200)
  t.equal(answer.length, 0)
  t.same(
    host.records().map(({ time }) => timeOf(time)),
    [5_000_000_007n, 6_000_000_000n, 1_900_000_000_000_000_000n]
  )
  t.same(
    host.records().map(({ tag }) => tag),
    Array(3).fill('otlp.unknown_service')
  )
})

t.test('the tag follows a template, one message per tag', async (t) => {
  const { host, url } = await httpHost(t, {
    otlp: {
      enabled: true,
      tag: 'o.${record.resource.attributes["k8s.namespace"]:-none}.${record.scope.name}'
    },
    add_tag_prefix: 'edge'
  })
  const of = (namespace: string, scope: string) =>
    requestOf([pair('k8s.namespace', text(namespace))], scope, [message(bytesOf(5, text('x')))])
  const hostile = requestOf([pair('constructor', text('x'))], 's', [message()])
  const body = Buffer.concat([of('a', 'x'), of('a', 'x'), of('b', 'y'), hostile])
  t.equal((await post(url, body)).status, 200)
  t.same(
    host.records().map(({ tag }) => tag),
    ['edge.o.a.x', 'edge.o.a.x', 'edge.o.b.y', 'edge.o.none.s']
  )
})

/** A value within so many lists. */
function nested(depth: number): Buffer {
  let value = text('deep')
  for (let left = depth; left > 0; left--) value = message(bytesOf(5, message(bytesOf(1, value))))
  return value
}

t.test('W17 what is rejected is told by partialSuccess and kept as a dead letter', async (t) => {
  const { host, url } = await httpHost(t)
  const good = message(bytesOf(5, text('good')))
  const deep = message(bytesOf(5, nested(200)))
  const large = message(bytesOf(5, text('x'.repeat(9 * 1024 * 1024))))
  const { status, answer } = await post(url, requestOf([], 's', [good, deep, good, large, good]))
  t.equal(status, 200)
  const [partial] = fieldsOf(answer)
  t.equal(partial?.[0], 1)
  const [count, reason] = fieldsOf(partial?.[2] as Buffer)
  t.same(count, [1, 'varint', 2n])
  t.match(String(reason?.[2]), /dead letters/)
  t.equal(host.recordCount(), 3)
  t.ok(host.recordCount('dlq/in.web') > 0)
  const alone = await post(url, requestOf([], 's', [deep]))
  t.equal(alone.status, 200)
  const body = { kvlistValue: { values: [] } }
  let value: object = body
  for (let left = 130; left > 0; left--) value = { arrayValue: { values: [value] } }
  const json = await post(
    url,
    JSON.stringify(jsonRequest([{ body: value }, { body: { stringValue: 'x' } }])),
    JSON_TYPE
  )
  t.match(JSON.parse(json.answer.toString()), {
    partialSuccess: { rejectedLogRecords: '1', errorMessage: String }
  })
  t.equal(host.recordCount(), 4)
})

t.test('W17 errors are a Status in the encoding of the request', async (t) => {
  const { host, url } = await httpHost(t, {
    auth: { users: [], bearer_tokens: ['token'] },
    max_body_bytes: 5000
  })
  const headers = { ...PROTOBUF, authorization: 'Bearer token' }
  const json = { ...JSON_TYPE, authorization: 'Bearer token' }
  const good = requestOf([], 's', [message(bytesOf(5, text('x')))])
  const statusOf = (answer: Buffer) =>
    Object.fromEntries(fieldsOf(answer).map(([number, , value]) => [number, String(value)]))
  t.match(statusOf((await post(url, good)).answer), { 1: '16' })
  const broken = await post(url, good.subarray(0, good.length - 2), headers)
  t.equal(broken.status, 400)
  t.equal(broken.headers.get('content-type'), 'application/x-protobuf')
  t.match(statusOf(broken.answer), { 1: '3', 2: 'request is malformed' })
  for (const body of ['{"resourceLogs":[{]}', '[]', '{"resourceLogs":5}', '']) {
    const { status, answer } = await post(url, body, json)
    t.equal(status, 400, body)
    t.match(JSON.parse(answer.toString()), { code: 3, message: String })
  }
  for (const record of [
    { traceId: 'xyz' },
    { timeUnixNano: 'soon' },
    { timeUnixNano: '18446744073709551616' },
    { body: 'x' },
    { body: { intValue: 1.5 } },
    { body: { boolValue: 'yes' } },
    { body: { bytesValue: '*' } }
  ]) {
    const { status } = await post(url, JSON.stringify(jsonRequest([record])), json)
    t.equal(status, 400, JSON.stringify(record))
  }
  const large = await post(url, Buffer.alloc(6000), headers)
  t.equal(large.status, 413)
  t.match(statusOf(large.answer), { 1: '8' })
  const text_ = await post(url, good, { ...headers, 'content-type': 'text/plain' })
  t.equal(text_.status, 415)
  const words = host.words('routes/all')
  words[WORD.isFull] = 1n
  const full = await post(url, good, headers)
  t.equal(full.status, 503)
  t.equal(full.headers.get('retry-after'), '1')
  t.match(statusOf(full.answer), { 1: '14' })
  t.equal(host.recordCount(), 0)
})

t.test('other signals are 404, and counted', async (t) => {
  const { host, url } = await httpHost(t)
  for (const path of ['/v1/traces', '/v1/metrics', '/v1development/profiles']) {
    t.equal((await post(url, '{}', JSON_TYPE, path)).status, 404, path)
  }
  t.equal(host.counter('http_nonlog_refused_total/traces'), 1)
  t.equal(host.counter('http_nonlog_refused_total/metrics'), 1)
  t.equal(host.recordCount(), 0)
})

t.test('without the option the path is a tag', async (t) => {
  const { host, url } = await httpHost(t, { otlp: { enabled: false, tag: 'x' } })
  t.equal((await post(url, '{"a":1}', JSON_TYPE)).status, 200)
  t.equal(host.records()[0]?.tag, 'v1.logs')
})

t.test('W17 zstd, empty requests, and many records of a large resource', async (t) => {
  const { host, url } = await httpHost(t)
  t.equal((await post(url, Buffer.alloc(0))).status, 200)
  t.equal((await post(url, '{}', JSON_TYPE)).status, 200)
  t.equal(host.recordCount(), 0)
  const resource = Array.from({ length: 40 }, (_, n) => pair(`key.${n}`, text('v'.repeat(50))))
  const records = Array.from({ length: 5000 }, (_, n) => message(bytesOf(5, text(`line ${n}`))))
  const body = zlib.zstdCompressSync(requestOf(resource, 's', records))
  const { status } = await post(url, body, { ...PROTOBUF, 'content-encoding': 'zstd' })
  t.equal(status, 200)
  t.equal(host.recordCount(), 5000)
  t.match(host.records()[4999]?.record, {
    log: 'line 4999',
    resource: { attributes: { 'key.39': 'v'.repeat(50) } }
  })
  const huge = requestOf([pair('k', text('x'.repeat(300_000)))], 's', [message(varintOf(2, 1))])
  const refused = await post(url, huge)
  t.equal(refused.status, 400)
  t.match(refused.answer.toString(), /resource too large/)
})
