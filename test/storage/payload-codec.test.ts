import { createCipheriv, randomBytes } from 'node:crypto'
import zlib from 'node:zlib'
import t from 'tap'
import type { StoreKey, StoreKeys } from '../../src/core/encryption-keys.ts'
import { FRAME_PAYLOAD_BYTES_MAX } from '../../src/core/limits.ts'
import {
  decodeFrameHeader,
  encodeFrameHeader,
  type FrameHeader,
  frameFactsOf
} from '../../src/storage/format/frame.ts'
import {
  CODEC,
  FEATURE,
  FRAME_FLAG,
  FRAME_HEADER,
  frameBytesOf,
  SCHEMA_GROUPS
} from '../../src/storage/format/layout.ts'
import { KEYLESS_DECODER, PayloadDecoder } from '../../src/storage/format/payload-decoder.ts'
import { PayloadEncoder } from '../../src/storage/format/payload-encoder.ts'
import { decodeSegmentHeader } from '../../src/storage/format/segment-file.ts'
import { segmentSalt } from '../../src/storage/format/segment-names.ts'
import { segmentKey } from '../../src/storage/format/store-keys.ts'
import { FakeClock, settled } from '../support/fake-clock.ts'
import { DIRECTORY, groupOf, hash, LOG_ID, ShardHarness, STORE } from '../support/shard-harness.ts'
import { SimulatedStorage } from '../support/simulated-storage.ts'

const keyOf = (id: number): StoreKey => ({ id, key: new Uint8Array(32).fill(id) })
const keys = (current: number | null, ...old: number[]): StoreKeys => {
  const key = current === null ? null : keyOf(current)
  return { current: key, all: [...(key === null ? [] : [key]), ...old.map(keyOf)] }
}

const EPOCH = 1_700_000_000
const SALT = segmentSalt(STORE.secret, LOG_ID, EPOCH, 0)
const FIRST = `${DIRECTORY}/00000000000000000000-1700000000.seg`
const PLACE = { logId: LOG_ID, epoch: EPOCH, firstOffset: 0 }

interface Parts {
  readonly storage?: SimulatedStorage
  readonly nowMs?: number
  readonly keys?: StoreKeys
  readonly compression?: 'none' | 'zstd'
}

function open({ storage = new SimulatedStorage(), nowMs = EPOCH * 1000, ...rest }: Parts) {
  return { storage, shard: new ShardHarness({ storage, clock: new FakeClock(nowMs), ...rest }) }
}

/** `count` frames of two records each, then a footer. */
async function write(shard: ShardHarness, count: number, paddingBytes: number, from = 0) {
  for (let id = from; id < from + count; id++) {
    shard.append([id * 2, id * 2 + 1], { paddingBytes, ingestId: `\xa4${String(id).padStart(4)}` })
    shard.writer.commit()
    await settled()
  }
  await shard.writer.close()
}

const upTo = (end: number) => Array.from({ length: end }, (_, id) => id)

function frameHeaders(bytes: Buffer): { at: number; header: FrameHeader }[] {
  const found: { at: number; header: FrameHeader }[] = []
  for (let at = 64; ; ) {
    const header = decodeFrameHeader(bytes, at, hash, SALT, EPOCH)
    if (header === null) return found
    found.push({ at, header })
    at += frameBytesOf(header.storedBytes)
  }
}

const STORED_AS = [
  { name: 'zstd', compression: 'zstd' as const },
  { name: 'encrypted', keys: keys(7) },
  { name: 'zstd and encrypted', compression: 'zstd' as const, keys: keys(7) }
]

