import t, { type Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { FakeOpenSearch } from '../support/fake-opensearch.ts'
import { frame, sendFrames } from '../support/forward-sender.ts'
import { freePort } from '../support/free-port.ts'
import {
  arrivedSeqs,
  missingSeqs,
  NumberedLoad,
  queuesOf,
  totalOf
} from '../support/numbered-load.ts'
import { startRouter } from '../support/router-process.ts'

const LIMIT_MS = 60_000
const MAX_BYTES = 4 * 1024 * 1024
const PAD_BYTES = 2000

t.setTimeout(180_000)

/** A route `small` with the given options to an output that is down, and a route `rest` to one that is up. */
async function setUp(t: Test, routeOptions: string) {
  const down = await new FakeOpenSearch().start()
  const up = await new FakeOpenSearch().start()
  t.teardown(() => Promise.all([down.stop(), up.stop()]))
  const refuse = () =>
    down.plan(...Array.from({ length: 20_000 }, () => ({ kind: 'status' as const, status: 503 })))
  refuse()
  const port = await freePort()
  const http = await freePort()
  const adminPort = await freePort()
  const flow =
    'index: logs, flush_interval: 50ms, bulk_bytes: 256KiB, retry: {base: 20ms, cap: 200ms}'
  const config = `
version: 1
data_dir: ./data
admin: {listen: "127.0.0.1:${adminPort}"}
inputs:
  load: {type: forward, listen: "tcp://127.0.0.1:${port}"}
  web: {type: http, listen: "tcp://127.0.0.1:${http}"}
routes:
  small: {match: "small.**", max_bytes: 4MiB, ${routeOptions}, to: [down]}
  rest: {match: "**", to: [up]}
outputs:
  down: {type: opensearch, endpoints: ["${down.url}"], ${flow}}
  up: {type: opensearch, endpoints: ["${up.url}"], ${flow}}
`
  const router = await startRouter(t, { folder: t.testdir(), config, adminPort })
  const load = (tag: string, options: object = {}) => {
    const made = new NumberedLoad({ port, tag, padBytes: PAD_BYTES, ...options }).start()
    t.teardown(() => made.stop())
    return made
  }
  const post = (tag: string) =>
    fetch(`http://127.0.0.1:${http}/${tag}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '[{"seq":-1}]'
    })
  const total = async (name: 'down' | 'up') =>
    totalOf(await queuesOf(router), name === 'down' ? 'small' : 'rest', name)
  const diskBytes = async () => {
    const { shards } = await queuesOf(router)
    return shards
      .filter(({ route }) => route === 'small')
      .reduce((sum, shard) => sum + shard.diskBytes, 0)
  }
  const refused = async () => (await total('down')).dropped
  return { router, port, down, up, load, post, total, diskBytes, refused }
}

t.test('a full route with block pauses its senders alone and loses nothing', async (t) => {
  const { diskBytes, down, load, post, router, total, up } = await setUp(t, 'overflow: block')
  const held = load('small.a', { window: 2 })
  await eventually('the queue is full', LIMIT_MS, async () => (await diskBytes()) >= MAX_BYTES)
  const ackedFull = await eventually('acks have stopped', LIMIT_MS, async () => {
    const before = held.acked.length
    const other = load('other.probe', { recordsMax: 20 })
    await eventually('the other route acks', LIMIT_MS, () => other.acked.length === 20)
    other.stop()
    return before === held.acked.length ? before : null
  })
  t.equal(held.connects, 1, 'the connection stays open')
  t.ok(held.unackedChunks > 0, 'chunks wait for their ack')
  t.ok((await diskBytes()) < MAX_BYTES * 1.5, `the disk holds ${await diskBytes()} bytes`)

  const answer = await post('small.http')
  t.equal(answer.status, 503)
  t.match(answer.headers.get('retry-after'), /^\d+$/)
  t.equal((await post('other.http')).status, 200, 'another route takes HTTP')

  const reason = await eventually('not ready', LIMIT_MS, async () => {
    const ready = await fetch(`${router.adminUrl}/readyz`)
    return ready.status === 503 ? await ready.text() : null
  })
  t.match(reason, /small\/00 is full: max_bytes is reached/)
  t.equal(held.acked.length, ackedFull, 'still no ack')
  await eventually('the other route is delivered', LIMIT_MS, async () => {
    return (await total('up')).pending === 0
  })
  t.ok(arrivedSeqs(up).length > 0)

  held.close()
  down.reset()
  await eventually('every chunk is acked', LIMIT_MS, () => held.unackedChunks === 0)
  await eventually('everything is delivered', LIMIT_MS, async () => {
    const { appended, pending } = await total('down')
    return appended === held.sent && pending === 0
  })
  t.match(await total('down'), { delivered: held.sent, dropped: 0, lost: 0 })
  t.same(missingSeqs(held.acked, arrivedSeqs(down)), [])
  t.equal(arrivedSeqs(down).length, held.sent)
  t.equal(held.connects, 1, 'one connection from first to last')
  await eventually('ready again', LIMIT_MS, async () => {
    return (await fetch(`${router.adminUrl}/readyz`)).status === 200
  })
  t.equal(await router.stop(), 0)
})

t.test('Q26 drop_oldest keeps the newest, near max_bytes, and counts every other', async (t) => {
  const { diskBytes, down, load, router, total } = await setUp(t, 'overflow: drop_oldest')
  const records = 12_000
  const held = load('small.a', { recordsMax: records })
  let most = 0
  await eventually('all is acked', LIMIT_MS, async () => {
    most = Math.max(most, await diskBytes())
    return held.acked.length === records
  })
  t.ok(most < MAX_BYTES * 2, `the disk held ${most} bytes at most`)
  t.match(await total('down'), { appended: records, delivered: 0 })
  const bytes = await eventually('the disk is near its bound', LIMIT_MS, async () => {
    const now = await diskBytes()
    return now <= MAX_BYTES * 1.3 ? now : null
  })
  const { dropped } = await total('down')
  t.comment(`${dropped} of ${records} dropped, ${bytes} bytes held`)
  t.ok(dropped > records / 2, 'most had to go')
  down.reset()
  await eventually('the rest is delivered', LIMIT_MS, async () => {
    return (await total('down')).pending === 0
  })
  const end = await total('down')
  t.equal(end.delivered + end.dropped, records, 'delivered + dropped = appended')
  t.equal(end.lost, 0)
  const { cursors } = await queuesOf(router)
  const cursor = cursors.find(({ destination }) => destination === 'down')
  t.same(Object.keys(cursor?.dropped ?? {}), ['overflow_oldest'])
  const arrived = arrivedSeqs(down)
  t.equal(arrived.length, end.delivered)
  const newest = Array.from({ length: end.delivered }, (_, n) => records - 1 - n)
  t.same(missingSeqs(newest, arrived), [], 'what arrived are the newest')
  t.equal(await router.stop(), 0)
})

const RECORDS = 4000

t.test('Q27 drop_newest with drop_newest_ack acks what it refuses, and counts it', async (t) => {
  const options = 'overflow: drop_newest, drop_newest_ack: true'
  const { down, load, router, refused, total } = await setUp(t, options)
  const held = load('small.a', { recordsMax: RECORDS })
  await eventually('all is acked', LIMIT_MS, () => held.acked.length === RECORDS)
  const count = await refused()
  t.ok(count > 0, `${count} were refused`)
  t.match(await total('down'), { appended: RECORDS, pending: RECORDS - count })
  t.equal(await router.metric('millrace_queue_dropped_records_total'), count)
  down.reset()
  await eventually('the rest is delivered', LIMIT_MS, async () => {
    return (await total('down')).pending === 0
  })
  t.equal(arrivedSeqs(down).length, RECORDS - count)
  t.equal(held.connects, 1)
  t.equal(await router.stop(), 0)
})

t.test('Q27 drop_newest without acks stores the oldest and counts the others', async (t) => {
  const { down, load, port, router, total } = await setUp(t, 'overflow: drop_newest')
  const pad = 'x'.repeat(PAD_BYTES)
  const frames = Array.from({ length: RECORDS }, (_, seq) =>
    frame('message', 'small.a', [{ seq, pad }], {})
  )
  await sendFrames({ host: '127.0.0.1', port }, frames)
  const count = await eventually('each was stored or refused', LIMIT_MS, async () => {
    const { appended, dropped } = await total('down')
    return appended === RECORDS ? dropped : null
  })
  t.ok(count > 0, `${count} were refused`)

  // A sender that waits for acks gets none: its connection is reset, and it keeps what it has.
  const keen = load('small.b', { recordsMax: 1, pauseMs: 50 })
  await eventually('it comes again', LIMIT_MS, () => keen.connects > 2)
  t.equal(keen.acked.length, 0)
  down.reset()
  await eventually('it is taken when there is room', LIMIT_MS, () => keen.acked.length === 1)
  await eventually('the rest is delivered', LIMIT_MS, async () => {
    return (await total('down')).pending === 0
  })
  const oldest = Array.from({ length: RECORDS - count }, (_, seq) => seq)
  t.same(missingSeqs(oldest, arrivedSeqs(down)), [], 'what is there are the oldest')
  t.equal(down.documents.length, RECORDS - count + 1)
  t.equal(await router.stop(), 0)
})

t.test('a message as large as max_bytes is delivered, and the next ones are taken', async (t) => {
  const { down, load, router, total } = await setUp(t, 'overflow: block')
  down.reset()
  // One message of 6 MiB fills the newest segment, which is deleted only when another one begins.
  for (let round = 1; round <= 3; round++) {
    const large = load('small.a', { recordsMax: 3000, chunkRecords: 3000 })
    await eventually(`message ${round} is acked`, LIMIT_MS, () => large.acked.length === 3000)
    large.stop()
  }
  await eventually('all is delivered', LIMIT_MS, async () => (await total('down')).pending === 0)
  t.match(await total('down'), { appended: 9000, delivered: 9000 })
  t.equal(await router.stop(), 0)
})
