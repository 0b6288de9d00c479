// Bodies in all forms and sizes: fields of the request, times, pieces.

import zlib from 'node:zlib'
import { encode } from '@msgpack/msgpack'
import t from 'tap'
import { FakeClock } from '../../../test/support/fake-clock.ts'
import { httpHost } from '../../../test/support/http-host.ts'

const post = (
  url: string,
  path: string,
  body: string | Buffer | FormData,
  headers: Record<string, string> = { 'content-type': 'application/json' }
) =>
  fetch(url + path, {
    method: 'POST',
    body: Buffer.isBuffer(body) ? new Uint8Array(body) : body,
    headers
  })

const NDJSON = { 'content-type': 'application/x-ndjson' }
const MSGPACK = { 'content-type': 'application/msgpack' }

function secondsOf(time: unknown): string {
  if (time instanceof Date) return time.toISOString()
  const { type, data } = time as { type: number; data: Uint8Array }
  const bytes = Buffer.from(data)
  if (type !== 0) return `ext ${type}`
  return `${bytes.readUInt32BE(0)}.${String(bytes.readUInt32BE(4)).padStart(9, '0')}`
}

t.test('W02 a record bears its time as seconds, milliseconds or ISO 8601', async (t) => {
  const clock = new FakeClock(1_800_000_000_000)
  const { host, url } = await httpHost(t, {}, { clock })
  const cases: [string, string][] = [
    ['{"time":1700000000.5}', '1700000000.500000000'],
    ['{"time":1700000000123}', '1700000000.123000000'],
    ['{"date":1795189285.144082,"message":"dummy"}', '1795189285.144082000'],
    ['{"@timestamp":"2026-11-20T17:05:09.123Z"}', '1795194309.123000000'],
    ['{"date":"2026-11-20T17:05:09,5+02:00"}', '1795187109.500000000'],
    ['{"date":"2026-11-20 17:05:09-0130"}', '1795199709.000000000'],
    ['{"time":"2026-11-20T17:05:09.1234567891Z"}', '1795194309.123456789'],
    ['{"time":"2024-02-29T00:00:00Z"}', '1709164800.000000000'],
    // Not a time: the field stays, the record bears the time of arrival.
    ['{"time":"2026-02-29T00:00:00Z"}', '1800000000.000000000'],
    ['{"time":"2026-11-20"}', '1800000000.000000000'],
    ['{"time":"2026-11-20T25:00:00Z"}', '1800000000.000000000'],
    ['{"time":"soon"}', '1800000000.000000000'],
    ['{"time":{"s":1}}', '1800000000.000000000'],
    ['{"time":0}', '1800000000.000000000'],
    ['{"time":"1969-12-31T23:59:59Z"}', '1969-12-31T23:59:59.000Z']
  ]
  t.equal((await post(url, '/t', `[${cases.map(([text]) => text).join(',')}]`)).status, 200)
  const records = host.records()
  t.same(
    records.map(({ time }) => secondsOf(time)),
    cases.map(([, seconds]) => seconds)
  )
  t.same(
    records.map(({ record }) => Object.keys(record as object).join()),
    ['', '', 'message', '', '', '', '', '', 'time', 'time', 'time', 'time', 'time', '', '']
  )
})

t.test('W02 the first key that holds a time counts, and may stay', async (t) => {
  const { host, url } = await httpHost(t, {
    time_keys: ['at', 'when'],
    keep_time_key: true,
    time_unit_guess: false
  })
  const body = '{"when":"no","at":7,"when":9}{"time":5,"when":8}'
  t.equal((await post(url, '/t', body)).status, 200)
  t.same(
    host.records().map(({ time }) => secondsOf(time)),
    ['7.000000000', '8.000000000']
  )
  t.match(host.records()[0]?.record, { at: 7 })
  t.match(host.records()[1]?.record, { time: 5, when: 8 })
})

