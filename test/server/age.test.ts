import t from 'tap'
import { LIMIT_MS, refuse, world } from '../support/changing-router.ts'
import { eventually } from '../support/eventually.ts'
import { arrivedSeqs, imbalance, queuesOf, totalOf } from '../support/numbered-load.ts'
import { metricOf } from '../support/queue-metrics.ts'

const MIB = 1024 * 1024
const PAD_BYTES = 2000

t.setTimeout(180_000)

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

t.test('max_age drops what waits too long, for its route alone, and exactly', async (t) => {
  const { first, second, load, start } = await world(t)
  refuse(first)
  refuse(second)
  const router = await start(`
  short: {match: "**", continue: true, max_age: 2s, to: [first]}
  long: {match: "**", max_age: 1h, to: [second]}`)
  const records = 400
  const sender = load({ recordsMax: records })
  await eventually('all is acked', LIMIT_MS, () => sender.acked.length === records)
  await eventually('all of it is too old', LIMIT_MS, async () => {
    return totalOf(await queuesOf(router), 'short', 'first').dropped === records
  })
  t.match(totalOf(await queuesOf(router), 'long', 'second'), { dropped: 0, pending: records })
  first.reset()
  second.reset()
  const more = load({ recordsMax: 100 })
  await eventually('more is acked', LIMIT_MS, () => more.acked.length === 100)
  await eventually('nothing waits', LIMIT_MS, async () => {
    return (await router.metric('millrace_queue_pending_records')) === 0
  })
  const { cursors } = await queuesOf(router)
  const short = cursors.find(({ route }) => route === 'short')
  t.same(Object.keys(short?.dropped ?? {}), ['expired'])
  t.same(cursors.map(imbalance), [0, 0])
  t.equal(arrivedSeqs(first).length, short?.delivered, 'nothing arrived that was dropped')
  t.equal(arrivedSeqs(second).length, records + 100)
  t.ok((await metricOf(router, 'dropped_bytes_total', 'first')) > 0)
  t.equal(await router.stop(), 0)
})
