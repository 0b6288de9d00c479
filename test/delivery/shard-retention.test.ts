import t from 'tap'
import { ShardRetention } from '../../src/delivery/shard-retention.ts'
import { AgeClock } from '../../src/storage/retention/age-clock.ts'
import type { Holder } from '../../src/storage/retention/retention.ts'
import { bytesFrom } from '../../src/storage/retention/retention.ts'
import { FakeClock, settled } from '../support/fake-clock.ts'
import { DIRECTORY, openCursor, ShardHarness } from '../support/shard-harness.ts'
import { SimulatedStorage } from '../support/simulated-storage.ts'

const MINUTE_MS = 60_000

interface Setup {
  /** Of the destination `search`; another one, `archive`, is optional. */
  readonly optional?: { readonly lagBytesMax: number | null }
  readonly keepMs?: number
  readonly ageMsMax?: number
  readonly recordCount?: number
}

/** A shard of one record a minute, in segments of about 15. */
async function setUp(setup: Setup = {}) {
  const { keepMs = 0, ageMsMax = null, optional, recordCount = 60 } = setup
  const storage = new SimulatedStorage()
  const clock = new FakeClock()
  const shard = new ShardHarness({ storage, clock, segmentBytes: 2048 })
  const ages = new AgeClock(clock)
  const deleted: number[] = []
  const retention = new ShardRetention({
    segments: shard.segments,
    clock,
    recoveredEndMs: 0,
    keepsIds: false,
    onDeleted: (byteCount) => deleted.push(byteCount)
  })
  const room = { isNeeded: false }
  retention.govern({ keepMs, ageMsMax, ages, isRoomNeeded: () => room.isNeeded })
  const holderOf = (outputId: string, rest: Partial<Holder> = {}): Holder => ({
    cursor: openCursor(storage, 0, outputId),
    isRequired: true,
    lagBytesMax: null,
    inFlightWithin: () => [],
    ...rest
  })
  const search = holderOf('search')
  const archive = holderOf('archive', { isRequired: false, ...optional })
  retention.holders.push(search)
  if (optional !== undefined) retention.holders.push(archive)
  for (let id = 0; id < recordCount; id++) {
    shard.append([id], { paddingBytes: 100 })
    shard.writer.commit()
    await settled()
    clock.advance(MINUTE_MS)
  }
  const segmentCount = () =>
    storage.readdir(DIRECTORY).filter((name) => name.endsWith('.seg')).length
  const deliver = async ({ cursor }: Holder, end: number) => {
    cursor.finish(0, end, 'delivered')
    await cursor.persist()
  }
  return { archive, clock, deleted, deliver, retention, room, search, segmentCount, shard, storage }
}

t.test('keep: delivered segments stay readable for so long, then they go one by one', async (t) => {
  const f = await setUp({ keepMs: 20 * MINUTE_MS })
  await f.deliver(f.search, 60)
  t.ok(f.retention.keptBytes() > 0)
  await f.retention.deleteDelivered()
  const { oldestOffset } = f.shard.segments
  t.ok(oldestOffset > 0 && oldestOffset <= 40, `the last 20 minutes begin at or before ${40}`)
  t.same(f.shard.ids[0], oldestOffset)
  t.equal(f.shard.ids.at(-1), 59)
  f.clock.advance(15 * MINUTE_MS)
  await f.retention.deleteDelivered()
  t.ok(f.shard.segments.oldestOffset > oldestOffset)
  t.ok(f.shard.segments.oldestOffset <= 55)
})

t.test('keep: new records come first, the oldest segment goes for them', async (t) => {
  const f = await setUp({ keepMs: 600 * MINUTE_MS })
  await f.deliver(f.search, 60)
  const before = f.segmentCount()
  await f.retention.deleteDelivered()
  t.equal(f.segmentCount(), before, 'all are kept')
  const kept = f.retention.keptBytes()
  t.equal(kept, bytesFrom(f.shard.segments, 0), 'they count as kept, the newest too')
  f.room.isNeeded = true
  f.retention.govern({
    keepMs: 600 * MINUTE_MS,
    ageMsMax: null,
    ages: new AgeClock(f.clock),
    isRoomNeeded: () => f.deleted.length < 1
  })
  await f.retention.deleteDelivered()
  t.equal(f.segmentCount(), before - 1, 'one was enough')
  t.equal(f.retention.keptBytes(), kept - (f.deleted[0] ?? 0))
  t.match(f.search.cursor.account(60), { delivered: 60, dropped: {}, isExact: true })
})

