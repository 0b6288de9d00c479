import t from 'tap'
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
import { type RouterProcess, startRouter } from '../support/router-process.ts'

const LIMIT_MS = 60_000
const RECORDS = 3000

t.setTimeout(180_000)

t.test(
  'Q34 two routes and four destinations, one hanging and one refusing: each record is counted once per cursor, through a kill',
  async (t) => {
    const names = ['fast', 'slow', 'kept', 'down'] as const
    const searches = Object.fromEntries(
      await Promise.all(names.map(async (name) => [name, await new FakeOpenSearch().start()]))
    ) as Record<(typeof names)[number], FakeOpenSearch>
    t.teardown(() => Promise.all(Object.values(searches).map((search) => search.stop())))
    searches.slow.plan(...Array.from({ length: 5000 }, () => ({ kind: 'hang' as const })))
    searches.down.plan(
      ...Array.from({ length: 5000 }, () => ({ kind: 'status' as const, status: 503 }))
    )
    const port = await freePort()
    const adminPort = await freePort()
    const output = (name: (typeof names)[number]) => `
  ${name}:
    type: opensearch
    endpoints: ["${searches[name].url}"]
    index: logs
    bulk_bytes: 64KiB
    flush_interval: 50ms
    retry: {base: 20ms, cap: 200ms}`
    const setup = {
      folder: t.testdir(),
      adminPort,
      config: `
version: 1
data_dir: ./data
admin: {listen: "127.0.0.1:${adminPort}"}
inputs:
  load: {type: forward, listen: "tcp://127.0.0.1:${port}"}
routes:
  copy: {match: "app.**", continue: true, to: [fast, slow]}
  rest: {match: "**", to: [kept, down]}
outputs:${names.map(output).join('')}
`
    }
    let router: RouterProcess = await startRouter(t, setup)
    const load = new NumberedLoad({
      port,
      tag: 'app.web',
      connections: 3,
      pauseMs: 5,
      recordsMax: RECORDS
    }).start()
    t.teardown(() => load.stop())

    let looks = 0
    const balanced = async () => {
      const status = await queuesOf(router)
      looks++
      for (const cursor of status.cursors) {
        if (imbalance(cursor) !== 0) t.equal(imbalance(cursor), 0, JSON.stringify(cursor))
      }
      return status
    }
    await eventually('half of the records are acked', LIMIT_MS, async () => {
      const acked = load.acked.length
      // An ack means durable in both routes; the news of a new segment may reach main a little later.
      await eventually('both routes count what was acked', LIMIT_MS, async () => {
        const status = await balanced()
        return [
          ['copy', 'fast'],
          ['rest', 'kept']
        ].every(([route = '', name = '']) => totalOf(status, route, name).appended >= acked)
      })
      return acked >= RECORDS / 2
    })
    t.ok(looks > 3, `the identity held at ${looks} looks under load`)
    t.equal(await router.kill(), 'SIGKILL')
    const ackedAtKill = [...load.acked]

    router = await startRouter(t, setup)
    await balanced()
    await eventually('the destinations that are up have everything', LIMIT_MS, async () => {
      const status = await balanced()
      return (
        load.acked.length === RECORDS &&
        totalOf(status, 'copy', 'fast').pending === 0 &&
        totalOf(status, 'rest', 'kept').pending === 0
      )
    })
    t.ok(ackedAtKill.length < RECORDS, `the kill fell into the load, at ${ackedAtKill.length}`)
    for (const name of ['fast', 'kept'] as const) {
      const arrived = arrivedSeqs(searches[name])
      t.same(missingSeqs(load.acked, arrived), [], `${name} has every acked record`)
      t.equal(arrived.length, RECORDS, `${name} has each once`)
    }
    const held = await queuesOf(router)
    for (const [route, name] of [
      ['copy', 'slow'],
      ['rest', 'down']
    ] as const) {
      t.match(totalOf(held, route, name), { appended: RECORDS, delivered: 0, pending: RECORDS })
      t.equal(arrivedSeqs(searches[name]).length, 0)
    }

    searches.down.reset()
    await eventually('what was down has everything', LIMIT_MS, async () => {
      return totalOf(await balanced(), 'rest', 'down').delivered === RECORDS
    })
    t.equal(arrivedSeqs(searches.down).length, RECORDS)
    t.equal(totalOf(await queuesOf(router), 'copy', 'slow').pending, RECORDS, 'others still wait')
    void router.stop()
    t.equal(await router.stop(), 0, 'a second signal ends the drain that the hanging one delays')
  }
)
