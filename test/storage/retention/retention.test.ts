import t from 'tap'
import type { Cursor } from '../../../src/storage/cursor/cursor.ts'
import {
  bytesFrom,
  deleteBelow,
  dropOldest,
  type Holder,
  heldOffset,
  isDurablyPassed,
  offsetBefore,
  oldestComplete,
  passSegment
} from '../../../src/storage/retention/retention.ts'
import { FakeClock, settled } from '../../support/fake-clock.ts'
import { DIRECTORY, openCursor, ShardHarness } from '../../support/shard-harness.ts'
import { SimulatedStorage } from '../../support/simulated-storage.ts'

const holderOf = (cursor: Cursor, rest: Partial<Holder> = {}): Holder => ({
  cursor,
  isRequired: true,
  lagBytesMax: null,
  inFlightWithin: () => [],
  ...rest
})

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
    const dropped = await dropOldest(shard.segments, [holderOf(one), holderOf(other)])
    t.match(dropped, { segmentCount: 1 })
    t.equal(one.passCount, 2)
    t.equal(one.passReason, 'overflow_oldest')
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

t.test('Q26 what is on the wire is not dropped, the rest of its segment is', async (t) => {
  const { storage, shard } = await filled()
  const cursor = openCursor(storage)
  const endOffset = shard.segments.at(0)?.endOffset ?? 0
  const busy: [number, number][] = [
    [2, 4],
    [3, 5]
  ]
  const holder = holderOf(cursor, { inFlightWithin: () => busy })
  t.equal(await dropOldest(shard.segments, [holder]), null, 'the segment stays')
  t.same(cursor.missing(0, endOffset), [[2, 5]])
  t.match(cursor.account(40).dropped, { overflow_oldest: endOffset - 3 })
  cursor.finish(2, 5, 'delivered')
  busy.length = 0
  t.match(await dropOldest(shard.segments, [holder]), { segmentCount: 1 }, 'now it goes')
  t.match(cursor.account(40), {
    delivered: 3,
    dropped: { overflow_oldest: endOffset - 3 },
    isExact: true
  })
})

t.test('the segment that is written is not dropped', async (t) => {
  const small = await filled(2)
  const cursor = openCursor(small.storage)
  t.equal(await dropOldest(small.shard.segments, [holderOf(cursor)]), null)
})

t.test('an idle shard whose segment was closed shrinks to nothing, and goes on', async (t) => {
  const { clock, storage, shard } = await filled(3)
  const cursor = openCursor(storage)
  cursor.finish(0, 3, 'delivered')
  t.ok(await isDurablyPassed([holderOf(cursor)], 3))
  t.match(deleteBelow(shard.segments, 3), { segmentCount: 0 }, 'it may still be written')
  t.ok(shard.writer.seal())
  await settled()
  t.same(shard.closed, [0])
  t.match(deleteBelow(shard.segments, 3), { segmentCount: 1 })
  t.equal(segmentCount(storage), 0)
  t.equal(shard.segments.oldestOffset, 3)
  shard.append([3])
  shard.writer.commit()
  await settled()
  t.same(shard.ids, [3])
  deleteBelow(shard.segments, 4)
  const again = new ShardHarness({ storage, clock, cursorHighOffset: 3 })
  t.same(again.ids, [3], 'offsets go on behind what was deleted')
})

t.test('without a cursor the newest segment stays: it alone knows the offsets', async (t) => {
  const { shard } = await filled(3)
  shard.writer.seal()
  await settled()
  t.ok(oldestComplete(shard.segments))
  t.equal(await dropOldest(shard.segments, []), null)
})

t.test('a cursor with every range in use can still be moved', async (t) => {
  const { shard, storage } = await filled(40)
  const cursor = openCursor(storage)
  const { segments } = shard
  for (let at = 0; at < 4000; at++) cursor.finish(at * 2 + 1, at * 2 + 2, 'delivered')
  for (const { ordinal } of segments.all) {
    const segment = segments.at(ordinal)
    if (segment !== null) passSegment(segments, [holderOf(cursor)], segment, 'lag')
  }
  t.equal(cursor.lowOffset, 40)
  t.match(cursor.account(40), { dropped: { lag: 20 }, isExact: true })
})

t.test('what a missing file held is lost and not dropped', async (t) => {
  const { clock, storage, shard } = await filled()
  const cursor = openCursor(storage)
  const gone = shard.segments.at(0)
  await shard.writer.close()
  storage.unlink(gone?.path ?? '')
  const again = new ShardHarness({ storage, clock, segmentBytes: 2048 })
  const { endOffset = 0 } = gone ?? {}
  const first = again.segments.at(0)
  t.equal(first?.firstOffset, endOffset)
  t.match(await dropOldest(again.segments, [holderOf(cursor)]), { segmentCount: 1 })
  t.match(cursor.account(40), {
    lost: { corrupt: endOffset },
    dropped: { overflow_oldest: (first?.endOffset ?? 0) - endOffset },
    isExact: true
  })
})

t.test('bytes behind an offset, and the offset behind which so many bytes lie', async (t) => {
  const { shard } = await filled()
  const { segments } = shard
  const all = bytesFrom(segments, 0)
  const files = segments.all.reduce((sum, { ordinal }) => sum + segments.byteCountOf(ordinal), 0)
  t.equal(all, files)
  t.equal(bytesFrom(segments, 40), 0)
  t.equal(offsetBefore(segments, all), 0)
  t.equal(offsetBefore(segments, 0), 40)
  for (const offset of [1, 7, 20, 33, 39]) {
    const byteCount = bytesFrom(segments, offset)
    const found = offsetBefore(segments, byteCount)
    t.ok(Math.abs(found - offset) <= 1, `${byteCount} bytes lie behind ${offset}, found ${found}`)
    t.ok(bytesFrom(segments, found) <= byteCount + 200)
  }
})

t.test('nothing holds without a holding cursor', (t) => {
  t.equal(heldOffset([]), Number.POSITIVE_INFINITY)
  t.end()
})

t.test(
  'Q28 a start at 0 bytes free reads, counts and frees without a byte of new room',
  async (t) => {
    const { clock, storage, shard } = await filled()
    openCursor(storage).close()
    await shard.writer.close()
    storage.capacityBytes = 0
    t.ok(storage.statfs().freeBytes <= 0)
    const again = new ShardHarness({ storage, clock, segmentBytes: 2048 })
    t.equal(again.ids.length, 40)
    again.append([40])
    again.writer.commit()
    await settled()
    t.equal(again.writer.state, 'full')
    t.same(again.acked, [], 'nothing more is stored')
    const cursor = openCursor(storage)
    cursor.finish(0, 25, 'delivered')
    await cursor.persist()
    t.equal(cursor.durableLowOffset, 25)
    t.ok(deleteBelow(again.segments, 25).segmentCount > 0)
    t.equal(openCursor(storage).lowOffset, 25, 'it is on the disk')
  }
)
