// `_bulk`: honest answers per item, the start of shippers, and the clients of Elasticsearch and OpenSearch themselves.

import zlib from 'node:zlib'
import { Client as ElasticClient } from '@elastic/elasticsearch'
import { Client as OpenSearchClient } from '@opensearch-project/opensearch'
import t from 'tap'
import { WORD } from '../../../src/threads/shared.ts'
import { FakeClock } from '../../../test/support/fake-clock.ts'
import { httpHost } from '../../../test/support/http-host.ts'

const ELASTICSEARCH = { elasticsearch: { enabled: true, version: '8.0.0', tag: null } }
const NDJSON = { 'content-type': 'application/x-ndjson' }

async function bulk(
  url: string,
  lines: readonly (object | string)[],
  path = '/_bulk',
  headers: Record<string, string> = NDJSON
) {
  const text = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line)))
  const response = await fetch(url + path, {
    method: 'POST',
    body: `${text.join('\n')}\n`,
    headers
  })
  return { status: response.status, headers: response.headers, body: await response.json() }
}

const statuses = (body: unknown): unknown[] => {
  const { items } = body as { items: Record<string, { status: number }>[] }
  return items.map((item) => Object.entries(item).map(([name, { status }]) => [name, status])[0])
}

t.test('while it is off nothing is stored, and the answer says what to set', async (t) => {
  const { host, url } = await httpHost(t)
  for (const path of ['/_bulk', '/logs-a/_bulk?refresh=true']) {
    const { status, body } = await bulk(url, [{ create: { _index: 'logs-a' } }, { n: 1 }], path)
    t.equal(status, 404)
    t.match(body, { status: 404, error: { reason: /set elasticsearch: \{enabled: true\}/ } })
  }
  t.same(host.records(), [])
  t.equal((await bulk(url, [{ n: 1 }], '/my_bulk').catch(() => ({ status: 200 }))).status, 200)
  t.match(host.records(), [{ tag: 'my_bulk', record: { n: 1 } }])
})

t.test('W15 each action has its item, in order', async (t) => {
  const { host, url } = await httpHost(t, ELASTICSEARCH)
  const { status, body, headers } = await bulk(url, [
    { create: { _index: 'logs-a' } },
    { n: 1 },
    { index: { _index: 'logs-a', _id: '7' } },
    { n: 2 },
    { update: { _index: 'logs-a', _id: '7' } },
    { doc: { n: 3 } },
    { delete: { _index: 'logs-a', _id: '7' } },
    '',
    { create: { _index: 'logs-b' } },
    '{"n": }',
    { create: { _index: 'logs-b' } },
    { n: 4 }
  ])
  t.equal(status, 200)
  t.equal(headers.get('x-elastic-product'), 'Elasticsearch')
  t.match(body, { errors: true, took: Number })
  t.same(statuses(body), [
    ['create', 201],
    ['index', 201],
    ['update', 403],
    ['delete', 404],
    ['create', 400],
    ['create', 201]
  ])
  t.match((body as { items: unknown[] }).items, [
    { create: { _index: 'logs-a', result: 'created' } },
    { index: { _index: 'logs-a', _id: '7' } },
    { update: { error: { type: String, reason: String } } },
    { delete: { result: 'not_found' } },
    { create: { _index: 'logs-b', error: { reason: /unexpected byte/ } } },
    { create: { _index: 'logs-b' } }
  ])
  t.same(
    host.records().map(({ tag, record }) => [tag, (record as { n: number }).n]),
    [
      ['logs-a', 1],
      ['logs-a', 2],
      ['logs-b', 4]
    ]
  )
  const [letter] = host.records('dlq/in.web').map(({ record }) => record as { bytes: Uint8Array })
  t.equal(Buffer.from(letter?.bytes ?? []).toString(), '{"create":{"_index":"logs-b"}}\n{"n": }\n')
  t.equal(host.counter('input_received_messages_total/bulk'), 1)
})

t.test('W15 many documents of one index, in windows of lines and with CRLF', async (t) => {
  const clock = new FakeClock(1_800_000_000_000)
  const { host, url } = await httpHost(t, ELASTICSEARCH, { clock })
  const count = 20_000
  const lines = Array.from({ length: count }, (_, n) =>
    [
      '{"create":{}}\r',
      JSON.stringify({ '@timestamp': '2026-11-20T17:05:09.5Z', n, text: 'x'.repeat(n % 200) })
    ].join('\n')
  )
  const gzip = zlib.gzipSync(lines.join('\n'))
  const response = await fetch(`${url}/my%20logs/_bulk`, {
    method: 'PUT',
    body: new Uint8Array(gzip),
    headers: { ...NDJSON, 'content-encoding': 'gzip' }
  })
  t.equal(response.status, 200)
  const body = (await response.json()) as { errors: boolean; items: unknown[] }
  t.equal(body.errors, false)
  t.equal(body.items.length, count)
  const records = host.records()
  t.equal(records.length, count)
  t.same(
    records.map(({ record }) => (record as { n: number }).n),
    Array.from({ length: count }, (_, n) => n)
  )
  t.equal(records[0]?.tag, 'my logs')
  t.equal(
    Buffer.from((records[0]!.time as { data: Uint8Array }).data).readUInt32BE(0),
    1_795_194_309
  )
})

