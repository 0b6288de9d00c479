import t from 'tap'
import { logIdOf, positionId } from '../../../src/core/position.ts'
import { decodeFrameHeader, encodeFrameHeader } from '../../../src/storage/format/frame.ts'
import { segmentFileName, segmentSalt } from '../../../src/storage/format/segment-names.ts'
import {
  build,
  damaged,
  filesOf,
  framesOf,
  range,
  reopen,
  withFrameInLine
} from '../../support/damaged-shard.ts'
import { FakeClock, settled } from '../../support/fake-clock.ts'
import { seededRandom } from '../../support/seeded-random.ts'
import {
  DIRECTORY,
  groupOf,
  hash,
  LOG_ID,
  openCursor,
  ShardHarness,
  STORE
} from '../../support/shard-harness.ts'
import { SimulatedStorage } from '../../support/simulated-storage.ts'

/** MILLRACE_Q06_POSITIONS=3000 is the whole of Q06. */
const POSITIONS = Number(process.env['MILLRACE_Q06_POSITIONS'] ?? 300)

/** Records and holes cover every offset below the end exactly once. */
function isExact(shard: ShardHarness): boolean {
  const { records, holes } = shard.readAll(0)
  const offsets = new Set(records.map(({ offset }) => offset))
  let count = records.length
  for (const hole of holes) {
    count += hole.endOffset - hole.firstOffset
    for (let offset = hole.firstOffset; offset < hole.endOffset; offset++) {
      if (offsets.has(offset)) return false
    }
  }
  return offsets.size === records.length && count === shard.segments.endOffset
}

t.test('an absent directory is an empty log', (t) => {
  const storage = new SimulatedStorage()
  const shard = reopen(storage)
  t.match(shard.recovered, { segments: [], bytes: 0, holes: [] })
  t.match(shard.recovered.start, { nextOffset: 0, nextOrdinal: 0, prevValidEndByte: 0 })
  t.equal(shard.recovered.start.epoch, 1_700_000_100, 'the clock is in the epoch')
  t.same(shard.ids, [])
  t.end()
})

t.test('epochs only grow, whatever the clock says', async (t) => {
  const { storage, ids } = await build(2)
  const early = new ShardHarness({ storage, clock: new FakeClock(1_000_000) })
  t.equal(early.recovered.start.epoch, 1_700_000_001)
  t.same(early.ids, ids)
})

t.test('Q02 empty, short, zero and header-only files in every position', async (t) => {
  const built = await build(12, { segmentBytes: 600 })
  const names = built.files
  t.ok(names.length >= 4, `${names.length} segments`)
  const contents: [string, (bytes: Buffer) => Buffer][] = [
    ['0 bytes', () => Buffer.alloc(0)],
    ...[1, 7, 8, 63].map((count): [string, (bytes: Buffer) => Buffer] => [
      `${count} bytes`,
      (bytes) => bytes.subarray(0, count)
    ]),
    ['all zero', (bytes) => Buffer.alloc(bytes.length)],
    ['header only', (bytes) => bytes.subarray(0, 64)]
  ]
  for (const [what, change] of contents) {
    for (const [index, file] of names.entries()) {
      const storage = damaged(built, file, change)
      const shard = reopen(storage)
      const { records } = shard.readAll(0)
      t.ok(isExact(shard), `${what} at ${index}: counts are exact`)
      t.ok(records.length >= 12 - 5 && records.length < 12, `${records.length} of 12 read`)
      shard.append([100])
      shard.writer.commit()
      await settled()
      t.equal(shard.ids.at(-1), 100, 'and it goes on')
    }
  }
})

