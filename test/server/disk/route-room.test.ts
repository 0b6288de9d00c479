import t from 'tap'
import type { ShardLog } from '../../../src/delivery/shard-log.ts'
import { RouteRoom } from '../../../src/server/disk/route-room.ts'
import { AgeClock } from '../../../src/storage/retention/age-clock.ts'
import { FakeClock, settled } from '../../support/fake-clock.ts'

/** What a room looks at of a shard; every segment holds 100 bytes. */
class FakeShard {
  isRetired = false
  isFinished = false
  isOpen = true
  writerState = 'ok'
  endOffset = 0
  keptBytes = 0
  dropCount = 0
  /** A part of the oldest segment is on the wire. */
  isBusy = false
  heldBytes: number
  oldestMs: number | null

  constructor(heldBytes: number, oldestMs: number) {
    this.heldBytes = heldBytes
    this.oldestMs = oldestMs
  }

  govern(): void {}
  limit(): void {}

  async settle(): Promise<void> {
    this.heldBytes -= this.keptBytes
    this.keptBytes = 0
  }

  async dropOldest(): Promise<boolean> {
    if (this.isBusy || this.heldBytes < 200) return false
    this.heldBytes -= 100
    this.oldestMs = (this.oldestMs ?? 0) + 10
    this.dropCount++
    return true
  }
}

function setUp(shards: FakeShard[], isDropOldest = true) {
  const clock = new FakeClock()
  const volume = { isShort: false, free: 1e9 }
  const sealed: unknown[] = []
  const room = new RouteRoom({
    clock,
    bytesMax: 1000,
    isDropOldest,
    segmentBytes: 100,
    rules: { keepMs: 0, ageMsMax: null, ages: new AgeClock(clock) },
    volume: { isBelow: () => volume.isShort, freeBytes: () => volume.free },
    // Only what the class above has is looked at.
    shards: () => shards as unknown as ShardLog[],
    seal: (shardLog) => sealed.push(shardLog)
  })
  return { clock, room, sealed, volume }
}

t.test('the oldest segments of all shards go, until the route is below its limit', async (t) => {
  const old = new FakeShard(600, 0)
  const young = new FakeShard(700, 25)
  const { room } = setUp([young, old])
  await room.makeRoom()
  t.equal(room.heldBytes, 1000)
  t.same([old.dropCount, young.dropCount], [3, 0], 'by append time')
})

t.test('delivered segments go before anything is dropped, and block drops nothing', async (t) => {
  const shard = new FakeShard(1300, 0)
  shard.keptBytes = 500
  const { room } = setUp([shard])
  t.equal(room.pendingBytes, 800)
  await room.makeRoom()
  t.same([shard.heldBytes, shard.dropCount], [800, 0])
  const blocked = new FakeShard(1300, 0)
  await setUp([blocked], false).room.makeRoom()
  t.equal(blocked.dropCount, 0)
})

t.test('what is on the wire is passed over, shards that nobody writes as well', async (t) => {
  const busy = new FakeShard(700, 0)
  busy.isBusy = true
  const retired = new FakeShard(5000, 0)
  retired.isRetired = true
  const other = new FakeShard(500, 25)
  const { room, volume } = setUp([busy, retired, other])
  await room.makeRoom()
  t.same([busy.dropCount, retired.dropCount, other.dropCount], [0, 0, 2])
  volume.isShort = true
  const made = room.makeRoom()
  while (retired.dropCount === 0) await settled()
  volume.isShort = false
  await made
  t.ok(retired.dropCount > 0, 'a volume that is short takes from all')
})

t.test('an idle shard of which nothing is needed is asked to end its segment', (t) => {
  const shard = new FakeShard(100, 0)
  const { clock, room, sealed } = setUp([shard])
  room.look()
  clock.advance(59_000)
  room.look()
  t.same(sealed, [])
  clock.advance(1000)
  room.look()
  t.same(sealed, [], 'a destination still needs it')
  shard.isFinished = true
  room.look()
  t.same(sealed, [shard])
  shard.isOpen = false
  room.look()
  t.equal(sealed.length, 1)
  shard.isOpen = true
  shard.endOffset = 1
  room.look()
  t.equal(sealed.length, 1, 'something came: the minute begins anew')
  t.end()
})