t.test('W05 records in MessagePack bear their times too', async (t) => {
  const clock = new FakeClock(1_800_000_000_000)
  const { host, url } = await httpHost(t, {}, { clock })
  const records = [
    { time: 1_700_000_000, a: 1 },
    { a: 2, time: 1_700_000_000.5 },
    { date: '2026-11-20T17:05:09Z', a: 3 },
    { time: 1_700_000_000_123, a: 4 },
    { time: 'soon', a: 5 },
    { time: new Date(1_700_000_000_250), a: 6 }
  ]
  t.equal((await post(url, '/t', Buffer.from(encode(records)), MSGPACK)).status, 200)
  t.same(
    host.records().map(({ time }) => secondsOf(time)),
    [
      '1700000000.000000000',
      '1700000000.500000000',
      '1795194309.000000000',
      '1700000000.123000000',
      '1800000000.000000000',
      '1700000000.250000000'
    ]
  )
  t.same(
    host.records().map(({ record }) => JSON.stringify(record)),
    ['{"a":1}', '{"a":2}', '{"a":3}', '{"a":4}', '{"time":"soon","a":5}', '{"a":6}']
  )
})

t.test('records get the headers and parameters of their request', async (t) => {
  const { host, url } = await httpHost(t, {
    add_http_headers: true,
    add_query_params: true,
    add_remote_addr: true
  })
  const headers = {
    'content-type': 'application/json',
    'x-app-name': 'shop',
    authorization: 'Bearer x',
    cookie: 'a=b'
  }
  const many = Object.fromEntries(Array.from({ length: 14 }, (_, index) => [`k${index}`, index]))
  await post(url, '/t?from=a%20b&time=5', `[{"a":1},${JSON.stringify(many)}]`, headers)
  const entry = [[1_700_000_000, {}], { m: 1 }]
  await post(url, '/t?x=1', Buffer.concat([encode(entry), encode({ p: 1 })]), MSGPACK)
  const records = host.records().map(({ record }) => record as Record<string, unknown>)
  t.match(records[0], {
    a: 1,
    HTTP_X_APP_NAME: 'shop',
    QUERY_FROM: 'a b',
    REMOTE_ADDR: '127.0.0.1'
  })
  t.match(records[1], { k13: 13, HTTP_X_APP_NAME: 'shop', QUERY_FROM: 'a b' })
  t.match(records[2], { m: 1, QUERY_X: '1' })
  t.match(records[3], { p: 1, QUERY_X: '1' })
  for (const record of records) {
    t.notOk('HTTP_AUTHORIZATION' in record)
    t.notOk('HTTP_COOKIE' in record)
  }
})

t.test('W01 multipart forms hold records in a field', async (t) => {
  const { host, url } = await httpHost(t)
  const json = new FormData()
  json.set('note', 'x')
  json.set('json', '{"a":1}')
  t.equal((await post(url, '/m', json, {})).status, 200)
  const pack = new FormData()
  pack.set('msgpack', new Blob([new Uint8Array(encode({ b: 2 }))]), 'records')
  t.equal((await post(url, '/m', pack, {})).status, 200)
  const lines = new FormData()
  lines.set('ndjson', '{"c":3}\n{"c":4}\n')
  t.equal((await post(url, '/m', lines, {})).status, 200)
  const other = new FormData()
  other.set('text', '{"d":3}')
  t.equal((await post(url, '/m', other, {})).status, 415)
  t.same(
    host.records().map(({ record }) => JSON.stringify(record)),
    ['{"a":1}', '{"b":2}', '{"c":3}', '{"c":4}']
  )
})

t.test('JSON under types that are none is taken', async (t) => {
  const { host, url } = await httpHost(t)
  for (const type of ['json', 'text/plain', 'application/octet-stream', '/;;', '*']) {
    t.equal((await post(url, '/t', ' \r\n[{"a":1}]', { 'content-type': type })).status, 200, type)
  }
  t.equal(host.recordCount(), 5)
  t.equal((await post(url, '/t', 'hello', { 'content-type': 'text/plain' })).status, 415)
  t.equal(host.counter('input_rejected_records_total/unknown_type'), 1)
})