t.test('Q03 the active segment cut at every byte of its last three frames', async (t) => {
  const built = await build(8)
  const file = built.files[0]!
  const frames = framesOf(built.storage.bytesOf(file))
  for (let endByte = frames[5]!.startByte; endByte <= frames[7]!.endByte; endByte++) {
    const whole = frames.filter((frame) => frame.endByte <= endByte).length
    const shard = reopen(damaged(built, file, (bytes) => bytes.subarray(0, endByte)))
    t.same(shard.ids, range(0, whole), `cut at ${endByte}`)
    t.same(shard.readAll(0).holes, [])
    const isBetween = frames.some((frame) => frame.endByte === endByte) || endByte === 64
    t.equal(shard.recovered.notes.length, isBetween ? 0 : 1, 'a rest is quarantined')
  }
})

t.test('Q04 the last bytes are zero', async (t) => {
  const built = await build(60, { paddingBytes: 500 })
  const file = built.files[0]!
  const size = built.storage.bytesOf(file).length
  const frames = framesOf(built.storage.bytesOf(file))
  for (let sectors = 1; sectors <= 64 && sectors * 512 < size - 64; sectors++) {
    const shard = reopen(damaged(built, file, (bytes) => bytes.fill(0, size - sectors * 512)))
    const whole = frames.filter((frame) => frame.endByte <= size - sectors * 512).length
    const { records, holes } = shard.readAll(0)
    t.ok(records.length >= whole && records.length < 60, `${sectors} sectors: ${records.length}`)
    t.ok(isExact(shard))
    t.same(
      records.map(({ id }) => id),
      range(0, records.length)
    )
    t.ok(
      holes.every(({ reason }) => reason === 'corrupt'),
      'what was durable is a loss'
    )
  }
})

t.test('Q05 each bit of one frame flipped: that frame is lost and nothing else', async (t) => {
  const built = await build(5, { paddingBytes: 60 })
  const file = built.files[0]!
  const frame = framesOf(built.storage.bytesOf(file))[2]!
  const wrong: string[] = []
  for (let bit = frame.startByte * 8; bit < frame.endByte * 8; bit++) {
    const shard = reopen(
      damaged(built, file, (bytes) => {
        const byte = bit >> 3
        bytes[byte] = bytes[byte]! ^ (1 << (bit & 7))
        return bytes
      })
    )
    const { records, holes } = shard.readAll(0)
    const isPadding = records.length === 5
    const ids = records.map(({ id }) => id).join()
    const isRight =
      ids === '0,1,3,4' &&
      holes.length === 1 &&
      holes[0]?.firstOffset === 2 &&
      holes[0].endOffset === 3 &&
      holes[0].reason === 'corrupt'
    // Padding is not hashed: a flip there damages nothing.
    const payloadEnd =
      frame.startByte + 72 + built.storage.bytesOf(file).readUInt32LE(frame.startByte + 4)
    if (!isRight && !(isPadding && bit >> 3 >= payloadEnd)) wrong.push(`${bit}: ${ids}`)
  }
  t.same(wrong, [])
})

t.test(
  'Q06 Q07 zeroed and misdirected 4 KiB: exact accounts, no phantom, nothing twice',
  async (t) => {
    const built = await build(150, { segmentBytes: 16_384, paddingBytes: 150 })
    const random = seededRandom(7)
    const wrong: string[] = []
    for (let run = 0; run < POSITIONS; run++) {
      const file = built.files[Math.floor(random() * (built.files.length - 1))]!
      const source = built.storage.bytesOf(built.files[Math.floor(random() * built.files.length)]!)
      const isZero = run % 2 === 0
      const shard = reopen(
        damaged(built, file, (bytes) => {
          const at = Math.floor(random() * (bytes.length - 4096))
          const from = Math.floor((random() * (source.length - 4096)) / 8) * 8
          if (isZero) bytes.fill(0, at, at + 4096)
          else source.copy(bytes, Math.floor(at / 8) * 8, from, from + 4096)
          return bytes
        })
      )
      const { records } = shard.readAll(0)
      if (!isExact(shard)) wrong.push(`run ${run}: not exact`)
      if (records.some(({ id, offset }) => id !== offset)) wrong.push(`run ${run}: wrong record`)
      if (records.length < 150 - 60) wrong.push(`run ${run}: only ${records.length} read`)
    }
    t.same(wrong, [])
  }
)

