import t from 'tap'
import {
  readFrame,
  readFrameAt,
  recordOf,
  ShardReader
} from '../../../src/storage/reader/shard-reader.ts'
import { FakeClock, settled } from '../../support/fake-clock.ts'
import { DIRECTORY, groupOf, idOf, ShardHarness } from '../../support/shard-harness.ts'
import { SimulatedStorage } from '../../support/simulated-storage.ts'

async function filled(segmentBytes = 2048) {
  const storage = new SimulatedStorage()
  const shard = new ShardHarness({ storage, clock: new FakeClock(), segmentBytes })
  for (let first = 0; first < 60; first += 3) {
    shard.append([first, first + 1, first + 2], { paddingBytes: 100 })
    shard.writer.commit()
    await settled()
  }
  return { storage, shard }
}

/** What a reader gives out, as offsets. */
function walk(reader: ShardReader): [string, number, number][] {
  const seen: [string, number, number][] = []
  for (let next = reader.next(); next !== null; next = reader.next()) {
    if (next.kind === 'hole') seen.push([next.reason, next.firstOffset, next.endOffset])
    else {
      const { firstOffset, recordCount } = next.frame
      seen.push(['frame', firstOffset, firstOffset + recordCount])
    }
  }
  return seen
}

t.test(
  'a reader may begin at any offset: the frame that holds it comes first, whole',
  async (t) => {
    const { shard } = await filled()
    const reader = new ShardReader(shard.segments, 0)
    for (let offset = 0; offset <= 60; offset++) {
      reader.seek(offset)
      const seen = walk(reader)
      t.equal(seen.length, 20 - Math.floor(offset / 3), `from ${offset}`)
      if (offset < 60) t.equal(seen[0]?.[1], offset - (offset % 3))
      t.equal(reader.nextOffset, 60)
    }
  }
)

t.test('a reader at the end sees what is appended later, over rolls', async (t) => {
  const { shard, storage } = await filled()
  const reader = new ShardReader(shard.segments, 60)
  t.equal(reader.next(), null)
  for (let id = 60; id < 100; id++) {
    shard.append([id], { paddingBytes: id === 80 ? 70_000 : 200 })
    shard.writer.commit()
    t.equal(reader.next(), null, 'not before it is durable')
    await settled()
    t.same(walk(reader), [['frame', id, id + 1]])
  }
  t.ok(storage.openFileCount <= 3, `${storage.openFileCount} descriptors`)
})

t.test(
  'a hole is clipped to where the reader began, and known damage is not given out as a frame',
  async (t) => {
    const { storage, shard } = await filled(100_000)
    const second = readPlace(shard, 3)
    const fourth = readPlace(shard, 9)
    storage.kill()
    const file = `${DIRECTORY}/${storage.readdir(DIRECTORY)[0]}`
    const bytes = storage.bytesOf(file)
    bytes.fill(0, second, second + 72)
    bytes[fourth + 100] = bytes[fourth + 100]! ^ 1
    storage.put(file, bytes)
    const next = new ShardHarness({ storage, clock: new FakeClock(1_700_000_100_000) })
    t.same(walk(new ShardReader(next.segments, 4)).slice(0, 3), [
      ['corrupt', 4, 6],
      ['frame', 6, 9],
      ['corrupt', 9, 12]
    ])
    t.equal(readFrame(next.segments, 10), null)
  }
)

function readPlace(shard: ShardHarness, offset: number): number {
  const next = new ShardReader(shard.segments, offset).next()
  return next?.kind === 'frame' ? next.frame.startByte : -1
}

t.test('one record of a frame as it was received', async (t) => {
  const { shard } = await filled()
  const next = new ShardReader(shard.segments, 31).next()
  const frame = next?.kind === 'frame' ? readFrameAt(shard.segments, next.frame) : null
  if (frame === null) throw new Error('no frame')
  const record = recordOf(frame, 31)
  t.equal(idOf(record?.bytes ?? Buffer.alloc(32)), 31)
  t.match(record, { epoch: 1_700_000_000, form: 1, ingestId: null })
  t.equal(record?.tag.toString(), 'docker.web')
  t.equal(recordOf(frame, 33), null)
})

t.test('group markers are stored and count as no record', async (t) => {
  const storage = new SimulatedStorage()
  const shard = new ShardHarness({ storage, clock: new FakeClock() })
  const group = groupOf([1, 2])
  const marker = (seconds: string) => Buffer.from(`9292d700${seconds}000000008080`, 'hex')
  const entries = Buffer.concat([marker('ffffffff'), group.entries, marker('fffffffe')])
  shard.writer.append({ ...group, entries }, null)
  await shard.writer.close()
  t.same(shard.ids, [1, 2])
})

t.test('a file that vanished is a hole, not a crash', async (t) => {
  const { storage, shard } = await filled()
  const [first] = shard.segments.all
  storage.unlink(first?.path ?? '')
  shard.segments.close()
  const end = shard.segments.at(0)?.endOffset ?? 0
  t.same(walk(new ShardReader(shard.segments, 0))[0], ['corrupt', 0, end])
})
