import t from 'tap'
import { readFrame } from '../../../src/storage/reader/shard-reader.ts'
import { FakeClock, settled } from '../../support/fake-clock.ts'
import {
  DIRECTORY,
  groupOf,
  type HarnessOptions,
  ShardHarness
} from '../../support/shard-harness.ts'
import { type Operation, SimulatedStorage } from '../../support/simulated-storage.ts'

const range = (first: number, count: number) => Array.from({ length: count }, (_, at) => first + at)
const isDirectory = (file: string) => !file.endsWith('.seg')

function newShard(options: Partial<HarnessOptions> = {}) {
  const storage = new SimulatedStorage()
  const clock = new FakeClock()
  return { storage, clock, shard: new ShardHarness({ storage, clock, ...options }) }
}

async function commit(shard: ShardHarness): Promise<void> {
  shard.writer.commit()
  await settled()
}

t.test('what is acked can be read back in order', async (t) => {
  const { shard } = newShard()
  t.equal(shard.append(range(0, 5)), true)
  t.equal(shard.append(range(5, 5), { tag: 'other' }), true)
  t.same(shard.acked, [], 'no ack from within append')
  await commit(shard)
  t.same(shard.acked, range(0, 10))
  t.same(shard.ids, range(0, 10))
  t.equal(shard.writer.unsyncedBytes, 0)
})

t.test(
  'Q01 the first segment is durable with its name before anything in it is acked',
  async (t) => {
    const { storage, shard } = newShard()
    storage.isHoldingSyncs = true
    shard.append([1])
    await commit(shard)
    t.equal(storage.heldSyncCount, 2, 'the file and its directory')
    storage.completeSyncs(1)
    await settled()
    t.same(shard.acked, [])
    t.same(shard.visible, [])
    storage.completeSyncs(1)
    await settled()
    t.same(shard.acked, [1])
    t.same(shard.visible.length, 1)
  }
)

t.test('natural group commit: what comes during a sync is covered by the next one', async (t) => {
  const { storage, shard } = newShard()
  storage.isHoldingSyncs = true
  shard.append([1])
  await commit(shard)
  for (const id of range(2, 50)) {
    shard.append([id])
    shard.writer.commit()
  }
  await settled()
  t.equal(storage.heldSyncCount, 2, 'no second sync while one runs')
  storage.completeSyncs()
  await settled()
  t.same(shard.acked, [1])
  storage.completeSyncs()
  await settled()
  t.same(shard.acked, range(1, 51))
  t.equal(shard.syncCount, 2)
})

t.test('without a waiter a commit waits 5 ms or for 512 KiB', async (t) => {
  const { clock, shard } = newShard()
  shard.writer.append(groupOf([1]), null)
  await commit(shard)
  t.equal(shard.syncCount, 0)
  clock.advance(4)
  await settled()
  t.equal(shard.syncCount, 0)
  clock.advance(1)
  await settled()
  t.equal(shard.syncCount, 1)
  t.same(shard.ids, [1])
  for (const id of range(2, 10)) shard.writer.append(groupOf([id], { paddingBytes: 60_000 }), null)
  await commit(shard)
  t.equal(shard.syncCount, 2, 'half a MiB is reason enough')
})

t.test(
  'small messages of one tag share a frame and a group, a big one is a frame of its own',
  async (t) => {
    const { shard } = newShard()
    for (const id of range(0, 100)) shard.append([id])
    shard.append([100], { tag: 'other' })
    shard.append([101], { ingestId: '\xa2c1' })
    shard.append([102], { ingestId: '\xa2c2' })
    shard.append([103], { paddingBytes: 70_000 })
    shard.append([104])
    await commit(shard)
    const first = readFrame(shard.segments, 0)
    t.same(
      first?.groups.map(({ recordCount, tag }) => [recordCount, tag.toString()]),
      [
        [100, 'docker.web'],
        [1, 'other'],
        [1, 'docker.web'],
        [1, 'docker.web']
      ]
    )
    t.equal(first?.header.flags, 2, 'the frame says that it carries ids')
    t.equal(readFrame(shard.segments, 103)?.header.recordCount, 1)
    t.equal(readFrame(shard.segments, 104)?.header.firstOffset, 104)
    t.same(shard.ids, range(0, 105))
  }
)

