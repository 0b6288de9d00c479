import t from 'tap'
import type { ShardLog } from '../../../src/delivery/shard-log.ts'
import { FreeSpace } from '../../../src/server/disk/free-space.ts'
import { nodeStorage, type VolumeStat } from '../../../src/storage/storage.ts'

const GIB = 1024 ** 3

t.test(
  'Q29 a volume below its limit, in bytes or inodes, stops intake until there is room',
  (t) => {
    const volume: VolumeStat = {
      totalBytes: 100 * GIB,
      freeBytes: 50 * GIB,
      totalInodes: 1000,
      freeInodes: 10,
      kind: 0
    }
    let now = volume
    const told: string[] = []
    let rooms = 0
    // A cast: of the shard only this is used.
    const shard = {
      setFull: (isFull: boolean) => told.push(isFull ? 'full' : 'room')
    } as unknown as ShardLog
    const logged: string[] = []
    const note = (_: object, message: string) => void logged.push(message)
    const space = new FreeSpace({
      storage: { ...nodeStorage, statfs: () => now },
      dataDir: '/data',
      minFree: { kind: 'ratio', ratio: 0.05 },
      shards: () => [shard],
      log: { info: note, warn: note, error: note },
      onRoom: () => rooms++
    })
    space.look()
    t.same(told, [], 'nothing is said while there is room')
    now = { ...volume, freeBytes: 4 * GIB }
    space.look()
    space.look()
    t.same(told, ['full'], 'said once')
    t.ok(space.isShort)
    now = volume
    space.look()
    t.same([told, rooms], [['full', 'room'], 1])
    now = { ...volume, freeInodes: 0 }
    space.look()
    t.match(logged.at(-1), /few free inodes/)
    now = { ...volume, totalInodes: 0, freeInodes: 0 }
    space.look()
    t.notOk(space.isShort, 'a file system without inodes has no limit of them')
    t.end()
  }
)

t.test('a share of a huge volume is at most 10 GiB', (t) => {
  const told: boolean[] = []
  const space = new FreeSpace({
    storage: {
      ...nodeStorage,
      statfs: () => ({
        totalBytes: 10_000 * GIB,
        freeBytes: 11 * GIB,
        totalInodes: 0,
        freeInodes: 0,
        kind: 0
      })
    },
    dataDir: '/data',
    minFree: { kind: 'ratio', ratio: 0.05 },
    shards: () => [{ setFull: (isFull: boolean) => told.push(isFull) } as unknown as ShardLog],
    log: { info: () => {}, warn: () => {}, error: () => {} },
    onRoom: () => {}
  })
  space.look()
  t.same(told, [])
  t.end()
})
