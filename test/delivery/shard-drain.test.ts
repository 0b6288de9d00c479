import t, { type Test } from 'tap'
import { CatchUp } from '../../src/delivery/catch-up.ts'
import type { Lane } from '../../src/delivery/lane.ts'
import type { LaneSource, Taken } from '../../src/delivery/lane-source.ts'
import { LaneTurns } from '../../src/delivery/lane-turns.ts'
import { type DrainLaneParts, ShardDrain } from '../../src/delivery/shard-drain.ts'
import type { ShardLog } from '../../src/delivery/shard-log.ts'
import { Slots } from '../../src/delivery/slots.ts'
import { FakeClock, settled } from '../support/fake-clock.ts'
import { DIRECTORY, openCursor } from '../support/shard-harness.ts'
import { SimulatedStorage } from '../support/simulated-storage.ts'

const MINUTE_MS = 60_000

/** Takes what the test says and settles what it says. */
class FakeLane {
  readonly parts: DrainLaneParts
  readonly taken: [number, number][] = []
  isEnded = false
  #ended = Promise.withResolvers<void>()

  constructor(parts: DrainLaneParts, signal: AbortSignal) {
    this.parts = parts
    signal.addEventListener('abort', () => this.#ended.resolve())
  }

  run = () => this.#ended.promise
  wake = () => {}
  openCount = 0
  oldestMs = null
  unrenderedSinceMs = null
  inFlightWithin = () => this.taken
  end() {
    this.isEnded = true
    this.#ended.resolve()
  }
  get isIdle() {
    return this.taken.length === 0
  }
  /** Takes up to `count` frames; what is given out is [first, end). */
  take(count: number): number {
    for (let n = 0; n < count; n++) {
      const next = this.parts.source.next()
      if (next === null) return n
      if (next.kind === 'hole') throw new Error('no hole expected')
      const { firstOffset, recordCount } = next.frame
      this.taken.push([firstOffset, firstOffset + recordCount])
    }
    return count
  }
  /** Everything that was taken is stored. */
  store() {
    for (const [first, end] of this.taken.splice(0)) {
      this.parts.cursor.finish(first, end, { kind: 'delivered' })
    }
    this.parts.onProgress()
  }
}

/** A shard that gets a frame of ten records a minute. */
function setUp(t: Test, lagMsMax = 15 * MINUTE_MS) {
  const clock = new FakeClock()
  const storage = new SimulatedStorage()
  storage.mkdir(DIRECTORY)
  const cursor = openCursor(storage)
  const times: number[] = []
  const sourceFrom = (fromOffset: number): LaneSource => {
    let at = fromOffset / 10
    return {
      logId: new Uint8Array(16),
      watermarkMs: 0,
      segment: () => ({ path: '', salt: 0n, epoch: 1, firstOffset: 0 }),
      judge: () => [],
      next(): Taken | null {
        const appendTimeMs = times[at]
        if (appendTimeMs === undefined) return null
        const place = { segment: 0, startByte: 0, byteCount: 100 }
        return {
          kind: 'frame',
          frame: { ...place, firstOffset: at++ * 10, recordCount: 10, appendTimeMs }
        }
      }
    }
  }
  const shardLog = {
    label: '00',
    source: sourceFrom,
    get endOffset() {
      return times.length * 10
    },
    setInFlight: () => {},
    progress: () => {},
    account: () => cursor.account(times.length * 10)
    // What a drain uses of it.
  } as unknown as ShardLog
  const catchUp = new CatchUp({ clock, bytesPerSecond: 1, arrivedBytes: () => 0 })
  const lanes: FakeLane[] = []
  const abort = new AbortController()
  const drain = new ShardDrain({
    destination: 'app/search',
    shardLog,
    cursor,
    turns: new LaneTurns(new Slots(4, 16), clock, catchUp, 0.3),
    newestFirst: { lagMsMax, backfillShare: 0.3 },
    createLane(parts) {
      lanes.push(new FakeLane(parts, abort.signal))
      // The lane as a drain sees it.
      return lanes.at(-1) as unknown as Lane
    },
    clock,
    log: { info: () => {}, warn: () => {}, error: () => {} },
    signal: abort.signal
  })
  const running = drain.run()
  t.teardown(async () => {
    abort.abort()
    await running
  })
  return {
    cursor,
    drain,
    lanes,
    pass(minutes: number) {
      for (let second = 0; second < minutes * 60; second++) {
        if (second % 60 === 0) times.push(clock.nowMs())
        clock.advance(1000)
        drain.tick()
      }
    }
  }
}

/** What a drain of three lanes at most hands out, to the end. */
function drainAll(lanes: readonly FakeLane[]): number[] {
  const offsets: number[] = []
  for (let round = 0; round < 500; round++) {
    for (const lane of lanes.filter(({ isEnded }) => !isEnded)) {
      lane.take(1)
      for (const [first, end] of lane.taken) {
        for (let offset = first; offset < end; offset++) offsets.push(offset)
      }
      lane.store()
    }
  }
  return offsets
}

t.test('new records go first when the destination works again, not before', async (t) => {
  const { cursor, drain, lanes, pass } = setUp(t)
  lanes[0]!.take(2)
  pass(60)
  lanes[0]!.take(2)
  t.equal(drain.isBackfilling, false, 'while it is down nothing is gained')
  lanes[0]!.store()
  t.equal(drain.isBackfilling, true)
  t.equal(lanes[1]!.parts.startOffset, 590, 'the newest frame that is a minute old')
  lanes[1]!.take(5)
  lanes[1]!.store()
  t.same(cursor.ranges, [[590, 600]])
  t.equal(cursor.lowOffset, 20, 'the low mark stays with the backfill')
  const rest = drainAll(lanes)
  t.equal(rest.length, new Set(rest).size, 'no record is taken twice')
  t.equal(cursor.lowOffset, 600)
  t.equal(drain.isBackfilling, false)
  t.equal(lanes[0]!.isEnded, true)
  t.equal(lanes[1]!.isEnded, false)
  t.ok(drain.isDrained)
  await settled()
})

t.test('a destination that keeps up, or is behind by less, has one lane', (t) => {
  const { drain, lanes, pass } = setUp(t)
  for (let minute = 0; minute < 60; minute++) {
    pass(1)
    lanes[0]!.take(10)
    lanes[0]!.store()
  }
  pass(14)
  lanes[0]!.take(1)
  lanes[0]!.store()
  t.equal(drain.jumpCount, 0)
  t.equal(lanes.length, 1)
  t.end()
})

t.test('outages on top of each other: three lanes at most, each record once', (t) => {
  const { cursor, drain, lanes, pass } = setUp(t)
  const all: number[] = []
  const take = (lane: FakeLane, count: number) => {
    lane.take(count)
    for (const [first, end] of lane.taken) for (let o = first; o < end; o++) all.push(o)
  }
  pass(60)
  take(lanes[0]!, 1)
  lanes[0]!.store()
  for (let outage = 1; outage <= 5; outage++) {
    const live = lanes.at(-1)!
    take(live, 1)
    pass(60)
    live.store()
    t.equal(drain.jumpCount, outage + 1)
    t.equal(lanes.length, outage + 2)
    t.ok(lanes.filter(({ isEnded }) => !isEnded).length <= 3)
    t.equal(live.take(5), 0, 'who was left behind takes nothing more')
    // What it had taken is stored: it ends, and the backfill goes on across what it left out.
    lanes.at(-1)!.parts.onProgress()
    t.equal(live.isEnded, true)
  }
  all.push(...drainAll(lanes))
  t.equal(all.length, new Set(all).size, 'no record is taken twice')
  t.equal(all.length, 6 * 60 * 10)
  t.equal(cursor.lowOffset, 3600)
  t.equal(drain.isBackfilling, false)
  t.end()
})

t.test('a live lane that is still settling is not left behind again', (t) => {
  const { drain, lanes, pass } = setUp(t)
  pass(60)
  lanes[0]!.take(1)
  lanes[0]!.store()
  lanes[1]!.take(1)
  pass(60)
  lanes[0]!.take(1)
  lanes[0]!.store()
  t.equal(drain.jumpCount, 2)
  pass(60)
  lanes[0]!.take(1)
  lanes[0]!.store()
  t.equal(drain.jumpCount, 2, 'the middle lane has a record on its way')
  lanes[1]!.store()
  t.equal(lanes[1]!.isEnded, true)
  t.equal(drain.jumpCount, 3)
  t.end()
})
