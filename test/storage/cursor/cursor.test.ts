import fc from 'fast-check'
import t from 'tap'
import { CURSOR_RANGES_MAX } from '../../../src/core/limits.ts'
import { Cursor } from '../../../src/storage/cursor/cursor.ts'
import { FinishedRanges } from '../../../src/storage/cursor/finished-ranges.ts'
import { CURSOR_FILE_BYTES } from '../../../src/storage/format/layout.ts'
import { makeDirectoryDurable } from '../../../src/storage/reader/shard-directory.ts'
import { settled } from '../../support/fake-clock.ts'
import { cursorOptions, DIRECTORY, openCursor } from '../../support/shard-harness.ts'
import { CrashSignal, SimulatedStorage } from '../../support/simulated-storage.ts'

const runs = Number(process.env['MILLRACE_MODEL_RUNS'] ?? 200)
const file = `${DIRECTORY}/search.cur`

function newDisk(): SimulatedStorage {
  const storage = new SimulatedStorage()
  makeDirectoryDurable(storage, DIRECTORY)
  return storage
}

function reload(storage: SimulatedStorage): Cursor {
  const loaded = Cursor.load(cursorOptions(storage), 0)
  if (loaded === null) throw new Error('no cursor')
  return loaded.cursor
}

t.test('finished ranges are exact: the same as a set of offsets', (t) => {
  const steps = fc.array(fc.tuple(fc.nat(60), fc.nat(12)), { maxLength: 40 })
  fc.assert(
    fc.property(fc.nat(10), steps, (low, added) => {
      const ranges = new FinishedRanges(low)
      const model = new Set(Array.from({ length: low }, (_, offset) => offset))
      for (const [first, count] of added) {
        const before = model.size
        for (let offset = first; offset < first + count; offset++) model.add(offset)
        if (ranges.add(first, first + count) !== model.size - before) return false
      }
      let lowest = 0
      while (model.has(lowest)) lowest++
      const isSame = Array.from({ length: 90 }, (_, offset) => offset).every(
        (offset) => ranges.has(offset) === model.has(offset)
      )
      const missing = ranges.missing(0, 90).flatMap(([first, end]) => end - first)
      const missingCount = missing.reduce((sum, count) => sum + count, 0)
      return (
        isSame &&
        ranges.low === lowest &&
        ranges.low + ranges.countAboveLow === model.size &&
        missingCount === 90 - model.size
      )
    }),
    { numRuns: runs * 5 }
  )
  t.end()
})

t.test('the identity holds after any outcomes, crashes and reloads', async () => {
  const outcomes = [
    'delivered',
    'dead_lettered',
    'dropped:filtered',
    'lost:corrupt',
    'void'
  ] as const
  const step = fc.oneof(
    fc.record({
      kind: fc.constant('finish' as const),
      first: fc.nat(100),
      count: fc.nat(20),
      outcome: fc.constantFrom(...outcomes)
    }),
    fc.record({ kind: fc.constant('persist' as const) }),
    fc.record({ kind: fc.constantFrom('crash' as const, 'reload' as const) })
  )
  await fc.assert(
    fc.asyncProperty(fc.nat(1000), fc.array(step, { maxLength: 30 }), async (seed, steps) => {
      const storage = new SimulatedStorage({ seed })
      makeDirectoryDurable(storage, DIRECTORY)
      let cursor = openCursor(storage, 5)
      let persistedLow = 5
      for (const one of steps) {
        if (one.kind === 'finish') {
          cursor.finish(one.first, one.first + one.count, one.outcome, one.count * 10)
        } else if (one.kind === 'persist') {
          await cursor.persist()
          persistedLow = cursor.lowOffset
        } else {
          if (one.kind === 'crash') storage.crash()
          else storage.kill()
          cursor = reload(storage)
          if (cursor.lowOffset < persistedLow) return false
        }
        const account = cursor.account(130)
        const { appended, delivered, deadLettered, dropped, lost, pending } = account
        const sum =
          delivered + deadLettered + (dropped['filtered'] ?? 0) + (lost['corrupt'] ?? 0) + pending
        if (!account.isExact || sum !== appended) return false
      }
      return true
    }),
    { numRuns: runs }
  )
})

t.test('offsets keep their first outcome, and bytes are shared by records', (t) => {
  const cursor = openCursor(newDisk())
  t.equal(cursor.finish(0, 10, 'delivered', 1000), 10)
  t.equal(cursor.finish(5, 15, 'dead_lettered', 1000), 5)
  t.equal(cursor.finish(0, 15, 'delivered', 1000), 0)
  t.same(cursor.counts.get('delivered'), { records: 10, bytes: 1000 })
  t.same(cursor.counts.get('dead_lettered'), { records: 5, bytes: 500 })
  t.equal(cursor.lowOffset, 15)
  t.match(cursor.account(20), { appended: 20, pending: 5, isExact: true })
  t.end()
})

t.test('an update survives, a lost one means the one before', async (t) => {
  const storage = newDisk()
  const cursor = openCursor(storage)
  cursor.finish(0, 10, 'delivered')
  cursor.finish(20, 30, 'delivered')
  t.equal(cursor.durableLowOffset, 0)
  await cursor.persist()
  t.equal(cursor.durableLowOffset, 10)
  cursor.finish(10, 20, 'delivered')
  t.equal(cursor.isChanged, true)
  storage.crash()
  const next = reload(storage)
  t.equal(next.lowOffset, 10)
  t.same(next.ranges, [[20, 30]])
  t.equal(next.account(30).pending, 10)
})

