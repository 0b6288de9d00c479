import t from 'tap'
import { LIMIT_MS, refuse, world } from '../support/changing-router.ts'
import { eventually } from '../support/eventually.ts'
import { arrivedSeqs } from '../support/numbered-load.ts'
import { gapOf } from '../support/queue-metrics.ts'

const MIB = 1024 * 1024
const PAD_BYTES = 2000

t.setTimeout(180_000)

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

t.test('a lane is full with its part, on one thread too, and the other lane goes on', async (t) => {
  const { first, load, start } = await world(t)
  refuse(first)
  const route = '  all: {match: "**", max_bytes: 8MiB, lanes: 2, shard_by: tag, to: [first]}'
  const router = await start(route, { ingest: 2 })
  const sender = load({ padBytes: PAD_BYTES })
  await eventually('its lane is full', LIMIT_MS, async () => {
    return (await router.metric('millrace_queue_blocked_now')) === 1
  })
  const held = await router.metric('millrace_queue_disk_bytes')
  t.ok(held >= 3.5 * MIB && held < 5 * MIB, `${held} bytes: half of the limit, not a quarter`)
  // Each tag has its lane; the first that is acked has the other one.
  const probes = Array.from({ length: 12 }, (_, n) => ({ tag: `probe.${n}`, recordsMax: 20 }))
  const probed = probes.map((probe) => ({ probe, sender: load(probe) }))
  const other = await eventually('the other lane takes records', LIMIT_MS, () => {
    return probed.find((each) => each.sender.acked.length === 20) ?? null
  })
  const more = load({ tag: other.probe.tag, padBytes: PAD_BYTES })
  await eventually('both lanes are full', LIMIT_MS, async () => {
    return (await router.metric('millrace_queue_disk_bytes')) >= 7 * MIB
  })
  first.reset()
  for (const each of [sender, more]) each.close()
  const senders = [sender, more, ...probed.map((each) => each.sender)]
  await eventually('every chunk is acked', LIMIT_MS, () => {
    return senders.every(({ unackedChunks }) => unackedChunks === 0)
  })
  await eventually('all is delivered', LIMIT_MS, async () => {
    return (await router.metric('millrace_queue_pending_records')) === 0
  })
  const acked = senders.reduce((sum, each) => sum + each.acked.length, 0)
  t.equal(arrivedSeqs(first).length, acked)
  t.equal(await gapOf(router, 'first'), 0)
  t.equal(await router.stop(), 0)
})
