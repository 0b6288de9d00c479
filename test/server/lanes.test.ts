import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { eventually } from '../support/eventually.ts'
import {
  arrivedSeqs,
  imbalance,
  NumberedLoad,
  queuesOf,
  totalOf
} from '../support/numbered-load.ts'
import { type RouterProcess, startRouter } from '../support/router-process.ts'
import { searchPlace } from '../support/search-place.ts'

const LIMIT_MS = 60_000
const RECORDS = 600

t.setTimeout(180_000)

t.test(
  'Q50 Q55 lanes and threads change at every start, with kills: each record arrives once, none twice',
  async (t) => {
    const { search, folder, port, adminPort } = await searchPlace(t)
    // Two routes into one index: every record is there twice, under two ids.
    const config = (threads: number, lanes: number) => `
version: 1
data_dir: ./data
drain_timeout: 100ms
threads: {ingest: ${threads}, pool: 1}
admin: {listen: "127.0.0.1:${adminPort}"}
inputs:
  load: {type: forward, listen: "tcp://127.0.0.1:${port}"}
routes:
  first: {match: "**", continue: true, to: [search], lanes: ${lanes}, ${lanes > 1 ? 'shard_by: seq' : ''}}
  second: {match: "**", to: [search], lanes: ${lanes}}
outputs:
  search: {type: opensearch, endpoints: ["${search.url}"], index: logs, flush_interval: 50ms, retry: {base: 20ms, cap: 100ms}}
`
    let sent = 0
    const send = async () => {
      const load = new NumberedLoad({
        port,
        tag: 'app',
        connections: 4,
        recordsMax: RECORDS
      }).start()
      await eventually('all is acked', LIMIT_MS, () => load.acked.length === RECORDS)
      load.stop()
    }
    const drained = async (router: RouterProcess) => {
      await eventually('both routes are drained', LIMIT_MS, async () => {
        const status = await queuesOf(router)
        return ['first', 'second'].every((route) => totalOf(status, route, 'search').pending === 0)
      })
      for (const cursor of (await queuesOf(router)).cursors) t.equal(imbalance(cursor), 0)
    }
    const down = () =>
      search.plan(
        ...Array.from({ length: 20_000 }, () => ({ kind: 'status' as const, status: 503 }))
      )
    // More lanes, fewer threads, one lane, more of both.
    for (const [threads, lanes] of [
      [2, 2],
      [1, 8],
      [1, 1],
      [2, 4]
    ] as const) {
      search.reset()
      const router = await startRouter(t, { folder, config: config(threads, lanes), adminPort })
      // What the life before left, written by shards that may be nobody's now.
      await drained(router)
      const arrived = Map.groupBy(arrivedSeqs(search), (seq) => seq)
      t.equal(arrived.size, sent, `${threads} threads, ${lanes} lanes`)
      t.ok([...arrived.values()].every((copies) => copies.length === 2))
      sent = RECORDS
      down()
      await send()
      const directories = readdirSync(join(folder, 'data/routes/first'))
      const written = directories.filter((name) => /^shard-/.test(name)).length
      t.ok(written >= threads * lanes, `${written} shards`)
      await router.kill()
    }
    search.reset()
    const last = await startRouter(t, { folder, config: config(1, 1), adminPort })
    await drained(last)
    const ids = search.documents.map(({ id }) => id)
    t.equal(new Set(ids).size, ids.length)
    t.equal(ids.length, 2 * RECORDS)
    t.equal(await last.stop(), 0)
  }
)