for (const { name, ...how } of STORED_AS) {
  t.test(
    `${name}: what was appended is read, after a restart too, and says how it is stored`,
    async (t) => {
      const { storage, shard } = open(how)
      await write(shard, 20, 900)
      t.same(shard.ids, upTo(40))
      const later = open({ ...how, storage, nowMs: (EPOCH + 100) * 1000 })
      t.same(later.shard.ids, upTo(40))
      t.equal(later.shard.recovered.ingestIds.length, 20, 'chunk ids are read from the frames')
      const bytes = storage.bytesOf(FIRST)
      const header = decodeSegmentHeader(bytes, hash, SALT)
      const zstd = 'compression' in how ? FEATURE.zstd : 0
      const sealed = 'keys' in how ? FEATURE.encryption : 0
      t.match(header, { incompatible: zstd | sealed, keyId: sealed === 0 ? 0 : 7 })
      for (const { header: frame } of frameHeaders(bytes)) {
        t.equal(frame.codec, zstd === 0 ? CODEC.none : CODEC.zstd)
        t.equal(
          frame.flags,
          FRAME_FLAG.ingestIds | (sealed === 0 ? 0 : FRAME_FLAG.encrypted | (7 << 8))
        )
        t.ok(zstd === 0 || frame.storedBytes < frame.rawBytes / 2)
      }
      t.notOk(sealed !== 0 && bytes.includes('docker.web'), 'nothing readable is on the disk')
      t.notOk(sealed !== 0 && bytes.includes(Buffer.alloc(32, 0x61)))
    }
  )
}

t.test('messages from 64 KiB up and cut ones are coded too, from where they lie', async (t) => {
  const { storage, shard } = open({ compression: 'zstd', keys: keys(1) })
  shard.append([1], { paddingBytes: 70_000 })
  shard.writer.append(groupOf([2, 3], { continues: true, paddingBytes: 400 }), null)
  shard.append([4], { paddingBytes: 400 })
  shard.writer.commit()
  await settled()
  t.same(shard.ids, [1, 2, 3, 4])
  const flags = frameHeaders(storage.bytesOf(FIRST)).map(({ header }) => header.flags & 0xff)
  t.same(flags, [1, 1 | FRAME_FLAG.continues, 1])
  t.same(open({ storage, nowMs: (EPOCH + 9) * 1000, keys: keys(1) }).shard.ids, [1, 2, 3, 4])
})

t.test('a cut message without its end is dropped at a start, key or not', async (t) => {
  const { storage, shard } = open({ keys: keys(1) })
  await write(shard, 1, 10)
  const again = open({ storage, nowMs: (EPOCH + 9) * 1000, keys: keys(1) })
  again.shard.append([2])
  again.shard.writer.commit()
  await settled()
  again.shard.writer.append(groupOf([3], { continues: true }), null)
  again.shard.writer.append(groupOf([4], { continues: true }), null)
  for (const with1 of [{ keys: keys(1) }, {}]) {
    const copy = storage.clone()
    const { shard: read } = open({ storage: copy, nowMs: (EPOCH + 20) * 1000, ...with1 })
    t.equal(read.segments.endOffset, 3)
    t.equal(read.recovered.unackedRecords, 2)
  }
})

t.test('short payloads and those that hardly shrink are stored as they are', async (t) => {
  const { storage, shard } = open({ compression: 'zstd' })
  shard.append([1])
  shard.writer.commit()
  await settled()
  const noise = randomBytes(2000)
  shard.writer.append(
    { ...groupOf([2]), entries: Buffer.concat([Buffer.from([0xc5, 7, 0xd0]), noise]) },
    null
  )
  shard.writer.commit()
  await shard.writer.close()
  t.same(
    frameHeaders(storage.bytesOf(FIRST)).map(({ header }) => header.codec),
    [CODEC.none, CODEC.none]
  )
})

