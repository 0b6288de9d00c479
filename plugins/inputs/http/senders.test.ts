// Who may send, from where, and how long it may take.

import http from 'node:http'
import net from 'node:net'
import t from 'tap'
import { eventually } from '../../../test/support/eventually.ts'
import { FakeClock } from '../../../test/support/fake-clock.ts'
import { httpHost } from '../../../test/support/http-host.ts'
import { Authentication } from './authentication.ts'

const AUTH = {
  users: [
    { username: 'web', password: 'p:ss wörd' },
    { username: 'app', password: 'other' }
  ],
  bearer_tokens: ['token-1', 'token-2']
}
const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`

const post = (url: string, headers: Record<string, string> = {}, body = '{"a":1}') =>
  fetch(`${url}/t`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json', ...headers }
  })

t.test('listed users and tokens may send, others are told who may', async (t) => {
  const { host, url } = await httpHost(t, { auth: AUTH })
  for (const authorization of [
    basic('web:p:ss wörd'),
    basic('app:other'),
    'Bearer token-2',
    'bearer token-1'
  ]) {
    t.equal((await post(url, { authorization })).status, 200, authorization)
  }
  t.equal(host.recordCount(), 4)
  for (const authorization of [
    basic('web:wrong'),
    basic('web'),
    basic('app:p:ss wörd'),
    'Bearer token-3',
    `Bearer ${Buffer.from('web:p:ss wörd').toString('base64')}`,
    'Digest x',
    'Bearer'
  ]) {
    const answer = await post(url, { authorization })
    t.equal(answer.status, 401, authorization)
    t.equal(
      answer.headers.get('www-authenticate'),
      'Basic realm="millrace", charset="UTF-8", Bearer realm="millrace"'
    )
  }
  t.equal((await post(url)).status, 401)
  t.equal((await fetch(url)).status, 401)
  t.equal(host.recordCount(), 4)
  t.equal(host.counter('input_auth_failures_total/wrong'), 5)
  t.equal(host.counter('input_auth_failures_total/malformed'), 2)
  t.equal(host.counter('input_auth_failures_total/missing'), 2)
  t.equal(host.counter('http_requests_total/401'), 9)
  const [line] = host.messages.filter(({ kind }) => kind === 'log')
  t.match(line, { level: 'warn', fields: { reason: 'wrong', peer: '127.0.0.1', path: '/t' } })
})

t.test('only the schemes that are configured are asked for', (t) => {
  const challengesOf = (auth: Partial<typeof AUTH>) =>
    new Authentication({ users: [], bearer_tokens: [], ...auth }).challenges
  t.same(challengesOf({ bearer_tokens: ['x'] }), ['Bearer realm="millrace"'])
  t.same(challengesOf({ users: AUTH.users }), ['Basic realm="millrace", charset="UTF-8"'])
  t.equal(new Authentication({ users: [], bearer_tokens: [] }).failureOf(undefined), null)
  t.end()
})

t.test('log lines about senders are limited, the rest is counted', async (t) => {
  const clock = new FakeClock(0)
  const { host, url } = await httpHost(t, { auth: AUTH }, { clock })
  for (let count = 0; count < 35; count++) await post(url)
  const lines = () => host.messages.filter(({ kind }) => kind === 'log')
  t.equal(lines().length, 30)
  clock.advance(60_000)
  await post(url)
  t.match(lines()[30], { fields: { left_out: 5 } })
  t.equal(host.counter('input_auth_failures_total/missing'), 36)
})

t.test('W11 pages may send with credentials where that is allowed', async (t) => {
  const { url } = await httpHost(t, {
    auth: AUTH,
    cors_allow_origins: ['https://app.example.com'],
    cors_allow_credentials: true
  })
  const origin = 'https://app.example.com'
  // A browser asks without credentials.
  const preflight = await fetch(`${url}/t`, {
    method: 'OPTIONS',
    headers: { origin, 'access-control-request-method': 'POST' }
  })
  t.equal(preflight.status, 200)
  t.equal(preflight.headers.get('access-control-allow-credentials'), 'true')
  t.match(preflight.headers.get('access-control-allow-headers'), /authorization/)
  const answer = await post(url, { origin, authorization: 'Bearer token-1' })
  t.equal(answer.status, 200)
  t.equal(answer.headers.get('access-control-allow-origin'), origin)
  t.equal(answer.headers.get('vary'), 'Origin')
  const get = await fetch(`${url}/t`, {
    method: 'OPTIONS',
    headers: { origin, 'access-control-request-method': 'GET' }
  })
  t.equal(get.status, 403)
})

t.test('W14 X-Forwarded-For counts from trusted proxies only', async (t) => {
  const forwarded = { 'x-forwarded-for': '203.0.113.9, 10.0.0.1' }
  for (const [trusted_proxies, address] of [
    [[], '127.0.0.1'],
    [['10.0.0.0/8'], '127.0.0.1'],
    [['127.0.0.0/8', '::1'], '203.0.113.9']
  ] as const) {
    const options = { add_remote_addr: true, trusted_proxies }
    const { host, url } = await httpHost(t, options, { directory: t.testdir() })
    // What the sender claims does not stand.
    t.equal((await post(url, forwarded, '{"a":1,"REMOTE_ADDR":"192.0.2.1"}')).status, 200)
    t.match(host.records(), [{ record: { a: 1, REMOTE_ADDR: address } }])
    await host.stop()
  }
})

/** What a raw connection is answered until it ends or the answer is there. */
function rawAnswer(url: string, text: string): Promise<string> {
  const socket = net.connect(Number(new URL(url).port), '127.0.0.1')
  const parts: Buffer[] = []
  return new Promise((resolve, reject) => {
    const answer = () => Buffer.concat(parts).toString()
    socket.on('data', (part) => {
      parts.push(part)
      if (answer().includes('\r\n\r\n')) {
        resolve(answer())
        socket.destroy()
      }
    })
    socket.on('close', () => resolve(answer()))
    socket.on('error', reject)
    socket.write(text)
  })
}

t.test('W19 a body that comes too slowly is answered 408 and not stored', async (t) => {
  const clock = new FakeClock(0)
  const { host, url } = await httpHost(t, { min_body_rate: 1000 }, { clock })
  const head =
    'POST /t HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n'
  const answer = rawAnswer(url, `${head}{"a":`)
  await eventually('a connection', 20_000, () => host.counter('connections_total') === 1)
  let text: string | null = null
  const received = answer.then((all) => {
    text = all
  })
  // The first ten seconds are free, then each has to bring its bytes.
  let seconds = 0
  await eventually('an answer', 20_000, () => {
    clock.advance(1000)
    seconds++
    return text !== null
  })
  await received
  t.match(text, /^HTTP\/1\.1 408 /)
  t.ok(seconds > 10, `${seconds} s`)
  t.equal(host.counter('http_requests_total/408'), 1)
  t.equal(host.recordCount(), 0)
})

t.test('W19 idle connections are held without bodies, and the last may still send', async (t) => {
  const { host, url } = await httpHost(t, { max_connections: 210 })
  const sockets = Array.from({ length: 200 }, () => net.connect(Number(new URL(url).port)))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
  })
  await eventually('200 connections', 20_000, () => host.counter('connections') === 200)
  t.equal((await post(url)).status, 200)
  const others = Array.from({ length: 20 }, () => net.connect(Number(new URL(url).port)))
  for (const socket of others) socket.on('error', () => {})
  sockets.push(...others)
  await eventually(
    'refusals',
    20_000,
    () => host.counter('input_connections_closed_total/too_many') >= 10
  )
  t.ok(host.counter('connections') <= 210)
})

t.test('W20 broken requests are answered and counted', async (t) => {
  const { host, url } = await httpHost(t)
  for (const [text, code] of [
    ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400],
    ['POST /t HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n', 400],
    ['POST /t HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n', 400],
    ['POST /t HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n', 400],
    [`POST /t HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(40_000)}\r\n\r\n`, 431],
    ['POST /t HTTP/1.1\r\nHost: x\r\nExpect: tea\r\nContent-Length: 2\r\n\r\n', 417]
  ] as const) {
    t.match(await rawAnswer(url, text), new RegExp(`^HTTP/1.1 ${code} `), text.slice(0, 60))
  }
  t.equal(host.recordCount(), 0)
  t.equal(host.counter('http_requests_total/400'), 4)
  t.equal(host.counter('http_requests_total/431'), 1)
})

t.test('W09 a body that is not wanted is not asked for', async (t) => {
  const { url } = await httpHost(t, { auth: AUTH, max_body_bytes: 2000 })
  const ask = (headers: http.OutgoingHttpHeaders) =>
    new Promise<{ status: number | undefined; isContinued: boolean }>((resolve, reject) => {
      let isContinued = false
      const request = http.request(`${url}/t`, {
        method: 'POST',
        headers: { expect: '100-continue', ...headers }
      })
      request.on('continue', () => {
        isContinued = true
        request.end()
      })
      request.on('response', (response) => {
        response.resume()
        resolve({ status: response.statusCode, isContinued })
        request.destroy()
      })
      request.on('error', reject)
      request.flushHeaders()
    })
  t.same(await ask({ 'content-length': 100 }), { status: 401, isContinued: false })
  const authorization = 'Bearer token-1'
  t.same(await ask({ authorization, 'content-length': 2001 }), {
    status: 413,
    isContinued: false
  })
  const type = { 'content-type': 'application/json', 'content-length': 0 }
  t.same(await ask({ authorization, ...type }), { status: 200, isContinued: true })
})
