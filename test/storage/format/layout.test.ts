import t from 'tap'
import { segmentBytesFor } from '../../../src/storage/format/layout.ts'
import {
  decodeSegmentFooter,
  decodeSegmentHeader
} from '../../../src/storage/format/segment-file.ts'
import {
  parseSegmentName,
  parseShardDirectoryName,
  segmentFileName,
  segmentSalt,
  shardDirectoryName
} from '../../../src/storage/format/segment-names.ts'
import { WordHash } from '../../../src/storage/format/word-hash.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import {
  buildStore,
  dumpOf,
  GOLDEN_STORES,
  makeGolden,
  readGolden
} from '../../support/golden-stores.ts'
import {
  DIRECTORY,
  groupOf,
  hash,
  LOG_ID,
  ShardHarness,
  STORE
} from '../../support/shard-harness.ts'
import { SimulatedStorage } from '../../support/simulated-storage.ts'
import { xxh64 } from '../../support/xxh64.ts'

t.test('Q14 the golden stores of format 1.0 are read as ever', async (t) => {
  for (const name of GOLDEN_STORES) {
    if (process.env['UPDATE'] === '1') await makeGolden(name)
    const { storage, wanted } = readGolden(name)
    t.equal(dumpOf(storage), wanted, name)
  }
})

t.test('Q14 and those without random parts are written as ever, byte for byte', async (t) => {
  for (const name of ['1.0', '1.0-damaged', '1.0-cut-messages'] as const) {
    const { storage } = readGolden(name)
    const written = await buildStore(name)
    for (const [file, text] of storage.tree('/data')) {
      t.ok(written.bytesOf(file).equals(Buffer.from(text, 'latin1')), `${name} ${file}`)
    }
  }
})

t.test('Q54 what a later minor may add is passed over; the older release reads on', async (t) => {
  const { storage, wanted } = readGolden('1.0')
  for (const file of storage.readdir(DIRECTORY).filter((name) => name.endsWith('.seg'))) {
    const bytes = storage.bytesOf(`${DIRECTORY}/${file}`)
    const name = parseSegmentName(file)
    const salt = segmentSalt(STORE.secret, LOG_ID, name!.epoch, name!.firstOffset)
    t.ok(decodeSegmentHeader(bytes, hash, salt), 'the salt is that of the store')
    bytes.writeUInt8(200, 5)
    bytes.writeBigUInt64LE(hash([bytes.subarray(0, 56)], salt), 56)
    storage.put(`${DIRECTORY}/${file}`, bytes)
  }
  t.equal(dumpOf(storage), wanted)
})

