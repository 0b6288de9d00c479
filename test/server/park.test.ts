import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { command } from '../support/command-line.ts'
import { eventually } from '../support/eventually.ts'
import { queuesOf } from '../support/numbered-load.ts'
import { RouterProcess, startRouter } from '../support/router-process.ts'
import { searchPlace } from '../support/search-place.ts'

const LIMIT_MS = 60_000
const DENIED = {
  status: 403,
  type: 'security_exception',
  reason: 'no permissions for [indices:data/write]',
  contains: '"k":"bad"'
}

t.setTimeout(180_000)

async function setUp(t: Test) {
  const { search, folder, port: http, adminPort } = await searchPlace(t)
  const config = `
version: 1
data_dir: ./data
admin: {listen: "127.0.0.1:${adminPort}"}
queue: {segment_bytes: 1MiB}
inputs:
  web: {type: http, listen: "tcp://127.0.0.1:${http}"}
routes:
  app: {match: "**", to: [{output: search, park_after: 1s}]}
outputs:
  search: {type: opensearch, endpoints: ["${search.url}"], index: "logs-\${record.k}", flush_interval: 20ms, retry: {base: 50ms, cap: 200ms}}
`
  let seq = 0
  return {
    search,
    folder,
    start: (change = (text: string) => text) =>
      startRouter(t, { folder, config: change(config), adminPort }),
    /** Ends by itself. */
    drain(drainTimeout: string) {
      const drained = `${config}drain_timeout: ${drainTimeout}\n`
      const router = new RouterProcess({
        folder,
        config: drained,
        adminPort,
        args: ['--drain-only']
      })
      t.teardown(() => router.kill())
      return router
    },
    /** Posts records of each key in turn. */
    async post(keys: readonly string[], rounds: number) {
      const records = Array.from({ length: rounds }, () => keys.map((k) => ({ k, seq: seq++ })))
      const answer = await fetch(`http://127.0.0.1:${http}/app`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(records.flat())
      })
      if (answer.status !== 200) throw new Error(`${answer.status} ${await answer.text()}`)
    },
    seqsOf: (key: string) =>
      search.documents
        .filter(({ index }) => index === `logs-${key}`)
        .map(({ source }) => (JSON.parse(source) as { seq: number }).seq)
  }
}

const sum = (counts: Readonly<Record<string, number>>) =>
  Object.values(counts).reduce((total, count) => total + count, 0)

async function lookAt(router: RouterProcess) {
  const { cursors, parked } = await queuesOf(router)
  const [cursor] = cursors
  if (cursor === undefined) throw new Error('no cursor')
  return { cursor, park: parked[0] ?? null }
}

/** Both identities hold, and what was moved is what was parked. */
function balance(t: Test, { cursor, park }: Awaited<ReturnType<typeof lookAt>>) {
  const { appended, deadLettered, delivered, dropped, lost, moved, pending } = cursor
  t.equal(delivered + deadLettered + moved + sum(dropped) + sum(lost) + pending, appended)
  if (park === null) return
  const settled = park.delivered + park.deadLettered + sum(park.dropped) + sum(park.lost)
  t.equal(settled + park.pending, park.appended)
  t.equal(park.appended, moved, 'every moved record was parked once')
}

const parkedFiles = (folder: string) =>
  readdirSync(join(folder, 'data/park/app/search/shard-00')).filter((name) => name.endsWith('.seg'))

t.test(
  'Q35 a refused index is parked, others go on; repaired, it is delivered in order',
  async (t) => {
    const { folder, post, search, seqsOf, start } = await setUp(t)
    let router = await start()
    search.itemFaults(DENIED)
    await post(['bad', 'one', 'two'], 100)
    await eventually('the others have everything', LIMIT_MS, async () => {
      return seqsOf('one').length === 100 && seqsOf('two').length === 100
    })
    const parked = await eventually('the refused index is parked', LIMIT_MS, async () => {
      const look = await lookAt(router)
      return look.cursor.pending === 0 && look.park?.records === 100 ? look : null
    })
    t.match(parked.cursor, { delivered: 200, moved: 100 })
    t.match(parked.park, { keys: 1, pending: 100 })
    balance(t, parked)
    const { adminUrl } = router
    const live = await command(['queue', 'reconcile', '--json', '--admin', adminUrl])
    t.equal(live.exitCode, 0, live.error)
    t.match(JSON.parse(live.out), [
      { log: 'routes/app', moved: 100, pending: 0 },
      { log: 'park/app/search', shard: '00', destination: 'search', appended: 100, pending: 100 }
    ])
    const metrics = await (await fetch(`${router.adminUrl}/metrics`)).text()
    t.match(metrics, /millrace_queue_parked_records\{route="app",destination="search"\} 100/)
    t.match(metrics, /millrace_queue_parked_keys\{route="app",destination="search"\} 1/)

    await post(['bad', 'one'], 50)
    await eventually('later records of it follow', LIMIT_MS, async () => {
      const { cursor, park } = await lookAt(router)
      return cursor.pending === 0 && park?.records === 150
    })
    await router.kill()
    router = await start()
    await post(['bad', 'one'], 50)
    await eventually('it is known to be parked after a kill', LIMIT_MS, async () => {
      const { cursor, park } = await lookAt(router)
      return cursor.pending === 0 && park?.records === 200
    })
    t.equal(seqsOf('bad').length, 0)

    search.itemFaults()
    const done = await eventually('the park is empty', LIMIT_MS, async () => {
      const look = await lookAt(router)
      return look.park?.records === 0 && look.cursor.pending === 0 ? look : null
    })
    t.match(done.cursor, { delivered: 300, moved: 200, lost: {}, dropped: {} })
    t.match(done.park, { keys: 0, delivered: 200, appended: 200 })
    balance(t, done)
    const seqs = seqsOf('bad')
    t.same(
      seqs,
      [...new Set(seqs)].toSorted((a, b) => a - b),
      'in order, each once'
    )
    t.equal(seqs.length, 200)
    await eventually('its files are gone', LIMIT_MS, () => parkedFiles(folder).length === 0)

    await post(['bad'], 10)
    await eventually('its records flow again', LIMIT_MS, () => seqsOf('bad').length === 210)
    t.match((await lookAt(router)).cursor, { moved: 200 })
    t.equal(await router.stop(), 0)
  }
)