t.test(
  'Q51 a key that is not there or is another one locks its segments: nothing is lost or counted',
  async (t) => {
    const { storage, shard } = open({ keys: keys(1) })
    await write(shard, 5, 100)
    const newer = open({ storage, nowMs: (EPOCH + 9) * 1000, keys: keys(2, 1) })
    await write(newer.shard, 5, 100, 5)
    t.same(newer.shard.ids, upTo(20), 'after a rotation both generations drain')
    const wrong = { id: 1, key: new Uint8Array(32).fill(99) }
    for (const some of [keys(2), keys(2, 3), { current: keyOf(2), all: [keyOf(2), wrong] }]) {
      const { shard: read } = open({ storage, nowMs: (EPOCH + 20) * 1000, keys: some })
      const { holes, records } = read.readAll(0)
      t.same(holes, [])
      t.same(
        records.map(({ id }) => id),
        upTo(20).slice(10)
      )
      t.equal(read.segments.endOffset, 20, 'what is locked has its place')
    }
    const none = open({ storage, nowMs: (EPOCH + 30) * 1000 }).shard
    t.same(none.readAll(0), { records: [], holes: [] })
    t.same(open({ storage, nowMs: (EPOCH + 40) * 1000, keys: keys(2, 1) }).shard.ids, upTo(20))
  }
)

t.test('Q51 each flipped bit of a ciphertext costs that frame and no other', async (t) => {
  const { storage, shard } = open({ keys: keys(1), compression: 'zstd' })
  await write(shard, 3, 200)
  const bytes = storage.bytesOf(FIRST)
  const [, second, third] = frameHeaders(bytes)
  const wrong: number[] = []
  for (let byte = second!.at; byte < third!.at; byte++) {
    const damaged = Buffer.from(bytes)
    damaged[byte] = damaged[byte]! ^ (1 << (byte % 8))
    const disk = new SimulatedStorage()
    disk.put(FIRST, damaged)
    const { shard: read } = open({ storage: disk, nowMs: (EPOCH + 9) * 1000, keys: keys(1) })
    const { holes, records } = read.readAll(0)
    const isPadding = byte >= second!.at + FRAME_HEADER.byteCount + second!.header.storedBytes
    const wanted = isPadding ? '0,1,2,3,4,5' : '0,1,4,5'
    const lost = holes.reduce((sum, hole) => sum + hole.endOffset - hole.firstOffset, 0)
    const isRight = records.map(({ id }) => id).join() === wanted && lost + records.length === 6
    if (!isRight) wrong.push(byte)
  }
  t.same(wrong, [])
})

/** The first frame of the segment with these bytes for a payload, its hashes right. */
function forge(bytes: Buffer, stored: Buffer, change: Partial<FrameHeader>): Buffer {
  const [first] = frameHeaders(bytes)
  const header = { ...first!.header, storedBytes: stored.length, ...change }
  const frame = Buffer.alloc(frameBytesOf(stored.length))
  encodeFrameHeader(frame, 0, { ...header, payloadHash: hash([stored], SALT) }, hash, SALT)
  stored.copy(frame, FRAME_HEADER.byteCount)
  const rest = bytes.subarray(first!.at + frameBytesOf(first!.header.storedBytes))
  return Buffer.concat([bytes.subarray(0, first!.at), frame, rest])
}

