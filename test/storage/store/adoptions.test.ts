import t from 'tap'
import {
  readAdoptions,
  withAdoption,
  writeAdoptions
} from '../../../src/storage/store/adoptions.ts'
import { hash } from '../../support/shard-harness.ts'
import { CrashSignal, SimulatedStorage } from '../../support/simulated-storage.ts'

const DIRECTORY = '/data'
const FILE = '/data/ADOPTED'

function store(seed = 1): SimulatedStorage {
  const storage = new SimulatedStorage({ seed })
  storage.mkdir(DIRECTORY)
  storage.dirsyncNow('/')
  return storage
}

const one = new Map([['routes/old', 'new']])
const two = new Map([...one, ['routes/older', 'rest']])

t.test('what was adopted is known after a power cut, and nothing is known before', (t) => {
  const storage = store()
  t.same(readAdoptions(storage, DIRECTORY, hash), { adoptions: new Map(), isDamaged: false })
  writeAdoptions(storage, DIRECTORY, hash, two)
  storage.crash()
  t.same(readAdoptions(storage, DIRECTORY, hash), { adoptions: two, isDamaged: false })
  writeAdoptions(storage, DIRECTORY, hash, new Map())
  storage.crash()
  t.equal(storage.stat(FILE), null, 'with nothing adopted there is no file')
  writeAdoptions(storage, DIRECTORY, hash, new Map())
  t.end()
})

t.test('the power goes at each operation of a change: the old list or the new one', (t) => {
  const seen = new Set<number>()
  for (let operation = 1; operation < 12; operation++) {
    for (let seed = 1; seed < 6; seed++) {
      const storage = store(seed)
      writeAdoptions(storage, DIRECTORY, hash, one)
      storage.crashAtOperation = storage.operationCount + operation
      try {
        writeAdoptions(storage, DIRECTORY, hash, two)
      } catch (error) {
        if (!(error instanceof CrashSignal)) throw error
      }
      storage.crashAtOperation = Number.POSITIVE_INFINITY
      storage.crash()
      const { adoptions, isDamaged } = readAdoptions(storage, DIRECTORY, hash)
      t.equal(isDamaged, false)
      t.ok(adoptions.size === 1 || adoptions.size === 2)
      seen.add(adoptions.size)
      // What is left of the crash is in nobody's way.
      writeAdoptions(storage, DIRECTORY, hash, two)
      t.same(readAdoptions(storage, DIRECTORY, hash).adoptions, two)
    }
  }
  t.same([...seen].toSorted(), [1, 2])
  t.end()
})

t.test('a changed, cut or foreign file adopts nothing and is said to be damaged', (t) => {
  const storage = store()
  writeAdoptions(storage, DIRECTORY, hash, one)
  const bytes = storage.bytesOf(FILE)
  for (let at = 0; at < bytes.length - 1; at++) {
    const changed = Buffer.from(bytes)
    changed[at] = (changed[at] ?? 0) ^ 1
    storage.put(FILE, changed)
    t.match(readAdoptions(storage, DIRECTORY, hash), { isDamaged: true }, `bit at ${at}`)
    storage.put(FILE, bytes.subarray(0, at))
    t.match(readAdoptions(storage, DIRECTORY, hash), { isDamaged: true }, `cut at ${at}`)
  }
  storage.put(FILE, Buffer.alloc(1024 * 1024 + 1))
  t.match(readAdoptions(storage, DIRECTORY, hash), { adoptions: new Map(), isDamaged: true })
  t.end()
})

t.test('what an orphan had adopted goes with it', (t) => {
  const before = new Map([
    ['routes/a', 'b'],
    ['routes/x', 'y']
  ])
  t.same(
    [...withAdoption(before, 'routes/b', 'c')],
    [
      ['routes/a', 'c'],
      ['routes/x', 'y'],
      ['routes/b', 'c']
    ]
  )
  t.end()
})