t.test('answers are as Fluentd gives them where that is asked for', async (t) => {
  const image = await httpHost(t, { respond_with_empty_img: true })
  const answer = await post(image.url, '/t', '{"a":1}')
  t.equal(answer.headers.get('content-type'), 'image/gif')
  t.equal(Buffer.from(await answer.arrayBuffer()).toString('latin1', 0, 6), 'GIF89a')
  await image.host.stop()
  const none = await httpHost(t, { use_204_response: true }, { directory: t.testdir() })
  t.equal((await post(none.url, '/t', '{"a":1}')).status, 204)
})

/** Records with strings that hold whatever could be taken for an end of something. */
function manyRecords(count: number): object[] {
  return Array.from({ length: count }, (_, index) => ({
    n: index,
    text: `line ${index} [{"]},\\ \u00fc\u20ac\u{1f600}`.repeat(1 + (index % 40)),
    list: [index, [true, null, -1.5e-3]]
  }))
}

t.test('bodies of many windows come through whole, in each form', async (t) => {
  const { host, url } = await httpHost(t)
  const records = manyRecords(6000)
  const numbers = records.map((_, index) => index)
  const bodies: [string, Buffer, Record<string, string>][] = [
    ['list', Buffer.from(JSON.stringify(records)), { 'content-type': 'application/json' }],
    [
      'pretty',
      Buffer.from(JSON.stringify(records, null, 2)),
      { 'content-type': 'application/json' }
    ],
    [
      'stream',
      Buffer.from(records.map((each) => JSON.stringify(each)).join('')),
      { 'content-type': 'application/json' }
    ],
    ['lines', Buffer.from(records.map((each) => `${JSON.stringify(each)}\r\n`).join('')), NDJSON],
    ['maps', Buffer.concat(records.map((each) => encode(each))), MSGPACK],
    ['packed list', Buffer.from(encode(records)), MSGPACK]
  ]
  for (const [name, body, headers] of bodies) {
    t.ok(body.length > 3_000_000, `${body.length} bytes`)
    const before = host.recordCount()
    t.equal((await post(url, `/${name.replace(' ', '_')}`, body, headers)).status, 200, name)
    t.equal(host.recordCount() - before, records.length, name)
    const stored = host.records().slice(before)
    t.same(
      stored.map(({ record }) => (record as { n: number }).n),
      numbers,
      name
    )
    t.equal(JSON.stringify(stored[777]?.record), JSON.stringify(records[777]), name)
  }
  const packed = zlib.gzipSync(bodies[0]![1])
  const headers = { 'content-type': 'application/json', 'content-encoding': 'gzip' }
  t.equal((await post(url, '/gzip', packed, headers)).status, 200)
  t.equal(host.recordCount(), records.length * 7)
  t.equal(host.recordCount('dlq/in.web'), 0)
})

t.test('what is wrong behind the first window is a dead letter, the rest stands', async (t) => {
  const { host, url } = await httpHost(t)
  const lines = manyRecords(3000).map((each) => JSON.stringify(each))
  const bad = [...lines.slice(0, 2500), '{"n":', ...lines.slice(2500)].join('\n')
  t.equal((await post(url, '/lines', bad, NDJSON)).status, 200)
  t.equal(host.recordCount(), 3000)
  const list = `[${lines.slice(0, 2500).join()},{"n":},${lines.slice(2500).join()}]`
  t.equal((await post(url, '/list', list)).status, 200)
  t.equal(host.recordCount(), 5500)
  const letters = host.records('dlq/in.web').map(({ record }) => record as { bytes: Uint8Array })
  t.equal(Buffer.from(letters[0]?.bytes ?? []).toString(), '{"n":\n')
  const rest = Buffer.from(letters[1]?.bytes ?? []).toString()
  t.equal(rest, `{"n":},${lines.slice(2500).join()}]`)
})

