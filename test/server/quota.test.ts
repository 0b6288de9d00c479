// A quota is full that statfs knows nothing of: writes fail with EDQUOT while the volume has space.

import { dirname } from 'node:path'
import t, { type Test } from 'tap'
import { LIMIT_MS, refuse, world } from '../support/changing-router.ts'
import { eventually } from '../support/eventually.ts'
import { compiler, compileShim, Faults } from '../support/fault-shim.ts'
import { arrivedSeqs, imbalance, missingSeqs, queuesOf, totalOf } from '../support/numbered-load.ts'
import { requireAll } from '../support/require-program.ts'

const PAD_BYTES = 2000

t.setTimeout(180_000)

const overQuota = {
  call: 'write',
  path: '/routes/all/shard-00/0',
  action: 'EDQUOT',
  count: 0
} as const

requireAll(t, [[compiler, 'a C compiler (cc)']], () => {
  t.test('EDQUOT with drop_oldest: the oldest goes, counted, until a write works', async (t) => {
    const { env, faults, first, load, start } = await faultyWorld(t)
    refuse(first)
    const router = await start(
      '  all: {match: "**", max_bytes: 16MiB, overflow: drop_oldest, to: [first]}',
      { env }
    )
    const sender = load({ padBytes: PAD_BYTES })
    await eventually('some segments are there', LIMIT_MS, async () => {
      return (await queuesOf(router)).shards.some(({ segments }) => segments > 3)
    })
    t.match(totalOf(await queuesOf(router), 'all', 'first'), { dropped: 0 })
    faults.set(overQuota)
    await eventually('the oldest goes', LIMIT_MS, async () => {
      return totalOf(await queuesOf(router), 'all', 'first').dropped > 0
    })
    t.ok((await router.metric('millrace_queue_volume_free_bytes')) > 0, 'statfs says nothing')
    t.match(router.log, /EDQUOT/)
    faults.clear()
    const acked = sender.acked.length
    await eventually('acks go on', LIMIT_MS, () => sender.acked.length > acked + 500)
    sender.close()
    await eventually('every chunk is acked', LIMIT_MS, () => sender.unackedChunks === 0)
    first.reset()
    await eventually('the rest is delivered', LIMIT_MS, async () => {
      return totalOf(await queuesOf(router), 'all', 'first').pending === 0
    })
    const end = totalOf(await queuesOf(router), 'all', 'first')
    t.equal(end.delivered + end.dropped, end.appended)
    t.equal(end.appended, sender.acked.length, 'what was not acked was not counted as stored')
    const arrived = arrivedSeqs(first)
    t.equal(arrived.length, end.delivered, 'nothing arrived that was dropped')
    const newest = sender.acked.toSorted((one, other) => other - one).slice(0, end.delivered)
    t.same(missingSeqs(newest, arrived), [], 'the oldest went')
    t.same((await queuesOf(router)).cursors.map(imbalance), [0])
    t.equal(await router.stop(), 0)
  })

  t.test('EDQUOT with block: senders wait, the drain goes on, nothing is lost', async (t) => {
    const { env, faults, first, load, start } = await faultyWorld(t)
    refuse(first)
    const router = await start('  all: {match: "**", to: [first]}', { env })
    const sender = load({ padBytes: PAD_BYTES })
    await eventually('records are acked', LIMIT_MS, () => sender.acked.length > 500)
    faults.set(overQuota)
    await eventually('it is full', LIMIT_MS, async () => {
      return (await queuesOf(router)).shards[0]?.state === 'full'
    })
    first.reset()
    await eventually('what was stored is delivered', LIMIT_MS, async () => {
      return totalOf(await queuesOf(router), 'all', 'first').pending === 0
    })
    const { appended } = totalOf(await queuesOf(router), 'all', 'first')
    await eventually('that is acked, and nothing else', LIMIT_MS, () => {
      return sender.acked.length === appended
    })
    t.ok(sender.unackedChunks > 0, 'chunks wait')
    const acked = sender.acked.length
    faults.clear()
    await eventually('acks go on', LIMIT_MS, () => sender.acked.length > acked + 500)
    sender.close()
    await eventually('all is delivered', LIMIT_MS, async () => {
      const { pending } = totalOf(await queuesOf(router), 'all', 'first')
      return sender.unackedChunks === 0 && pending === 0
    })
    const end = totalOf(await queuesOf(router), 'all', 'first')
    t.match(end, { delivered: sender.acked.length, dropped: 0, lost: 0 })
    t.same(missingSeqs(sender.acked, arrivedSeqs(first)), [])
    t.equal(await router.stop(), 0)
  })
})

/** A world whose routers have a disk with faults. */
async function faultyWorld(t: Test) {
  const made = await world(t)
  const faults = new Faults(compileShim(dirname(made.dataDir)), dirname(made.dataDir))
  t.teardown(() => faults.close())
  return { ...made, faults, env: faults.env }
}