t.test(
  'a cut message is visible when its last part is durable, and lies in one segment',
  async (t) => {
    const { storage, shard } = newShard({ segmentBytes: 100_000 })
    shard.append([1])
    await commit(shard)
    storage.isHoldingSyncs = true
    shard.writer.append(groupOf([2, 3], { continues: true, paddingBytes: 60_000 }), null)
    await commit(shard)
    storage.completeSyncs()
    await settled()
    t.same(shard.ids, [1], 'a part is not seen')
    storage.isHoldingSyncs = false
    shard.append([4], { paddingBytes: 60_000 })
    await commit(shard)
    t.same(shard.ids, [1, 2, 3, 4])
    t.same(shard.acked, [1, 4])
  }
)

t.test('a cut message without its last part is dropped by recovery', async (t) => {
  const { storage, clock, shard } = newShard()
  shard.append([1])
  await commit(shard)
  shard.writer.append(groupOf([2, 3], { continues: true }), null)
  shard.writer.append(groupOf([4], { continues: true }), null)
  storage.kill()
  const next = new ShardHarness({ storage, clock })
  t.same(next.ids, [1])
  t.equal(next.recovered.unackedRecords, 3)
  t.equal(next.recovered.start.nextOffset, 1)
})

t.test('a segment rolls by size, gets its footer, and the next header names its end', async (t) => {
  const { storage, shard } = newShard({ segmentBytes: 4096 })
  for (const id of range(0, 40)) {
    shard.append([id], { paddingBytes: 300 })
    await commit(shard)
  }
  const names = storage.readdir(DIRECTORY)
  t.ok(names.length >= 3, `${names.length} segments`)
  t.same(shard.ids, range(0, 40))
  const first = storage.bytesOf(`${DIRECTORY}/${names[0]}`)
  t.equal(first.toString('latin1', first.length - 64, first.length - 60), 'MREN')
  const second = storage.bytesOf(`${DIRECTORY}/${names[1]}`)
  t.equal(second.readUInt32LE(48), first.length, 'prev_valid_end is the size after a clean roll')
  t.ok(storage.openFileCount <= 3, 'at most three descriptors per shard')
})

t.test(
  'a segment rolls after an hour and when it is sealed, and append times never decrease',
  async (t) => {
    const { storage, clock, shard } = newShard()
    shard.append([1])
    await commit(shard)
    clock.jumpTo(clock.nowMs() - 86_400_000)
    shard.append([2])
    await commit(shard)
    t.equal(
      readFrame(shard.segments, 1)?.header.appendTimeMs,
      readFrame(shard.segments, 0)?.header.appendTimeMs
    )
    clock.jumpTo(clock.nowMs() + 86_400_000 + 3_700_000)
    const markMs = shard.writer.tick()
    await settled()
    t.equal(markMs, clock.nowMs(), 'the time watermark follows the clock while idle')
    shard.append([3])
    await commit(shard)
    t.equal(storage.readdir(DIRECTORY).length, 2)
    t.equal(shard.writer.seal(), true)
    await settled()
    t.equal(shard.writer.seal(), false, 'nothing to seal')
    shard.append([4])
    await commit(shard)
    t.equal(storage.readdir(DIRECTORY).length, 3)
    t.same(shard.ids, [1, 2, 3, 4])
  }
)

