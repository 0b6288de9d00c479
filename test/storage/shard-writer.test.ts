import t from 'tap'
import { FakeClock, settled } from '../support/fake-clock.ts'
import { ShardHarness } from '../support/shard-harness.ts'
import { SimulatedStorage } from '../support/simulated-storage.ts'

const range = (first: number, count: number) => Array.from({ length: count }, (_, at) => first + at)

function newShard(options: Partial<ConstructorParameters<typeof ShardHarness>[0]> = {}) {
  const storage = new SimulatedStorage()
  const clock = new FakeClock()
  return { storage, clock, shard: new ShardHarness({ storage, clock, ...options }) }
}

t.test('what is acked can be read back in order', async (t) => {
  const { shard } = newShard()
  t.equal(shard.append(range(0, 5)), true)
  t.equal(shard.append(range(5, 5), { tag: 'other' }), true)
  t.same(shard.acked, [], 'no ack from within append')
  shard.writer.commit()
  await settled()
  t.same(shard.acked, range(0, 10))
  t.same(shard.ids, range(0, 10))
})