t.test('a record longer than any window is refused with its place', async (t) => {
  const { host, url } = await httpHost(t)
  const long = `{"a":1}{"b":"${'x'.repeat(17 * 1024 * 1024)}"}{"c":1}`
  t.equal((await post(url, '/t', long)).status, 200)
  t.same(
    host.records().map(({ record }) => record),
    [{ a: 1 }]
  )
  t.ok(host.recordCount('dlq/in.web') > 0)
})

t.test('W08 W09 entries above 8 MiB wait in a file, and are stored whole', async (t) => {
  const { host, url } = await httpHost(t)
  const count = 60_000
  const line = (n: number) => `{"n":${n},"text":"${'x'.repeat(190)}"}\n`
  const text = Array.from({ length: count }, (_, n) => line(n)).join('')
  const bad = Buffer.from(`${text.slice(0, text.length / 2)}\n{"n":}\n`)
  const encoding = { 'content-encoding': 'gzip' }
  const packed = zlib.gzipSync(text)
  t.equal((await post(url, '/long', packed, { ...NDJSON, ...encoding })).status, 200)
  t.equal(host.recordCount(), count)
  t.equal(host.counter('received_records'), count)
  const list = zlib.gzipSync(`[${text.trimEnd().replaceAll('\n', ',')}]`)
  const json = { 'content-type': 'application/json', ...encoding }
  t.equal((await post(url, '/long', list, json)).status, 200)
  t.equal(host.recordCount(), 2 * count)
  const letters = await post(url, '/long', zlib.gzipSync(bad), { ...NDJSON, ...encoding })
  t.equal(letters.status, 200)
  t.equal(host.recordCount('dlq/in.web'), 1)
  // Nothing of a body that turns out to be broken is stored.
  const before = host.recordCount()
  const broken = packed.subarray(0, packed.length - 20)
  t.equal((await post(url, '/long', broken, { ...NDJSON, ...encoding })).status, 400)
  t.equal(host.recordCount(), before)
  // In the order of the body, each once.
  const numbers = host.records().map(({ record }) => (record as { n: number }).n)
  t.ok(numbers.slice(0, 2 * count).every((n, index) => n === index % count))
})

t.test('W09 a body of 33 MB is answered 413, with a length and without', async (t) => {
  const { host, url } = await httpHost(t)
  const body = Buffer.alloc(34_600_000, 0x20)
  t.equal((await post(url, '/t', body)).status, 413)
  const stream = new ReadableStream({
    start(controller) {
      for (let at = 0; at < body.length; at += 1_000_000) {
        controller.enqueue(body.subarray(at, at + 1_000_000))
      }
      controller.close()
    }
  })
  const chunked = await fetch(`${url}/t`, {
    method: 'POST',
    body: stream,
    duplex: 'half',
    headers: { 'content-type': 'application/json' }
  })
  t.equal(chunked.status, 413)
  t.equal(host.counter('http_requests_total/413'), 2)
  t.equal(host.counter('input_rejected_records_total/too_large'), 2)
})

t.test('W08 a bomb of zeros is answered 413 in each encoding, nothing is stored', async (t) => {
  const { host, url } = await httpHost(t, { max_decompressed_bytes: 20_000_000 })
  const zeros = Buffer.alloc(24_000_000)
  for (const [encoding, body] of [
    ['gzip', zlib.gzipSync(zeros)],
    ['deflate', zlib.deflateSync(zeros)],
    ['deflate', zlib.deflateRawSync(zeros)],
    ['zstd', zlib.zstdCompressSync(zeros)]
  ] as const) {
    for (const type of ['application/x-ndjson', 'application/json', 'text/plain']) {
      const headers = { 'content-type': type, 'content-encoding': encoding }
      t.equal((await post(url, '/t', body, headers)).status, 413, `${encoding} ${type}`)
    }
  }
  t.equal(host.recordCount(), 0)
  t.equal(host.recordCount('dlq/in.web'), 0)
})