t.test('actions that differ, documents at the edges', async (t) => {
  const { host, url } = await httpHost(t, ELASTICSEARCH)
  const lines = Array.from({ length: 500 }, (_, n) => [
    { index: { _index: `i${n % 3}`, _id: String(n) } },
    { n }
  ]).flat()
  const many = await bulk(url, lines)
  t.equal((many.body as { items: unknown[] }).items.length, 500)
  t.equal(host.recordCount(), 500)
  // An action that begins like the one before is another.
  await bulk(url, ['{"create":{}}', '{"a":1}', '{"create":{}} ', '{"a":2}'], '/x/_bulk')
  t.equal(host.recordCount(), 502)
  const cut = await bulk(url, ['{"create":{}}', '{"a":3}', '{"create":{}}'], '/x/_bulk')
  t.same(statuses(cut.body), [
    ['create', 201],
    ['create', 400]
  ])
  const trailing = await bulk(url, ['{"create":{}}', '{"a":4} {"b":5}'], '/x/_bulk')
  t.same(statuses(trailing.body), [['create', 400]])
  t.equal(host.recordCount(), 503)
})

t.test('a request that is no bulk is refused whole', async (t) => {
  const { host, url } = await httpHost(t, ELASTICSEARCH)
  for (const [lines, reason] of [
    [['{"n":1}'], /Malformed action/],
    [['{"create":{"_index":"a"}}', '{"n":1}', 'nothing'], /Malformed action/],
    [['{"create":{"_index":"a"},"index":{}}', '{"n":1}'], /Malformed action/],
    [['{"create":{}}', '{"n":1}'], /index is missing/]
  ] as const) {
    const { status, body } = await bulk(url, lines)
    t.equal(status, 400)
    t.match(body, { status: 400, error: { reason, root_cause: [{ reason }] } })
  }
  const empty = await fetch(`${url}/_bulk`, { method: 'POST', headers: NDJSON })
  t.equal(empty.status, 400)
  t.equal(host.recordCount(), 0)
})

t.test('W10 a full queue is 429 for the whole request', async (t) => {
  const { host, url } = await httpHost(t, ELASTICSEARCH)
  const words = host.words('routes/all')
  words[WORD.isFull] = 1n
  const { status, body, headers } = await bulk(url, ['{"create":{}}', '{"n":1}'], '/x/_bulk')
  t.equal(status, 429)
  t.equal(headers.get('retry-after'), '1')
  t.match(body, { status: 429, error: { type: 'es_rejected_execution_exception' } })
  t.equal(host.counter('http_requests_total/429'), 1)
})

t.test('filter_path narrows the answer', async (t) => {
  const { url } = await httpHost(t, ELASTICSEARCH)
  const lines = ['{"create":{"_id":"1"}}', '{"n":1}', '{"update":{"_id":"1"}}', '{"doc":{}}']
  const ask = async (filter: string) =>
    (await bulk(url, lines, `/x/_bulk?filter_path=${filter}`)).body
  t.same(await ask('errors,items.*.status'), {
    errors: true,
    items: [{ create: { status: 201 } }, { update: { status: 403 } }]
  })
  t.match(await ask('errors,items.*.error,items.*.status'), {
    items: [{ create: { status: 201 } }, { update: { status: 403, error: { type: String } } }]
  })
  t.match(await ask('items.*.error.type'), { items: [{ update: { error: { type: String } } }] })
  t.same(Object.keys((await ask('took')) as object), ['took'])
  t.same(await ask('items.c*._index'), { items: [{ create: { _index: 'x' } }] })
  t.notMatch(await ask('-items.*._shards,-took'), { took: Number })
})

