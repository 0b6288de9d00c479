// The tests are tested: each fault that a storage engine of this kind has had somewhere is put in, and the checks of the
// other files must find it. A mutant that survives is a failing build.

import t from 'tap'
import { logIdOf } from '../../src/core/position.ts'
import type { FrameHash } from '../../src/storage/format/frame.ts'
import { SEGMENT_HEADER } from '../../src/storage/format/layout.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { FakeClock, settled } from '../support/fake-clock.ts'
import { DIRECTORY, entryOf, groupOf, hash, ShardHarness, STORE } from '../support/shard-harness.ts'
import { type LifeOptions, livesOf, type Mutation } from '../support/shard-lives.ts'
import { SimulatedStorage } from '../support/simulated-storage.ts'

/** The mutant that hides best shows at one seed in 12, first at 13; the others at 3 or earlier. */
const SEEDS_MAX = 300

t.setTimeout(180_000)

/** A disk with some operations replaced; the others are those of the real one. */
function wrap(storage: SimulatedStorage, replaced: Partial<Storage>): Storage {
  return new Proxy(storage, {
    get(target, name) {
      const own = Reflect.get(replaced, name)
      if (own !== undefined) return own
      const value = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    }
  })
}

const noDirectorySync = (storage: SimulatedStorage) =>
  wrap(storage, { dirsync: async () => undefined, dirsyncNow: () => undefined })

const noDataSync = (storage: SimulatedStorage) =>
  wrap(storage, { datasync: async () => undefined, datasyncNow: () => undefined })

const retriedSync = (storage: SimulatedStorage) =>
  wrap(storage, {
    datasync: (file) =>
      storage.datasync(file).catch((error: unknown) => {
        if (storage.isCrashed) throw error
        return storage.datasync(file)
      })
  })

const ignoredShortWrite = (storage: SimulatedStorage) =>
  wrap(storage, {
    writev(file, parts, atByte) {
      storage.writev(file, parts, atByte)
      return parts.reduce((sum, part) => sum + part.length, 0)
    }
  })

const oneCursorSlot = (storage: SimulatedStorage) => {
  const cursors = new Set<number>()
  return wrap(storage, {
    open(file, mode) {
      const handle = storage.open(file, mode)
      if (file.endsWith('.cur')) cursors.add(handle)
      return handle
    },
    writev: (file, parts, atByte) =>
      storage.writev(file, parts, cursors.has(file) ? atByte % 65_536 : atByte)
  })
}

/** A new segment is written behind the end of the last one that was there. */
const appendToOld = (storage: SimulatedStorage) => {
  const starts = new Map<number, number>()
  return wrap(storage, {
    open(file, mode) {
      const old = storage
        .readdir(DIRECTORY)
        .filter((name) => name.endsWith('.seg'))
        .sort()
        .at(-1)
      if (mode !== 'create' || !file.endsWith('.seg') || old === undefined) {
        return storage.open(file, mode)
      }
      const handle = storage.open(`${DIRECTORY}/${old}`, 'update')
      starts.set(handle, storage.fstat(handle).byteCount)
      return handle
    },
    writev: (file, parts, atByte) => storage.writev(file, parts, (starts.get(file) ?? 0) + atByte)
  })
}

const MUTANTS: readonly (readonly [string, Mutation, Partial<LifeOptions>])[] = [
  ['no sync of the directory', { storage: noDirectorySync }, {}],
  ['no sync of the data', { storage: noDataSync }, {}],
  ['ack before the sync', { isAckedEarly: true }, {}],
  ['deletion before the cursor is durable', { isDeletedEarly: true }, {}],
  ['offsets used again after recovery', { isOffsetReused: true }, { durability: 'os' }],
  ['append to an old segment', { storage: appendToOld }, {}],
  ['a failed sync is tried again and believed', { storage: retriedSync }, { faultShare: 0.1 }],
  ['short writes are ignored', { storage: ignoredShortWrite }, { faultShare: 0.1 }],
  ['a cursor of one slot', { storage: oneCursorSlot }, {}]
]

