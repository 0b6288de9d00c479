// HTTP cases.

import http from 'node:http'
import net from 'node:net'
import zlib from 'node:zlib'
import { encode } from '@msgpack/msgpack'
import t from 'tap'
import { WORD } from '../../../src/threads/shared.ts'
import { FakeClock } from '../../../test/support/fake-clock.ts'
import { httpHost } from '../../../test/support/http-host.ts'
import { shortDir } from '../../../test/support/short-dir.ts'

interface Answer {
  readonly status: number
  readonly text: string
  readonly headers: Headers
}

async function post(
  url: string,
  path: string,
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = {}
): Promise<Answer> {
  const type = { 'content-type': 'application/json', ...headers }
  const response = await fetch(url + path, { method: 'POST', body, headers: type })
  return { status: response.status, text: await response.text(), headers: response.headers }
}

const msgpack = (value: unknown): Uint8Array<ArrayBuffer> => new Uint8Array(encode(value))
const FORM = { 'content-type': 'application/x-www-form-urlencoded' }
const NDJSON = { 'content-type': 'application/x-ndjson' }
const MSGPACK = { 'content-type': 'application/msgpack' }

/** Bytes of an EventTime as seconds and nanoseconds. */
function timeOf(time: unknown): [number, number] {
  const { data } = time as { data: Uint8Array }
  const bytes = Buffer.from(data)
  return [bytes.readUInt32BE(0), bytes.readUInt32BE(4)]
}

t.test('W01 a form field of curl is a record', async (t) => {
  const { host, url } = await httpHost(t)
  const answer = await post(url, '/app.log', 'json={"a":1}', FORM)
  t.match(answer, { status: 200, text: '' })
  t.match(host.records(), [{ tag: 'app.log', record: { a: 1 } }])
  await post(url, '/enc', `json=${encodeURIComponent('{"b":"x y"}')}`, FORM)
  await post(url, '/query?json=%7B%22c%22:1%7D', '', { 'content-type': 'text/plain' })
  const binary = Array.from(msgpack({ d: 'ü' }), (byte) => `%${byte.toString(16).padStart(2, '0')}`)
  await post(url, '/pack', `msgpack=${binary.join('')}`, FORM)
  t.match(host.records().slice(1), [
    { tag: 'enc', record: { b: 'x y' } },
    { tag: 'query', record: { c: 1 } },
    { tag: 'pack', record: { d: 'ü' } }
  ])
})

t.test('W02 an array is many records, each with its own time', async (t) => {
  const clock = new FakeClock(1_800_000_000_500)
  const { host, url } = await httpHost(t, {}, { clock })
  const answer = await post(url, '/x/y', '[{"a":1,"time":1700000000.5},{"a":2}]')
  t.equal(answer.status, 200)
  const records = host.records()
  t.match(records, [
    { tag: 'x.y', record: { a: 1 } },
    { tag: 'x.y', record: { a: 2 } }
  ])
  t.same(Object.keys(records[0]?.record as object), ['a'])
  t.same(
    records.map(({ time }) => timeOf(time)),
    [
      [1_700_000_000, 500_000_000],
      [1_800_000_000, 500_000_000]
    ]
  )
})

t.test('W03 the time of the query wins', async (t) => {
  const { host, url } = await httpHost(t)
  await post(url, '/t?time=1700000000.25', '{"a":1,"time":5}')
  const [record] = host.records()
  t.same(timeOf(record?.time), [1_700_000_000, 250_000_000])
  t.match(record?.record, { a: 1, time: 5 })
})

t.test('W04 good lines are stored, a bad one is a dead letter', async (t) => {
  const { host, url } = await httpHost(t)
  const body = '{"a":1}\r\n\r\n{"a":\n\n{"a":2}\nnothing\n{"a":3}'
  t.equal((await post(url, '/t', body, NDJSON)).status, 200)
  t.match(
    host.records().map(({ record }) => record),
    [{ a: 1 }, { a: 2 }, { a: 3 }]
  )
  const letters = host.records('dlq/in.web').map(({ record }) => record as { bytes: Uint8Array })
  t.same(
    letters.map(({ bytes }) => Buffer.from(bytes).toString()),
    ['{"a":\nnothing\n']
  )
})

