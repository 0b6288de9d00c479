import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { FakeOpenSearch } from '../support/fake-opensearch.ts'
import { freePort } from '../support/free-port.ts'
import {
  arrivedSeqs,
  imbalance,
  missingSeqs,
  NumberedLoad,
  queuesOf,
  totalOf
} from '../support/numbered-load.ts'
import { RouterProcess, startRouter } from '../support/router-process.ts'

const LIMIT_MS = 60_000

t.setTimeout(180_000)

const range = (first: number, end: number) =>
  Array.from({ length: end - first }, (_, index) => first + index)

interface World {
  readonly dataDir: string
  readonly first: FakeOpenSearch
  readonly second: FakeOpenSearch
  start(
    routes: string,
    more?: { ingest?: number; args?: readonly string[] }
  ): Promise<RouterProcess>
  /** Starts one that is not waited for. */
  launch(routes: string, args: readonly string[]): RouterProcess
  /** Sends and waits until all is acked. */
  send(count: number): Promise<void>
}

/** Two destinations, `first` and `second`; routes as given; numbered records with the tag `app.web`. */
async function world(t: Test): Promise<World> {
  const first = await new FakeOpenSearch().start()
  const second = await new FakeOpenSearch().start()
  t.teardown(() => Promise.all([first.stop(), second.stop()]))
  const folder = t.testdir()
  const port = await freePort()
  const adminPort = await freePort()
  const flow = 'index: logs, flush_interval: 20ms, retry: {base: 20ms, cap: 100ms}'
  const config = (routes: string, ingest = 1) => `
version: 1
data_dir: ./data
drain_timeout: 300ms
threads: {ingest: ${ingest}, pool: 1}
admin: {listen: "127.0.0.1:${adminPort}"}
inputs:
  load: {type: forward, listen: "tcp://127.0.0.1:${port}"}
routes:
${routes}
outputs:
  first: {type: opensearch, endpoints: ["${first.url}"], ${flow}}
  second: {type: opensearch, endpoints: ["${second.url}"], ${flow}}
`
  return {
    dataDir: join(folder, 'data'),
    first,
    second,
    start: (routes, { args = [], ingest = 1 } = {}) =>
      startRouter(t, { folder, config: config(routes, ingest), adminPort, args }),
    launch(routes, args) {
      const router = new RouterProcess({ folder, config: config(routes), adminPort, args })
      t.teardown(() => router.kill())
      return router
    },
    async send(count) {
      const load = new NumberedLoad({ port, tag: 'app.web', connections: 4, recordsMax: count })
      load.start()
      t.teardown(() => load.stop())
      await eventually('all is acked', LIMIT_MS, () => load.acked.length === count)
      load.stop()
    }
  }
}

const refuse = (search: FakeOpenSearch) =>
  search.plan(...range(0, 20_000).map(() => ({ kind: 'status' as const, status: 503 })))

const shardFiles = (dataDir: string, route: string) =>
  readdirSync(join(dataDir, 'routes', route, 'shard-00'))

t.test('a removed destination keeps its counts, holds nothing, and comes back anew', async (t) => {
  const { dataDir, first, second, send, start } = await world(t)
  refuse(second)
  const both = '  all: {match: "**", to: [first, second]}'
  const before = await start(both)
  await send(400)
  await eventually('one has all', LIMIT_MS, async () => {
    return totalOf(await queuesOf(before), 'all', 'first').delivered === 400
  })
  t.equal(await before.stop(), 0)

  const alone = await start('  all: {match: "**", to: [first]}')
  t.match(alone.log, /"event":"queue.destination_removed"/)
  const { cursors, removed } = await queuesOf(alone)
  t.same(
    cursors.map(({ destination }) => destination),
    ['first']
  )
  t.match(removed, [{ route: 'all', shard: '00', destination: 'second', counts: {} }])
  const names = shardFiles(dataDir, 'all')
  t.equal(names.filter((name) => name.startsWith('second.cur.removed-')).length, 1)
  t.notOk(names.includes('second.cur'))
  await send(100)
  await eventually('the new ones too', LIMIT_MS, async () => {
    return totalOf(await queuesOf(alone), 'all', 'first').delivered === 500
  })
  t.equal(await alone.stop(), 0)

  second.reset()
  const again = await start(both)
  await send(50)
  await eventually('it has what came since', LIMIT_MS, async () => {
    return totalOf(await queuesOf(again), 'all', 'second').delivered === 50
  })
  const { appended, pending } = totalOf(await queuesOf(again), 'all', 'second')
  t.same({ appended, pending }, { appended: 50, pending: 0 }, 'it began at the newest record')
  t.equal(second.documents.length, 50)
  t.equal(arrivedSeqs(first).length, 550)
  t.equal(await again.stop(), 0)
})

t.test('Q47 a destination added with start_at: oldest gets every retained record', async (t) => {
  const { first, second, send, start } = await world(t)
  refuse(first)
  const before = await start('  all: {match: "**", to: [first]}')
  await send(600)
  t.equal(await before.stop(), 0)

  const after = await start('  all: {match: "**", to: [first, {output: second, start_at: oldest}]}')
  await eventually('the new one has the backlog', LIMIT_MS, async () => {
    return totalOf(await queuesOf(after), 'all', 'second').delivered === 600
  })
  t.same(missingSeqs(range(0, 600), arrivedSeqs(second)), [])
  t.equal(second.documents.length, 600)
  t.same((await queuesOf(after)).cursors.map(imbalance), [0, 0])
  t.equal(await after.stop(), 0)
})

t.test(
  'Q46 a route that is gone is an orphan: listed, counted, warned of, left alone',
  async (t) => {
    const { dataDir, first, send, start } = await world(t)
    refuse(first)
    const before = await start('  old: {match: "**", to: [first]}')
    await send(300)
    t.equal(await before.stop(), 0)
    const names = shardFiles(dataDir, 'old')

    const after = await start('  new: {match: "**", to: [first]}')
    const { orphans } = await queuesOf(after)
    t.match(orphans, [{ log: 'routes/old', shards: 1, records: 300, pending: { first: 300 } }])
    t.ok((orphans[0]?.bytes ?? 0) > 0)
    t.equal(await after.metric('millrace_queue_orphaned_bytes'), orphans[0]?.bytes)
    t.match(after.log, /routes\/old holds 300 records .*millrace queue adopt old --route ROUTE/)
    t.same(shardFiles(dataDir, 'old'), names, 'nothing of it was touched')
    t.equal(await after.stop(), 0)
  }
)

t.test('shards of ingest threads that are gone are drained', async (t) => {
  const { dataDir, first, send, start } = await world(t)
  refuse(first)
  const routes = '  all: {match: "**", to: [first]}'
  const two = await start(routes, { ingest: 2 })
  await send(800)
  t.equal(await two.stop(), 0)
  t.ok(existsSync(join(dataDir, 'routes/all/shard-01')))

  first.reset()
  const one = await start(routes)
  await eventually('all of both is delivered', LIMIT_MS, async () => {
    return totalOf(await queuesOf(one), 'all', 'first').delivered === 800
  })
  t.same(missingSeqs(range(0, 800), arrivedSeqs(first)), [])
  const { shards } = await queuesOf(one)
  t.same(
    shards.map(({ shard, state }) => [shard, state]),
    [
      ['00', 'ok'],
      ['01', 'draining']
    ]
  )
  t.equal(await one.stop(), 0)
})
