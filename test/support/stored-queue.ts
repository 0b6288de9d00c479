// A data directory on the real disk, always the same: what the commands of the documentation are shown on.
//
// Route `web`: twelve records, two per frame, in three segments, the last one closed by a kill. `search` has finished nine,
// `archive` four and two more further on.

import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { EventTime, encodeValue } from '../../src/codec/msgpack-value.ts'
import { encodeMeta } from '../../src/storage/store/meta.ts'
import { FakeClock, settled } from './fake-clock.ts'
import { DIRECTORY, hash, openCursor, ShardHarness, STORE } from './shard-harness.ts'
import { SimulatedStorage } from './simulated-storage.ts'

export const STORED_RECORDS = 12
const START_MS = Date.UTC(2026, 10, 20, 8)

const entryOf = (id: number): Buffer =>
  encodeValue([
    new EventTime(START_MS / 1000 + id, 0),
    { log: `GET /item/${id} 200`, container_id: `c${id % 2}` }
  ])

/** The same store on a simulated disk. */
export async function simulatedQueue(): Promise<SimulatedStorage> {
  const storage = new SimulatedStorage()
  const clock = new FakeClock(START_MS)
  const shard = new ShardHarness({ storage, clock, segmentBytes: 620 })
  for (let id = 0; id < STORED_RECORDS; id += 2) {
    const group = {
      tag: Buffer.from('app.web'),
      ingestId: null,
      source: Buffer.from('containers\0'),
      form: 1 as const,
      entries: Buffer.concat([entryOf(id), entryOf(id + 1)]),
      recordCount: 2,
      minTimeSeconds: START_MS / 1000 + id,
      maxTimeSeconds: START_MS / 1000 + id + 1,
      continues: false
    }
    shard.writer.append(group, null)
    shard.writer.commit()
    await settled()
    clock.advance(2000)
  }
  storage.kill()
  const search = openCursor(storage)
  search.finish(0, 7, 'delivered', 490)
  search.finish(7, 8, 'duplicate_suppressed', 70)
  search.finish(8, 9, 'dead_lettered', 70)
  search.persistNow()
  const archive = openCursor(storage, 0, 'archive')
  archive.finish(0, 4, 'delivered', 280)
  archive.finish(6, 8, 'dropped:filtered', 140)
  archive.persistNow()
  const meta = encodeMeta({ ...STORE, createdMs: START_MS }, hash)
  storage.put('/data/META', meta)
  storage.put('/data/META.bak', meta)
  return storage
}

/** Writes the store to `dataDir`; `change` may damage a file of the shard. */
export async function writeStoredQueue(
  dataDir: string,
  change: (name: string, bytes: Buffer) => Buffer = (_, bytes) => bytes
): Promise<void> {
  const storage = await simulatedQueue()
  const files = storage.readdir(DIRECTORY).map((name) => `${DIRECTORY}/${name}`)
  for (const file of ['/data/META', '/data/META.bak', ...files]) {
    const target = join(dataDir, file.slice('/data/'.length))
    mkdirSync(dirname(target), { recursive: true })
    writeFileSync(target, change(file.slice(DIRECTORY.length + 1), storage.bytesOf(file)))
  }
}

/** Zeroes the first frame of the second segment: records 4 and 5. */
export function damageFrame(name: string, bytes: Buffer): Buffer {
  if (!name.startsWith('00000000000000000004-')) return bytes
  const at = bytes.indexOf('MRB1')
  return bytes.fill(0, at, at + 160)
}
