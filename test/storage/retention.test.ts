import t from 'tap'
import { deleteBelow, dropOldest, heldOffset, passOver } from '../../src/storage/retention.ts'
import { FakeClock, settled } from '../support/fake-clock.ts'
import { DIRECTORY, openCursor, ShardHarness } from '../support/shard-harness.ts'
import { SimulatedStorage } from '../support/simulated-storage.ts'

const never = () => false

async function filled(recordCount = 40) {
  const storage = new SimulatedStorage()
  const clock = new FakeClock()
  const shard = new ShardHarness({ storage, clock, segmentBytes: 2048 })
  for (let id = 0; id < recordCount; id++) {
    shard.append([id], { paddingBytes: 100 })
    shard.writer.commit()
    await settled()
  }
  return { storage, clock, shard }
}

const segmentCount = (storage: SimulatedStorage) =>
  storage.readdir(DIRECTORY).filter((name) => name.endsWith('.seg')).length

t.test(
  'R3 a segment goes when every holding cursor has durably passed it, not before',
  async (t) => {
    const { storage, shard } = await filled()
    const before = segmentCount(storage)
    const fast = openCursor(storage, 0, 'fast')
    const slow = openCursor(storage, 0, 'slow')
    fast.finish(0, 40, 'delivered')
    await fast.persist()
    t.match(deleteBelow(shard.segments, heldOffset([fast, slow])), {
      segmentCount: 0,
      byteCount: 0
    })
    slow.finish(0, 25, 'delivered')
    t.match(deleteBelow(shard.segments, heldOffset([fast, slow])), { segmentCount: 0 })
    await slow.persist()
    const deletion = deleteBelow(shard.segments, heldOffset([fast, slow]))
    t.ok(deletion.segmentCount > 0 && deletion.byteCount > 0)
    t.equal(segmentCount(storage), before - deletion.segmentCount)
    t.ok(shard.segments.oldestOffset <= 25)
    t.same(
      shard.readAll(25).records.map(({ id }) => id),
      Array.from({ length: 15 }, (_, index) => 25 + index)
    )
    const order = storage.log.map(({ name, path }) => `${name} ${path.split('.').at(-1)}`)
    t.ok(order.lastIndexOf('datasync cur') < order.indexOf('unlink seg'), 'cursor first, then file')
  }
)

t.test('the segment that is written is never deleted', async (t) => {
  const { storage, shard } = await filled(3)
  deleteBelow(shard.segments, Number.POSITIVE_INFINITY)
  t.equal(segmentCount(storage), 1)
  t.same(shard.ids, [0, 1, 2])
})

t.test(
  'Q26 drop_oldest: delivered + dropped = appended, exact, for each destination',
  async (t) => {
    const { storage, shard } = await filled()
    const one = openCursor(storage, 0, 'one')
    const other = openCursor(storage, 0, 'other')
    one.finish(0, 3, 'delivered', 300)
    one.finish(5, 6, 'delivered', 100)
    const readable = shard.segments.at(0)
    const endOffset = readable?.endOffset ?? 0
    t.ok(endOffset > 6)
    const dropped = await dropOldest(shard.segments, [one, other], 'dropped:overflow_oldest', never)
    t.same(
      [...(dropped?.records ?? [])],
      [
        ['one', endOffset - 4],
        ['other', endOffset]
      ]
    )
    t.equal(one.durableLowOffset, endOffset)
    t.match(one.account(40), {
      appended: 40,
      delivered: 4,
      dropped: { overflow_oldest: endOffset - 4 },
      pending: 40 - endOffset,
      isExact: true
    })
    t.match(other.account(40), { dropped: { overflow_oldest: endOffset }, isExact: true })
    t.equal(shard.segments.oldestOffset, endOffset)
  }
)

t.test('what is in flight is not dropped, nor the segment that is written', async (t) => {
  const { storage, shard } = await filled()
  const cursor = openCursor(storage)
  t.equal(await dropOldest(shard.segments, [cursor], 'dropped:overflow_oldest', () => true), null)
  t.equal(cursor.lowOffset, 0)
  const small = await filled(2)
  t.equal(await dropOldest(small.shard.segments, [], 'dropped:overflow_oldest', never), null)
})

t.test('a cursor with every range in use can still be moved', (t) => {
  const storage = new SimulatedStorage()
  storage.mkdir(DIRECTORY)
  const cursor = openCursor(storage)
  for (let at = 0; at < 4000; at++) cursor.finish(at * 2 + 1, at * 2 + 2, 'delivered')
  t.equal(passOver(cursor, 8000, 'dropped:lag'), 4000)
  t.equal(cursor.lowOffset, 8000)
  t.end()
})

t.test('nothing holds without a holding cursor', (t) => {
  t.equal(heldOffset([]), Number.POSITIVE_INFINITY)
  t.end()
})