t.test('Q21 EIO on the k-th datasync: the group is written again to a new segment', async (t) => {
  for (let failing = 1; failing <= 50; failing++) {
    const { storage, clock, shard } = newShard({ segmentBytes: 8192 })
    let syncs = 0
    storage.fail = ({ name, path }) =>
      name === 'datasync' && !isDirectory(path) && ++syncs === failing ? 'EIO' : null
    for (const id of range(0, 60)) {
      while (!shard.append([id], { paddingBytes: 200 })) await settled()
      await commit(shard)
    }
    t.same([shard.rejected, shard.givenUp], [[], []], `sync ${failing}: nothing is given up`)
    t.equal(shard.poisoned.length, 1)
    t.equal(shard.writer.state, 'ok')
    t.same(shard.acked, range(0, 60), 'each is acked, once, in order')
    t.same(shard.ids, shard.acked, 'readers see what was acked, nothing twice')
    const poisoned = `${DIRECTORY}/${shard.poisoned[0]}`
    const syncsAfter = storage.log.filter(
      ({ name, path }) => name === 'datasync' && path === poisoned
    )
    t.ok(syncsAfter.length <= failing, 'no second sync of a file whose sync failed')
    // The pages of the failed sync were marked clean: a power cut takes them whatever was synced since.
    storage.crash()
    const next = new ShardHarness({ storage, clock })
    t.same(next.ids, shard.acked, 'nothing acked lost, nothing twice after a power cut')
  }
})

t.test('Q21 what is written again keeps its order, its offsets and its groups', async (t) => {
  const { storage, clock, shard } = newShard({ segmentBytes: 300_000 })
  storage.isHoldingSyncs = true
  shard.append([1])
  await commit(shard)
  // Frames of every kind behind the first sync: gathered, from where they lie, and a message in two parts over chunks.
  shard.append([2, 3], { ingestId: '\xa2c1' })
  shard.append([4], { paddingBytes: 100_000 })
  shard.writer.append(groupOf([5], { continues: true, paddingBytes: 900_000 }), null)
  shard.append([6], { paddingBytes: 200_000 })
  shard.append([7], { tag: 'other' })
  shard.writer.append(groupOf([8]), null)
  await commit(shard)
  let failuresLeft = 1
  storage.fail = ({ name }) => (name === 'datasync' && failuresLeft-- > 0 ? 'EIO' : null)
  storage.isHoldingSyncs = false
  storage.completeSyncs()
  await settled()
  clock.advance(10)
  await settled()
  t.same(shard.acked, [1, 2, 3, 4, 6, 7])
  t.same(shard.ids, range(1, 8), 'those without a sender that waits are there too')
  t.same([shard.rejected, shard.givenUp], [[], []])
  const { records } = shard.readAll(0)
  t.same(
    records.map(({ offset }) => offset),
    range(0, 8)
  )
  t.equal(new Set(records.map(({ epoch }) => epoch)).size, 1, 'all of it in the new epoch')
  t.equal(readFrame(shard.segments, 6)?.groups.length, 2, 'frames are as they were')
  storage.crash()
  t.same(new ShardHarness({ storage, clock }).ids, range(1, 8))
})

t.test('Q21 a disk that takes files and refuses their contents is asked every 5 s', async (t) => {
  const { storage, clock, shard } = newShard()
  shard.append([1])
  await commit(shard)
  let isFailing = true
  storage.fail = ({ name, path }) => {
    if (!isFailing || name !== 'datasync' || isDirectory(path)) return null
    return storage.bytesOf(path).length > 64 ? 'EIO' : null
  }
  shard.append([2])
  await commit(shard)
  t.equal(shard.writer.state, 'failed')
  t.equal(shard.poisoned.length, 2, 'one new segment at once, no more')
  clock.advance(4999)
  await settled()
  t.equal(shard.poisoned.length, 2)
  clock.advance(1)
  await settled()
  t.equal(shard.poisoned.length, 3)
  t.equal(storage.readdir(DIRECTORY).length, 1, 'files of attempts are deleted')
  isFailing = false
  clock.advance(5000)
  await settled()
  t.equal(shard.writer.state, 'ok')
  t.same([shard.acked, shard.ids, shard.rejected], [[1, 2], [1, 2], []])
})

