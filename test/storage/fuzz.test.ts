// L7: readers of frames, segments, cursors, META and entries on bytes that nobody wrote: no crash, no hang, no allocation
// by a declared length, exact accounts. MILLRACE_FUZZ_RUNS=n runs longer.

import t from 'tap'
import { skipValue } from '../../src/core/msgpack-skip.ts'
import { decodeCursorSlot, encodeCursorSlot } from '../../src/storage/cursor-slot.ts'
import { FRAME_HEADER } from '../../src/storage/format.ts'
import { decodeFrameHeader, decodeGroups, encodeFrameHeader } from '../../src/storage/frame.ts'
import { decodeMeta, encodeMeta } from '../../src/storage/meta.ts'
import { segmentSalt } from '../../src/storage/segment-names.ts'
import { scanSegment } from '../../src/storage/segment-scan.ts'
import { splitEntries } from '../../src/storage/stored-entries.ts'
import { FakeClock, settled } from '../support/fake-clock.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { DIRECTORY, hash, LOG_ID, ShardHarness, STORE } from '../support/shard-harness.ts'
import { SimulatedStorage } from '../support/simulated-storage.ts'

// Longer runs are asked for by the environment.
t.setTimeout(3_600_000)

const runs = Number(process.env['MILLRACE_FUZZ_RUNS'] ?? 400)
const random = seededRandom(Number(process.env['MILLRACE_FUZZ_SEED'] ?? 3))
const below = (end: number) => Math.floor(random() * end)
const randomBytes = (count: number) => Buffer.from(Array.from({ length: count }, () => below(256)))

/** One of the damages that disks and bugs do. */
function mutate(source: Buffer): Buffer {
  const bytes = Buffer.from(source)
  for (let change = 0; change <= below(4); change++) {
    const at = below(bytes.length)
    const kind = below(6)
    if (kind === 0) bytes[at] = bytes[at]! ^ (1 << below(8))
    else if (kind === 1) bytes.fill(0, at, Math.min(bytes.length, at + below(600)))
    else if (kind === 2) randomBytes(Math.min(64, bytes.length - at)).copy(bytes, at)
    else if (kind === 3) bytes.copy(bytes, at & ~7, below(bytes.length) & ~7, bytes.length)
    else if (kind === 4)
      bytes.writeUInt32LE(0xffff_ffff, Math.max(0, Math.min(at, bytes.length - 4)))
    else return bytes.subarray(0, at)
  }
  return bytes
}

async function sampleSegment(): Promise<Buffer> {
  const storage = new SimulatedStorage()
  const shard = new ShardHarness({ storage, clock: new FakeClock() })
  for (let id = 0; id < 30; id++) {
    shard.append([id, id + 100], { ingestId: '\xa2id', paddingBytes: below(120) })
    shard.writer.commit()
    await settled()
  }
  await shard.writer.close()
  return storage.bytesOf(`${DIRECTORY}/${storage.readdir(DIRECTORY)[0]}`)
}

t.test('mutated segments: recovery ends, accounts are exact, no record is made up', async (t) => {
  const sample = await sampleSegment()
  const wrong: string[] = []
  for (let run = 0; run < runs; run++) {
    const storage = new SimulatedStorage()
    const isRandom = run % 10 === 0
    const bytes = isRandom ? randomBytes(below(3000)) : mutate(sample)
    storage.put(`${DIRECTORY}/00000000000000000000-1700000000.seg`, bytes)
    const shard = new ShardHarness({ storage, clock: new FakeClock(1_700_000_100_000) })
    const { records, holes } = shard.readAll(0)
    const holeCount = holes.reduce((sum, hole) => sum + hole.endOffset - hole.firstOffset, 0)
    if (records.length + holeCount !== shard.segments.endOffset) wrong.push(`run ${run}: not exact`)
    for (const { id, offset } of records) {
      if (id !== (offset >> 1) + (offset & 1) * 100) wrong.push(`run ${run}: ${id} at ${offset}`)
    }
  }
  t.same(wrong, [])
})

