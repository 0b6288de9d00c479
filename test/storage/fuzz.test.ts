// L7: every reader of the disk on bytes that nobody wrote, changed ones, and ones whose hashes are right and whose fields
// are not: no crash, no hang, no allocation by a declared length, exact accounts, no record that was never written.
// MILLRACE_FUZZ_RUNS=n runs longer (150,000: about ten minutes), MILLRACE_FUZZ_SEED=n elsewhere.

import zlib from 'node:zlib'
import t from 'tap'
import { FRAME_PAYLOAD_BYTES_MAX } from '../../src/core/limits.ts'
import { skipValue } from '../../src/core/msgpack-skip.ts'
import { OFFSET_MAX } from '../../src/core/position.ts'
import { decodeLetter } from '../../src/delivery/dead-letter-record.ts'
import { decodeCursorSlot, encodeCursorSlot } from '../../src/storage/cursor/slot.ts'
import {
  decodeFrameHeader,
  decodeGroups,
  encodeFrameHeader,
  type FrameHeader
} from '../../src/storage/format/frame.ts'
import { CODEC, CURSOR_SLOT, FRAME_HEADER, frameBytesOf } from '../../src/storage/format/layout.ts'
import { PayloadDecoder } from '../../src/storage/format/payload-decoder.ts'
import { PayloadEncoder } from '../../src/storage/format/payload-encoder.ts'
import { decodeSegmentFooter, decodeSegmentHeader } from '../../src/storage/format/segment-file.ts'
import { segmentSalt } from '../../src/storage/format/segment-names.ts'
import { ingestIdsOf, splitEntries } from '../../src/storage/format/stored-entries.ts'
import { scanSegment } from '../../src/storage/reader/segment-scan.ts'
import type { ReadableSegment } from '../../src/storage/reader/shard-segments.ts'
import { scrubPiece } from '../../src/storage/recovery/segment-scrub.ts'
import { decodeMeta, encodeMeta, openMeta } from '../../src/storage/store/meta.ts'
import { checkStore } from '../../src/storage/store/store-check.ts'
import type { ScrubRequest } from '../../src/threads/messages.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { corpus, type Dice, diceOf, FUZZ_RUNS, fuzz, mutate } from '../support/fuzz.ts'
import { GOLDEN_KEYS, GOLDEN_STORES, readGolden } from '../support/golden-stores.ts'
import {
  DIRECTORY,
  entryOf,
  groupOf,
  hash,
  LOG_ID,
  readAll,
  ShardHarness,
  STORE
} from '../support/shard-harness.ts'
import { SimulatedStorage } from '../support/simulated-storage.ts'

// Longer runs are asked for by the environment.
t.setTimeout(3_600_000)

const EPOCH = 1_700_000_000
const LATER_MS = (EPOCH + 100) * 1000
const decoder = new PayloadDecoder({ uuid: STORE.uuid, keys: GOLDEN_KEYS })
const FIRST = `${DIRECTORY}/00000000000000000000-1700000000.seg`

/** First segments of the golden stores: all have the same salt. */
const SEGMENTS = corpus('.seg').filter(({ name }) =>
  name.includes('routes/web/shard-00/00000000000000000000-1700000000')
)

const LETTER = letterOf(corpus('.seg').find(({ name }) => name.includes('dlq/'))!.bytes)

/** The first entry of a segment of dead letters. */
function letterOf(bytes: Buffer): Buffer {
  const payload = bytes.subarray(136, 136 + bytes.readUInt32LE(68))
  const header = { ...anyHeader(diceOf(1), 0), firstOffset: 0, recordCount: 2 }
  const [group] = decodeGroups(payload, header) ?? []
  const [first] = splitEntries(group!) ?? []
  return group!.entries.subarray(first!.startByte, first!.endByte)
}

const saltAt = (firstOffset: number) => segmentSalt(STORE.secret, LOG_ID, EPOCH, firstOffset)

const PLACE = { logId: LOG_ID, epoch: EPOCH, firstOffset: 0 }