for (const [what, mutate, options] of MUTANTS) {
  t.test(`Q24 mutant is caught: ${what}`, async (t) => {
    for (let seed = 1; seed <= SEEDS_MAX; seed++) {
      const life = { durability: 'sync', ...options, seed, mutate } as const
      const findings = await livesOf(life).then(
        (report) => report.findings,
        (error: unknown) => [String(error)]
      )
      if (findings.length === 0) continue
      t.pass(`seed ${seed}: ${findings[0]}`)
      return
    }
    t.fail(`survived ${SEEDS_MAX} seeds`)
  })
}

/** One record per frame, the third one damaged; what can be read afterwards. */
async function readBehindDamage(prepare: (storage: SimulatedStorage, file: string) => void) {
  const storage = new SimulatedStorage()
  const shard = new ShardHarness({ storage, clock: new FakeClock() })
  for (const id of [0, 1, 2, 3, 4]) {
    shard.append([id])
    shard.writer.commit()
    await settled()
  }
  await shard.writer.close()
  const file = `${DIRECTORY}/${storage.readdir(DIRECTORY)[0]}`
  const bytes = storage.bytesOf(file)
  const at = frameAt(bytes, 2)
  bytes[at + 20] = bytes[at + 20]! ^ 1
  storage.put(file, bytes)
  prepare(storage, file)
  return new ShardHarness({ storage, clock: new FakeClock(1_700_000_100_000) }).ids
}

function frameAt(bytes: Buffer, index: number): number {
  let at: number = SEGMENT_HEADER.byteCount
  for (let frame = 0; frame < index; frame++) {
    at += 72 + Math.ceil(bytes.readUInt32LE(at + 4) / 8) * 8
  }
  return at
}

t.test('Q24 mutant is caught: truncated at the first bad frame', async (t) => {
  t.same(await readBehindDamage(() => undefined), [0, 1, 3, 4], 'as it is')
  const ids = await readBehindDamage((storage, file) => {
    const bytes = storage.bytesOf(file)
    storage.put(file, bytes.subarray(0, frameAt(bytes, 2)))
  })
  t.not(ids.length, 4, 'the mutant loses what the check of Q05 counts')
})

/** A frame of another shard with the same epoch inside a log line, and the frame around it damaged. */
async function readEmbedded(usedHash: FrameHash): Promise<number[]> {
  const clock = new FakeClock()
  const donorDisk = new SimulatedStorage()
  const donor = new ShardHarness({
    storage: donorDisk,
    clock,
    directory: '/data/routes/other/shard-00',
    logId: logIdOf(STORE.uuid, 'routes/other/shard-00'),
    hash: usedHash
  })
  donor.append([666])
  await donor.writer.close()
  const donated = donorDisk.bytesOf(
    '/data/routes/other/shard-00/00000000000000000000-1700000000.seg'
  )
  const frame = donated.subarray(64, donated.length - 64)
  const storage = new SimulatedStorage()
  const shard = new ShardHarness({ storage, clock, hash: usedHash })
  // Once at each byte of the grid where a reader searches.
  const copies = Array.from({ length: 8 }, () => [Buffer.from([0xc0]), frame]).flat()
  const entries = Buffer.concat([entryOf(1), ...copies])
  shard.writer.append({ ...groupOf([1]), entries }, null)
  await shard.writer.close()
  const file = `${DIRECTORY}/${storage.readdir(DIRECTORY)[0]}`
  storage.put(file, storage.bytesOf(file).fill(0, 64, 136))
  return new ShardHarness({ storage, clock: new FakeClock(1_700_000_100_000), hash: usedHash }).ids
}

t.test('Q24 mutant is caught: hashes without the salt', async (t) => {
  t.same(await readEmbedded(hash), [], 'as it is')
  t.same(await readEmbedded((parts) => hash(parts, 0n)), [666], 'the mutant reads a phantom')
})

t.test('Q24 mutant is caught: a log id without the route', (t) => {
  const ids = (of: (route: string) => Uint8Array) =>
    new Set(
      ['routes/a/shard-00', 'routes/b/shard-00'].map((route) =>
        Buffer.from(of(route)).toString('hex')
      )
    )
  t.equal(ids((route) => logIdOf(STORE.uuid, route)).size, 2, 'as it is')
  t.equal(ids(() => logIdOf(STORE.uuid, 'shard-00')).size, 1, 'the mutant, which Q55 counts')
  t.end()
})
