import t from 'tap'
import { LIMIT_MS, refuse, world } from '../support/changing-router.ts'
import { eventually } from '../support/eventually.ts'
import { arrivedSeqs, queuesOf } from '../support/numbered-load.ts'
import { gapOf, metricOf } from '../support/queue-metrics.ts'

const PAD_BYTES = 2000

t.setTimeout(180_000)

t.test('what drop_newest let go is counted after a stop and after a kill', async (t) => {
  const { first, load, start } = await world(t)
  refuse(first)
  const routes =
    '  all: {match: "**", max_bytes: 4MiB, overflow: drop_newest, drop_newest_ack: true, to: [first]}'
  const records = 4000
  const before = await start(routes)
  const sender = load({ padBytes: PAD_BYTES, recordsMax: records })
  await eventually('all is acked', LIMIT_MS, () => sender.acked.length === records)
  const dropped = await metricOf(before, 'dropped_records_total', 'first')
  t.ok(dropped > 0 && dropped < records, `${dropped} were let go`)
  t.equal(await gapOf(before, 'first'), 0)
  t.equal(await before.stop(), 0)

  const second = await start(routes)
  t.equal(await metricOf(second, 'dropped_records_total', 'first'), dropped, 'after a stop')
  t.equal(await metricOf(second, 'due_records_total', 'first'), records)
  t.equal(await gapOf(second, 'first'), 0)
  await second.kill()

  first.reset()
  const third = await start(routes)
  await eventually('nothing waits', LIMIT_MS, async () => {
    return (await third.metric('millrace_queue_pending_records')) === 0
  })
  const { cursors } = await queuesOf(third)
  t.match(cursors, [{ appended: records, dropped: { overflow_newest: dropped } }], 'after a kill')
  t.equal(await gapOf(third, 'first'), 0)
  t.equal(arrivedSeqs(first).length, records - dropped, 'what was not let go arrived, once')
  t.equal(await third.stop(), 0)
})
