import t from 'tap'
import {
  archiveCursor,
  listCursors,
  parseArchivedName,
  readCursorRecord
} from '../../../src/storage/cursor/archive.ts'
import { Cursor } from '../../../src/storage/cursor/cursor.ts'
import { listShard } from '../../../src/storage/reader/shard-directory.ts'
import { restartCursor } from '../../../src/storage/retention/cursor-moves.ts'
import { removeShard } from '../../../src/storage/retention/retired-shard.ts'
import { DIRECTORY, hash, LOG_ID, STORE } from '../../support/shard-harness.ts'
import { CrashSignal, SimulatedStorage } from '../../support/simulated-storage.ts'

const NOW = Date.parse('2026-11-20T10:30:05.123Z')
const NAME = 'search.cur.removed-20261120T103005Z'

function world(seed = 1) {
  const storage = new SimulatedStorage({ seed })
  storage.mkdir(DIRECTORY)
  for (const directory of ['/', '/data', '/data/routes', '/data/routes/web']) {
    storage.dirsyncNow(directory)
  }
  const identity = { storeSecret: STORE.secret, logId: LOG_ID, outputId: 'search' }
  const options = { storage, hash, directory: DIRECTORY, ...identity }
  const cursor = Cursor.create(options, 0)
  cursor.finish(0, 300, 'delivered')
  cursor.finish(310, 320, 'dropped:filtered')
  cursor.persistNow()
  cursor.close()
  return { storage, options, identity }
}

t.test('a cursor that is put away keeps its counts under another name', (t) => {
  const { storage, options, identity } = world()
  t.same(listCursors(storage, DIRECTORY), { live: ['search'], archived: [] })
  const { path } = archiveCursor(storage, DIRECTORY, 'search', NOW)
  t.equal(path, `${DIRECTORY}/${NAME}`)
  storage.crash()
  const removedMs = Date.parse('2026-11-20T10:30:05Z')
  t.same(listCursors(storage, DIRECTORY), {
    live: [],
    archived: [{ outputId: 'search', removedMs, path }]
  })
  const record = readCursorRecord(storage, path, hash, identity)
  t.match(record, { origin: 0, lowOffset: 300, finishedAbove: 10 })
  t.same(
    [...(record?.counts ?? [])],
    [
      ['delivered', { records: 300, bytes: 0 }],
      ['dropped:filtered', { records: 10, bytes: 0 }]
    ]
  )
  t.equal(Cursor.load(options, 0), null, 'the destination begins anew')
  t.same(listShard(storage, DIRECTORY).unknown, [], 'the name is known')
  t.equal(readCursorRecord(storage, path, hash, { ...identity, outputId: 'other' }), null)
  t.end()
})

t.test('two in one second have two names, and other names are not ours', (t) => {
  const { storage, options } = world()
  archiveCursor(storage, DIRECTORY, 'search', NOW)
  Cursor.create(options, 5).close()
  const { path } = archiveCursor(storage, DIRECTORY, 'search', NOW)
  t.equal(path, `${DIRECTORY}/${NAME}-2`)
  t.match(parseArchivedName(`${NAME}-2`), { outputId: 'search' })
  for (const name of ['search.cur', 'search.cur.removed-', `${NAME}x`, '.cur.removed-1']) {
    t.equal(parseArchivedName(name), null, name)
  }
  t.equal(parseArchivedName(NAME.replace('1120T', '1399T')), null, 'no such day')
  t.same(listCursors(storage, '/nowhere'), { live: [], archived: [] })
  t.end()
})

t.test('a restarted cursor is the old one or the new one, wherever the power goes', (t) => {
  const lows = new Set<number>()
  for (let operation = 1; operation < 24; operation++) {
    for (let seed = 1; seed < 5; seed++) {
      const { storage, options } = world(seed)
      storage.crashAtOperation = storage.operationCount + operation
      try {
        restartCursor(options, 120, NOW)
      } catch (error) {
        if (!(error instanceof CrashSignal)) throw error
      }
      storage.crashAtOperation = Number.POSITIVE_INFINITY
      storage.crash()
      const loaded = Cursor.load(options, 0)
      t.equal(loaded?.wasReset, false, 'it is whole')
      const { lowOffset } = loaded?.cursor ?? { lowOffset: -1 }
      lows.add(lowOffset)
      if (lowOffset === 120) t.match(loaded?.cursor.account(300), { appended: 180, pending: 180 })
      loaded?.cursor.close()
      restartCursor(options, 100, NOW)
      t.equal(Cursor.load(options, 0)?.cursor.lowOffset, 100, 'leftovers are in nobody’s way')
    }
  }
  t.same([...lows].toSorted(), [120, 300])
  t.end()
})

t.test('a removed shard: no segment outlives its cursors, wherever the power goes', (t) => {
  const names = ['00000000000000000000-1700000000.seg', '00000000000000000100-1700000000.seg']
  const paths = names.map((name) => `${DIRECTORY}/${name}`)
  for (let operation = 1; operation < 14; operation++) {
    for (let seed = 1; seed < 5; seed++) {
      const { storage, options } = world(seed)
      archiveCursor(storage, DIRECTORY, 'search', NOW)
      Cursor.create(options, 300).close()
      for (const path of paths) storage.put(path, Buffer.alloc(1000))
      storage.dirsyncNow(DIRECTORY)
      storage.crashAtOperation = storage.operationCount + operation
      try {
        t.equal(removeShard(storage, DIRECTORY, paths), 2000)
        t.equal(storage.stat('/data/routes/web'), null, 'the log goes with its last shard')
      } catch (error) {
        if (!(error instanceof CrashSignal)) throw error
      }
      storage.crashAtOperation = Number.POSITIVE_INFINITY
      storage.crash()
      const left = listShard(storage, DIRECTORY).live.length
      if (left > 0) t.same(listCursors(storage, DIRECTORY).live, ['search'])
    }
  }
  t.end()
})

t.test('a shard with something that is not ours stays a directory', (t) => {
  const { storage } = world()
  storage.put(`${DIRECTORY}/notes.txt`, Buffer.from('mine'))
  removeShard(storage, DIRECTORY, [`${DIRECTORY}/gone.seg`])
  t.same(storage.readdir(DIRECTORY), ['notes.txt'])
  t.end()
})