t.test('W04 a long body may have a bad line after each good one', async (t) => {
  const { host, url } = await httpHost(t)
  const pair = `{"a":"${'x'.repeat(20_000)}"}\n{"b":\n`
  const count = 150
  t.equal((await post(url, '/t', pair.repeat(count), NDJSON)).status, 200)
  t.equal(host.recordCount(), count)
  const [letter] = host.records('dlq/in.web').map(({ record }) => record as { bytes: Uint8Array })
  t.equal(Buffer.from(letter?.bytes ?? []).toString(), '{"b":\n'.repeat(count))
})

t.test('W05 MessagePack maps, arrays of maps and entries', async (t) => {
  const { host, url } = await httpHost(t)
  const stream = Buffer.concat([encode([[1, {}], { c: 1 }]), encode([2, { c: 2 }])])
  for (const body of [
    msgpack({ a: 1 }),
    new Uint8Array(Buffer.concat([encode({ b: 1 }), encode({ b: 2 })])),
    new Uint8Array(stream),
    msgpack([{ d: 1 }, { d: 2 }])
  ]) {
    t.equal((await post(url, '/t', body, MSGPACK)).status, 200)
  }
  t.same(
    host.records().map(({ record }) => JSON.stringify(record)),
    ['{"a":1}', '{"b":1}', '{"b":2}', '{"c":1}', '{"c":2}', '{"d":1}', '{"d":2}']
  )
})

t.test('W06 objects without a separator are all taken', async (t) => {
  const { host, url } = await httpHost(t)
  t.equal((await post(url, '/t', '{"a":1}{"a":2} [{"a":3}]')).status, 200)
  t.equal(host.recordCount(), 3)
})

t.test('W07 compressed bodies are stored, broken ones are answered 400', async (t) => {
  const { host, url } = await httpHost(t)
  const text = '{"a":1}'
  for (const [encoding, body] of [
    ['gzip', zlib.gzipSync(text)],
    ['deflate', zlib.deflateSync(text)],
    ['zstd', zlib.zstdCompressSync(text)]
  ] as const) {
    const headers = { 'content-encoding': encoding }
    t.equal((await post(url, '/t', new Uint8Array(body), headers)).status, 200, encoding)
    const broken = new Uint8Array(body.subarray(0, body.length - 3))
    t.equal((await post(url, '/t', broken, headers)).status, 400, encoding)
  }
  t.equal(host.recordCount(), 3)
  t.equal((await post(url, '/t', text, { 'content-encoding': 'br' })).status, 415)
})

t.test('W08 W09 what is too large is answered 413, plain or decompressed', async (t) => {
  const { host, url } = await httpHost(t, {
    max_body_bytes: 10_000,
    max_decompressed_bytes: 50_000
  })
  t.equal((await post(url, '/t', `{"a":"${'x'.repeat(10_000)}"}`)).status, 413)
  for (const body of [
    zlib.gzipSync(Buffer.alloc(60_000)),
    zlib.gzipSync(Buffer.alloc(5_000_000)),
    zlib.deflateSync(Buffer.alloc(5_000_000))
  ]) {
    const encoding = body[0] === 0x1f ? 'gzip' : 'deflate'
    const headers = { 'content-encoding': encoding }
    t.equal((await post(url, '/t', new Uint8Array(body), headers)).status, 413)
  }
  t.equal(host.recordCount(), 0)
  t.equal(host.counter('http_requests_total/413'), 4)
})

t.test('W09 chunked bodies and Expect: 100-continue are taken', async (t) => {
  const { host, url } = await httpHost(t)
  const status = await new Promise<number | undefined>((resolve, reject) => {
    const request = http.request(`${url}/t`, {
      method: 'POST',
      headers: { expect: '100-continue' }
    })
    request.on('response', (response) => resolve(response.resume().statusCode))
    request.on('error', reject)
    request.on('continue', () => {
      request.write('{"a"')
      request.end(':1}')
    })
    request.flushHeaders()
  })
  t.equal(status, 200)
  t.equal(host.recordCount(), 1)
})

