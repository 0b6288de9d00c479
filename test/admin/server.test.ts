import { existsSync, statSync } from 'node:fs'
import { request } from 'node:http'
import t, { type Test } from 'tap'
import { AdminServer } from '../../src/admin/server.ts'
import type { AdminSource, CursorStatus, JobStatus, QueueChanges } from '../../src/admin/status.ts'
import { askAdmin } from '../../src/cli/admin-client.ts'
import { MillraceError } from '../../src/core/errors.ts'
import { MetricRegistry } from '../../src/metrics/registry.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { shortDir } from '../support/short-dir.ts'

const CURSOR: CursorStatus = {
  route: 'rest',
  shard: '00',
  destination: 'search',
  appended: 10,
  delivered: 6,
  duplicateSuppressed: 1,
  deadLettered: 1,
  moved: 0,
  dropped: { filtered: 1 },
  lost: {},
  pending: 2,
  oldestPendingMs: 1_700_000_000_000 - 65_000,
  lastError: '<script>alert(1)</script>'
}

const CHANGES: QueueChanges = {
  adopt: (orphan, route) => ({
    log: `routes/${orphan}`,
    shards: 1,
    segments: 2,
    bytes: 100,
    records: 5,
    pending: {},
    accounts: [],
    route,
    isDraining: true
  }),
  moveCursor: async () => [],
  skip: async ({ route }, firstOffset, endOffset) => {
    throw new MillraceError('MR_USAGE', `no ${route} ${firstOffset} ${endOffset}`)
  },
  drop: () => {
    throw new Error('not asked for')
  }
}

const JOB: JobStatus = {
  id: 1,
  kind: 'replay',
  source: 'out.search',
  to: null,
  where: '',
  isDryRun: false,
  state: 'done',
  scanned: 1,
  total: 1,
  matched: 1,
  stored: 1,
  duplicates: 0,
  filtered: 0,
  failed: 0,
  removed: 0,
  matches: [],
  failures: [],
  startedMs: 0,
  endedMs: 1,
  error: null
}

function source(changes: Partial<AdminSource> = {}): AdminSource {
  const registry = new MetricRegistry()
  registry.provide('queue_pending_records', () => [
    { labels: { route: 'rest', shard: '00', destination: 'search' }, value: 2 }
  ])
  return {
    version: '1.2.3',
    changes: CHANGES,
    imports: { take: () => Promise.reject(new Error('no import was asked for')) },
    startedMs: 1_700_000_000_000 - 3_600_000,
    store: () => ({ dataDir: '/data', durability: { app: 'sync' } }),
    liveness: () => ({ isOk: true, reasons: [] }),
    readiness: () => ({ isOk: false, reasons: ['rest/00 is full'] }),
    metricsText: () => registry.text(),
    metricsContentType: registry.contentType,
    queues: () => ({
      shards: [],
      cursors: [CURSOR],
      removed: [],
      orphans: [],
      parked: [],
      letters: []
    }),
    addresses: () => ({ containers: ['tcp://127.0.0.1:24224'] }),
    letters: {
      logs: () => [
        { log: 'out.search', records: 1, bytes: 200, written: 1, removed: {}, lost: {} }
      ],
      views: async () => [],
      async *export() {},
      replay: () => JOB,
      purge: () => JOB
    },
    replays: { start: () => JOB },
    jobs: { list: () => [JOB], get: () => JOB, stop: async () => JOB },
    ...changes
  }
}

async function started(t: Test, changes: Partial<AdminSource> = {}, token: string | null = null) {
  const server = new AdminServer(source(changes), {
    address: { kind: 'tcp', host: '127.0.0.1', port: 0, isTls: false },
    token,
    hostNames: [],
    clock: new FakeClock()
  })
  const url = await server.start()
  t.teardown(() => server.stop())
  return url
}

function statusWithHost(url: string, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    request(url, { headers: { host } }, (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
      .on('error', reject)
      .end()
  })
}

t.test('readiness tells its reasons and liveness does not depend on it', async (t) => {
  const url = await started(t)
  t.equal((await fetch(`${url}/livez`)).status, 200)
  const ready = await fetch(`${url}/readyz`)
  t.equal(ready.status, 503)
  t.same(await ready.json(), { ok: false, reasons: ['rest/00 is full'] })
})

