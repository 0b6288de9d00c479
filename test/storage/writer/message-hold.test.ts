// A message that comes to a shard in parts, over turns of the event loop.

import t from 'tap'
import type { MessageHolder } from '../../../src/storage/writer/append.ts'
import { FakeClock, settled } from '../../support/fake-clock.ts'
import { groupOf, type HarnessOptions, ShardHarness } from '../../support/shard-harness.ts'
import { SimulatedStorage } from '../../support/simulated-storage.ts'

const PART = { paddingBytes: 100_000 }

function newShard(options: Partial<HarnessOptions> = {}) {
  const storage = new SimulatedStorage()
  const clock = new FakeClock()
  return { storage, clock, shard: new ShardHarness({ storage, clock, ...options }) }
}

function newHolder(): MessageHolder & { readonly told: string[] } {
  const told: string[] = []
  return { told, onDurable: () => told.push('durable'), onLost: () => told.push('lost') }
}

const part = (shard: ShardHarness, ids: readonly number[], continues: boolean): boolean =>
  shard.writer.appendPart(groupOf(ids, { ...PART, continues }))

t.test(
  'a held message is seen when all of it is durable, and others wait until then',
  async (t) => {
    const { shard, storage } = newShard()
    shard.append([1])
    const holder = newHolder()
    t.equal(shard.writer.hold(holder), true)
    t.equal(shard.writer.hold(newHolder()), false, 'one at a time')
    t.equal(part(shard, [2, 3], true), true)
    t.equal(shard.append([9]), false, 'others find no room')
    shard.writer.commit()
    await settled()
    t.same(shard.ids, [1], 'what came before is durable by itself')
    t.equal(part(shard, [4], true), true)
    storage.isHoldingSyncs = true
    t.equal(part(shard, [5], false), true)
    await settled()
    t.same(holder.told, [])
    t.equal(shard.writer.unsyncedBytes, 0, 'nothing of it is kept in memory')
    t.equal(shard.append([9]), false)
    storage.isHoldingSyncs = false
    storage.completeSyncs(1)
    await settled()
    t.same(holder.told, ['durable'])
    t.same(shard.ids, [1, 2, 3, 4, 5])
    t.equal(shard.append([9]), true)
  }
)

t.test(
  'a message that is let go leaves nothing, and the next one stands in its place',
  async (t) => {
    const { shard } = newShard()
    shard.append([1])
    const holder = newHolder()
    shard.writer.hold(holder)
    part(shard, [2], true)
    part(shard, [3], true)
    shard.writer.letGo()
    t.equal(shard.append([4]), true)
    shard.writer.commit()
    await settled()
    t.same(shard.ids, [1, 4])
    t.same(holder.told, [], 'who lets go needs no word')
  }
)

t.test('a write that fails loses the message; given again it is stored once', async (t) => {
  const { shard, storage } = newShard()
  shard.append([1])
  shard.writer.commit()
  await settled()
  const holder = newHolder()
  shard.writer.hold(holder)
  part(shard, [2], true)
  storage.fail = ({ name }) => (name === 'writev' ? 'ENOSPC' : null)
  t.equal(part(shard, [3], true), false)
  await settled()
  t.same(holder.told, ['lost'])
  storage.fail = () => null
  shard.writer.probe()
  await settled()
  const again = newHolder()
  t.equal(shard.writer.hold(again), true)
  part(shard, [2], true)
  part(shard, [3], false)
  await settled()
  t.same(again.told, ['durable'])
  t.same(shard.ids, [1, 2, 3])
})

t.test('a sync that fails loses the held message and nothing that came before it', async (t) => {
  const { shard, storage } = newShard()
  storage.isHoldingSyncs = true
  shard.append([1])
  const holder = newHolder()
  shard.writer.hold(holder)
  part(shard, [2], true)
  part(shard, [3], false)
  await settled()
  storage.fail = ({ name }) => (name === 'datasync' ? 'EIO' : null)
  storage.isHoldingSyncs = false
  storage.completeSyncs(9)
  await settled()
  storage.fail = () => null
  t.same(holder.told, ['lost'])
  shard.writer.probe()
  await settled()
  await settled()
  t.same(shard.acked, [1], 'its frame was kept and written again')
  t.same(shard.ids, [1])
  const again = newHolder()
  t.equal(shard.writer.hold(again), true)
  part(shard, [2], true)
  part(shard, [3], false)
  await settled()
  t.same(again.told, ['durable'])
  t.same(shard.ids, [1, 2, 3])
})

t.test('a close while parts are missing ends the log before the message', async (t) => {
  const { shard, storage, clock } = newShard()
  shard.append([1])
  const holder = newHolder()
  shard.writer.hold(holder)
  part(shard, [2], true)
  await shard.writer.close()
  t.same(holder.told, ['lost'])
  const next = new ShardHarness({ storage, clock })
  t.same(next.ids, [1])
})

t.test(
  'power lost at every step: the message is whole or not there, and what was acked is',
  async (t) => {
    const run = async (storage: SimulatedStorage) => {
      const holder = newHolder()
      let shard: ShardHarness | null = null
      try {
        shard = new ShardHarness({ storage, clock: new FakeClock() })
        shard.append([1])
        shard.writer.commit()
        await settled()
        if (shard.writer.hold(holder)) for (const id of [2, 3, 4]) part(shard, [id], id < 4)
        await settled()
        shard.append([5])
        shard.writer.commit()
        await settled()
      } catch {
        // The power is gone.
      }
      return { acked: shard?.acked ?? [], holder }
    }
    const whole = new SimulatedStorage()
    await run(whole)
    const stepCount = whole.operationCount
    t.ok(stepCount > 6, `${stepCount} operations`)
    for (let step = 1; step <= stepCount; step++) {
      for (let seed = 1; seed <= 3; seed++) {
        const storage = new SimulatedStorage({ seed })
        storage.crashAtOperation = step
        const { acked, holder } = await run(storage)
        storage.crash()
        const next = new ShardHarness({ storage, clock: new FakeClock() })
        const ids = next.ids
        const parts = ids.filter((id) => id >= 2 && id <= 4)
        const isWhole = parts.length === 0 || parts.length === 3
        const isKept =
          acked.every((id) => ids.includes(id)) &&
          (holder.told[0] !== 'durable' || parts.length === 3)
        if (!isWhole || !isKept) t.fail(`step ${step}, seed ${seed}: ${ids}`)
      }
    }
    t.pass('every step')
  }
)
