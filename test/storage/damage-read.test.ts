import t from 'tap'
import { SegmentFiles } from '../../src/steps/segment-files.ts'
import { readTolerant } from '../../src/storage/damage-read.ts'
import { FakeClock, settled } from '../support/fake-clock.ts'
import { DIRECTORY, ShardHarness } from '../support/shard-harness.ts'
import { SimulatedStorage } from '../support/simulated-storage.ts'

const FILE = '/a.seg'
const PAGE = 4096

function filled(byteCount: number) {
  const storage = new SimulatedStorage()
  storage.put(FILE, Buffer.alloc(byteCount, 'x'))
  return { storage, file: storage.open(FILE, 'read') }
}

/** Reads of [first, end) fail, however they are asked for. */
function breakSector(storage: SimulatedStorage, first: number, end: number, isOver = () => false) {
  const pread = storage.pread.bind(storage)
  storage.pread = (file, into, atByte) => {
    if (!isOver() && atByte < end && atByte + into.length > first) {
      throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' })
    }
    return pread(file, into, atByte)
  }
}

t.test('a read that fails once costs a pause and nothing else', (t) => {
  const { file, storage } = filled(10_000)
  let failuresLeft = 1
  breakSector(storage, 0, 10_000, () => failuresLeft-- <= 0)
  const into = Buffer.alloc(10_000)
  t.equal(readTolerant(storage, file, into, 0), 10_000)
  t.ok(into.equals(Buffer.alloc(10_000, 'x')))
  t.equal(storage.pauseCount, 1)
  t.end()
})

t.test(
  'an unreadable sector costs the aligned 4 KiB around it, at every place of the read',
  (t) => {
    for (const atByte of [0, 100, PAGE, 9000]) {
      const { file, storage } = filled(40_000)
      breakSector(storage, 3 * PAGE + 512, 3 * PAGE + 1024)
      const into = Buffer.alloc(30_000)
      const readBytes = readTolerant(storage, file, into, atByte)
      t.equal(readBytes, 30_000)
      const expected = Buffer.alloc(30_000, 'x')
      expected.fill(0, 3 * PAGE - atByte, 4 * PAGE - atByte)
      t.ok(into.equals(expected), `from ${atByte}`)
    }
    const { file, storage } = filled(5000)
    breakSector(storage, 4500, 4600)
    t.equal(
      readTolerant(storage, file, Buffer.alloc(9000), 0),
      5000,
      'short at the end of the file'
    )
    storage.pread = () => {
      throw Object.assign(new Error('EBADF'), { code: 'EBADF' })
    }
    t.throws(() => readTolerant(storage, file, Buffer.alloc(10), 0), { code: 'EBADF' })
    t.end()
  }
)

t.test('the reader of the pool passes over unreadable sectors too', (t) => {
  const { storage } = filled(20_000)
  breakSector(storage, PAGE, PAGE + 1)
  const files = new SegmentFiles(storage)
  const into = Buffer.alloc(20_000)
  t.equal(files.read(FILE, into, 0), 20_000)
  t.equal(into[PAGE - 1], 0x78)
  t.equal(into[PAGE], 0)
  t.equal(into[2 * PAGE], 0x78)
  files.release()
  t.equal(storage.openFileCount, 1)
  t.end()
})

t.test(
  'an unreadable sector of a segment costs the records of its frames, in recovery',
  async (t) => {
    const storage = new SimulatedStorage()
    const clock = new FakeClock()
    const shard = new ShardHarness({ storage, clock })
    const ids = Array.from({ length: 30 }, (_, id) => id)
    for (const id of ids) {
      shard.append([id], { paddingBytes: 900 })
      shard.writer.commit()
      await settled()
    }
    await shard.writer.close()
    const bytes = storage.bytesOf(`${DIRECTORY}/${storage.readdir(DIRECTORY)[0]}`)
    // Zeros that are read in the place of zeros damage nothing.
    const damaged: number[] = []
    for (let at = 64, id = 0; id < 30; id++) {
      const endByte = at + 72 + Math.ceil(bytes.readUInt32LE(at + 4) / 8) * 8
      const inside = bytes.subarray(Math.max(at, 2 * PAGE), Math.min(endByte, 3 * PAGE))
      if (inside.some((byte) => byte !== 0)) damaged.push(id)
      at = endByte
    }
    breakSector(storage, 2 * PAGE, 3 * PAGE)
    const next = new ShardHarness({ storage, clock })
    const { holes, records } = next.readAll(0)
    const first = damaged[0]!
    const end = damaged.at(-1)! + 1
    t.ok(damaged.length >= 4)
    t.same(new Set(holes.map(({ reason }) => reason)), new Set(['corrupt']))
    t.same([holes[0]?.firstOffset, holes.at(-1)?.endOffset], [first, end])
    for (const [at, hole] of holes.entries()) {
      if (at > 0) t.equal(hole.firstOffset, holes[at - 1]?.endOffset, 'one behind the other')
    }
    t.same(
      records.map(({ id }) => id),
      ids.filter((id) => id < first || id >= end)
    )
  }
)