t.test('W16 what shippers ask for at their start is answered', async (t) => {
  const { url } = await httpHost(t, ELASTICSEARCH)
  const ask = async (method: string, path: string) => {
    const response = await fetch(url + path, { method })
    t.equal(response.headers.get('x-elastic-product'), 'Elasticsearch', path)
    return { status: response.status, text: await response.text() }
  }
  const info = await ask('GET', '/')
  t.match(JSON.parse(info.text), {
    version: { number: '8.0.0', build_flavor: 'default' },
    tagline: 'You Know, for Search'
  })
  for (const [method, path] of [
    ['HEAD', '/'],
    ['GET', '/_license?human=false'],
    ['GET', '/_xpack'],
    ['GET', '/_cluster/health'],
    ['GET', '/_nodes/http'],
    ['GET', '/_ilm/policy/filebeat'],
    ['PUT', '/_ilm/policy/filebeat'],
    ['HEAD', '/_index_template/filebeat-8.0.0'],
    ['GET', '/_index_template/filebeat-8.0.0'],
    ['PUT', '/_index_template/filebeat-8.0.0'],
    ['PUT', '/_template/logstash'],
    ['PUT', '/_ingest/pipeline/x'],
    ['GET', '/_data_stream/logs-x']
  ] as const) {
    t.equal((await ask(method, path)).status, 200, `${method} ${path}`)
  }
  t.equal((await ask('POST', '/_search')).status, 404)
  const versioned = await bulk(url, ['{"create":{}}', '{"n":1}'], '/x/_bulk', {
    'content-type': 'application/vnd.elasticsearch+x-ndjson; compatible-with=8'
  })
  t.match(
    versioned.headers.get('content-type'),
    /^application\/vnd\.elasticsearch\+json; *compatible-with="?8"?/
  )
})

t.test('senders authenticate here too, and a tag may stand for all indexes', async (t) => {
  const { host, url } = await httpHost(t, {
    elasticsearch: { enabled: true, version: '7.10.2', tag: 'beats' },
    add_tag_prefix: 'edge',
    auth: { users: [{ username: 'elastic', password: 'secret' }], bearer_tokens: [] }
  })
  const denied = await bulk(url, ['{"create":{}}', '{"n":1}'], '/x/_bulk')
  t.equal(denied.status, 401)
  t.match(denied.body, { status: 401, error: { type: 'security_exception' } })
  const client = new OpenSearchClient({
    node: url,
    auth: { username: 'elastic', password: 'secret' }
  })
  t.teardown(() => client.close())
  await client.bulk({ body: [{ index: { _index: 'a' } }, { n: 1 }] })
  t.same(
    host.records().map(({ tag }) => tag),
    ['edge.beats']
  )
})

const documents = (count: number) => Array.from({ length: count }, (_, n) => ({ n, text: 'ü' }))

t.test("OpenSearch's client writes by bulk and by its helper", async (t) => {
  const { host, url } = await httpHost(t, ELASTICSEARCH)
  const client = new OpenSearchClient({ node: url, compression: 'gzip' })
  t.teardown(() => client.close())
  t.equal((await client.info()).body.version.number, '8.0.0')
  const answer = await client.bulk({
    body: documents(10).flatMap((document) => [{ index: { _index: 'plain' } }, document])
  })
  t.equal(answer.body.errors, false)
  t.equal(answer.body.items.length, 10)
  const result = await client.helpers.bulk({
    datasource: documents(3000),
    onDocument: () => ({ index: { _index: 'helped' } }),
    flushBytes: 20_000
  })
  t.match(result, { total: 3000, successful: 3000, failed: 0, retry: 0 })
  t.equal(host.recordCount(), 3010)
})

t.test("Elastic's client writes by bulk and by its helper", async (t) => {
  const { host, url } = await httpHost(t, ELASTICSEARCH)
  const client = new ElasticClient({ node: url, compression: true })
  t.teardown(() => client.close())
  t.equal((await client.info()).version.number, '8.0.0')
  const answer = await client.bulk({
    operations: documents(10).flatMap((document) => [{ create: { _index: 'plain' } }, document])
  })
  t.equal(answer.errors, false)
  t.same(
    answer.items.map(({ create }) => create?.status),
    Array(10).fill(201)
  )
  const dropped: unknown[] = []
  const result = await client.helpers.bulk({
    datasource: documents(3000),
    onDocument: () => ({ create: { _index: 'helped' } }),
    onDrop: (document) => dropped.push(document),
    flushBytes: 20_000
  })
  t.match(result, { total: 3000, successful: 3000, failed: 0 })
  t.same(dropped, [])
  t.equal(host.recordCount(), 3010)
})

t.test("a full queue makes Elastic's client wait and send again", async (t) => {
  const { host, url } = await httpHost(t, ELASTICSEARCH)
  const words = host.words('routes/all')
  words[WORD.isFull] = 1n
  const client = new ElasticClient({ node: url, maxRetries: 0 })
  t.teardown(() => client.close())
  const refused = await client
    .bulk({ operations: [{ create: { _index: 'a' } }, { n: 1 }] })
    .catch((error: { statusCode?: number }) => error)
  t.match(refused, { statusCode: 429 })
  words[WORD.isFull] = 0n
  const retrying = new ElasticClient({ node: url, maxRetries: 3 })
  t.teardown(() => retrying.close())
  const { errors } = await retrying.bulk({ operations: [{ create: { _index: 'a' } }, { n: 1 }] })
  t.equal(errors, false)
  t.equal(host.recordCount(), 1)
})