t.test(
  'Q08 lengths beyond every bound are not believed, with a right and a wrong hash',
  async (t) => {
    const built = await build(5)
    const file = built.files[0]!
    const frame = framesOf(built.storage.bytesOf(file))[2]!
    const salt = segmentSalt(STORE.secret, LOG_ID, 1_700_000_000, 0)
    for (const storedBytes of [0, 1, 15, 0xffff_ffff, 16 * 1024 * 1024, 16 * 1024 * 1024 + 1]) {
      for (const isHashed of [true, false]) {
        const shard = reopen(
          damaged(built, file, (bytes) => {
            const header = decodeFrameHeader(bytes, frame.startByte, hash, salt, 1_700_000_000)!
            if (isHashed) {
              encodeFrameHeader(bytes, frame.startByte, { ...header, storedBytes }, hash, salt)
            } else {
              bytes.writeUInt32LE(storedBytes, frame.startByte + 4)
            }
            return bytes
          })
        )
        t.same(shard.ids, [0, 1, 3, 4], `${storedBytes}, ${isHashed}`)
        t.ok(isExact(shard))
      }
    }
  }
)

t.test('Q09 a frame of this store inside a log line is not taken for a frame', async (t) => {
  const next = reopen(await withFrameInLine())
  t.ok(isExact(next))
  t.same(next.ids, [], 'the only frame is gone, and none stands up from its payload')
})

t.test('Q10 a missing segment is a hole of its size', async (t) => {
  const built = await build(30, { segmentBytes: 1024 })
  t.ok(built.files.length > 4)
  for (const [index, file] of built.files.entries()) {
    if (index === built.files.length - 1) continue
    const storage = built.storage.clone()
    storage.remove(file)
    const shard = reopen(storage)
    const first = Number(file.slice(-35, -15))
    const end = Number(built.files[index + 1]!.slice(-35, -15))
    t.same(shard.readAll(0).holes, [{ firstOffset: first, endOffset: end, reason: 'corrupt' }])
    t.same(
      shard.ids,
      range(0, 30).filter((id) => id < first || id >= end)
    )
  }
})

t.test('Q11 a destroyed header sector costs the frames in it and no more', async (t) => {
  const built = await build(12, { segmentBytes: 2048 })
  for (const file of built.files) {
    const onlyHeader = reopen(damaged(built, file, (bytes) => bytes.fill(0xee, 0, 64)))
    t.same(onlyHeader.ids, range(0, 12), 'the name and META say enough')
    const sector = reopen(
      damaged(built, file, (bytes) => bytes.fill(0xee, 0, Math.min(512, bytes.length)))
    )
    t.ok(isExact(sector))
    t.ok(sector.ids.length >= 8)
  }
})

t.test('Q13 a segment of a later format is refused and nothing is touched', async (t) => {
  const built = await build(3)
  const file = built.files[0]!
  for (const [at, what] of [
    [4, 'major'],
    [6, 'feature']
  ] as const) {
    const storage = damaged(built, file, (bytes) => {
      bytes[at] = 9
      const salt = segmentSalt(STORE.secret, LOG_ID, 1_700_000_000, 0)
      bytes.writeBigUInt64LE(hash([bytes.subarray(0, 56)], salt), 56)
      return bytes
    })
    const before = storage.tree()
    t.throws(() => reopen(storage), { code: 'MR_STORE_FORMAT' }, what)
    t.same(storage.tree(), before)
  }
  const flipped = damaged(built, file, (bytes) => {
    bytes[4] = 9
    return bytes
  })
  t.same(reopen(flipped).ids, [0, 1, 2], 'a flipped bit alone is damage, not a later release')
})