t.test(
  'Q52 a raw length that lies or a bomb is damage of that frame, in bounded memory',
  async (t) => {
    const { storage, shard } = open({ compression: 'zstd' })
    await write(shard, 3, 500)
    const bytes = storage.bytesOf(FIRST)
    const [first] = frameHeaders(bytes)
    const { rawBytes, storedBytes } = first!.header
    const good = bytes.subarray(136, 136 + storedBytes)
    const bomb = zlib.zstdCompressSync(Buffer.alloc(512 * 1024 * 1024))
    t.ok(bomb.length < 100_000, 'half a gigabyte in a few kilobytes')
    const farBack = zlib.zstdCompressSync(Buffer.alloc(1000), {
      params: { [zlib.constants.ZSTD_c_windowLog]: 27 }
    })
    const cases: [string, Buffer, Partial<FrameHeader>][] = [
      ['too short', good, { rawBytes: rawBytes - 1 }],
      ['too long', good, { rawBytes: rawBytes + 1 }],
      ['none', good, { rawBytes: 0 }],
      ['above the cap', good, { rawBytes: FRAME_PAYLOAD_BYTES_MAX + 1 }],
      ['endless', good, { rawBytes: 0xffff_ffff }],
      ['a bomb', bomb, {}],
      ['a bomb that says the cap', bomb, { rawBytes: FRAME_PAYLOAD_BYTES_MAX }],
      ['a window above the cap', farBack, { rawBytes: 1000 }],
      ['no zstd', Buffer.alloc(64, 0x5a), {}],
      ['cut', good.subarray(0, storedBytes - 4), {}]
    ]
    for (const [name, stored, change] of cases) {
      const disk = new SimulatedStorage()
      disk.put(FIRST, forge(bytes, stored, change))
      const before = process.memoryUsage()
      const { shard: read } = open({ storage: disk, nowMs: (EPOCH + 9) * 1000 })
      t.same(
        read.readAll(0).records.map(({ id }) => id),
        [2, 3, 4, 5],
        name
      )
      t.same(read.readAll(0).holes, [{ firstOffset: 0, endOffset: 2, reason: 'corrupt' }], name)
      const after = process.memoryUsage()
      t.ok(after.rss - before.rss < 128 * 1024 * 1024, name)
      t.ok(disk.readdir('/data/routes/web/quarantine').length > 0, 'and it is in the quarantine')
    }
  }
)

t.test('a bomb is given up at the first byte too many', (t) => {
  const rawBytes = 1000
  const stored = zlib.zstdCompressSync(Buffer.alloc(2 ** 24))
  const original = Buffer.allocUnsafe
  t.teardown(() => Object.assign(Buffer, { allocUnsafe: original }))
  let madeBytes = 0
  Object.assign(Buffer, {
    allocUnsafe: (size: number) => {
      madeBytes += size
      return original(size)
    }
  })
  const header = headerOf({ codec: CODEC.zstd, storedBytes: stored.length, rawBytes })
  t.equal(KEYLESS_DECODER.decode(stored, header, PLACE), 'damaged')
  t.ok(madeBytes >= rawBytes, 'the room for the output is counted')
  t.ok(madeBytes < 8 * rawBytes, `${madeBytes} bytes for an output of ${rawBytes}`)
  t.end()
})

t.test('the longest payload fits its length exactly', (t) => {
  const raw = Buffer.alloc(FRAME_PAYLOAD_BYTES_MAX, 'a line of a log ')
  const header = headerOf({ rawBytes: raw.length, storedBytes: raw.length })
  const encoder = new PayloadEncoder({ uuid: STORE.uuid, keys: null }, LOG_ID, 'zstd')
  const [stored] = encoder.encode([raw.subarray(0, 100), raw.subarray(100)], header, PLACE) ?? []
  const payload = KEYLESS_DECODER.decode(Buffer.from(stored!), header, PLACE)
  t.ok(typeof payload !== 'string' && payload.equals(raw))
  t.end()
})

t.test(
  'a frame of a codec, schema or flag that is not known is kept, not counted as damage',
  async (t) => {
    const { storage, shard } = open({})
    await write(shard, 3, 50)
    const bytes = storage.bytesOf(FIRST)
    const stored = bytes.subarray(136, 136 + frameHeaders(bytes)[0]!.header.storedBytes)
    const cases = [{ codec: 2 }, { schema: 2 }, { flags: FRAME_FLAG.control }, { flags: 16 }]
    for (const change of cases) {
      const disk = new SimulatedStorage()
      disk.put(FIRST, forge(bytes, stored, change))
      const { shard: read } = open({ storage: disk, nowMs: (EPOCH + 9) * 1000 })
      t.same(
        read.readAll(0).records.map(({ id }) => id),
        [2, 3, 4, 5]
      )
      t.same(read.readAll(0).holes, [])
    }
  }
)

