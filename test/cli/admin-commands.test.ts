import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { adminTarget } from '../../src/cli/admin-client.ts'
import { command } from '../support/command-line.ts'
import { shortDir } from '../support/short-dir.ts'

interface Reply {
  readonly status?: number
  readonly body: unknown
}

/** An admin server that answers from a table; gives its address and the requests it got. */
async function adminServer(t: Test, replies: Readonly<Record<string, Reply>>, socket?: string) {
  const requests: IncomingMessage[] = []
  const server = createServer((request, response) => {
    requests.push(request)
    const reply = replies[`${request.method} ${request.url}`] ?? { status: 404, body: 'nothing' }
    response.statusCode = reply.status ?? 200
    response.end(JSON.stringify(reply.body))
  })
  server.listen(socket === undefined ? { port: 0, host: '127.0.0.1' } : { path: socket })
  await once(server, 'listening')
  t.teardown(() => server.close())
  const port = socket === undefined ? (server.address() as AddressInfo).port : 0
  return { address: socket === undefined ? `127.0.0.1:${port}` : `unix://${socket}`, requests }
}

t.test('addresses are read as users write them', (t) => {
  t.same(adminTarget('127.0.0.1:9480'), { host: '127.0.0.1', port: 9480 })
  t.same(adminTarget('http://localhost:1/'), { host: 'localhost', port: 1 })
  t.same(adminTarget('tcp://0.0.0.0:2'), { host: '127.0.0.1', port: 2 })
  t.same(adminTarget('[::]:3'), { host: '::1', port: 3 })
  t.same(adminTarget('unix:///run/m.sock'), { socketPath: '/run/m.sock' })
  t.throws(() => adminTarget('localhost'), { code: 'MR_USAGE' })
  t.end()
})

t.test('healthcheck ends with 0 when the server is ready and with 1 when not', async (t) => {
  const ready = await adminServer(t, { 'GET /readyz': { body: { ok: true } } })
  const good = await command(['healthcheck', '--admin', ready.address])
  t.same(good, { exitCode: 0, out: '/readyz 200 {"ok":true}\n', error: '' })
  const body = { ok: false, reasons: ['draining'] }
  const unready = await adminServer(t, { 'GET /readyz': { status: 503, body } })
  const environment = { MILLRACE_ADMIN: unready.address }
  const bad = await command(['healthcheck'], { environment })
  t.equal(bad.exitCode, 1)
  t.match(bad.out, /503 .*draining/)
})

t.test('healthcheck --live asks whether the process answers', async (t) => {
  const { address } = await adminServer(t, { 'GET /livez': { body: { ok: true } } })
  t.equal((await command(['healthcheck', '--live', '--admin', address])).exitCode, 0)
})

t.test('healthcheck works over a Unix socket', async (t) => {
  const socket = join(shortDir(t), 'a.sock')
  const { address } = await adminServer(t, { 'GET /readyz': { body: {} } }, socket)
  t.equal((await command(['healthcheck', '--admin', address])).exitCode, 0)
})

t.test('nobody there is unhealthy, with the reason', async (t) => {
  const socket = join(shortDir(t), 'none.sock')
  const { exitCode, error } = await command(['healthcheck', '--admin', `unix://${socket}`])
  t.equal(exitCode, 1)
  t.match(error, /no answer from the admin server at unix:.*ENOENT/)
})

const QUEUES = {
  shards: [
    {
      route: 'web',
      shard: 'shard-00',
      state: 'ok',
      segments: 2,
      diskBytes: 3 * 2 ** 20,
      durability: 'sync',
      overflow: 'block',
      bytesMax: 2 ** 33
    }
  ],
  cursors: [
    {
      route: 'web',
      shard: 'shard-00',
      destination: 'search',
      appended: 1000,
      delivered: 900,
      duplicateSuppressed: 0,
      deadLettered: 1,
      dropped: { filtered: 50, expired: 4 },
      lost: { corrupt: 5 },
      pending: 40,
      oldestPendingMs: null,
      lastError: 'ECONNREFUSED'
    }
  ]
}

t.test('queue ls shows every queue and cursor, numbers to the right', async (t) => {
  const { address, requests } = await adminServer(t, { 'GET /api/v1/queues': { body: QUEUES } })
  const { out, exitCode } = await command(['queue', 'ls', '--admin', address, '--token', 'abc'])
  t.equal(exitCode, 0)
  t.equal(
    out,
    `ROUTE  SHARD     STATE  SEGMENTS  DISK  BOUND  DURABILITY  OVERFLOW
web    shard-00  ok            2  3MiB  8GiB   sync        block

ROUTE  SHARD     OUTPUT  APPENDED  DELIVERED  DEAD  DROPPED  LOST  PENDING  OLDEST  ERROR
web    shard-00  search      1000        900     1       54     5       40  -       ECONNREFUSED
`
  )
  t.equal(requests[0]?.headers.authorization, 'Bearer abc')
  t.equal(requests[0]?.headers.host, 'localhost')
  const json = await command(['queue', 'ls', '--json', '--admin', address])
  t.same(JSON.parse(json.out), QUEUES)
})