t.test('Q21 room that ends while a group is written again is waited for', async (t) => {
  const { storage, clock, shard } = newShard()
  storage.isHoldingSyncs = true
  for (const id of range(0, 4)) shard.append([id], { paddingBytes: 70_000 })
  await commit(shard)
  let syncs = 0
  let writes = 0
  let isShort = true
  storage.fail = ({ name, path }) =>
    name === 'datasync' && !isDirectory(path) && ++syncs === 1 ? 'EIO' : null
  // The header of the new segment and one frame, then half of the next.
  storage.shorten = (_, byteCount) => (isShort && ++writes > 2 ? byteCount >> 1 : null)
  storage.isHoldingSyncs = false
  storage.completeSyncs()
  await settled()
  t.equal(shard.writer.state, 'full')
  t.same(shard.acked, [], 'none of those whose frames are not all there')
  isShort = false
  clock.advance(1000)
  await settled()
  t.equal(shard.writer.state, 'ok')
  t.same([shard.acked, shard.ids, shard.rejected], [range(0, 4), range(0, 4), []])
})

t.test('Q21 close on a disk that stays broken rejects and counts what was kept', async (t) => {
  const { storage, shard } = newShard()
  shard.append([1])
  await commit(shard)
  storage.fail = ({ name }) => (name === 'datasync' ? 'EIO' : null)
  shard.append([2, 3])
  await commit(shard)
  t.equal(shard.writer.state, 'failed')
  await shard.writer.close()
  t.same(shard.rejected, [{ ids: [2, 3], reason: 'closed' }])
  t.same(shard.givenUp, [{ recordCount: 2, reason: 'closed' }])
  t.same([shard.acked, shard.ids], [[1], [1]])
})

t.test('Q22 EIO on the sync of the directory: no ack from that segment', async (t) => {
  const { storage, clock, shard } = newShard()
  let isFailing = true
  storage.fail = ({ name }) => (isFailing && name === 'dirsync' ? 'EIO' : null)
  shard.append([1])
  await commit(shard)
  t.same(shard.acked, [])
  t.equal(shard.writer.state, 'failed')
  t.equal(shard.append([2]), false, 'refused while failed')
  isFailing = false
  clock.advance(5000)
  await settled()
  t.equal(shard.writer.state, 'ok')
  shard.append([2])
  await commit(shard)
  t.same(shard.acked, [1, 2], 'the first one is in a segment with a durable name now')
  t.same(shard.ids, [1, 2])
})

t.test(
  'Q23 a short write at every byte of a frame: not acked, taken back, written when there is room',
  async (t) => {
    const { storage: sample, shard: first } = newShard()
    first.append([1])
    await commit(first)
    const frameBytes = sample.bytesOf(`${DIRECTORY}/${sample.readdir(DIRECTORY)[0]}`).length - 64
    for (let count = 0; count < frameBytes; count++) {
      const { storage, clock, shard } = newShard()
      shard.append([1])
      await commit(shard)
      const file = `${DIRECTORY}/${storage.readdir(DIRECTORY)[0]}`
      const endByte = storage.bytesOf(file).length
      let isShort = true
      storage.shorten = ({ name }) => (isShort && name === 'writev' ? count : null)
      shard.append([2])
      await commit(shard)
      t.same(shard.acked, [1], `${count} bytes`)
      t.equal(storage.bytesOf(file).length, endByte, 'the position is restored')
      t.equal(shard.writer.state, 'full')
      t.equal(shard.append([3]), false)
      isShort = false
      clock.advance(1000)
      await settled()
      t.same(shard.acked, [1, 2], 'kept in memory and written after all')
      t.same(shard.ids, [1, 2])
    }
  }
)