const TEXT = Buffer.concat(Array.from({ length: 40 }, (_, id) => entryOf(id, 100)))

const CURSOR = {
  generation: 9,
  origin: 3,
  low: 10,
  ranges: [
    [12, 15],
    [20, 30]
  ] as const,
  counts: new Map([['delivered', { records: 20, bytes: 400 }]])
}

/** Bombs among them: made outside of what is measured. */
const ZSTD_FRAMES = [10, 1000, 2 ** 20, 2 ** 27].map((length) =>
  zlib.zstdCompressSync(Buffer.alloc(length, length))
)

// Directories of a shard: what recovery and readers make of damaged files

interface Sample {
  readonly name: string
  readonly storage: SimulatedStorage
  readonly files: readonly string[]
  /** What was written: id by offset. */
  readonly ids: ReadonlyMap<number, number>
}

const samples: readonly Sample[] = GOLDEN_STORES.filter(
  (name) => !name.includes('damaged') && name !== '1.0-dead-letters'
).map((name) => {
  const { storage } = readGolden(name)
  const shard = openShard(storage.clone())
  const ids = new Map(shard.readAll(0).records.map(({ id, offset }) => [offset, id]))
  const files = storage.readdir(DIRECTORY).filter((file) => file.endsWith('.seg'))
  return { name, storage, files, ids }
})

function openShard(storage: SimulatedStorage): ShardHarness {
  return new ShardHarness({ storage, clock: new FakeClock(LATER_MS), keys: GOLDEN_KEYS })
}

/** Records that are read and holes between them make up the log; no record is another one than was written. */
function faultsOf(shard: ShardHarness, sample: Sample): string | undefined {
  const oldest = shard.segments.oldestOffset
  const { holes, records } = shard.readAll(oldest)
  const lost = holes.reduce((sum, hole) => sum + hole.endOffset - hole.firstOffset, 0)
  const stored = shard.segments.endOffset - oldest
  if (records.length + lost !== stored) return `${records.length} + ${lost} of ${stored}`
  const phantom = records.find(({ id, offset }) => sample.ids.get(offset) !== id)
  return phantom === undefined ? undefined : `${phantom.id} at ${phantom.offset}`
}

fuzz(t, 'segments of a shard: recovery ends, accounts are exact, no record is made up', (dice) => {
  const sample = dice.oneOf(samples)
  const storage = sample.storage.clone()
  for (let left = 1 + dice.below(2); left > 0; left--) {
    const file = `${DIRECTORY}/${dice.oneOf(sample.files)}`
    const isNoise = dice.below(12) === 0
    storage.put(file, isNoise ? dice.bytes(dice.below(3000)) : mutate(storage.bytesOf(file), dice))
  }
  return faultsOf(openShard(storage), sample)
})

fuzz(t, 'scrub: tells the offsets that readers miss, ends, reads no byte twice', (dice) => {
  const sample = dice.oneOf(samples)
  const storage = sample.storage.clone()
  const file = `${DIRECTORY}/${dice.oneOf(sample.files)}`
  storage.put(file, mutate(storage.bytesOf(file), dice))
  const found = openShard(storage)
  const first = scrubbed(found, file, dice)
  if (first === null) return
  if (typeof first === 'string') return first
  // The start that finds a damaged end knows more than its bytes tell: what was never acked, what a message lacks.
  const known = offsetsOf(found.recovered.holes)
  const untold = [...first.missed].filter((at) => !first.told.has(at) && !known.has(at))
  if (untold.length > 0) return `not told: ${untold}`
  const intact = [...first.told].filter((at) => !first.missed.has(at))
  if (intact.length > 0) return `told, and read: ${intact}`
  // Behind a newer segment there is nothing but its bytes.
  found.append([1])
  found.writer.commit()
  const sealed = scrubbed(openShard(storage), file, dice)
  // One without a record gives way to the newer one of the same first offset.
  if (sealed === null && first.recordCount === 0) return
  if (sealed === null || typeof sealed === 'string') return sealed ?? 'the segment is gone'
  const [told, missed] = [[...sealed.told].join(' '), [...sealed.missed].join(' ')]
  return told === missed ? undefined : `${sample.name} ${file}: told ${told}, missed ${missed}`
})