t.test('headers with a right hash and any fields: bounded, and never past the end', (t) => {
  const epoch = 1_700_000_000
  const salt = segmentSalt(STORE.secret, LOG_ID, epoch, 0)
  for (let run = 0; run < runs; run++) {
    const bytes = Buffer.alloc(64 + 4096)
    for (let at = 64; at + FRAME_HEADER.byteCount < bytes.length; at += 8 * (1 + below(60))) {
      const header = {
        storedBytes: [0, 15, 16, 40, below(5000), 0xffff_ffff, 16 * 1024 * 1024][below(7)]!,
        payloadHash: BigInt(below(2 ** 32)),
        firstOffset: [0, below(100), 2 ** 48 - 2, 2 ** 52][below(4)]!,
        recordCount: [0, 1, below(50), 0xffff_ffff][below(4)]!,
        epoch: random() < 0.9 ? epoch : below(2 ** 32),
        durableOffset: below(200),
        appendTimeMs: below(2 ** 45),
        rawBytes: below(2 ** 32),
        codec: below(3),
        schema: below(3),
        flags: below(8),
        minTimeDelta: 0,
        maxTimeDelta: 0
      }
      encodeFrameHeader(bytes, at, header, hash, salt)
    }
    const storage = new SimulatedStorage()
    storage.put('/data/a.seg', bytes)
    const file = storage.open('/data/a.seg', 'read')
    const segment = {
      file,
      logId: LOG_ID,
      epoch,
      firstOffset: 0,
      salt,
      endByte: bytes.length,
      endOffset: Number.MAX_SAFE_INTEGER
    }
    const result = scanSegment({ storage, hash, segment, firstOffset: 0 })
    const lost = result.holes.reduce((sum, hole) => sum + hole.endOffset - hole.firstOffset, 0)
    if (result.recordCount + lost !== result.endOffset) t.fail(`run ${run}`)
  }
  t.pass(`${runs} segments`)
  t.end()
})

t.test('groups and entries of any bytes', (t) => {
  const header = {
    ...decodeHeaderOf(),
    firstOffset: 5,
    recordCount: 3
  }
  for (let run = 0; run < runs * 20; run++) {
    const bytes = randomBytes(below(200))
    if (bytes.length >= 16 && random() < 0.8) {
      bytes.writeUInt32LE(below(bytes.length + 20), 0)
      bytes.writeUInt32LE(below(5), 4)
      for (const at of [8, 10, 12]) bytes.writeUInt16LE(below(40), at)
      bytes[14] = below(4)
    }
    for (const group of decodeGroups(bytes, header) ?? []) {
      splitEntries(group)
    }
    const end = skipValue(bytes, 0)
    if (end > bytes.length || (end <= 0 && end !== -1)) t.fail(`skip to ${end} of ${bytes.length}`)
  }
  const deep = Buffer.alloc(1_000_000, 0x91)
  t.equal(skipValue(deep, 0), -1, 'a million open arrays cost no stack')
  t.equal(skipValue(Buffer.from('ddffffffff', 'hex'), 0), -1, 'a declared count allocates nothing')
  t.equal(skipValue(Buffer.from('dfffffffff', 'hex'), 0), -1)
  t.end()
})

function decodeHeaderOf() {
  const bytes = Buffer.alloc(72)
  const fields = {
    storedBytes: 100,
    payloadHash: 1n,
    firstOffset: 0,
    recordCount: 1,
    epoch: 1,
    durableOffset: 0,
    appendTimeMs: 0,
    rawBytes: 100,
    codec: 0,
    schema: 1,
    flags: 0,
    minTimeDelta: 0,
    maxTimeDelta: 0
  }
  encodeFrameHeader(bytes, 0, fields, hash, 7n)
  const header = decodeFrameHeader(bytes, 0, hash, 7n, 1)
  if (header === null) throw new Error('header')
  return header
}

t.test('cursor slots and META of any bytes: the value that was written or none', (t) => {
  const content = {
    generation: 9,
    origin: 3,
    low: 10,
    ranges: [
      [12, 15],
      [20, 30]
    ] as const,
    counts: new Map([['delivered', { records: 20, bytes: 400 }]])
  }
  const slot = encodeCursorSlot(content, hash, 5n)
  t.same(decodeCursorSlot(slot, hash, 5n), content)
  const meta = encodeMeta({ uuid: STORE.uuid, secret: STORE.secret, createdMs: 4 }, hash)
  for (let run = 0; run < runs * 5; run++) {
    const bytes = mutate(slot)
    const decoded = decodeCursorSlot(bytes, hash, 5n)
    if (decoded !== null && !bytes.subarray(0, slot.length).equals(slot)) t.fail(`slot, run ${run}`)
    const metaBytes = mutate(meta)
    const decodedMeta = decodeMeta(metaBytes, hash)
    if (decodedMeta !== null && !metaBytes.equals(meta)) t.fail(`META, run ${run}`)
    // With a right hash over anything, the bounds alone must hold.
    const forged = Buffer.concat([randomBytes(48 + below(200)), Buffer.alloc(8)])
    forged.writeUInt32LE(0x5543_524d, 0)
    forged[4] = 1
    forged.writeUInt16LE(0, 6)
    forged.writeUInt32LE(forged.length - 8, 8)
    forged.writeUInt32LE(below(6), 12)
    forged.writeUInt32LE(below(6), 40)
    forged.writeBigUInt64LE(hash([forged.subarray(0, -8)], 5n), forged.length - 8)
    decodeCursorSlot(forged, hash, 5n)
  }
  t.end()
})