t.test('--drain-only ends with 75 while records are parked, and with 0 when none is', async (t) => {
  const { drain, post, search, seqsOf, start } = await setUp(t)
  const router = await start()
  search.itemFaults(DENIED)
  await post(['bad', 'one'], 50)
  await eventually('the refused index is parked', LIMIT_MS, async () => {
    const { cursor, park } = await lookAt(router)
    return cursor.pending === 0 && park?.records === 50
  })
  t.equal(await router.stop(), 0, 'a stop does not wait for it')
  const late = drain('500ms')
  t.equal(await late.exit, 75, late.log.slice(-500))
  t.equal(seqsOf('bad').length, 0)
  search.itemFaults()
  const done = drain('60s')
  t.equal(await done.exit, 0, done.log.slice(-500))
  t.equal(seqsOf('bad').length, 50, 'the park is drained too')
})

t.test(
  'Q35 one of 1,000 indices is refused: the others arrive; mended, each is in order',
  async (t) => {
    const { post, search, seqsOf, start } = await setUp(t)
    const router = await start()
    search.itemFaults(DENIED)
    const good = Array.from({ length: 999 }, (_, at) => `i${at}`)
    const keys = [...good.slice(0, 500), 'bad', ...good.slice(500)]
    for (let batch = 0; batch < 4; batch++) await post(keys, 3)
    const look = await eventually('others have all, it is parked', LIMIT_MS, async () => {
      const look = await lookAt(router)
      return look.cursor.pending === 0 && look.park?.records === 12 ? look : null
    })
    t.match(look.cursor, { delivered: 999 * 12, moved: 12 })
    t.match(look.park, { keys: 1 })
    balance(t, look)
    search.itemFaults()
    await post(keys, 3)
    await eventually('all is delivered', LIMIT_MS, async () => {
      const { cursor, park } = await lookAt(router)
      return cursor.pending === 0 && park?.pending === 0 && search.documents.length === 15_000
    })
    const seqs = seqsOf('bad')
    t.same(
      seqs,
      seqs.toSorted((one, other) => one - other),
      'in order'
    )
    t.equal(new Set(seqs).size, 15)
    t.equal(await router.stop(), 0)
  }
)

t.test(
  'Q46 the park of a route that is gone is drained when its name is configured again',
  async (t) => {
    const { post, search, seqsOf, start } = await setUp(t)
    const before = await start()
    search.itemFaults(DENIED)
    await post(['bad', 'one'], 20)
    await eventually('the refused index is parked', LIMIT_MS, async () => {
      return (await lookAt(before)).park?.records === 20
    })
    t.equal(await before.stop(), 0)
    search.itemFaults()

    const renamed = await start((text) => text.replace('  app: {', '  site: {'))
    const { orphans } = await queuesOf(renamed)
    const park = orphans.find(({ log }) => log === 'park/app/search')
    t.match(park, { records: 20, pending: { search: 20 } })
    t.match(park?.accounts, [{ shard: '00', destination: 'search', appended: 20, pending: 20 }])
    t.equal(await renamed.stop(), 0)
    t.equal(seqsOf('bad').length, 0)

    // As docs/operations.md says: a route of that name, before the others, that takes no tag.
    const again = await start((text) => {
      const site = text.replace('  app: {', '  site: {')
      return site.replace('  site: {', '  app: {match: "none", to: [search]}\n  site: {')
    })
    await eventually('what was parked is delivered', LIMIT_MS, () => seqsOf('bad').length === 20)
    t.same(
      seqsOf('bad'),
      seqsOf('bad').toSorted((one, other) => one - other),
      'in order'
    )
    t.equal(await again.stop(), 0)
  }
)