/** Offsets of one segment that a scrub tells and that readers miss; null: no such segment; a text: what went wrong. */
function scrubbed({ segments }: ShardHarness, file: string, dice: Dice): Scrubbed | string | null {
  const { storage } = segments
  const ordinal = segments.all.find(({ path }) => path === file)?.ordinal
  const segment = ordinal === undefined ? null : segments.at(ordinal)
  if (segment === null) return null
  const missed = offsetsOf(readAll(segments, segment.firstOffset).holes, segment)
  const told: Range[] = []
  let place = { nextByte: 0, nextOffset: segment.firstOffset, isEnd: false }
  for (let steps = 0; !place.isEnd; steps++) {
    if (steps > 10_000) return 'does not end'
    const request = scrubRequest(segment, place, 1 + dice.below(2000))
    const piece = scrubPiece(request, { storage, hash, decoder })
    told.push(...piece.damages)
    if (!piece.isEnd && piece.nextByte <= place.nextByte) return `stands at ${place.nextByte}`
    place = piece
  }
  const recordCount = segment.endOffset - segment.firstOffset
  return { told: offsetsOf(told, segment), missed, recordCount }
}

interface Scrubbed {
  readonly told: Set<number>
  readonly missed: Set<number>
  /** Offsets that the segment holds, damaged ones too. */
  readonly recordCount: number
}

interface Range {
  readonly firstOffset: number
  readonly endOffset: number
}

/** Every offset of the ranges that lies within the bounds. */
function offsetsOf(ranges: readonly Range[], within?: Range): Set<number> {
  const offsets = new Set<number>()
  for (const { endOffset, firstOffset } of ranges) {
    const end = Math.min(endOffset, within?.endOffset ?? endOffset)
    for (let at = Math.max(firstOffset, within?.firstOffset ?? 0); at < end; at++) offsets.add(at)
  }
  return offsets
}

function scrubRequest(
  segment: ReadableSegment,
  { nextByte, nextOffset }: { readonly nextByte: number; readonly nextOffset: number },
  byteCount: number
): ScrubRequest {
  const { endOffset, epoch, firstOffset, path, salt } = segment
  return {
    kind: 'scrub',
    segment: { path, salt, epoch, firstOffset },
    logId: LOG_ID,
    startByte: nextByte,
    startOffset: nextOffset,
    endOffset,
    byteCount
  }
}

fuzz(
  t,
  'the check before a start: changes nothing, refuses or passes',
  (dice) => {
    const { storage } = readGolden(dice.oneOf(GOLDEN_STORES))
    const files = [...storage.tree('/data').keys()]
    const file = dice.oneOf(files)
    storage.put(file, mutate(storage.bytesOf(file), dice))
    const before = JSON.stringify([...storage.tree()])
    checkStore({ storage, hash, dataDirectory: '/data', store: STORE, decoder })
    return JSON.stringify([...storage.tree()]) === before ? undefined : 'the tree has changed'
  },
  0.25
)

// Frames

/** Any fields, near what is allowed and far from it. */
function anyHeader(dice: Dice, storedBytes: number): FrameHeader {
  return {
    storedBytes: dice.oneOf([
      storedBytes,
      storedBytes,
      storedBytes,
      0,
      15,
      0xffff_ffff,
      2 ** 24 + 1
    ]),
    payloadHash: BigInt(dice.below(2 ** 32)),
    firstOffset: dice.oneOf([0, dice.below(100), OFFSET_MAX - 1, 2 ** 52]),
    recordCount: dice.oneOf([0, 1, dice.below(50), 0xffff_ffff]),
    epoch: dice.below(10) > 0 ? EPOCH : dice.below(2 ** 32),
    durableOffset: dice.oneOf([0, dice.below(200), 2 ** 60]),
    appendTimeMs: dice.below(2 ** 45),
    rawBytes: dice.oneOf([storedBytes, 0, 1, FRAME_PAYLOAD_BYTES_MAX + 1, dice.below(2 ** 32)]),
    codec: dice.below(3),
    schema: dice.oneOf([1, 1, 1, 0, 2]),
    flags: dice.oneOf([0, 2, 8, 1, 1 | (2 << 8), 1 | (9 << 8), dice.below(65_536)]),
    minTimeDelta: 0,
    maxTimeDelta: 0
  }
}

