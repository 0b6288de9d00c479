import t from 'tap'
import { eventually } from '../../support/eventually.ts'
import { FakeOpenSearch } from '../../support/fake-opensearch.ts'
import { freePort } from '../../support/free-port.ts'
import {
  arrivedSeqs,
  imbalance,
  missingSeqs,
  NumberedLoad,
  queuesOf,
  totalOf
} from '../../support/numbered-load.ts'
import { startRouter } from '../../support/router-process.ts'

const LIMIT_MS = 60_000
const CONNECTIONS = 40
const RECORDS = 8000

t.setTimeout(180_000)

t.test(
  'two ingest threads share 40 connections; the shard of one that is gone drains',
  async (t) => {
    const search = await new FakeOpenSearch().start()
    t.teardown(() => search.stop())
    const port = await freePort()
    const adminPort = await freePort()
    const configFor = (threads: number) => `
version: 1
data_dir: ./data
drain_timeout: 100ms
threads: {ingest: ${threads}, pool: 1}
admin: {listen: "127.0.0.1:${adminPort}"}
inputs:
  load: {type: forward, listen: "tcp://127.0.0.1:${port}"}
routes:
  all: {match: "**", to: [search]}
outputs:
  search: {type: opensearch, endpoints: ["${search.url}"], index: logs, flush_interval: 50ms, retry: {base: 20ms, cap: 200ms}}
`
    const setup = { folder: t.testdir(), config: configFor(2), adminPort }
    const send = async (recordsMax: number) => {
      const load = new NumberedLoad({
        port,
        tag: 'app',
        connections: CONNECTIONS,
        recordsMax
      }).start()
      t.teardown(() => load.stop())
      await eventually('all is acked', LIMIT_MS, () => load.acked.length === recordsMax)
      return load
    }

    const first = await startRouter(t, setup)
    const load = await send(RECORDS)
    t.equal(await first.metric('millrace_input_connections'), CONNECTIONS)
    await eventually('all is delivered', LIMIT_MS, async () => {
      return totalOf(await queuesOf(first), 'all', 'search').delivered === RECORDS
    })
    const { cursors } = await queuesOf(first)
    t.same(cursors.map(({ shard }) => shard).toSorted(), ['00', '01'])
    for (const { appended, shard } of cursors) t.ok(appended > 0, `shard ${shard} took ${appended}`)
    t.equal(arrivedSeqs(search).length, RECORDS, 'each once')
    t.same(missingSeqs(load.acked, arrivedSeqs(search)), [])
    load.stop()

    search.reset()
    search.plan(...Array.from({ length: 20_000 }, () => ({ kind: 'status' as const, status: 503 })))
    const second = await send(RECORDS)
    t.equal(await first.stop(), 0)
    second.stop()
    t.equal(arrivedSeqs(search).length, 0)

    search.reset()
    const alone = await startRouter(t, { ...setup, config: configFor(1) })
    await eventually('both shards are drained', LIMIT_MS, async () => {
      const status = await queuesOf(alone)
      for (const each of status.cursors) if (imbalance(each) !== 0) t.equal(imbalance(each), 0)
      return totalOf(status, 'all', 'search').pending === 0
    })
    t.same(missingSeqs(second.acked, arrivedSeqs(search)), [])
    t.equal(arrivedSeqs(search).length, RECORDS, 'each once')
    const third = await send(100)
    await eventually('new records are delivered', LIMIT_MS, async () => {
      return totalOf(await queuesOf(alone), 'all', 'search').pending === 0
    })
    t.equal(third.acked.length, 100)
    t.equal(arrivedSeqs(search).length, RECORDS + 100)
    t.equal(await alone.stop(), 0)
  }
)