t.test(
  'what is authenticated: every field of the header, the log, the epoch, the first offset, the store',
  (t) => {
    const encoder = new PayloadEncoder({ uuid: STORE.uuid, keys: keys(1) }, LOG_ID, 'none')
    const raw = Buffer.from('a payload')
    const header = headerOf({ rawBytes: raw.length, storedBytes: raw.length })
    const sealed = Buffer.concat(encoder.encode([raw], header, PLACE) ?? [])
    t.equal(sealed.length, raw.length + 28)
    const decode = (change: Partial<FrameHeader>, place = PLACE, uuid = STORE.uuid) =>
      new PayloadDecoder({ uuid, keys: keys(1, 2) }).decode(sealed, { ...header, ...change }, place)
    t.same(decode({}), raw)
    t.same(decode({ payloadHash: 5n }), raw, 'but for the hash, which is made last')
    const changes: Partial<FrameHeader>[] = [
      { firstOffset: 1 },
      { recordCount: 2 },
      { epoch: EPOCH + 1 },
      { durableOffset: 1 },
      { appendTimeMs: 1 },
      { rawBytes: raw.length + 1 },
      { codec: CODEC.zstd },
      { flags: header.flags | FRAME_FLAG.ingestIds },
      { flags: FRAME_FLAG.encrypted | (2 << 8) },
      { minTimeDelta: 1 },
      { maxTimeDelta: 1 }
    ]
    for (const change of changes) t.equal(decode(change), 'mismatch', Object.keys(change).join())
    t.equal(decode({}, { ...PLACE, epoch: 1 }), 'mismatch')
    t.equal(decode({}, { ...PLACE, firstOffset: 1 }), 'mismatch')
    t.equal(decode({}, { ...PLACE, logId: Buffer.alloc(8) }), 'mismatch')
    t.equal(decode({}, PLACE, Buffer.alloc(16)), 'mismatch')
    t.equal(KEYLESS_DECODER.decode(sealed, header, PLACE), 'locked')
    t.equal(
      new PayloadDecoder({ uuid: STORE.uuid, keys: keys(1) }).decode(
        Buffer.alloc(28),
        header,
        PLACE
      ),
      'mismatch'
    )
    t.end()
  }
)

t.test('the bytes of an encrypted frame, field by field', (t) => {
  const header = headerOf({ rawBytes: 9, storedBytes: 37, flags: FRAME_FLAG.encrypted | (1 << 8) })
  const key = segmentKey(keyOf(1), STORE.uuid, PLACE)
  t.equal(key.toString('hex'), '7c85e8680ee6a00968c2b2299c6bbe8f264376b56fd6b567f3eb0e7bd5dfad6e')
  const nonce = Buffer.alloc(12, 9)
  const cipher = createCipheriv('aes-256-gcm', key, nonce)
  cipher.setAAD(frameFactsOf(header))
  const text = Buffer.concat([cipher.update('a payload'), cipher.final()])
  const stored = Buffer.concat([nonce, cipher.getAuthTag(), text])
  const decoder = new PayloadDecoder({ uuid: STORE.uuid, keys: keys(1) })
  t.same(decoder.decode(stored, header, PLACE), Buffer.from('a payload'))
  const whole = Buffer.alloc(FRAME_HEADER.byteCount)
  encodeFrameHeader(whole, 0, header, hash, SALT)
  t.same(frameFactsOf(header), whole.subarray(16, 64), 'bytes 16 to 63 of the header')
  t.end()
})

function headerOf(change: Partial<FrameHeader>): FrameHeader {
  return {
    storedBytes: 0,
    payloadHash: 0n,
    firstOffset: 0,
    recordCount: 1,
    epoch: EPOCH,
    durableOffset: 0,
    appendTimeMs: EPOCH * 1000,
    rawBytes: 0,
    codec: CODEC.none,
    schema: SCHEMA_GROUPS,
    flags: 0,
    minTimeDelta: 0,
    maxTimeDelta: 0,
    ...change
  }
}