fuzz(
  t,
  'frame headers with a right hash and any fields: bounded, never past the end, exact',
  (dice) => {
    const bytes = Buffer.alloc(64 + 4096)
    for (let at = 64; at + FRAME_HEADER.byteCount < bytes.length; at += 8 * (1 + dice.below(60))) {
      const header = anyHeader(dice, dice.oneOf([16, 40, dice.below(3000)]))
      const payload = bytes.subarray(at + 72, at + 72 + Math.min(header.storedBytes, 4000))
      if (dice.below(2) === 0) header.payloadHash = hash([payload], saltAt(0))
      encodeFrameHeader(bytes, at, header, hash, saltAt(0))
    }
    const storage = new SimulatedStorage()
    storage.put(FIRST, bytes)
    const segment = {
      file: storage.open(FIRST, 'read'),
      logId: LOG_ID,
      epoch: EPOCH,
      firstOffset: 0,
      salt: saltAt(0),
      endByte: bytes.length,
      endOffset: Number.MAX_SAFE_INTEGER
    }
    const result = scanSegment({ storage, hash, segment, decoder, firstOffset: 0 })
    const lost = result.holes.reduce((sum, hole) => sum + hole.endOffset - hole.firstOffset, 0)
    if (result.endByte > bytes.length) return 'past the end'
    return result.recordCount + lost >= result.endOffset
      ? undefined
      : `${result.recordCount} + ${lost} of ${result.endOffset}`
  }
)

fuzz(t, 'frame headers of any bytes: one that was written, or none', (dice) => {
  const { bytes } = dice.oneOf(SEGMENTS)
  const changed = mutate(bytes.subarray(64, 64 + 72), dice)
  const header = decodeFrameHeader(changed, 0, hash, saltAt(0), EPOCH)
  if (header === null) return
  return changed.subarray(0, 72).equals(bytes.subarray(64, 136)) ? undefined : 'another header'
})

fuzz(t, 'headers and footers of segments of any bytes: what was written, or none', (dice) => {
  const { bytes } = dice.oneOf(SEGMENTS)
  const salt = saltAt(0)
  const head = mutate(bytes.subarray(0, 64), dice)
  const isHead = head.subarray(0, 64).equals(bytes.subarray(0, 64))
  if (decodeSegmentHeader(head, hash, salt) !== null && !isHead) return 'another header'
  const end = bytes.subarray(-64)
  const foot = mutate(end, dice)
  const isFoot = foot.subarray(0, 64).equals(end)
  return decodeSegmentFooter(foot, 0, hash, salt) !== null && !isFoot ? 'another footer' : undefined
})

// Payloads

fuzz(
  t,
  'payloads of any bytes: what comes out is as long as the header says, or nothing does',
  (dice) => {
    const raw = TEXT.subarray(0, 1 + dice.below(TEXT.length))
    const keys = dice.below(2) === 0 ? null : GOLDEN_KEYS
    const encoder = new PayloadEncoder(
      { uuid: STORE.uuid, keys },
      LOG_ID,
      dice.oneOf(['none', 'zstd'])
    )
    const header = { ...anyHeader(dice, raw.length), storedBytes: raw.length, rawBytes: raw.length }
    Object.assign(header, { codec: CODEC.none, flags: 0, schema: 1, epoch: EPOCH })
    const stored = Buffer.concat(encoder.encode([raw], header, PLACE) ?? [raw])
    const whole = decoder.decode(stored, header, PLACE)
    if (typeof whole === 'string' || !whole.equals(raw)) return 'not what was encoded'
    const isLie = dice.below(3) === 0
    if (isLie)
      header.rawBytes = dice.oneOf([0, 1, raw.length + 1, 2 ** 24, 2 ** 24 + 1, 2 ** 32 - 1])
    const decoded = decoder.decode(isLie ? stored : mutate(stored, dice), header, PLACE)
    if (typeof decoded === 'string') return
    return decoded.length === header.rawBytes ? undefined : `${decoded.length} bytes`
  }
)