t.test('W10 a full queue answers 503 and says when to come again', async (t) => {
  const { host, url } = await httpHost(t)
  const words = host.words('routes/all')
  words[WORD.isFull] = 1n
  const answer = await post(url, '/t', '{"a":1}')
  t.equal(answer.status, 503)
  t.equal(answer.headers.get('retry-after'), '1')
  words[WORD.isFull] = 0n
  t.equal((await post(url, '/t', '{"a":1}')).status, 200)
  t.equal(host.recordCount(), 1)
})

for (const overflow of ['block', 'drop_newest'] as const) {
  t.test(`a request that comes again leaves one dead letter (${overflow})`, async (t) => {
    const { host, url } = await httpHost(t, {}, { routes: [{ overflow }] })
    const records = host.words('routes/all')
    const letters = host.words('dlq/in.web')
    const body = '{"a":1}\nnothing\n{"a":2}'
    records[WORD.isFull] = 1n
    for (let again = 0; again < 3; again++) {
      t.equal((await post(url, '/t', body, NDJSON)).status, 503)
    }
    records[WORD.isFull] = 0n
    letters[WORD.isFull] = 1n
    t.equal((await post(url, '/t', body, NDJSON)).status, 503, 'no room for the letter')
    t.equal(host.recordCount(), 0, 'nothing is stored before all of it is')
    t.equal(host.recordCount('dlq/in.web'), 0)
    letters[WORD.isFull] = 0n
    t.equal((await post(url, '/t', body, NDJSON)).status, 200)
    t.equal(host.recordCount(), 2)
    t.equal(host.recordCount('dlq/in.web'), 1)
  })
}

t.test('one of two threads may use all of max_bytes of a route', async (t) => {
  const MIB = 1024 * 1024
  const thread = { index: 1, count: 2 }
  const routes = [{ bytesMax: 8 * MIB }]
  const { host, url } = await httpHost(t, {}, { thread, routes })
  const words = host.words('routes/all')
  words[WORD.recoveredBytes] = BigInt(8 * MIB)
  t.equal((await post(url, '/t', '{"a":1}')).status, 503)
  words[WORD.recoveredBytes] = BigInt(8 * MIB - 1)
  t.equal((await post(url, '/t', '{"a":1}')).status, 200)
})

t.test('W11 pages of allowed origins may send, others may not', async (t) => {
  const { host, url } = await httpHost(t, { cors_allow_origins: ['https://*.example.com'] })
  const good = { origin: 'https://app.example.com' }
  const bad = { origin: 'https://example.org' }
  const preflight = (headers: Record<string, string>) =>
    fetch(`${url}/t`, {
      method: 'OPTIONS',
      headers: { 'access-control-request-method': 'POST', ...headers }
    })
  const allowed = await preflight(good)
  t.equal(allowed.status, 200)
  t.equal(allowed.headers.get('access-control-allow-origin'), good.origin)
  t.equal((await preflight(bad)).status, 403)
  t.equal((await post(url, '/t', '{"a":1}', bad)).status, 403)
  const stored = await post(url, '/t', '{"a":1}', good)
  t.equal(stored.headers.get('access-control-allow-origin'), good.origin)
  t.equal(host.recordCount(), 1)
})

t.test('W12 GET and HEAD are answered 200, other methods 405', async (t) => {
  const { url } = await httpHost(t)
  for (const [method, status] of [
    ['GET', 200],
    ['HEAD', 200],
    ['PUT', 405],
    ['DELETE', 405]
  ] as const) {
    t.equal((await fetch(`${url}/any/path`, { method })).status, status, method)
  }
})