t.test('the page shows lag and escapes what destinations say', async (t) => {
  const page = await (await fetch(await started(t))).text()
  t.match(page, '1 min', 'lag')
  t.match(page, 'not ready: rest/00 is full')
  t.notMatch(page, '<script>')
})

t.test('metrics are Prometheus text with the values of the sources', async (t) => {
  const answer = await fetch(`${await started(t)}/metrics`)
  t.match(answer.headers.get('content-type'), /^text\/plain; version=0\.0\.4/)
  t.match(
    await answer.text(),
    'millrace_queue_pending_records{route="rest",shard="00",destination="search"} 2'
  )
})

t.test(
  'a host name that is not ours is refused: a page that rebinds a name gets nothing',
  async (t) => {
    const url = await started(t)
    t.equal(await statusWithHost(`${url}/api/v1/queues`, 'evil.example'), 421)
    t.equal(await statusWithHost(`${url}/api/v1/queues`, 'localhost:9480'), 200)
  }
)

t.test(
  'a Unix socket answers whoever may open it, records too, and is gone after a stop',
  async (t) => {
    const socketPath = `${shortDir(t)}/admin.sock`
    const server = new AdminServer(source(), {
      address: { kind: 'unix', path: socketPath },
      token: null,
      hostNames: [],
      clock: new FakeClock()
    })
    t.teardown(() => server.stop())
    t.equal(await server.start(), `unix://${socketPath}`)
    t.equal(statSync(socketPath).mode & 0o777, 0o660)
    const options = { admin: `unix://${socketPath}` }
    t.equal((await askAdmin(options, 'GET', '/livez')).status, 200)
    t.equal((await askAdmin(options, 'GET', '/api/v1/dlq/out.search')).body, '[]')
    await server.stop()
    t.notOk(existsSync(socketPath))
  }
)

t.test('an address that others reach shows no records without a token', async (t) => {
  const server = new AdminServer(source(), {
    address: { kind: 'tcp', host: '0.0.0.0', port: 0, isTls: false },
    token: null,
    hostNames: [],
    clock: new FakeClock()
  })
  t.teardown(() => server.stop())
  const url = `http://127.0.0.1:${new URL(await server.start()).port}`
  t.equal((await fetch(`${url}/livez`)).status, 200)
  t.equal((await fetch(`${url}/api/v1/dlq/out.search`)).status, 401)
})

t.test('with a token, records and changes need it and figures do not', async (t) => {
  const url = await started(t, {}, 'secret')
  t.equal((await fetch(`${url}/api/v1/dlq`)).status, 200)
  t.equal((await fetch(`${url}/api/v1/dlq/out.search`)).status, 401)
  const replay = (authorization: string) =>
    fetch(`${url}/api/v1/dlq/out.search/replay`, { method: 'POST', headers: { authorization } })
  t.equal((await replay('Bearer wrong!')).status, 401)
  t.same(await (await replay('Bearer secret')).json(), JOB)
})

t.test('a metric that the catalog does not know is a mistake', (t) => {
  t.throws(() => new MetricRegistry().provide('no_such', () => []), /not in the catalog/)
  t.end()
})

t.test(
  'changes of queues are guarded, and what cannot be granted is 409 with the reason',
  async (t) => {
    const url = await started(t, {}, 'secret')
    const post = (path: string, authorization = 'Bearer secret') =>
      fetch(`${url}/api/v1/queues/${path}`, { method: 'POST', headers: { authorization } })
    t.equal((await post('adopt?orphan=old&route=new', 'Bearer wrong!')).status, 401)
    const adopted = await (await post('adopt?orphan=old&route=new')).json()
    t.match(adopted, { log: 'routes/old', route: 'new', isDraining: true })
    t.same(await (await post('cursor?route=a&destination=b&to=newest')).json(), [])
    for (const path of ['adopt?orphan=old', 'skip?route=a&destination=b&first=-1&end=5']) {
      const refused = await post(path)
      t.equal(refused.status, 409, path)
      t.match(await refused.text(), /MR_USAGE/)
    }
    const none = await post('skip?route=a&destination=b&first=1&end=5')
    t.match(await none.json(), { error: 'MR_USAGE no a 1 5' })
    t.equal((await post('drop?log=x')).status, 500)
  }
)
