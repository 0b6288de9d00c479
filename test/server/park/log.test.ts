// The park of a destination on a disk that loses its power between any two operations of an append, of what is delivered
// from it and of the cursors: no record that was moved is missing, and none is parked twice.

import t from 'tap'
import type { RowOffsets } from '../../../src/delivery/again-jobs.ts'
import { ParkLog } from '../../../src/server/park/log.ts'
import {
  type OpenedShard,
  openRouteShard,
  type StoreContext
} from '../../../src/server/store/open-shards.ts'
import type { Cursor } from '../../../src/storage/cursor/cursor.ts'
import { PayloadDecoder } from '../../../src/storage/format/payload-decoder.ts'
import { ShardWriter } from '../../../src/storage/writer/shard-writer.ts'
import { FakeClock, settled } from '../../support/fake-clock.ts'
import { groupOf, hash, idOf, STORE } from '../../support/shard-harness.ts'
import { CrashSignal, SimulatedStorage } from '../../support/simulated-storage.ts'

const MIB = 2 ** 20
const RECORDS = 40
const KEYS = ['red', 'blue']
const PER_JOB = 5
const SEEDS = Number(process.env['MILLRACE_TEST_PARK_SEEDS'] ?? 3)

/** Offsets that belong to a key: they take turns. */
const offsetsOf = (key: string) =>
  Array.from({ length: RECORDS }, (_, at) => at).filter((at) => KEYS[at % 2] === key)

/** One life of a store with a route `app` and the park of its output `search`. */
class Life {
  readonly shard: OpenedShard
  readonly park: ParkLog
  readonly cursor: Cursor
  readonly clock = new FakeClock()

  constructor(storage: SimulatedStorage, parkBytesMax = 64 * MIB) {
    const quiet = () => undefined
    const context: StoreContext = {
      storage,
      hash,
      clock: this.clock,
      dataDir: '/data',
      store: STORE,
      decoder: new PayloadDecoder(STORE),
      log: { info: quiet, warn: quiet, error: quiet },
      onRoom: quiet
    }
    const to = [{ output: 'search', isRequired: true, startAt: 'oldest', lagBytesMax: null }]
    // Of the settings of a route only these are read.
    const route = { id: 'app', durability: 'sync', to } as never
    this.shard = openRouteShard(context, route, 0, null)
    const cursor = this.shard.cursors.get('search')
    if (cursor === undefined) throw new Error('no cursor')
    this.cursor = cursor
    this.park = new ParkLog({
      context,
      routeId: 'app',
      outputId: 'search',
      bytesMax: parkBytesMax,
      segmentBytesMax: MIB
    })
  }

  /** As the lane does: parked durably, then finished. */
  async move(key: string, count = Number.POSITIVE_INFINITY): Promise<boolean> {
    const left = offsetsOf(key).filter((offset) => !this.cursor.has(offset))
    for (let at = 0; at < Math.min(left.length, count); at += PER_JOB) {
      const offsets = left.slice(at, at + PER_JOB)
      const rows: RowOffsets[] = offsets.map((offset) => [offset])
      if (!(await this.park.append(this.shard.shardLog, key, rows))) return false
      for (const offset of offsets) this.cursor.finish(offset, offset + 1, 'moved')
      this.shard.shardLog.progress()
    }
    return true
  }

  /** As the drain does: the cursor of the route is durable before anything leaves the park. */
  async deliver(key: string, count: number, delivered: number[]): Promise<void> {
    await this.shard.shardLog.settle()
    for (const { entry, parkOffset } of this.park.read(key, count, MIB)) {
      delivered.push(entry.offset)
      this.park.finish(parkOffset, 'delivered', entry.bytes.length)
    }
    this.park.settle(key)
    await settled()
  }

  async close(): Promise<void> {
    await this.park.close()
    await this.shard.shardLog.close()
  }
}

/** A disk with a route that holds the records. */
async function filled(seed: number, count = RECORDS): Promise<SimulatedStorage> {
  const storage = new SimulatedStorage({ seed })
  storage.mkdir('/data')
  const { shard } = new Life(storage)
  const writer = new ShardWriter({
    storage,
    clock: new FakeClock(),
    hash,
    store: STORE,
    shard: shard.spec,
    slab: Buffer.alloc(MIB),
    segmentBytes: MIB,
    durability: 'sync',
    observer: { onSegment: () => {}, onVisible: () => {}, onState: () => {} }
  })
  const ids = Array.from({ length: count }, (_, id) => id)
  writer.append(groupOf(ids), { onDurable: () => {}, onRejected: () => {} })
  writer.commit()
  await settled()
  await writer.close()
  storage.kill()
  return storage
}

/** Ends with the life, or when the power is gone: then nothing that it waits for comes. */
async function untilCrash(storage: SimulatedStorage, life: Promise<void>): Promise<void> {
  let isOver = false
  let failure: unknown = null
  life
    .catch((error) => {
      failure = error
    })
    .finally(() => {
      isOver = true
    })
  while (!isOver && !storage.isCrashed) await settled()
  await settled()
  if (failure !== null && !storage.isCrashed) throw failure
}

