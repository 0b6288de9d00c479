import t from 'tap'
import { skipRange } from '../../../src/storage/retention/cursor-moves.ts'
import { FakeClock, settled } from '../../support/fake-clock.ts'
import { openCursor, ShardHarness } from '../../support/shard-harness.ts'
import { SimulatedStorage } from '../../support/simulated-storage.ts'

const RECORDS = 40

async function filled() {
  const storage = new SimulatedStorage()
  const clock = new FakeClock()
  const shard = new ShardHarness({ storage, clock, segmentBytes: 2048 })
  for (let id = 0; id < RECORDS; id++) {
    shard.append([id], { paddingBytes: 100 })
    shard.writer.commit()
    await settled()
  }
  return { storage, clock, shard }
}

t.test(
  'a skip leaves what is finished and what is on the wire, and flights learn of it',
  async (t) => {
    const { storage, shard } = await filled()
    const cursor = openCursor(storage)
    cursor.finish(12, 14, 'delivered')
    const onWire = [
      [3, 5],
      [8, 11],
      [9, 10],
      [18, 25]
    ] as const
    t.equal(skipRange(shard.segments, cursor, 4, 20, onWire).dropped, 3 + 1 + 4)
    t.same(cursor.missing(0, RECORDS), [
      [0, 5],
      [8, 11],
      [18, RECORDS]
    ])
    t.equal(cursor.passCount, 3, 'rows that are rendered are looked through')
    t.equal(cursor.passReason, 'operator')
    t.equal(
      skipRange(shard.segments, cursor, 4, 20).dropped,
      1 + 3 + 2,
      'the rest, when it is back'
    )
    t.equal(
      skipRange(shard.segments, cursor, 0, 1000).dropped,
      RECORDS - 2 - 14,
      'up to the end at most'
    )
    t.match(cursor.account(RECORDS), {
      delivered: 2,
      dropped: { operator: RECORDS - 2 },
      pending: 0,
      isExact: true
    })
  }
)

t.test("offsets that a start found to be nobody's are not counted as dropped", async (t) => {
  const { clock, storage, shard } = await filled()
  await shard.writer.close()
  const cursor = openCursor(storage)
  const lastOffset = RECORDS + 10
  const again = new ShardHarness({
    storage,
    clock,
    segmentBytes: 2048,
    cursorHighOffset: lastOffset
  })
  again.append([RECORDS])
  again.writer.commit()
  await settled()
  const { endOffset } = again.segments
  t.equal(endOffset, lastOffset + 1)
  const holes = again.segments.holesWithin(0, endOffset)
  t.match(holes, [{ firstOffset: RECORDS, endOffset: lastOffset }])
  t.equal(skipRange(again.segments, cursor, 0, endOffset).dropped, RECORDS + 1)
  t.match(cursor.account(endOffset), {
    dropped: { operator: RECORDS + 1 },
    isExact: true,
    pending: 0
  })
})

t.test('a skip for which the cursor has no room says so and can be done nearer', async (t) => {
  const { storage, shard } = await filled()
  const cursor = openCursor(storage)
  for (let at = 100; cursor.hasRoom; at += 2) cursor.finish(at, at + 1, 'delivered')
  t.throws(() => skipRange(shard.segments, cursor, 10, 20), {
    code: 'MR_USAGE',
    message: /remembers no more ranges; 0 records were skipped. Skip from offset 0 on/
  })
  t.equal(skipRange(shard.segments, cursor, 0, 20).dropped, 20)
})

t.test(
  'a skip counts the records of a missing file as lost, and bytes of the others',
  async (t) => {
    const { clock, storage, shard } = await filled()
    await shard.writer.close()
    const segments = shard.segments.all.map(({ ordinal }) => shard.segments.at(ordinal))
    const [whole, gone, behind] = segments
    if (!whole || !gone || !behind) throw new Error('too few segments')
    storage.unlink(gone.path)
    const size = (path: string) => storage.stat(path)?.byteCount ?? 0
    const missing = gone.endOffset - gone.firstOffset
    const check = (title: string, parts: ShardHarness['segments'], name: string) => {
      const cursor = openCursor(storage, 0, name)
      const end = behind.endOffset
      t.same(skipRange(parts, cursor, 0, end), { dropped: end - missing, lost: missing }, title)
      t.match(cursor.account(RECORDS), {
        dropped: { operator: end - missing },
        lost: { corrupt: missing },
        pending: RECORDS - end,
        isExact: true
      })
      t.equal(
        cursor.counts.get('dropped:operator')?.bytes,
        size(whole.path) + size(behind.path),
        'by the sizes of the segments'
      )
    }
    check('it vanished while its shard was open', shard.segments, 'live')
    check('it was gone at the start', new ShardHarness({ storage, clock }).segments, 'restarted')
  }
)

t.test('a segment without a footer is walked: what its frames do not cover is lost', async (t) => {
  const { clock, storage, shard } = await filled()
  const [first, second] = shard.segments.all.map(({ ordinal }) => shard.segments.at(ordinal))
  if (!first || !second) throw new Error('too few segments')
  storage.kill()
  const bytes = storage.bytesOf(first.path)
  // The footer and the first frame.
  const at = bytes.indexOf('MRB1')
  bytes.fill(0, at, at + 160)
  bytes.fill(0, bytes.length - 64)
  storage.put(first.path, bytes)
  const { segments } = new ShardHarness({ storage, clock })
  const cursor = openCursor(storage)
  const { dropped } = skipRange(segments, cursor, 0, first.endOffset)
  const { lost, isExact } = cursor.account(RECORDS)
  t.equal(dropped + (lost['corrupt'] ?? 0), first.endOffset)
  t.ok((lost['corrupt'] ?? 0) > 0, 'the frame is lost')
  t.ok(dropped > 0, 'the others are dropped')
  t.ok(isExact)
})

t.test('a cursor without room for ranges is passed from the side that it touches', async (t) => {
  const { clock, storage, shard } = await filled()
  await shard.writer.close()
  const gone = shard.segments.at(1)
  if (!gone) throw new Error('too few segments')
  storage.unlink(gone.path)
  const { segments } = new ShardHarness({ storage, clock })
  const cursor = openCursor(storage)
  cursor.finish(30, 31, 'delivered')
  for (let at = 100; cursor.hasRoom; at += 2) cursor.finish(at, at + 1, 'delivered')
  const { dropped } = skipRange(segments, cursor, 2, 30)
  t.same(cursor.missing(0, 31), [[0, 2]])
  t.equal(dropped, 28 - (gone.endOffset - gone.firstOffset))
  t.ok(cursor.account(10_000).isExact)
})