t.test('a reader of delivered segments holds them until it has them', async (t) => {
  const f = await setUp()
  await f.deliver(f.search, 60)
  const hold = f.retention.hold(20)
  await f.retention.deleteDelivered()
  const { oldestOffset } = f.shard.segments
  t.ok(oldestOffset > 0 && oldestOffset <= 20)
  f.retention.release(hold)
  await f.retention.deleteDelivered()
  t.equal(f.segmentCount(), 1, 'the one that is written')
})

t.test('what is not delivered is not kept: it waits', async (t) => {
  const f = await setUp()
  t.equal(f.retention.keptBytes(), 0)
  f.room.isNeeded = true
  await f.retention.deleteDelivered()
  t.equal(f.deleted.length, 0)
  t.equal(f.search.cursor.lowOffset, 0)
})

t.test('max_age drops what is older, for whom it waits, exactly', async (t) => {
  const f = await setUp({ ageMsMax: 30 * MINUTE_MS })
  f.search.cursor.finish(0, 5, 'delivered')
  f.retention.limit()
  const { lowOffset } = f.search.cursor
  t.ok(lowOffset > 5 && lowOffset <= 30, `${lowOffset} records went, whole segments`)
  t.match(f.search.cursor.account(60), {
    delivered: 5,
    dropped: { expired: lowOffset - 5 },
    pending: 60 - lowOffset,
    isExact: true
  })
  await f.search.cursor.persist()
  await f.retention.deleteDelivered()
  t.equal(f.shard.segments.oldestOffset, lowOffset)
  f.clock.advance(120 * MINUTE_MS)
  f.shard.writer.seal()
  await settled()
  f.retention.noteClosed(f.shard.segments.lastOrdinal, f.clock.nowMs() - 100 * MINUTE_MS)
  // The clock of the test went on by itself: that is time and no jump.
  f.retention.limit()
  t.equal(f.search.cursor.lowOffset, 60, 'a closed segment ages without a next one')
})

t.test(
  'Q31 a clock that jumps expires nothing, and what is on the wire does not either',
  async (t) => {
    const f = await setUp({ ageMsMax: 30 * MINUTE_MS })
    const busy: [number, number][] = [[3, 4]]
    const held = f.retention.holders[0]
    t.ok(held)
    if (held !== undefined) f.retention.holders[0] = { ...held, inFlightWithin: () => busy }
    f.retention.limit()
    t.same(f.search.cursor.missing(0, 10).slice(0, 1), [[3, 4]])
    busy.length = 0
    f.retention.limit()
    t.ok(f.search.cursor.lowOffset > 4)
  }
)

t.test(
  'an optional destination holds nothing that is needed, and loses nothing while there is room',
  async (t) => {
    const f = await setUp({ optional: { lagBytesMax: null } })
    await f.deliver(f.search, 60)
    await f.retention.deleteDelivered()
    t.equal(f.deleted.length, 0, 'there is room')
    t.ok(f.retention.keptBytes() > 0, 'and it counts as room')
    f.room.isNeeded = true
    await f.retention.deleteDelivered()
    t.equal(f.segmentCount(), 1)
    const oldest = f.shard.segments.oldestOffset
    t.match(f.archive.cursor.account(60), {
      dropped: { lag: oldest },
      pending: 60 - oldest,
      isExact: true
    })
    t.same(f.search.cursor.account(60).dropped, {})
  }
)

t.test('max_lag_bytes bounds how far an optional destination falls behind, exactly', async (t) => {
  const f = await setUp({ optional: { lagBytesMax: 4000 } })
  f.retention.limit()
  const { lowOffset } = f.archive.cursor
  t.ok(lowOffset > 0)
  const lag = bytesFrom(f.shard.segments, lowOffset)
  t.ok(lag <= 4000 + 200, `${lag} bytes behind`)
  t.ok(lag > 3500, 'no more went than had to')
  t.match(f.archive.cursor.account(60), { dropped: { lag: lowOffset }, isExact: true })
  t.ok((f.archive.cursor.counts.get('dropped:lag')?.bytes ?? 0) > 0)
  t.equal(f.search.cursor.lowOffset, 0, 'the other one is not touched')
  f.retention.limit()
  t.equal(f.archive.cursor.lowOffset, lowOffset, 'once is enough')
})
