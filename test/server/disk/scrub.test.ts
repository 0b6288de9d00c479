// The scrub over simulated segments: what it finds, that it finds it once, its rate, and what it leaves alone.

import t from 'tap'
import type { ShardLog } from '../../../src/delivery/shard-log.ts'
import { Scrubber } from '../../../src/server/disk/scrub.ts'
import { PayloadDecoder } from '../../../src/storage/format/payload-decoder.ts'
import { scrubPiece } from '../../../src/storage/recovery/segment-scrub.ts'
import type { ScrubRequest } from '../../../src/threads/messages.ts'
import { FakeClock, settled } from '../../support/fake-clock.ts'
import { readGolden } from '../../support/golden-stores.ts'
import { DIRECTORY, hash, LOG_ID, ShardHarness, STORE } from '../../support/shard-harness.ts'
import { SimulatedStorage } from '../../support/simulated-storage.ts'

const MADE_MS = 1_700_000_000_000
const HOUR_MS = 3_600_000

/** Several sealed segments of `count` frames in all, and an active one. */
async function store(count: number, paddingBytes = 100) {
  const storage = new SimulatedStorage()
  const shard = new ShardHarness({ storage, clock: new FakeClock(MADE_MS), segmentBytes: 4000 })
  for (let id = 0; id < count; id++) {
    shard.append([id * 2, id * 2 + 1], { paddingBytes })
    shard.writer.commit()
    await settled()
  }
  return { storage, shard }
}

function scrubberOf(storage: SimulatedStorage, shard: ShardHarness, bytesPerSecond = 1_000_000) {
  const clock = new FakeClock(MADE_MS)
  const requests: ScrubRequest[] = []
  const errors: object[] = []
  const tools = { storage, hash, decoder: new PayloadDecoder({ uuid: STORE.uuid, keys: null }) }
  // The scrubber reads these of a shard and no more.
  const shardLog = { logId: LOG_ID, segments: shard.segments } as unknown as ShardLog
  const scrubber = new Scrubber({
    clock,
    log: {
      info: () => {},
      warn: (fields) => errors.push(fields),
      error: (fields) => errors.push(fields)
    },
    bytesPerSecond,
    shards: () => [shardLog],
    async scrub(request) {
      requests.push(request)
      return scrubPiece(request, tools)
    }
  })
  scrubber.start()
  const run = async (ms: number, stepMs = 10) => {
    for (let passed = 0; passed < ms; passed += stepMs) {
      clock.advance(stepMs)
      await settled()
    }
  }
  return { clock, errors, requests, run, scrubber }
}

const segmentsOf = (storage: SimulatedStorage) =>
  storage
    .readdir(DIRECTORY)
    .filter((name) => name.endsWith('.seg'))
    .sort()
    .map((name) => `${DIRECTORY}/${name}`)

t.test('sound segments are read once a pass, the active one never', async (t) => {
  const { shard, storage } = await store(60)
  const files = segmentsOf(storage)
  t.ok(files.length > 3)
  const { errors, requests, run, scrubber } = scrubberOf(storage, shard)
  await run(1000)
  t.same(errors, [])
  t.same([...new Set(requests.map(({ segment }) => segment.path))], files.slice(0, -1))
  t.match(scrubber.counts, { passes: 1, damagedRecords: 0, damagedRanges: 0 })
  const frameBytes = files
    .slice(0, -1)
    .reduce((sum, file) => sum + storage.bytesOf(file).length - 128, 0)
  t.equal(scrubber.counts.readBytes, frameBytes)
  const count = requests.length
  await run(HOUR_MS - 120_000, 60_000)
  t.equal(requests.length, count, 'a pass an hour')
  await run(180_000, 1000)
  t.equal(requests.length, 2 * count)
  scrubber.stop()
})

t.test(
  'damage is told with file, place and count, once, kept in the quarantine, and counted as lost by nobody',
  async (t) => {
    const { shard, storage } = await store(60)
    const [, second] = segmentsOf(storage)
    const bytes = storage.bytesOf(second!)
    bytes[64 + 72 + 40] = bytes[64 + 72 + 40]! ^ 1
    bytes.fill(0, 64 + 3 * 400, 64 + 3 * 400 + 72)
    storage.put(second!, bytes)
    const { errors, run, scrubber } = scrubberOf(storage, shard)
    await run(1000)
    t.equal(scrubber.counts.damagedRanges, errors.length)
    const first = shard.segments.at(1)!.firstOffset
    t.match(errors[0], {
      event: 'queue.scrub_damage',
      path: second,
      start_byte: 64,
      first_offset: first,
      end_offset: first + 2,
      records: 2,
      note: /copied to/
    })
    t.equal(
      scrubber.counts.damagedRecords,
      shard.readAll(0).holes.reduce((sum, hole) => sum + hole.endOffset - hole.firstOffset, 0),
      'what readers will miss'
    )
    t.ok(storage.readdir('/data/routes/web/quarantine').length >= 2)
    const { damagedRecords } = scrubber.counts
    await run(2 * HOUR_MS, 60_000)
    t.ok(scrubber.counts.passes > 1)
    t.equal(scrubber.counts.damagedRecords, damagedRecords, 'not told again')
    scrubber.stop()
  }
)

t.test('the rate is kept, a piece at a time', async (t) => {
  const { shard, storage } = await store(100)
  const { run, scrubber } = scrubberOf(storage, shard, 2000)
  await run(10_000)
  const { readBytes } = scrubber.counts
  t.ok(readBytes > 15_000 && readBytes <= 23_000, `${readBytes} bytes in 10 s at 2,000 a second`)
  scrubber.stop()
  await run(5000)
  t.equal(scrubber.counts.readBytes, readBytes, 'stopped')
  const off = scrubberOf(storage, shard, 0)
  await off.run(5000)
  t.equal(off.requests.length, 0, 'off')
})

t.test('a segment that was delivered and deleted meanwhile is passed over', async (t) => {
  const { shard, storage } = await store(60)
  const { errors, run, scrubber } = scrubberOf(storage, shard)
  storage.unlink(segmentsOf(storage)[1]!)
  await run(1000)
  t.same(errors, [])
  t.equal(scrubber.counts.passes, 1)
  scrubber.stop()
})

t.test('encrypted frames are checked by their hash where the key is not here', async (t) => {
  const { storage } = readGolden('1.0-zstd-encrypted-damaged')
  const shard = new ShardHarness({ storage, clock: new FakeClock(MADE_MS + 100_000) })
  const { run, scrubber } = scrubberOf(storage, shard)
  // Makes the last recovered segment a sealed one.
  shard.append([1])
  shard.writer.commit()
  await settled()
  await run(1000)
  t.equal(scrubber.counts.damagedRecords, 6)
  scrubber.stop()
})
