import t from 'tap'
import { decodeMeta, encodeMeta, openMeta } from '../../../src/storage/store/meta.ts'
import { hash } from '../../support/shard-harness.ts'
import { CrashSignal, SimulatedStorage } from '../../support/simulated-storage.ts'

const uuid = Buffer.alloc(16, 0x11)
const secret = Buffer.alloc(16, 0x22)
const fixed = () => {
  let call = 0
  return (byteCount: number) => Buffer.alloc(byteCount, ++call)
}
const open = (storage: SimulatedStorage) =>
  openMeta(storage, '/srv/data', hash, 1000, { random: fixed() })

t.test('an empty directory gets an identity that stays', (t) => {
  const storage = new SimulatedStorage()
  const first = open(storage)
  t.same(first.notes, [])
  storage.crash()
  const second = openMeta(storage, '/srv/data', hash, 2000)
  t.same(second.meta, first.meta)
  t.end()
})

t.test('the power goes at each operation of the first start: one identity in the end', (t) => {
  for (let operation = 1; operation < 30; operation++) {
    const storage = new SimulatedStorage({ seed: operation })
    storage.crashAtOperation = operation
    try {
      open(storage)
    } catch (error) {
      if (!(error instanceof CrashSignal)) throw error
    }
    storage.crash()
    const { meta } = open(storage)
    storage.crash()
    t.same(openMeta(storage, '/srv/data', hash, 1).meta, meta)
  }
  t.end()
})

t.test('Q12 one destroyed copy is repaired from the other', (t) => {
  for (const name of ['META', 'META.bak']) {
    for (const damage of [Buffer.alloc(0), Buffer.alloc(56), Buffer.alloc(4096, 0xff), null]) {
      const storage = new SimulatedStorage()
      const { meta } = open(storage)
      if (damage === null) storage.remove(`/srv/data/${name}`)
      else storage.put(`/srv/data/${name}`, damage)
      const opened = openMeta(storage, '/srv/data', hash, 9)
      t.same(opened.meta, meta)
      t.match(opened.notes, [/repaired from its copy/])
      t.same(storage.bytesOf(`/srv/data/${name}`), encodeMeta(meta, hash))
    }
  }
  t.end()
})

t.test('Q12 both destroyed while there is data: refused, nothing modified', (t) => {
  const storage = new SimulatedStorage()
  open(storage)
  storage.put('/srv/data/META', Buffer.alloc(56, 1))
  storage.remove('/srv/data/META.bak')
  storage.put(
    '/srv/data/park/web/search/shard-00/00000000000000000000-0000000001.seg',
    Buffer.alloc(9)
  )
  const before = storage.tree()
  t.throws(() => open(storage), { code: 'MR_STORE_META' })
  t.same(storage.tree(), before)
  t.end()
})

t.test('Q13 a later format is refused, nothing modified', (t) => {
  const storage = new SimulatedStorage()
  const { meta } = open(storage)
  const bytes = encodeMeta(meta, hash)
  bytes[4] = 2
  bytes.writeBigUInt64LE(hash([bytes.subarray(0, 48)], 0n), 48)
  storage.put('/srv/data/META', bytes)
  const before = storage.tree()
  t.throws(() => open(storage), { code: 'MR_STORE_FORMAT' })
  t.same(storage.tree(), before)
  t.end()
})

t.test('any flipped bit is noticed', (t) => {
  const bytes = encodeMeta({ uuid, secret, createdMs: 123_456_789_012 }, hash)
  t.same(decodeMeta(bytes, hash), { uuid, secret, createdMs: 123_456_789_012 })
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = Buffer.from(bytes)
    flipped[bit >> 3] = flipped[bit >> 3]! ^ (1 << (bit & 7))
    t.equal(decodeMeta(flipped, hash), null, `bit ${bit}`)
  }
  t.end()
})
