import t from 'tap'
import { Quarantine } from '../../../src/storage/reader/quarantine.ts'
import { SimulatedStorage } from '../../support/simulated-storage.ts'

const MIB = 1024 * 1024
const SHARD = '/data/routes/web/shard-00'
const QUARANTINE = '/data/routes/web/quarantine'
const SEGMENT = `${SHARD}/a.seg`

function setUp(byteCount = 4096) {
  const storage = new SimulatedStorage()
  const bytes = Buffer.alloc(byteCount, 'x')
  bytes.write('begin')
  storage.put(SEGMENT, bytes)
  const file = storage.open(SEGMENT, 'read')
  const quarantine = new Quarantine(storage, SHARD)
  /** Copies [start, end) of the segment: the records 4 to 6. */
  const copy = (startByte: number, endByte: number) => {
    const range = { segmentPath: SEGMENT, startByte, endByte, firstOffset: 4, endOffset: 7 }
    return quarantine.copyRange(file, { ...range, reason: 'corrupt' })
  }
  const names = () => (storage.stat(QUARANTINE) === null ? [] : storage.readdir(QUARANTINE))
  return { bytes, copy, names, quarantine, storage }
}

/** Files that look as if they were there, without their bytes. */
function pretend(storage: SimulatedStorage, files: ReadonlyMap<string, number>) {
  const { readdir, stat } = storage
  storage.mkdir(QUARANTINE)
  storage.readdir = (directory) => [
    ...readdir.call(storage, directory),
    ...(directory === QUARANTINE ? files.keys() : [])
  ]
  storage.stat = (path) => {
    const name = path.slice(QUARANTINE.length + 1)
    const byteCount = path.startsWith(`${QUARANTINE}/`) ? files.get(name) : undefined
    if (byteCount === undefined) return stat.call(storage, path)
    return { byteCount, isDirectory: false, linkCount: 1, identity: `pretended:${name}` }
  }
}

t.test('a range is copied byte for byte, with a description that says what it was', (t) => {
  const { bytes, copy, names, quarantine, storage } = setUp()
  t.match(copy(0, 1000), /3 records from offset 4.*damaged, copied to .*shard-00-a\.seg-0\.bin/)
  t.same(names().toSorted(), ['shard-00-a.seg-0.bin', 'shard-00-a.seg-0.bin.json'])
  t.ok(storage.bytesOf(`${QUARANTINE}/shard-00-a.seg-0.bin`).equals(bytes.subarray(0, 1000)))
  const text = storage.bytesOf(`${QUARANTINE}/shard-00-a.seg-0.bin.json`).toString()
  t.match(JSON.parse(text), {
    ...{ segmentPath: SEGMENT, startByte: 0, endByte: 1000, keptBytes: 1000 },
    ...{ firstOffset: 4, recordCount: 3, reason: 'corrupt' }
  })
  t.equal(quarantine.byteCount, 1000 + text.length)
  t.end()
})

t.test('a range that is met again is not copied again', (t) => {
  const { copy, names } = setUp()
  copy(0, 100)
  t.match(copy(0, 100), /copied before/)
  t.equal(names().length, 2)
  t.end()
})

t.test('of one range 16 MiB are kept, and the description says how many of how many', (t) => {
  const { copy, storage } = setUp(17 * MIB)
  copy(64, 17 * MIB)
  const kept = storage.bytesOf(`${QUARANTINE}/shard-00-a.seg-64.bin`)
  t.equal(kept.length, 16 * MIB)
  const text = storage.bytesOf(`${QUARANTINE}/shard-00-a.seg-64.bin.json`).toString()
  t.match(JSON.parse(text), { startByte: 64, endByte: 17 * MIB, keptBytes: 16 * MIB })
  t.end()
})

t.test('a shard has 256 MiB: one byte less takes the range, one byte more does not', (t) => {
  for (const [heldBytes, isTaken] of [
    [256 * MIB - 1000, true],
    [256 * MIB - 999, false]
  ] as const) {
    const { copy, names, storage } = setUp()
    pretend(storage, new Map([['shard-00-old.bin', heldBytes]]))
    t.match(copy(0, 1000), isTaken ? /copied to/ : /not copied: the quarantine .* is full/)
    t.equal(names().length, isTaken ? 3 : 1)
  }
  t.end()
})

t.test('a shard has 4,000 files, and a range takes two', (t) => {
  for (const [held, isTaken] of [
    [3998, true],
    [3999, false]
  ] as const) {
    const { copy, storage } = setUp()
    const names = Array.from({ length: held }, (_, at): [string, number] => [`shard-00-${at}`, 1])
    pretend(storage, new Map(names))
    t.match(copy(0, 10), isTaken ? /copied to/ : /not copied: the quarantine .* is full/)
  }
  t.end()
})

t.test('copies of another shard of the log do not count', (t) => {
  const { copy, quarantine, storage } = setUp()
  pretend(storage, new Map([['shard-01-old.bin', 256 * MIB]]))
  t.equal(quarantine.byteCount, 0)
  t.match(copy(0, 10), /copied to/)
  t.end()
})

t.test('a full volume leaves no half of a copy, throws nothing, and is tried again', (t) => {
  const { copy, names, storage } = setUp()
  const { writev } = storage
  storage.writev = () => 5
  t.match(copy(0, 1000), /damaged, not copied: no space left/)
  t.same(names(), [])
  storage.writev = writev
  t.match(copy(0, 1000), /copied to/)
  t.equal(names().length, 2)
  t.end()
})

t.test('a copy is on the disk when copyRange returns', (t) => {
  const { bytes, copy, storage } = setUp()
  copy(0, 1000)
  storage.crash()
  storage.revive()
  t.ok(storage.bytesOf(`${QUARANTINE}/shard-00-a.seg-0.bin`).equals(bytes.subarray(0, 1000)))
  t.end()
})
