import t, { type Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { FakeOpenSearch } from '../support/fake-opensearch.ts'
import { freePort } from '../support/free-port.ts'
import { arrivedSeqs, imbalance, missingSeqs, queuesOf } from '../support/numbered-load.ts'
import { startRouter } from '../support/router-process.ts'

const LIMIT_MS = 60_000
const PAD = 'x'.repeat(200)
/** About 200 records fill a request; 20,000 leave their slots while nothing works. */
const OLD_COUNT = 25_000
const NEW_COUNT = 20

t.setTimeout(180_000)

/** An outage with a backlog behind it; what is old then trickles in, as often as `release` is called. */
async function afterOutage(t: Test) {
  const [http, adminPort, searchPort] = [await freePort(), await freePort(), await freePort()]
  const config = `
version: 1
data_dir: ./data
admin: {listen: "127.0.0.1:${adminPort}"}
queue: {segment_bytes: 1MiB}
threads: {ingest: 1, pool: 1}
inputs:
  web: {type: http, listen: "tcp://127.0.0.1:${http}"}
routes:
  app:
    match: "**"
    steps: [{docker_partial: {mode: pass}}]
    to: [{output: search, drain_order: newest_first, lag_threshold: 1s}]
outputs:
  search: {type: opensearch, endpoints: ["http://127.0.0.1:${searchPort}"], index: logs, bulk_bytes: 64KiB, inflight_max: 4, flush_interval: 20ms, retry: {base: 50ms, cap: 200ms}}
`
  const folder = t.testdir()
  const start = () => startRouter(t, { folder, config, adminPort })
  let seq = 0
  const post = async (count: number) => {
    const records = Array.from({ length: count }, () => ({ seq: seq++, pad: PAD }))
    const answer = await fetch(`http://127.0.0.1:${http}/app`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(records)
    })
    if (answer.status !== 200) throw new Error(`${answer.status} ${await answer.text()}`)
    return records.map((record) => record.seq)
  }
  const router = await start()
  for (let part = 0; part < 20; part++) await post(OLD_COUNT / 20)
  const postedMs = Date.now()
  await eventually('the backlog is older than the threshold', LIMIT_MS, async () => {
    const [cursor] = (await queuesOf(router)).cursors
    return cursor?.pending === OLD_COUNT && Date.now() - postedMs > 3500
  })
  const search = new FakeOpenSearch({ port: searchPort })
  t.teardown(() => search.stop())
  const held: (() => void)[] = []
  let isOpen = false
  search.gate = async (body) => {
    const isOld = JSON.parse(body.split('\n', 2)[1] ?? '').seq < OLD_COUNT
    if (isOld && !isOpen) await new Promise<void>((resolve) => held.push(resolve))
  }
  await search.start()
  return {
    search,
    router,
    start,
    post,
    release: () => held.shift()?.(),
    open() {
      isOpen = true
      for (const resolve of held.splice(0)) resolve()
    }
  }
}

/** Lets the old records trickle until the shard is split, then brings new ones. */
async function newOvertakesOld(t: Test, outage: Awaited<ReturnType<typeof afterOutage>>) {
  const { post, release, router, search } = outage
  let looks = 0
  await eventually('new records go first', LIMIT_MS, async () => {
    // Slower than the visible end is looked at, so that the backlog lasts.
    if (looks++ % 10 === 0) release()
    return (await router.metric('millrace_queue_backfilling')) === 1
  })
  const fresh = await post(NEW_COUNT)
  await eventually('new records arrive', LIMIT_MS, () => {
    release()
    return missingSeqs(fresh, arrivedSeqs(search)).length === 0
  })
  const [cursor] = (await queuesOf(router)).cursors
  t.ok((cursor?.pending ?? 0) > OLD_COUNT / 4, `${cursor?.pending} old records still wait`)
  t.equal(await router.metric('millrace_queue_backfilling'), 1)
  return fresh
}

t.test('Q37 after an outage new records arrive before the backlog, each once', async (t) => {
  const outage = await afterOutage(t)
  const { open, router, search } = outage
  await newOvertakesOld(t, outage)
  open()
  const done = await eventually('the backlog completes', LIMIT_MS, async () => {
    const [cursor] = (await queuesOf(router)).cursors
    return cursor?.pending === 0 ? cursor : null
  })
  t.equal(imbalance(done), 0)
  t.match(done, { delivered: OLD_COUNT + NEW_COUNT, duplicateSuppressed: 0, lost: {}, dropped: {} })
  t.equal(search.documents.length, OLD_COUNT + NEW_COUNT)
  t.ok(
    search.documents.every(({ createCount }) => createCount === 1),
    'nothing was sent twice'
  )
  await eventually('one lane again', LIMIT_MS, async () => {
    return (await router.metric('millrace_queue_backfilling')) === 0
  })
  t.equal(await router.stop(), 0)
})

t.test('Q37 a kill in the middle of the backfill loses and doubles nothing', async (t) => {
  const outage = await afterOutage(t)
  const { open, post, search, start } = outage
  const fresh = await newOvertakesOld(t, outage)
  await eventually('the cursor is on disk', LIMIT_MS, async () => {
    return (await outage.router.metric('millrace_queue_cursor_persist_seconds_count')) > 0
  })
  await outage.router.kill()
  open()
  const router = await start()
  const later = await post(NEW_COUNT)
  const done = await eventually('the backlog completes', LIMIT_MS, async () => {
    const [cursor] = (await queuesOf(router)).cursors
    return cursor?.pending === 0 ? cursor : null
  })
  t.equal(imbalance(done), 0)
  t.match(done, { deadLettered: 0, lost: {}, dropped: {} })
  const seqs = arrivedSeqs(search)
  t.equal(seqs.length, OLD_COUNT + 2 * NEW_COUNT, 'each has one document')
  t.same(missingSeqs([...Array(OLD_COUNT).keys(), ...fresh, ...later], seqs), [])
  t.equal(await router.stop(), 0)
})
