import t from 'tap'
import { LIMIT_MS, refuse, world } from '../support/changing-router.ts'
import { eventually } from '../support/eventually.ts'
import { arrivedSeqs, imbalance, missingSeqs, queuesOf, totalOf } from '../support/numbered-load.ts'
import type { RouterProcess } from '../support/router-process.ts'

const MIB = 1024 * 1024
const PAD_BYTES = 2000

t.setTimeout(180_000)

/** Series of a metric, by their labels as printed. */
async function series(router: RouterProcess, name: string): Promise<Map<string, number>> {
  const found = new Map<string, number>()
  for (const line of (await router.metrics()).split('\n')) {
    const match = /^([a-z0-9_]+)(\{[^}]*\})? (\S+)$/.exec(line)
    if (match?.[1] === `millrace_queue_${name}`) found.set(match[2] ?? '', Number(match[3]))
  }
  return found
}

/** Sum of a metric over the series of one destination. */
async function of(router: RouterProcess, name: string, destination: string): Promise<number> {
  let sum = 0
  for (const [labels, value] of await series(router, name)) {
    if (labels.includes(`destination="${destination}"`)) sum += value
  }
  return sum
}

const TERMS = [
  'delivered_records_total',
  'dead_lettered_records_total',
  'moved_records_total',
  'dropped_records_total',
  'lost_records_total',
  'pending_records'
]

/** What /metrics says is due to a destination, minus what became of it. */
async function gap(router: RouterProcess, destination: string): Promise<number> {
  let left = await of(router, 'due_records_total', destination)
  for (const term of TERMS) left -= await of(router, term, destination)
  return left
}

t.test('Q30 a stuck destination that is no longer required gives its space back', async (t) => {
  const { first, second, load, start } = await world(t)
  refuse(second)
  const limits = 'match: "**", max_bytes: 4MiB'
  const before = await start(`  all: {${limits}, to: [first, second]}`)
  const sender = load({ padBytes: PAD_BYTES })
  await eventually('the queue is full', LIMIT_MS, async () => {
    return (await before.metric('millrace_queue_blocked_now')) === 1
  })
  await eventually('the other one is done', LIMIT_MS, async () => {
    return totalOf(await queuesOf(before), 'all', 'first').pending === 0
  })
  t.ok((await before.metric('millrace_queue_disk_bytes')) >= 4 * MIB)
  t.equal(await before.metric('millrace_queue_kept_bytes'), 0, 'all of it waits')
  t.ok((await of(before, 'pending_bytes', 'second')) > 3.5 * MIB)
  await before.stop()

  const after = await start(`  all: {${limits}, to: [first, {output: second, required: false}]}`)
  const acked = sender.acked.length
  const startedMs = performance.now()
  await eventually('records are taken again', LIMIT_MS, () => sender.acked.length > acked + 3000)
  t.comment(`3,000 records after ${Math.round(performance.now() - startedMs)} ms`)
  sender.close()
  await eventually('every chunk is acked', LIMIT_MS, () => sender.unackedChunks === 0)
  await eventually('all is delivered to the one', LIMIT_MS, async () => {
    return totalOf(await queuesOf(after), 'all', 'first').pending === 0
  })
  const { cursors } = await queuesOf(after)
  const lag = cursors.find(({ destination }) => destination === 'second')
  t.same(Object.keys(lag?.dropped ?? {}), ['lag'])
  t.same(cursors.map(imbalance), [0, 0])
  t.match(totalOf({ cursors } as never, 'all', 'first'), { dropped: 0, lost: 0 })
  t.ok((await of(after, 'dropped_bytes_total', 'second')) > 0)
  t.same(missingSeqs(sender.acked, arrivedSeqs(first)), [])

  second.reset()
  await eventually('the rest reaches the other', LIMIT_MS, async () => {
    return totalOf(await queuesOf(after), 'all', 'second').pending === 0
  })
  const end = totalOf(await queuesOf(after), 'all', 'second')
  t.equal(end.delivered + end.dropped, end.appended, 'delivered + dropped = appended')
  t.equal(arrivedSeqs(second).length, end.delivered, 'nothing arrived that was dropped')
  t.equal(await after.stop(), 0)
})