t.test('Q15 two segments with the same first offset: the later epoch counts', async (t) => {
  const built = await build(3)
  const storage = built.storage.clone()
  const first = new ShardHarness({ storage, clock: new FakeClock(1_700_000_100_000) })
  // Dies between the header of its first segment and the first frame.
  storage.put(`${DIRECTORY}/${segmentFileName(3, 1_700_000_100)}`, Buffer.alloc(64))
  t.same(first.ids, [0, 1, 2])
  const second = new ShardHarness({ storage, clock: new FakeClock(1_700_000_200_000) })
  second.append([3])
  second.writer.commit()
  await settled()
  storage.kill()
  const third = new ShardHarness({ storage, clock: new FakeClock(1_700_000_300_000) })
  t.same(third.ids, [0, 1, 2, 3])
  t.equal(filesOf(storage).length, 2, 'the empty one is gone')
  t.match(third.recovered.notes, [/empty and superseded, deleted/])
})

t.test('Q18 killed at each operation of a recovery, again and again: it converges', async (t) => {
  const built = await build(20, { segmentBytes: 2048 })
  const last = built.files.at(-1)!
  const clean = reopen(damaged(built, last, (bytes) => bytes.subarray(0, bytes.length - 9))).ids
  for (let first = 1; first <= 12; first++) {
    const storage = damaged(built, last, (bytes) => bytes.subarray(0, bytes.length - 9))
    for (let kill = 0; kill < 10; kill++) {
      storage.crashAtOperation = storage.operationCount + first
      try {
        openCursor(storage)
        reopen(storage)
      } catch {
        // Died.
      }
      if (kill % 2 === 0) storage.kill()
      else storage.crash()
    }
    t.same(reopen(storage).ids, clean, `at operation ${first}`)
  }
})

t.test('Q20 offsets behind a cursor are not given out again', async (t) => {
  const { storage } = await build(3)
  const cursor = openCursor(storage)
  cursor.finish(0, 8, 'delivered')
  cursor.persistNow()
  const shard = new ShardHarness({
    storage,
    clock: new FakeClock(1_700_000_100_000),
    durability: 'os',
    cursorHighOffset: cursor.highOffset
  })
  t.equal(shard.recovered.start.nextOffset, 8)
  shard.append([100])
  shard.writer.commit()
  await settled()
  const { records, holes } = shard.readAll(0)
  t.same(records.at(-1), { id: 100, offset: 8, epoch: 1_700_000_100 })
  t.same(holes, [{ firstOffset: 3, endOffset: 8, reason: 'unsynced' }])
})

t.test('what every holding cursor has passed is deleted at the start', async (t) => {
  const built = await build(12, { segmentBytes: 1024 })
  const storage = built.storage.clone()
  const shard = new ShardHarness({
    storage,
    clock: new FakeClock(1_700_000_100_000),
    holdingLowOffset: 7
  })
  t.ok(shard.segments.oldestOffset <= 7)
  t.ok(filesOf(storage).length < built.files.length)
  t.same(
    shard.readAll(7).records.map(({ id }) => id),
    range(7, 5)
  )
})

t.test('a segment that cannot be synced is read up to what was durable', async (t) => {
  const { storage } = await build(4)
  storage.fail = ({ name }) => (name === 'datasync' ? 'EIO' : null)
  const shard = reopen(storage)
  t.same(shard.ids, [0, 1, 2], 'the watermark of the last frame')
  t.match(shard.recovered.notes, [/cannot be synced/])
})

t.test('an unreadable sector costs the frames in it', async (t) => {
  const built = await build(200, { paddingBytes: 100 })
  const { storage } = built
  storage.fail = ({ name, number }) =>
    name === 'pread' && number >= 8192 && number < 12_288 ? 'EIO' : null
  const pread = storage.pread.bind(storage)
  storage.pread = (file, into, atByte) => {
    if (atByte < 12_288 && atByte + into.length > 8192) {
      throw Object.assign(new Error('unreadable'), { code: 'EIO' })
    }
    return pread(file, into, atByte)
  }
  const shard = reopen(storage)
  t.ok(isExact(shard))
  t.ok(shard.ids.length > 150 && shard.ids.length < 200, `${shard.ids.length} of 200`)
})