t.test(
  'the power goes at each operation of an update: one of the two states is there',
  async (t) => {
    for (let operation = 1; operation <= 6; operation++) {
      for (let seed = 1; seed <= 20; seed++) {
        const storage = new SimulatedStorage({ seed })
        makeDirectoryDurable(storage, DIRECTORY)
        const cursor = openCursor(storage)
        for (const end of [5, 9]) {
          cursor.finish(0, end, 'delivered')
          await cursor.persist()
        }
        storage.crashAtOperation = storage.operationCount + operation
        let acked = 9
        try {
          for (const end of [12, 15, 19]) {
            cursor.finish(0, end, 'delivered')
            const done = cursor.persist().then(() => {
              acked = end
            })
            await Promise.race([done, settled()])
            if (storage.isCrashed) break
          }
        } catch (error) {
          if (!(error instanceof CrashSignal)) throw error
        }
        storage.crash()
        const loaded = Cursor.load(cursorOptions(storage), 0)
        t.equal(loaded?.wasReset, false)
        const low = loaded?.cursor.lowOffset ?? -1
        t.ok([9, 12, 15, 19].includes(low) && low >= acked, `low ${low}, acked ${acked}`)
      }
    }
  }
)

t.test('a failed sync: the good slot stays, the update is tried again', async (t) => {
  const storage = newDisk()
  const cursor = openCursor(storage)
  cursor.finish(0, 5, 'delivered')
  await cursor.persist()
  storage.fail = ({ name }) => (name === 'datasync' ? 'EIO' : null)
  for (const end of [6, 7, 8]) {
    cursor.finish(0, end, 'delivered')
    await t.rejects(cursor.persist(), { code: 'EIO' })
    t.equal(cursor.durableLowOffset, 5)
    t.equal(cursor.isChanged, true)
  }
  const copy = storage.clone()
  storage.crash()
  t.equal(reload(storage).lowOffset, 5, 'what was durable is still there')
  t.equal(reload(copy).lowOffset, 8, 'a kill keeps the newest')
  storage.fail = () => null
})

t.test('calls of persist while one runs join the next one', async (t) => {
  const storage = newDisk()
  const cursor = openCursor(storage)
  storage.isHoldingSyncs = true
  cursor.finish(0, 5, 'delivered')
  const first = cursor.persist()
  cursor.finish(0, 9, 'delivered')
  const second = cursor.persist()
  t.equal(storage.heldSyncCount, 1)
  storage.completeSyncs()
  await first
  t.equal(cursor.durableLowOffset, 5)
  await settled()
  storage.completeSyncs()
  await second
  t.equal(cursor.durableLowOffset, 9)
  t.equal(cursor.persist() instanceof Promise, true)
})

t.test('both slots invalid: begins at the oldest retained offset and says so', (t) => {
  const storage = newDisk()
  const cursor = openCursor(storage)
  cursor.finish(0, 50, 'delivered')
  cursor.persistNow()
  storage.put(file, Buffer.alloc(CURSOR_FILE_BYTES, 0x5a))
  const loaded = Cursor.load(cursorOptions(storage), 30)
  t.equal(loaded?.wasReset, true)
  t.equal(loaded?.cursor.lowOffset, 30)
  t.match(loaded?.cursor.account(50), { appended: 20, pending: 20, isExact: true })
  storage.crash()
  t.equal(Cursor.load(cursorOptions(storage), 0)?.wasReset, false, 'the fresh one is durable')
  t.end()
})

t.test('a cursor of another output or shard never verifies', (t) => {
  const storage = newDisk()
  openCursor(storage).persistNow()
  storage.put(`${DIRECTORY}/archive.cur`, storage.bytesOf(file))
  t.equal(Cursor.load(cursorOptions(storage, 'archive'), 3)?.wasReset, true)
  t.equal(Cursor.load(cursorOptions(storage, 'none'), 3), null)
  t.end()
})

t.test('4,000 open ranges and every counter fit; more ranges are refused, not lost', (t) => {
  const storage = newDisk()
  const cursor = openCursor(storage)
  for (let at = 0; at < CURSOR_RANGES_MAX; at++) cursor.finish(at * 2 + 1, at * 2 + 2, 'delivered')
  t.equal(cursor.hasRoom, false)
  t.equal(cursor.canFinish(9000, 9001), false)
  t.equal(cursor.canFinish(0, 1), true, 'at the low mark there is always room')
  t.throws(() => cursor.finish(9000, 9001, 'delivered'), /no room/)
  for (let reason = 0; reason < 300; reason++) {
    cursor.finish(
      2 * CURSOR_RANGES_MAX + reason,
      2 * CURSOR_RANGES_MAX + reason + 1,
      `dropped:reason-${reason}`
    )
  }
  cursor.persistNow()
  storage.crash()
  const next = reload(storage)
  t.equal(next.ranges.length, CURSOR_RANGES_MAX)
  t.equal(next.account(10_000).isExact, true)
  t.ok((next.account(10_000).dropped['other'] ?? 0) > 100, 'reasons beyond the ceiling share one')
  t.end()
})

t.test('Q28 an update needs no free space', async (t) => {
  const storage = new SimulatedStorage({ capacityBytes: 200_000 })
  makeDirectoryDurable(storage, DIRECTORY)
  const cursor = openCursor(storage)
  storage.capacityBytes = 0
  cursor.finish(0, 5, 'delivered')
  await cursor.persist()
  t.equal(cursor.durableLowOffset, 5)
  storage.crash()
  t.equal(reload(storage).lowOffset, 5, 'and a restart works')
})