t.test('a segment, field by field', async (t) => {
  const storage = new SimulatedStorage()
  const clock = new FakeClock()
  const shard = new ShardHarness({ storage, clock })
  shard.writer.append(groupOf([7], { tag: 'ab', source: 'i\0', ingestId: '\xa1x' }), null)
  await shard.writer.close()
  const [name] = storage.readdir(DIRECTORY)
  t.equal(name, '00000000000000000000-1700000000.seg')
  const bytes = storage.bytesOf(`${DIRECTORY}/${name}`)
  const salt = segmentSalt(STORE.secret, LOG_ID, 1_700_000_000, 0)
  const u32 = (at: number) => bytes.readUInt32LE(at)
  const u64 = (at: number) => bytes.readBigUInt64LE(at)
  // Header
  t.equal(bytes.toString('latin1', 0, 4), 'MRSG')
  t.same([bytes[4], bytes[5], bytes.readUInt16LE(6)], [1, 0, 0])
  t.same(bytes.subarray(8, 24), STORE.uuid)
  t.same([bytes.readUInt16LE(24), bytes.readUInt16LE(26), u32(28)], [0, 0, 1_700_000_000])
  t.same([u64(32), u64(40), u64(48)], [0n, 1_700_000_000_000n, 0n])
  t.equal(u64(56), xxh64([bytes.subarray(0, 56)], salt))
  // Frame
  const entry = groupOf([7]).entries
  const payloadBytes = 16 + 2 + 2 + 2 + entry.length
  t.equal(bytes.toString('latin1', 64, 68), 'MRB1')
  t.equal(u32(68), payloadBytes)
  const payload = bytes.subarray(136, 136 + payloadBytes)
  t.equal(u64(72), xxh64([payload], salt))
  t.same([u64(80), u32(88), u32(92)], [0n, 1, 1_700_000_000])
  t.same([u64(96), u64(104), u32(112)], [0n, 1_700_000_000_000n, payloadBytes])
  t.same([bytes[116], bytes[117], bytes.readUInt16LE(118)], [0, 1, 2])
  t.same([bytes.readInt32LE(120), bytes.readInt32LE(124)], [0, 999])
  t.equal(u64(128), xxh64([bytes.subarray(64, 128)], salt))
  // Group
  t.same([u32(136), u32(140)], [payloadBytes, 1])
  t.same(
    [142, 144, 146, 148].slice(1).map((at) => bytes.readUInt16LE(at)),
    [2, 2, 2]
  )
  t.same([bytes[150], bytes[151]], [1, 0])
  t.equal(bytes.toString('latin1', 152, 158), 'ab\xa1xi\0')
  t.same(bytes.subarray(158, 158 + entry.length), entry)
  // Padding and footer
  const frameEnd = 64 + 72 + Math.ceil(payloadBytes / 8) * 8
  t.ok(bytes.subarray(136 + payloadBytes, frameEnd).every((byte) => byte === 0))
  t.equal(bytes.length, frameEnd + 64)
  t.equal(bytes.toString('latin1', frameEnd, frameEnd + 4), 'MREN')
  t.same([u32(frameEnd + 4), u64(frameEnd + 8)], [1, 1n])
  t.same([u64(frameEnd + 16), u64(frameEnd + 24)], [BigInt(frameEnd), 0n])
  t.same([u64(frameEnd + 32), u64(frameEnd + 40)], [1_700_000_000_000n, 1_700_000_999_000n])
  t.equal(u64(frameEnd + 48), xxh64([bytes.subarray(72, 80)], salt))
  t.equal(u64(frameEnd + 56), xxh64([bytes.subarray(frameEnd, frameEnd + 56)], salt))
  t.ok(decodeSegmentHeader(bytes, hash, salt))
  t.ok(decodeSegmentFooter(bytes, frameEnd, hash, salt))
  t.equal(decodeSegmentFooter(bytes, frameEnd - 8, hash, salt), null)
  t.equal(decodeSegmentHeader(bytes, hash, salt + 1n), null, 'of another segment')
})

t.test('the hash of words is XXH64 over their bytes', (t) => {
  for (const seed of [0n, 1n, 0xffff_ffff_ffff_ffffn]) {
    const words: bigint[] = []
    const stream = new WordHash(seed)
    for (let count = 0; count < 40; count++) {
      const bytes = Buffer.alloc(words.length * 8)
      for (const [index, word] of words.entries()) bytes.writeBigUInt64LE(word, index * 8)
      t.equal(stream.digest(), xxh64([bytes], seed), `${count} words`)
      const word = xxh64([Buffer.from(String(count))], 3n)
      words.push(word)
      stream.add(word)
    }
  }
  t.end()
})

t.test('XXH64 of the published vectors', (t) => {
  t.equal(hash([], 0n), 0xef46_db37_51d8_e999n)
  t.equal(hash([Buffer.from('a')], 0n), 0xd24e_c4f1_a98c_6e5bn)
  t.equal(hash([Buffer.from('abc')], 0n), 0x44bc_2cf5_ad77_0999n)
  const text = Buffer.from('Nobody inspects the spammish repetition')
  t.equal(hash([text], 0n), 0xfbce_a83c_8a37_8bf1n)
  t.equal(hash([text.subarray(0, 5), text.subarray(5)], 0n), 0xfbce_a83c_8a37_8bf1n, 'in parts')
  t.end()
})

t.test('names of segments and shards', (t) => {
  t.equal(segmentFileName(12, 34), '00000000000000000012-0000000034.seg')
  t.same(parseSegmentName('00000000000000000012-0000000034.seg'), { firstOffset: 12, epoch: 34 })
  for (const name of [
    'search.cur',
    '12-34.seg',
    '99999999999999999999-0000000034.seg',
    '00000000000000000012-9999999999.seg',
    '00000000000000000012-0000000034.seg.json'
  ]) {
    t.equal(parseSegmentName(name), null, name)
  }
  t.equal(shardDirectoryName(3), 'shard-03')
  t.same([parseShardDirectoryName('shard-03'), parseShardDirectoryName('shard-100')], [3, 100])
  t.equal(parseShardDirectoryName('quarantine'), null)
  t.end()
})

t.test('a segment is a small share of the quota of its route', (t) => {
  const mib = 1024 * 1024
  t.equal(segmentBytesFor(8192 * mib), 128 * mib)
  t.equal(segmentBytesFor(160 * mib), 10 * mib)
  t.equal(segmentBytesFor(mib), mib)
  t.end()
})