fuzz(
  t,
  'zstd frames of any make: bombs, skippable frames, several in a row',
  (dice) => {
    const parts = Array.from({ length: 1 + dice.below(3) }, () =>
      dice.below(5) === 0 ? skippable(dice) : dice.oneOf(ZSTD_FRAMES)
    )
    const stored = mutateSometimes(Buffer.concat(parts), dice)
    const rawBytes = dice.oneOf([10, 1000, 2 ** 20, FRAME_PAYLOAD_BYTES_MAX])
    const header = {
      ...anyHeader(dice, stored.length),
      codec: CODEC.zstd,
      schema: 1,
      flags: 0,
      rawBytes
    }
    const decoded = decoder.decode(stored, header, PLACE)
    return typeof decoded === 'string' || decoded.length === rawBytes ? undefined : 'another length'
  },
  0.1
)

function skippable(dice: Dice): Buffer {
  const bytes = Buffer.alloc(8 + dice.below(50))
  bytes.writeUInt32LE(0x184d2a50 + dice.below(16), 0)
  bytes.writeUInt32LE(dice.oneOf([bytes.length - 8, 0, 0xffff_ffff]), 4)
  return bytes
}

function mutateSometimes(bytes: Buffer, dice: Dice): Buffer {
  return dice.below(2) === 0 ? bytes : mutate(bytes, dice)
}

fuzz(
  t,
  'groups, entries and chunk ids of any bytes',
  (dice) => {
    const bytes = dice.bytes(dice.below(200))
    if (bytes.length >= 16 && dice.below(5) > 0) {
      bytes.writeUInt32LE(dice.below(bytes.length + 20), 0)
      bytes.writeUInt32LE(dice.below(5), 4)
      for (const at of [8, 10, 12]) bytes.writeUInt16LE(dice.below(40), at)
      bytes[14] = dice.below(4)
    }
    const header = { ...anyHeader(dice, 0), firstOffset: 5, recordCount: 3 }
    const groups = decodeGroups(bytes, header) ?? []
    const count = groups.reduce((sum, { recordCount }) => sum + recordCount, 0)
    if (groups.length > 0 && count !== 3) return `${count} records in groups of 3`
    for (const group of groups) {
      const inside = group.entries.length + group.tag.length + group.source.length
      if (inside > bytes.length) return 'a group beyond its payload'
      splitEntries(group)
      ingestIdsOf(group)
    }
    const end = skipValue(bytes, 0)
    return end > bytes.length || (end <= 0 && end !== -1) ? `skip to ${end}` : undefined
  },
  20
)

fuzz(
  t,
  'entries and messages, changed: split within their bytes, ids found or not',
  (dice) => {
    const isMessages = dice.below(2) === 0
    const message = Buffer.from('94a361626300c281a56368756e6ba3786162', 'hex')
    const source = isMessages
      ? Buffer.concat([message, message])
      : Buffer.concat([groupOf([1, 2]).entries, Buffer.from('9292d700ffffffff0000000080c0', 'hex')])
    const entries = mutate(source, dice)
    const group = {
      ...{ firstOffset: 0, recordCount: 2, flags: 0, form: isMessages ? 2 : 1 },
      ...{ tag: Buffer.from('t'), ingestId: null, source: Buffer.alloc(0), entries }
    }
    const parts = splitEntries(group)
    let at = 0
    for (const { endByte, startByte } of parts ?? []) {
      if (startByte < at || endByte <= startByte || endByte > entries.length) return 'overlap'
      at = endByte
    }
    ingestIdsOf(group)
    return
  },
  10
)

