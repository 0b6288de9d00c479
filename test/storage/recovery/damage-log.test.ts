import t from 'tap'
import type { Hole, HoleReason } from '../../../src/storage/reader/segments.ts'
import { DamageLog } from '../../../src/storage/recovery/damage-log.ts'
import { build, damaged, framesOf, reopen } from '../../support/damaged-shard.ts'
import { DIRECTORY } from '../../support/shard-harness.ts'
import type { SimulatedStorage } from '../../support/simulated-storage.ts'

const QUARANTINE = '/data/routes/web/quarantine'

const hole = (firstOffset: number, endOffset: number, reason: HoleReason = 'corrupt'): Hole => ({
  ...{ kind: 'hole', firstOffset, endOffset, reason }
})

/** Twelve records in segments of a few frames each; the frames of records 1 and 2 are destroyed in the first one. */
async function setUp(change = (storage: SimulatedStorage) => storage) {
  const built = await build(12, { segmentBytes: 1200 })
  const [file] = built.files
  if (file === undefined) throw new Error('no segment')
  const frames = framesOf(built.storage.bytesOf(file))
  const [one, two] = frames.slice(1)
  if (one === undefined || two === undefined) throw new Error('too few frames')
  const storage = damaged(built, file, (bytes) => {
    bytes.fill(0xee, one.startByte + 72, one.startByte + 80)
    return bytes.fill(0xee, two.startByte, two.startByte + 80)
  })
  const { segments } = reopen(change(storage))
  const notes: string[] = []
  const log = new DamageLog(segments, DIRECTORY, (note) => notes.push(note))
  const names = () =>
    storage.stat(QUARANTINE) === null ? [] : storage.readdir(QUARANTINE).toSorted()
  return { file, log, names, notes, one, storage, two }
}

t.test('each damaged frame is copied and counted once, whoever passes it', async (t) => {
  const { log, names, notes, one, storage, two } = await setUp()
  for (let destination = 0; destination < 3; destination++) {
    log.note(hole(1, 2))
    log.note(hole(2, 3))
  }
  t.equal(log.frameCount, 2)
  t.equal(notes.length, 2)
  t.match(notes[0], /1 records from offset 1\): damaged, copied to/)
  t.equal(names().length, 4, 'two copies and their descriptions')
  const kept = names()
    .filter((name) => name.endsWith('.bin'))
    .map((name) => storage.bytesOf(`${QUARANTINE}/${name}`).length)
  t.same(
    kept.toSorted(),
    [one, two].map(({ endByte, startByte }) => endByte - startByte).toSorted()
  )
  t.ok(log.quarantinedBytes > 0)
})

t.test('a hole that spans both counts both, and is known when one of them comes', async (t) => {
  const { log, notes } = await setUp()
  log.note(hole(1, 3))
  t.equal(log.frameCount, 2)
  log.note(hole(2, 3))
  t.equal(log.frameCount, 2)
  t.equal(notes.length, 2)
})

t.test('what was never acked or was lost by policy is no damage', async (t) => {
  const { log, names, notes } = await setUp()
  log.note(hole(1, 2, 'unacked'))
  log.note(hole(2, 3, 'unsynced'))
  t.equal(log.frameCount, 0)
  t.same(notes, [])
  t.same(names(), [])
})

t.test('a file that is gone is counted and told; there is nothing to copy', async (t) => {
  const { file, log, names, notes, storage } = await setUp()
  storage.remove(file)
  log.note(hole(0, 3))
  t.equal(log.frameCount, 1, 'what cannot be told apart is one')
  t.match(notes, [/3 records from offset 0: no file holds them/])
  t.same(names(), [])
})

t.test('a disk that refuses everything stops no delivery', async (t) => {
  const { log, notes, storage } = await setUp()
  storage.open = () => {
    throw Object.assign(new Error('EIO: i/o error, open'), { code: 'EIO' })
  }
  log.note(hole(1, 2))
  t.match(notes, [/records 1 to 1: damaged, not copied: .*EIO/])
  t.equal(log.frameCount, 0, 'what it was is not known')
})