t.test('Q25 a full volume pauses the shard, reading goes on, room ends it', async (t) => {
  const storage = new SimulatedStorage({ capacityBytes: 40_000 })
  const clock = new FakeClock()
  const shard = new ShardHarness({ storage, clock, segmentBytes: 8192 })
  let id = 0
  while (shard.writer.state === 'ok') {
    if (shard.append([id], { paddingBytes: 500 })) id++
    await commit(shard)
  }
  t.equal(shard.writer.state, 'full')
  t.same(shard.ids, shard.acked)
  t.ok(shard.acked.length >= id - 1)
  clock.advance(5000)
  await settled()
  t.equal(shard.writer.state, 'full', 'no room, no change')
  storage.capacityBytes = 4_000_000
  shard.writer.probe()
  await settled()
  t.equal(shard.writer.state, 'ok')
  shard.append([id])
  await commit(shard)
  t.same(shard.acked, range(0, id + 1), 'nothing of it was lost')
  t.same(shard.rejected, [])
})

t.test('Q29 no inodes: the shard is full although there is space', async (t) => {
  const { storage, clock, shard } = newShard()
  storage.freeInodes = 0
  shard.append([1])
  await commit(shard)
  t.equal(shard.writer.state, 'full')
  t.match(shard.states[0], { state: 'full', error: { code: 'ENOSPC' } })
  clock.advance(1000)
  await settled()
  t.equal(shard.writer.state, 'full')
  storage.freeInodes = 10
  clock.advance(1000)
  await settled()
  t.same(shard.acked, [1])
})

t.test(
  'Q32 a volume that turned read-only refuses appends and comes back without a restart',
  async (t) => {
    const { storage, clock, shard } = newShard()
    shard.append([1])
    await commit(shard)
    storage.fail = ({ name }) => (name === 'pread' ? null : 'EROFS')
    shard.append([2])
    await commit(shard)
    t.equal(shard.writer.state, 'read_only')
    t.same(shard.ids, [1], 'reading goes on')
    storage.fail = () => null
    clock.advance(5000)
    await settled()
    t.equal(shard.writer.state, 'ok')
    t.same(shard.acked, [1, 2], 'what was in memory is written now')
    t.same(shard.ids, [1, 2])
  }
)

t.test('Q33 the directory is deleted: a loud state, no crash', async (t) => {
  const { storage, clock, shard } = newShard()
  shard.append([1])
  await commit(shard)
  for (const name of storage.readdir(DIRECTORY)) storage.unlink(`${DIRECTORY}/${name}`)
  storage.rmdir(DIRECTORY)
  shard.writer.tick()
  await settled()
  t.equal(shard.writer.state, 'failed')
  t.match(shard.states[0]?.error, { code: 'ENOENT' })
  t.equal(shard.append([2]), false)
  clock.advance(60_000)
  await settled()
  t.equal(shard.writer.state, 'failed')
  await shard.writer.close()
})

t.test('a write that fails for good cuts the file at its durable end', async (t) => {
  const { storage, clock, shard } = newShard()
  shard.append([1])
  await commit(shard)
  storage.isHoldingSyncs = true
  shard.append([2], { paddingBytes: 100_000 })
  await commit(shard)
  let isFailing = true
  storage.fail = ({ name }: Operation) => (isFailing && name === 'writev' ? 'EIO' : null)
  t.equal(shard.append([3], { paddingBytes: 100_000 }), false)
  t.same(shard.rejected, [], 'not from within append')
  isFailing = false
  storage.isHoldingSyncs = false
  storage.completeSyncs()
  await settled()
  t.same(shard.acked, [1, 2], 'the sync that ran ends and counts')
  t.equal(shard.writer.state, 'ok')
  shard.append([4])
  await commit(shard)
  t.same(shard.ids, [1, 2, 4])
  t.equal(storage.readdir(DIRECTORY).length, 2)
  storage.crash()
  t.same(new ShardHarness({ storage, clock }).ids, [1, 2, 4])
})

t.test('interval: acked at the write, synced after the interval', async (t) => {
  const { clock, shard } = newShard({ durability: 'interval', syncIntervalMs: 200 })
  shard.append([1])
  await commit(shard)
  t.same(shard.acked, [1])
  t.same(shard.ids, [1])
  const syncs = shard.syncCount
  shard.append([2])
  await commit(shard)
  t.same(shard.acked, [1, 2])
  t.equal(shard.syncCount, syncs, 'not yet')
  t.ok(shard.writer.unsyncedBytes > 0)
  clock.advance(200)
  await settled()
  t.equal(shard.syncCount, syncs + 1)
  t.equal(shard.writer.unsyncedBytes, 0)
})

