import t from 'tap'
import type { ShardLog } from '../../../src/delivery/shard-log.ts'
import { DiskHealth } from '../../../src/server/disk/health.ts'
import { nodeStorage, type Storage } from '../../../src/storage/storage.ts'

function build(options: { isExitOnError?: boolean; stat?: Storage['stat'] } = {}) {
  const logged: string[] = []
  const exits: string[] = []
  const note = (_: object, message: string) => void logged.push(message)
  // A cast: of the shard only these are used.
  const shard = { log: 'routes/web', shardNumber: 0, syncAgeMs: 0 } as ShardLog & {
    syncAgeMs: number
  }
  const health = new DiskHealth({
    storage: { ...nodeStorage, ...(options.stat === undefined ? {} : { stat: options.stat }) },
    dataDir: '/',
    log: { info: note, warn: note, error: note },
    shards: () => [shard],
    isExitOnError: options.isExitOnError ?? false,
    onIoError: (error) => exits.push(error.message)
  })
  return { health, shard, logged, exits }
}

const eio = { errno: 'EIO', error: 'EIO: i/o error, fdatasync' } as const

t.test('failed syncs and cut segments are counted per shard and errno', (t) => {
  const { exits, health } = build()
  health.hear('routes/web', 0, { event: 'sync_failed', ...eio })
  health.hear('routes/web', 0, { event: 'poisoned', ...eio })
  health.hear('routes/web', 0, { event: 'sync_failed', errno: 'ENOSPC', error: 'full' })
  health.hear('routes/db', 1, { event: 'poisoned', ...eio })
  t.same(
    health.counts.map(({ log, poisonedCount, shardNumber, syncErrors }) => [
      log,
      shardNumber,
      poisonedCount,
      Object.fromEntries(syncErrors)
    ]),
    [
      ['routes/web', 0, 1, { EIO: 1, ENOSPC: 1 }],
      ['routes/db', 1, 1, {}]
    ]
  )
  t.same(exits, [], 'degrade: nothing ends the process')
  t.end()
})

t.test('why a shard takes nothing is known while that lasts', (t) => {
  const { health, shard } = build()
  t.equal(health.errorOf(shard), '')
  health.hear('routes/web', 0, { event: 'state', state: 'read_only', error: 'EROFS: read-only' })
  t.equal(health.errorOf(shard), 'EROFS: read-only')
  health.hear('routes/web', 0, { event: 'state', state: 'ok', error: '' })
  t.equal(health.errorOf(shard), '')
  t.end()
})

t.test('on_io_error: exit ends the process once, and not for what passes by itself', (t) => {
  const { exits, health } = build({ isExitOnError: true })
  for (const errno of ['ENOSPC', 'EDQUOT', 'EROFS']) {
    health.hear('routes/web', 0, { event: 'sync_failed', errno, error: errno })
    health.hear('routes/web', 0, { event: 'poisoned', errno, error: errno })
  }
  health.hear('routes/web', 0, { event: 'state', state: 'read_only', error: 'EROFS' })
  health.hear('routes/web', 0, { event: 'state', state: 'full', error: 'ENOSPC' })
  t.same(exits, [])
  health.hear('routes/web', 0, { event: 'sync_failed', ...eio })
  health.hear('routes/web', 0, { event: 'state', state: 'failed', error: 'EIO' })
  t.same(exits, ['I/O error of the queue: EIO: i/o error, fdatasync'])
  t.end()
})

t.test('a sync that does not end is said once, and that it ended', (t) => {
  const { health, logged, shard } = build()
  shard.syncAgeMs = 30_000
  health.look()
  t.notOk(health.isSlow(shard))
  shard.syncAgeMs = 31_000
  health.look()
  health.look()
  t.ok(health.isSlow(shard))
  t.same(logged, ['the disk does not end a sync'])
  shard.syncAgeMs = 0
  health.look()
  t.same(logged.slice(1), ['the sync has ended'])
  t.end()
})

t.test('another volume in the place of the data directory is noticed, and a deleted one', (t) => {
  let identity: string | null = '1:2'
  let error: Error | null = null
  const { health, logged } = build({
    stat() {
      if (error !== null) throw error
      if (identity === null) return null
      return { byteCount: 0, isDirectory: true, linkCount: 2, identity }
    }
  })
  health.look()
  t.equal(health.volumeTrouble, null)
  identity = '7:2'
  health.look()
  health.look()
  t.match(health.volumeTrouble, /another directory or volume/)
  t.equal(logged.length, 1, 'said once')
  identity = null
  health.look()
  t.match(health.volumeTrouble, /was deleted while in use/)
  error = Object.assign(new Error('EIO: i/o error, stat'), { code: 'EIO' })
  health.look()
  t.match(health.volumeTrouble, /cannot be looked at: EIO/)
  error = null
  identity = '1:2'
  health.look()
  t.equal(health.volumeTrouble, null)
  t.match(logged.at(-1), /is there again/)
  t.end()
})