t.test('names that are not ours are reported and left alone', async (t) => {
  const { storage, ids } = await build(2)
  storage.put(`${DIRECTORY}/notes.txt`, Buffer.from('mine'))
  const shard = reopen(storage)
  t.same(shard.ids, ids)
  t.match(shard.recovered.notes, [/notes\.txt: not a file of the queue/])
  t.equal(storage.bytesOf(`${DIRECTORY}/notes.txt`).toString(), 'mine')
})

t.test('Q50 chunk ids of the newest segments are found, of both entry forms', async (t) => {
  const storage = new SimulatedStorage()
  const shard = new ShardHarness({ storage, clock: new FakeClock(), segmentBytes: 512 })
  for (const id of range(0, 6)) {
    shard.append([id], { tag: 't', ingestId: `\xa2c${id}`, paddingBytes: 150 })
    shard.writer.commit()
    await settled()
  }
  const message = (option: string) => Buffer.from(`94a174ce0000000181a16101${option}`, 'hex')
  const entries = Buffer.concat([
    message('81a56368756e6ba2c3a9'),
    message('80'),
    message('c0'),
    message('82a56368756e6ba26331a56368756e6bc40101')
  ])
  shard.writer.append(
    {
      ...groupOf([1]),
      tag: Buffer.from('t'),
      form: 2,
      entries,
      recordCount: 4,
      hasIngestIds: true
    },
    null
  )
  await shard.writer.close()
  storage.kill()
  t.same(reopen(storage).recovered.ingestIds, [
    ...range(0, 6).map((id) => `t\0\xa2c${id}`),
    't\0\xa2\xc3\xa9',
    't\0\xc4\x01\x01'
  ])
})

t.test(
  'Q55 shards of two routes, and two lives of one directory, share no position id',
  async (t) => {
    const ids = new Set<string>()
    let count = 0
    for (const [route, startMs] of [
      ['routes/a/shard-00', 1_700_000_000_000],
      ['routes/b/shard-00', 1_700_000_000_000],
      // Deleted or restored from an old copy: the clock tells the lives apart.
      ['routes/a/shard-00', 1_700_000_060_000]
    ] as const) {
      const storage = new SimulatedStorage()
      const logId = logIdOf(STORE.uuid, route)
      const shard = new ShardHarness({
        storage,
        clock: new FakeClock(startMs),
        directory: `/data/${route}`,
        logId
      })
      shard.append(range(0, 10))
      shard.writer.commit()
      await settled()
      for (const { offset, epoch } of shard.readAll().records) {
        ids.add(positionId(logId, epoch, offset))
        count++
      }
    }
    t.equal(count, 30)
    t.equal(ids.size, 30)
  }
)

t.test('damage within a cut message that was acked costs its frame and no other', async (t) => {
  const storage = new SimulatedStorage()
  const shard = new ShardHarness({ storage, clock: new FakeClock() })
  const part = (id: number) => shard.writer.append(groupOf([id, id + 1], { continues: true }), null)
  part(0)
  part(2)
  shard.append([4, 5])
  shard.writer.commit()
  await settled()
  t.same(shard.acked, [4, 5])
  // Never whole.
  part(6)
  part(8)
  const file = `${DIRECTORY}/${storage.readdir(DIRECTORY)[0]}`
  const written = storage.bytesOf(file)
  const frames = framesOf(written)
  t.equal(frames.length, 5)
  for (const [index, ids] of [
    [0, [2, 3, 4, 5]],
    [1, [0, 1, 4, 5]],
    [2, [0, 1, 2, 3]]
  ] as const) {
    const bytes = Buffer.from(written)
    const at = frames[index]!.startByte + 72
    bytes[at] = bytes[at]! ^ 1
    storage.put(file, bytes)
    const found = reopen(storage.clone())
    t.same(found.ids, ids, `frame ${index}`)
    t.equal(found.segments.endOffset, 6)
    t.ok(isExact(found))
  }
})