t.test(
  'interval: a failed sync loses nothing that readers had, and goes on behind it',
  async (t) => {
    const { storage, clock, shard } = newShard({ durability: 'interval' })
    shard.append([1])
    await commit(shard)
    shard.append([2, 3])
    await commit(shard)
    storage.fail = ({ name }) => (name === 'datasync' ? 'EIO' : null)
    clock.advance(200)
    await settled()
    storage.fail = () => null
    clock.advance(5000)
    await settled()
    t.equal(shard.writer.state, 'ok')
    shard.append([4])
    await commit(shard)
    t.same(shard.acked, [1, 2, 3, 4])
    t.same(shard.ids, [1, 2, 3, 4])
    clock.advance(200)
    await settled()
    storage.crash()
    const next = new ShardHarness({ storage, clock, durability: 'interval' })
    const { records, holes } = next.readAll(0)
    t.same(
      records.map(({ id, offset }) => [id, offset]),
      [
        [1, 0],
        [4, 3]
      ]
    )
    t.same(holes, [{ firstOffset: 1, endOffset: 3, reason: 'unsynced' }])
  }
)

for (const durability of ['os', 'memory'] as const) {
  t.test(`${durability}: acked at the write; segments roll`, async (t) => {
    const { storage, clock, shard } = newShard({ durability, segmentBytes: 2048 })
    for (const id of range(0, 30)) {
      shard.append([id], { paddingBytes: 200 })
      await commit(shard)
    }
    t.same(shard.acked, range(0, 30))
    t.same(shard.ids, range(0, 30))
    t.equal(shard.writer.unsyncedBytes, 0)
    await shard.writer.close()
    storage.kill()
    t.same(new ShardHarness({ storage, clock, durability }).ids, range(0, 30))
  })
}

t.test('close writes what is left, syncs it and refuses more', async (t) => {
  const { storage, clock, shard } = newShard()
  shard.append([1])
  shard.writer.append(groupOf([2]), null)
  await shard.writer.close()
  t.same(shard.acked, [1])
  t.same(shard.ids, [1, 2])
  t.equal(shard.append([3]), false)
  t.equal(shard.writer.close(), shard.writer.close(), 'twice is once')
  storage.crash()
  const next = new ShardHarness({ storage, clock })
  t.same(next.ids, [1, 2])
  t.same(next.recovered.notes, [])
})

t.test('close of a failing disk ends and rejects what is not stored', async (t) => {
  const { storage, shard } = newShard()
  shard.append([1])
  await commit(shard)
  shard.append([2])
  storage.fail = () => 'EIO'
  await shard.writer.close()
  t.same(shard.acked, [1])
  t.same(
    shard.rejected.flatMap(({ ids }) => ids),
    [2]
  )
})

t.test('memory: nothing is ever synced, so a disk that cannot sync does not matter', async (t) => {
  const { storage, shard } = newShard({ durability: 'memory', segmentBytes: 2048 })
  const isSync = ({ name }: Operation) => name === 'datasync' || name === 'dirsync'
  storage.log.length = 0
  storage.fail = (operation) => (isSync(operation) ? 'EIO' : null)
  for (const id of range(0, 20)) {
    shard.append([id], { paddingBytes: 200 })
    await commit(shard)
  }
  let failuresLeft = 1
  storage.fail = ({ name }) => (name === 'writev' && failuresLeft-- > 0 ? 'EIO' : null)
  shard.append([20])
  await commit(shard)
  t.equal(shard.writer.state, 'ok')
  shard.writer.seal()
  await shard.writer.close()
  t.same(shard.acked, range(0, 21))
  t.same(storage.log.filter(isSync), [])
})
