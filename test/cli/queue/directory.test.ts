import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { logIdOf } from '../../../src/core/position.ts'
import { createFrameHash, type HashExports } from '../../../src/kernel/frame-hash.ts'
import { instantiateKernel } from '../../../src/kernel/instance.ts'
import { Cursor } from '../../../src/storage/cursor/cursor.ts'
import { segmentFileName } from '../../../src/storage/format/segment-names.ts'
import { nodeStorage } from '../../../src/storage/storage.ts'
import { openMeta } from '../../../src/storage/store/meta.ts'
import { command } from '../../support/command-line.ts'

/** A store with one route: segments at 0, 100 and 250, one output that has finished 40 records. */
function store(t: Test): string {
  const dataDir = t.testdir()
  const hash = createFrameHash(instantiateKernel<HashExports>({ memoryBytes: 1024 * 1024 }))
  const { meta } = openMeta(nodeStorage, dataDir, hash, 0)
  const path = 'routes/web/shard-00'
  const directory = join(dataDir, path)
  mkdirSync(directory, { recursive: true })
  for (const offset of [0, 100, 250]) {
    writeFileSync(join(directory, segmentFileName(offset, 7)), Buffer.alloc(1024))
  }
  const logId = logIdOf(meta.uuid, path)
  const options = { storage: nodeStorage, hash, storeSecret: meta.secret, logId, directory }
  Cursor.create({ ...options, outputId: 'search' }, 40)
  mkdirSync(join(dataDir, 'dlq/unmatched/shard-01'), { recursive: true })
  return dataDir
}

t.test('queue ls reads a data directory without a server', async (t) => {
  const dataDir = store(t)
  const { out, exitCode } = await command(['queue', 'ls', '--data-dir', dataDir])
  t.equal(exitCode, 0)
  t.equal(
    out,
    `SHARD                   SEGMENTS  DISK  FIRST  NEWEST
dlq/unmatched/shard-01         0  0B    -      -
routes/web/shard-00            3  3KiB      0     250

SHARD                OUTPUT  FINISHED  PENDING (AT LEAST)
routes/web/shard-00  search        40                 210
`
  )
})

t.test('reading a data directory changes no byte and no name of it', async (t) => {
  const dataDir = store(t)
  const image = () =>
    readdirSync(dataDir, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .toSorted()
      .map((file) => [file, readFileSync(file).toString('hex')])
  const before = image()
  const { out } = await command(['queue', 'ls', '--json', '--data-dir', dataDir])
  t.match(JSON.parse(out), [{ segments: 0 }, { segments: 3, cursors: [{ lowOffset: 40 }] }])
  t.same(image(), before)
})

t.test('a cursor that cannot be read is shown as unknown', async (t) => {
  const dataDir = store(t)
  writeFileSync(join(dataDir, 'routes/web/shard-00/search.cur'), 'nonsense')
  const { out } = await command(['queue', 'ls', '--data-dir', dataDir])
  t.match(out, /^routes\/web\/shard-00 {2}search {2}- +-$/m)
})

t.test('a directory that is no store is named, with 74', async (t) => {
  const { exitCode, error } = await command(['queue', 'ls', '--data-dir', t.testdir()])
  t.equal(exitCode, 74)
  t.match(error, /^MR_STORE_META .* no readable META/)
})