t.test('W13 the tag is the raw path, bounded, and never empty', async (t) => {
  const { host, url } = await httpHost(t)
  const raw = (path: string) =>
    new Promise<void>((resolve, reject) => {
      const { port } = new URL(url)
      const request = http.request({ port, path, method: 'POST' }, (response) => {
        response.resume().on('end', resolve)
      })
      request.on('error', reject)
      request.end('{"a":1}')
    })
  for (const path of ['/%2e%2e/a%zz', `/${'p'.repeat(10_000)}`, '/', '/a//b/']) await raw(path)
  t.same(
    host.records().map(({ tag }) => tag),
    ['%2e%2e.a%zz', 'p'.repeat(1024), 'untagged', 'a..b']
  )
})

t.test('W18 numbers stay exact, keys stay keys, nesting has an end', async (t) => {
  const { host, url } = await httpHost(t)
  const body = '{"a":12345678901234567890,"b":1e400,"__proto__x":1,"s":"\\ud800"}'
  t.equal((await post(url, '/t', body)).status, 200)
  const record = host.records()[0]?.record as Record<string, unknown>
  t.equal(record['a'], 12345678901234567890n)
  t.equal(record['b'], '1e400')
  const deep = `{"a":${'['.repeat(10_000)}${']'.repeat(10_000)}}`
  const refused = await post(url, '/t', deep)
  t.equal(refused.status, 400)
  t.match(refused.text, /nested too deep at byte \d+/)
})

t.test('W20 a request with two lengths is refused', async (t) => {
  const { host, url } = await httpHost(t)
  const socket = net.connect(Number(new URL(url).port), '127.0.0.1')
  socket.write(
    'POST /t HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n{"a":1}'
  )
  const answer = await new Promise<Buffer>((resolve) => socket.once('data', resolve))
  t.match(answer.toString(), /^HTTP\/1\.1 400/)
  socket.destroy()
  t.equal(host.recordCount(), 0)
})

t.test(
  'a body without a record is answered 400 with the place, one without anything 200',
  async (t) => {
    const { host, url } = await httpHost(t)
    const answer = await post(url, '/t', '{"a":1')
    t.equal(answer.status, 400)
    t.match(answer.text, /cut short at byte 6/)
    t.equal((await post(url, '/t', '[1]')).status, 400)
    t.equal((await post(url, '/t', new Uint8Array([0xc1]), MSGPACK)).status, 400)
    t.equal((await post(url, '/t', 'text', { 'content-type': 'text/plain' })).status, 415)
    t.equal((await post(url, '/t', '[]')).status, 200)
    t.equal(host.recordCount(), 0)
    t.equal(host.recordCount('dlq/in.web'), 0)
  }
)

t.test('the first records of a broken body are stored, the rest is a dead letter', async (t) => {
  const { host, url } = await httpHost(t)
  t.equal((await post(url, '/t', '{"a":1}{"a":2}{"a":')).status, 200)
  t.equal(host.recordCount(), 2)
  t.equal(host.recordCount('dlq/in.web'), 1)
})

t.test('a header may hold the tag, a prefix goes in front, the status may be 204', async (t) => {
  const { host, url } = await httpHost(t, {
    tag_header: 'Fluent-Tag',
    add_tag_prefix: 'edge',
    response_code: 204
  })
  t.equal((await post(url, '/path', '{"a":1}', { 'fluent-tag': 'from.header' })).status, 204)
  await post(url, '/path', '{"a":1}')
  t.same(
    host.records().map(({ tag }) => tag),
    ['edge.from.header', 'edge.path']
  )
})

t.test('a Unix socket takes requests', async (t) => {
  const socketPath = `${shortDir(t)}/h.sock`
  const { host } = await httpHost(t, { listen: [`unix://${socketPath}`] })
  await new Promise<void>((resolve, reject) => {
    const request = http.request({ socketPath, path: '/u', method: 'POST' }, (response) => {
      response.resume().on('end', resolve)
    })
    request.on('error', reject)
    request.end('{"a":1}')
  })
  t.equal(host.recordCount(), 1)
})

t.test('a stop answers the request that waits for the disk', async (t) => {
  const { host, url } = await httpHost(t)
  const answer = post(url, '/t', '{"a":1}')
  const first = await answer
  await host.stop()
  t.equal(first.status, 200)
  await t.rejects(post(url, '/t', '{"a":1}'))
  t.equal(host.recordCount(), 1)
})
