import t from 'tap'
import { LIMIT_MS, refuse, world } from '../support/changing-router.ts'
import { eventually } from '../support/eventually.ts'
import { gapOf, metricOf } from '../support/queue-metrics.ts'

const PAD_BYTES = 2000

t.setTimeout(180_000)

t.test('the identity stands in /metrics through drops, a kill and a restart', async (t) => {
  const { second, load, start } = await world(t)
  refuse(second)
  const routes = `  all: {match: "**", max_bytes: 4MiB, overflow: drop_oldest, to: [first, second]}`
  const before = await start(routes)
  const records = 9000
  const sender = load({ padBytes: PAD_BYTES, recordsMax: records })
  await eventually('some were dropped', LIMIT_MS, async () => {
    return (await metricOf(before, 'dropped_records_total', 'second')) > 0
  })
  await eventually('all is acked', LIMIT_MS, () => sender.acked.length === records)
  await eventually('the one that works is done', LIMIT_MS, async () => {
    return (await metricOf(before, 'pending_records', 'first')) === 0
  })
  t.equal(await gapOf(before, 'first'), 0)
  t.equal(await gapOf(before, 'second'), 0, 'the other one moves by whole segments, and none comes')
  await before.kill()

  second.reset()
  const after = await start(routes)
  await eventually('nothing waits', LIMIT_MS, async () => {
    return (await after.metric('millrace_queue_pending_records')) === 0
  })
  for (const destination of ['first', 'second']) {
    t.equal(await gapOf(after, destination), 0)
    t.equal(await metricOf(after, 'due_records_total', destination), records)
    t.equal(await metricOf(after, 'cursor_reset_total', destination), 0)
  }
  t.ok((await metricOf(after, 'dropped_records_total', 'second')) > 0, 'drops outlive the process')
  t.ok((await after.metric('millrace_queue_cursor_persist_seconds_count')) > 0)
  t.equal(await after.metric('millrace_queue_blocked_seconds_total'), 0)
  t.equal(await after.stop(), 0)
})
