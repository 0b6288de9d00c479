import t from 'tap'
import { DiskStateFile } from '../../src/ingest/state-file.ts'
import { settled } from '../support/fake-clock.ts'
import { SimulatedStorage } from '../support/simulated-storage.ts'

function fileOf(storage: SimulatedStorage): DiskStateFile {
  return new DiskStateFile(storage, '/data', 'files', 'positions')
}

async function diskWith(text: string): Promise<SimulatedStorage> {
  const storage = new SimulatedStorage()
  storage.mkdir('/data')
  storage.dirsyncNow('/')
  await fileOf(storage).write(Buffer.from(text))
  return storage
}

t.test('what was written is read by the next life, and there is nothing before', async (t) => {
  const storage = new SimulatedStorage()
  storage.mkdir('/data')
  t.equal(fileOf(storage).read(), null)
  await fileOf(storage).write(Buffer.from('first'))
  await fileOf(storage).write(Buffer.from('second, and longer'))
  t.equal(fileOf(storage).read()?.toString(), 'second, and longer')
  await fileOf(storage).write(Buffer.from('third'))
  t.equal(fileOf(storage).read()?.toString(), 'third')
})

t.test('a power cut at any operation leaves the old bytes or the new ones', async (t) => {
  const whole = await diskWith('old')
  const firstOperation = whole.operationCount
  await fileOf(whole).write(Buffer.from('new bytes'))
  const endOperation = whole.operationCount
  t.ok(endOperation - firstOperation >= 5, 'there is something to cut')
  const seen = new Set<string>()
  for (let operation = firstOperation + 1; operation <= endOperation + 1; operation++) {
    const storage = await diskWith('old')
    storage.crashAtOperation = operation
    // A sync that the cut catches never ends.
    fileOf(storage)
      .write(Buffer.from('new bytes'))
      .catch(() => {})
    await settled()
    storage.crash()
    seen.add(fileOf(storage).read()?.toString() ?? 'nothing')
  }
  t.same([...seen].toSorted(), ['new bytes', 'old'])
})

t.test('a full volume leaves the old bytes, and says so', async (t) => {
  const storage = await diskWith('old')
  storage.shorten = (_operation, byteCount) => byteCount - 1
  await t.rejects(fileOf(storage).write(Buffer.from('new bytes')), { code: 'MR_STORE_FULL' })
  t.equal(fileOf(storage).read()?.toString(), 'old')
  storage.shorten = () => null
  await fileOf(storage).write(Buffer.from('new bytes'))
  t.equal(
    fileOf(storage).read()?.toString(),
    'new bytes',
    "what was left beside is in nobody's way"
  )
})