t.test('the identity stands in /metrics through drops, a kill and a restart', async (t) => {
  const { second, load, start } = await world(t)
  refuse(second)
  const routes = `  all: {match: "**", max_bytes: 4MiB, overflow: drop_oldest, to: [first, second]}`
  const before = await start(routes)
  const records = 9000
  const sender = load({ padBytes: PAD_BYTES, recordsMax: records })
  await eventually('some were dropped', LIMIT_MS, async () => {
    return (await of(before, 'dropped_records_total', 'second')) > 0
  })
  await eventually('all is acked', LIMIT_MS, () => sender.acked.length === records)
  await eventually('the one that works is done', LIMIT_MS, async () => {
    return (await of(before, 'pending_records', 'first')) === 0
  })
  t.equal(await gap(before, 'first'), 0)
  t.equal(await gap(before, 'second'), 0, 'the other one moves by whole segments, and none comes')
  await before.kill()

  second.reset()
  const after = await start(routes)
  await eventually('nothing waits', LIMIT_MS, async () => {
    return (await after.metric('millrace_queue_pending_records')) === 0
  })
  for (const destination of ['first', 'second']) {
    t.equal(await gap(after, destination), 0)
    t.equal(await of(after, 'due_records_total', destination), records)
    t.equal(await of(after, 'cursor_reset_total', destination), 0)
  }
  t.ok((await of(after, 'dropped_records_total', 'second')) > 0, 'drops outlive the process')
  t.ok((await after.metric('millrace_queue_cursor_persist_seconds_count')) > 0)
  t.equal(await after.metric('millrace_queue_blocked_seconds_total'), 0)
  t.equal(await after.stop(), 0)
})

t.test('one sender on one of several ingest threads may fill the whole limit', async (t) => {
  const { first, load, start } = await world(t)
  refuse(first)
  const route = '  all: {match: "**", max_bytes: 6MiB, to: [first]}'
  const router = await start(route, { ingest: 3 })
  const sender = load({ padBytes: PAD_BYTES, connections: 1 })
  await eventually('the queue is full', LIMIT_MS, async () => {
    return (await router.metric('millrace_queue_blocked_now')) === 1
  })
  const held = await router.metric('millrace_queue_disk_bytes')
  t.ok(held >= 5.5 * MIB && held < 7 * MIB, `${held} bytes held by one thread`)
  first.reset()
  sender.close()
  await eventually('every chunk is acked', LIMIT_MS, () => sender.unackedChunks === 0)
  await eventually('all is delivered', LIMIT_MS, async () => {
    return (await router.metric('millrace_queue_pending_records')) === 0
  })
  t.equal(arrivedSeqs(first).length, sender.acked.length)
  t.equal(await router.stop(), 0)
})

t.test(
  'keep holds delivered records, which count neither as pending nor against block',
  async (t) => {
    const { first, load, start } = await world(t)
    const router = await start('  all: {match: "**", max_bytes: 4MiB, keep: 1h, to: [first]}')
    const records = 5000
    const sender = load({ padBytes: PAD_BYTES, recordsMax: records })
    await eventually('all is acked', LIMIT_MS, () => sender.acked.length === records)
    await eventually('all is delivered', LIMIT_MS, async () => {
      return (await router.metric('millrace_queue_pending_records')) === 0
    })
    t.equal(arrivedSeqs(first).length, records, 'more than twice the limit went through')
    const kept = await eventually('delivered segments stay', LIMIT_MS, async () => {
      const bytes = await router.metric('millrace_queue_kept_bytes')
      return bytes > 2 * MIB ? bytes : null
    })
    t.ok(kept <= 4 * MIB, `${kept} bytes kept, within max_bytes`)
    t.equal(await router.metric('millrace_queue_pending_bytes'), 0)
    t.equal(await router.stop(), 0)
  }
)