/** What a store does from a start to its stop; where the power goes, it ends. */
async function live(storage: SimulatedStorage, delivered: Map<string, number[]>): Promise<void> {
  const life = new Life(storage)
  await life.park.ready
  for (const key of KEYS) if (!(await life.move(key, 10))) throw new CrashSignal('not stored')
  for (const key of KEYS) await life.deliver(key, 7, delivered.get(key) ?? [])
  for (const key of KEYS) if (!(await life.move(key))) throw new CrashSignal('not stored')
  for (const key of KEYS) await life.deliver(key, 9, delivered.get(key) ?? [])
  await life.close()
}

t.test(
  'the power goes at any operation of the park: nothing is lost, and each is parked once',
  async (t) => {
    let crashCount = 0
    for (let seed = 1; seed <= SEEDS; seed++) {
      const base = await filled(seed)
      const whole = base.fork(seed)
      const from = whole.operationCount
      await live(whole, new Map())
      const operations = whole.operationCount - from
      t.ok(operations > 20, `${operations} operations`)
      for (let at = 1; at <= operations; at++) {
        const storage = base.fork(seed * 1000 + at)
        storage.crashAtOperation = from + at
        const delivered = new Map(KEYS.map((key): [string, number[]] => [key, []]))
        await untilCrash(storage, live(storage, delivered))
        if (storage.isCrashed) crashCount++
        // A disk of its own: what hangs in the life before never ends, and never touches this one.
        const disk = storage.fork(seed * 1000 + at)
        disk.crash()

        const life = new Life(disk)
        await life.park.ready
        for (const key of KEYS) {
          t.ok(await life.move(key), `${seed}/${at}: the rest of ${key} is parked`)
          await life.deliver(key, RECORDS, delivered.get(key) ?? [])
        }
        const places = `seed ${seed}, operation ${at}`
        for (const key of KEYS) {
          const seen = new Set(delivered.get(key))
          const missing = offsetsOf(key).filter((offset) => !seen.has(offset))
          if (missing.length > 0) t.same(missing, [], `${places}: ${key}`)
        }
        const account = life.park.account()
        if (account?.appended !== RECORDS || account.pending !== 0) {
          t.match(account, { appended: RECORDS, pending: 0 }, places)
        }
        await life.close()
      }
    }
    t.ok(crashCount > 20 * SEEDS, `${crashCount} crashes`)
  }
)

t.test('at park_bytes nothing more is parked, and what is stays and leaves in order', async (t) => {
  const storage = await filled(1)
  const bytesMax = 1500
  const life = new Life(storage, bytesMax)
  const { park } = life
  t.equal(await life.move('red'), false, 'it does not take all')
  const stored = park.pendingOf('red')
  t.ok(stored > 0 && stored < offsetsOf('red').length, `${stored} records`)
  t.equal(park.hasRoom, false)
  t.equal(await life.move('blue'), false, 'nor of another key')
  t.equal(park.pendingOf('blue'), 0)
  const account = life.shard.shardLog.account(life.cursor)
  t.equal(account.moved, stored, 'the rest waits in the queue')
  const delivered: number[] = []
  await life.deliver('red', RECORDS, delivered)
  t.same(delivered, offsetsOf('red').slice(0, stored))
  await park.retire()
  t.equal(park.hasRoom, true, 'an empty park has room again')
  t.equal(await life.move('blue', 5), true)
  t.same(
    park.read('blue', RECORDS, MIB).map(({ entry }) => idOf(Buffer.from(entry.bytes))),
    offsetsOf('blue').slice(0, 5)
  )
  await life.close()
})

t.test(
  'a park that tells no more stretches apart says so; what it does not take waits',
  async (t) => {
    const count = 2040
    const storage = await filled(1, count)
    const life = new Life(storage)
    const { park } = life
    const { shardLog } = life.shard
    let stored = 0
    for (let offset = 0; offset < count; offset++) {
      if (!(await park.append(shardLog, `key-${offset}`, [[offset]]))) continue
      life.cursor.finish(offset, offset + 1, 'moved')
      stored++
    }
    t.equal(stored, 2000)
    t.match(park.status(), { keys: stored, records: stored, isFull: true })
    const { moved, pending, isExact } = shardLog.account(life.cursor)
    t.same({ moved, pending, isExact }, { moved: stored, pending: count - stored, isExact: true })
    const delivered: number[] = []
    await life.deliver('key-0', 1, delivered)
    t.same(delivered, [0])
    t.equal(park.status().isFull, false, 'a key that was delivered makes room for another')
    t.equal(await park.append(shardLog, 'key-2000', [[2000]]), true)
    t.equal(park.status().isFull, true)
    await life.close()
  }
)
