import t from 'tap'
import { LIMIT_MS, refuse, world } from '../support/changing-router.ts'
import { eventually } from '../support/eventually.ts'
import { arrivedSeqs, imbalance, missingSeqs, queuesOf, totalOf } from '../support/numbered-load.ts'
import { metricOf } from '../support/queue-metrics.ts'

const MIB = 1024 * 1024
const PAD_BYTES = 2000

t.setTimeout(180_000)

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
  t.ok((await metricOf(before, 'pending_bytes', 'second')) > 3.5 * MIB)
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
  t.ok((await metricOf(after, 'dropped_bytes_total', 'second')) > 0)
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