t.test('deep and long values cost neither stack nor memory', (t) => {
  t.equal(skipValue(Buffer.alloc(1_000_000, 0x91), 0), -1, 'a million open arrays')
  for (const declared of ['ddffffffff', 'dfffffffff', 'dd01ffffff', 'c6ffffffff', 'dbffffffff']) {
    const entry = Buffer.from(declared, 'hex')
    t.equal(skipValue(entry, 0), -1)
    t.equal(decodeLetter('t', entry), null)
  }
  t.end()
})

// Cursors, META, dead letters

fuzz(
  t,
  'cursor slots of any bytes: what was written, or none',
  (dice) => {
    const slot = encodeCursorSlot(CURSOR, hash, 5n)
    const bytes = mutate(slot, dice)
    const isSame = bytes.subarray(0, slot.length).equals(slot)
    return decodeCursorSlot(bytes, hash, 5n) !== null && !isSame ? 'another cursor' : undefined
  },
  5
)

fuzz(
  t,
  'cursor slots with a right hash and any fields: in order and in bounds, or none',
  (dice) => {
    const bytes = mutate(encodeCursorSlot(CURSOR, hash, 5n).subarray(0, -8), dice)
    const forged = Buffer.concat([bytes, Buffer.alloc(Math.max(0, 48 - bytes.length) + 8)])
    forged.writeUInt32LE(CURSOR_SLOT.magic, 0)
    forged.writeUInt32LE(1, 4)
    forged.writeUInt32LE(forged.length - 8, 8)
    if (dice.below(2) === 0) forged.writeUInt32LE(dice.oneOf([0, 2, 5, 4001, 0xffff_ffff]), 12)
    if (dice.below(4) === 0) forged.writeUInt32LE(dice.oneOf([0, 1, 200, 0xffff_ffff]), 40)
    forged.writeBigUInt64LE(hash([forged.subarray(0, -8)], 5n), forged.length - 8)
    const content = decodeCursorSlot(forged, hash, 5n)
    let at = content?.low ?? 0
    if (at > OFFSET_MAX) return `low mark ${at}`
    for (const [first, end] of content?.ranges ?? []) {
      if (first <= at && at !== content?.low) return `ranges meet at ${first}`
      if (first < at || end <= first) return `range ${first} to ${end} behind ${at}`
      at = end
    }
    return
  },
  5
)

fuzz(
  t,
  'META of any bytes: what was written, or none; a store with one good copy is repaired',
  (dice) => {
    const meta = encodeMeta({ uuid: STORE.uuid, secret: STORE.secret, createdMs: 4 }, hash)
    const bytes = mutate(meta, dice)
    const isSame = bytes.subarray(0, meta.length).equals(meta)
    if (decodeMeta(bytes, hash) !== null && !isSame) return 'another META'
    const { storage } = readGolden('1.0-cut-messages')
    storage.put(dice.oneOf(['/data/META', '/data/META.bak']), bytes)
    const opened = openMeta(storage, '/data', hash, 0).meta
    return opened.uuid.equals(STORE.uuid) ? undefined : 'another store'
  }
)

fuzz(
  t,
  'dead letters of any bytes: a letter with all of its fields, or none',
  (dice) => {
    const letter = decodeLetter('t', mutateSometimes(LETTER, dice))
    if (letter === null) return
    for (const { bytes, form } of letter.members) {
      if (!(bytes instanceof Uint8Array) || (form !== 1 && form !== 2))
        return 'a member without bytes'
    }
    const texts = [
      letter.route,
      letter.output,
      letter.target,
      letter.reason,
      letter.step,
      letter.text
    ]
    return texts.every((text) => typeof text === 'string') ? undefined : 'a field of another type'
  },
  10
)

t.test('the corpus holds every kind of store', (t) => {
  t.ok(FUZZ_RUNS > 0)
  t.equal(samples.length, GOLDEN_STORES.length - 3)
  t.ok(samples.every(({ ids }) => ids.size > 0))
  t.ok(SEGMENTS.length >= 6)
  t.ok(decodeLetter('t', LETTER), 'a whole letter')
  t.ok(frameBytesOf(1) % 8 === 0)
  t.end()
})
