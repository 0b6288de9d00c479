import t, { type Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { FakeOpenSearch } from '../support/fake-opensearch.ts'
import { freePort } from '../support/free-port.ts'
import {
  arrivedSeqs,
  missingSeqs,
  NumberedLoad,
  queuesOf,
  totalOf
} from '../support/numbered-load.ts'
import { RouterProcess, startRouter } from '../support/router-process.ts'

const LIMIT_MS = 60_000

t.setTimeout(180_000)

async function setUp(t: Test, drainTimeout: string) {
  const search = await new FakeOpenSearch().start()
  t.teardown(() => search.stop())
  const port = await freePort()
  const adminPort = await freePort()
  const config = `
version: 1
data_dir: ./data
drain_timeout: ${drainTimeout}
admin: {listen: "127.0.0.1:${adminPort}"}
inputs:
  load: {type: forward, listen: "tcp://127.0.0.1:${port}"}
routes:
  all: {match: "**", to: [search]}
outputs:
  search: {type: opensearch, endpoints: ["${search.url}"], index: logs, flush_interval: 50ms, retry: {base: 20ms, cap: 200ms}}
`
  const setup = { folder: t.testdir(), config, adminPort }
  const load = (options: object = {}) => {
    const made = new NumberedLoad({ port, tag: 'app.web', ...options }).start()
    t.teardown(() => made.stop())
    return made
  }
  const refuse = () =>
    search.plan(...Array.from({ length: 20_000 }, () => ({ kind: 'status' as const, status: 503 })))
  return { search, setup, load, refuse }
}

t.test('SIGTERM under load ends with 0; what was acked is delivered or on disk', async (t) => {
  const { load, search, setup } = await setUp(t, '20s')
  const first = await startRouter(t, setup)
  const sender = load({ connections: 4, padBytes: 200 })
  await eventually('there is load', LIMIT_MS, () => sender.acked.length > 2000)
  const exit = first.stop()
  t.equal(await exit, 0)
  sender.stop()
  t.match(first.log, /"drained":true/, 'a destination that takes everything is waited for')
  const acked = [...sender.acked]
  t.same(missingSeqs(acked, arrivedSeqs(search)), [], `all of ${acked.length} acked are delivered`)

  const second = await startRouter(t, setup)
  const after = totalOf(await queuesOf(second), 'all', 'search')
  t.match(after, { pending: 0, delivered: after.appended, lost: 0 })
  t.equal(arrivedSeqs(search).length, after.appended, 'each once')
  t.equal(await second.stop(), 0)
})

t.test('a second SIGTERM skips the drain and keeps the backlog', async (t) => {
  const { load, refuse, search, setup } = await setUp(t, '10m')
  refuse()
  const first = await startRouter(t, setup)
  const sender = load({ recordsMax: 1000 })
  await eventually('all is acked', LIMIT_MS, () => sender.acked.length === 1000)
  const exit = first.stop()
  await eventually('it stops', LIMIT_MS, () => first.log.includes('"event":"stopping"'))
  t.equal(first.hasExited, false, 'it waits for the destination')
  t.equal(await first.stop(), 0)
  t.equal(await exit, 0)
  t.equal(arrivedSeqs(search).length, 0)
  search.reset()
  const second = await startRouter(t, setup)
  await eventually('the backlog is delivered', LIMIT_MS, async () => {
    return totalOf(await queuesOf(second), 'all', 'search').delivered === 1000
  })
  t.equal(arrivedSeqs(search).length, 1000)
  t.equal(await second.stop(), 0)
})

t.test('Q44 SIGTERM with a backlog gives up after drain_timeout', async (t) => {
  const { load, refuse, setup } = await setUp(t, '300ms')
  refuse()
  const first = await startRouter(t, setup)
  const sender = load({ recordsMax: 1000 })
  await eventually('all is acked', LIMIT_MS, () => sender.acked.length === 1000)
  t.equal(await first.stop(), 0)
  t.match(first.log, /"drained":false/)
})

t.test('--drain-only ends with 75 when time is up, and with 0 when all is delivered', async (t) => {
  const { load, refuse, search, setup } = await setUp(t, '500ms')
  refuse()
  const first = await startRouter(t, setup)
  const sender = load({ recordsMax: 1000 })
  await eventually('all is acked', LIMIT_MS, () => sender.acked.length === 1000)
  t.equal(await first.stop(), 0)
  sender.stop()

  const drain = { ...setup, args: ['--drain-only'] }
  const late = new RouterProcess(drain)
  t.teardown(() => late.kill())
  t.equal(await late.exit, 75, late.log.slice(-500))
  search.reset()
  const config = setup.config.replace('drain_timeout: 500ms', 'drain_timeout: 60s')
  const done = new RouterProcess({ ...drain, config })
  t.teardown(() => done.kill())
  t.equal(await done.exit, 0, done.log.slice(-500))
  t.equal(arrivedSeqs(search).length, 1000)
  const empty = new RouterProcess({ ...drain, config })
  t.teardown(() => empty.kill())
  t.equal(await empty.exit, 0, 'an empty queue is drained at once')
})
