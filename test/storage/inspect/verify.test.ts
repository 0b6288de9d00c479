import path from 'node:path'
import t from 'tap'
import { segmentFileName } from '../../../src/storage/format/segment-names.ts'
import { openShardView, type ReadableShard } from '../../../src/storage/inspect/shard.ts'
import { openStoreView } from '../../../src/storage/inspect/store.ts'
import { type Checked, type Finding, verifyShard } from '../../../src/storage/inspect/verify.ts'
import { encodeMeta } from '../../../src/storage/store/meta.ts'
import {
  type Built,
  build,
  damaged,
  framesOf,
  range,
  withFrameInLine
} from '../../support/damaged-shard.ts'
import { seededRandom } from '../../support/seeded-random.ts'
import {
  cursorOptions,
  DIRECTORY,
  hash,
  openCursor,
  readAll,
  SHARD_PATH,
  STORE
} from '../../support/shard-harness.ts'
import type { SimulatedStorage } from '../../support/simulated-storage.ts'

/** MILLRACE_Q06_POSITIONS=3000 is the whole of Q06. */
const POSITIONS = Number(process.env['MILLRACE_Q06_POSITIONS'] ?? 200)

/** The shard as tools see it; nothing on the disk may change by it. */
function view(storage: SimulatedStorage): ReadableShard {
  const meta = encodeMeta({ ...STORE, createdMs: 0 }, hash)
  storage.put('/data/META', meta)
  storage.put('/data/META.bak', meta)
  return openShardView(openStoreView(storage, '/data', hash), SHARD_PATH)
}

interface Verdict {
  readonly findings: readonly Finding[]
  readonly damages: readonly Finding[]
  readonly notes: readonly Finding[]
  readonly checked: Checked
  /** Records that tools read. */
  readonly ids: readonly number[]
}

function verified(storage: SimulatedStorage, isDeep: boolean): Verdict {
  const shard = view(storage)
  const checked = { segments: 0, frames: 0, records: 0, bytes: 0, locked: 0 }
  const findings = [...verifyShard(shard, isDeep, checked)]
  const ids = readAll(shard.segments, 0).records.map(({ id }) => id)
  return {
    findings,
    damages: findings.filter(({ isDamage }) => isDamage),
    notes: findings.filter(({ isDamage }) => !isDamage),
    checked,
    ids
  }
}

const lostIn = (findings: readonly Finding[]) =>
  findings.reduce((sum, { recordCount }) => sum + recordCount, 0)

/** Two destinations: one has finished the first four records, the other nothing. */
async function builtWithCursors(
  frameCount: number,
  options: Parameters<typeof build>[1] = {}
): Promise<Built> {
  const built = await build(frameCount, options)
  const done = openCursor(built.storage, 0, 'done')
  done.finish(0, 4, 'delivered')
  done.persistNow()
  done.close()
  openCursor(built.storage, 0, 'waits').close()
  return built
}

t.test('an intact shard has nothing to report, sealed, killed or empty', async (t) => {
  for (const isClosed of [true, false]) {
    const built = await builtWithCursors(40, { segmentBytes: 1024, isClosed })
    for (const isDeep of [true, false]) t.same(verified(built.storage, isDeep).findings, [])
    const { checked } = verified(built.storage, true)
    t.match(checked, { segments: built.files.length, frames: 40, records: 40 })
  }
  const empty = await build(0)
  empty.storage.mkdir(DIRECTORY)
  t.same(verified(empty.storage, true).findings, [])
})

t.test('nothing on the disk is changed, whatever is damaged', async (t) => {
  const built = await builtWithCursors(12, { segmentBytes: 1024 })
  const storage = damaged(built, built.files[1]!, (bytes) => bytes.fill(0, 100, 500))
  storage.put(`${DIRECTORY}/waits.cur`, Buffer.alloc(131_072, 1))
  view(storage)
  const { operationCount } = storage
  const before = storage.tree()
  t.ok(verified(storage, true).damages.length > 1)
  t.same(storage.tree(), before)
  t.equal(storage.operationCount, operationCount, 'no operation that writes')
})

t.test('Q48 Q02 empty, short, zero and header-only files: exactly their records', async (t) => {
  const built = await builtWithCursors(12, { segmentBytes: 600 })
  const contents: [string, (bytes: Buffer) => Buffer][] = [
    ['0 bytes', () => Buffer.alloc(0)],
    ['7 bytes', (bytes) => bytes.subarray(0, 7)],
    ['63 bytes', (bytes) => bytes.subarray(0, 63)],
    ['all zero', (bytes) => Buffer.alloc(bytes.length)],
    ['header only', (bytes) => bytes.subarray(0, 64)]
  ]
  for (const [what, change] of contents) {
    for (const [index, file] of built.files.entries()) {
      const isLast = index === built.files.length - 1
      const storage = damaged(built, file, change)
      const { damages, ids } = verified(storage, true)
      const hasHeader = what === 'header only'
      t.equal(damages.filter(({ kind }) => kind === 'header').length, hasHeader ? 0 : 1)
      const lost = damages.filter(({ kind }) => kind === 'records')
      // Nothing says what stood in the last file when nothing of it is left.
      const missing = isLast ? 0 : 12 - ids.length
      t.equal(lostIn(lost), missing, `${what} at ${index}`)
      t.ok(lost.every((finding) => finding.file === path.basename(file)))
      t.equal(lostIn(verified(storage, false).damages), missing, 'shallow says the same')
    }
  }
})

t.test('Q48 Q03 Q04 the end of the log cut or zeroed: a note, no damage', async (t) => {
  const built = await builtWithCursors(8)
  const file = built.files[0]!
  const frames = framesOf(built.storage.bytesOf(file))
  for (let endByte = frames[6]!.startByte; endByte <= frames[7]!.endByte; endByte++) {
    const { damages, notes } = verified(
      damaged(built, file, (bytes) => bytes.subarray(0, endByte)),
      true
    )
    t.same(damages, [])
    const isBetween = frames.some((frame) => frame.endByte === endByte)
    t.equal(notes.length, isBetween ? 0 : 1, `cut at ${endByte}`)
    const last = frames.find((frame) => frame.endByte > endByte)
    if (notes.length > 0)
      t.match(notes[0], { kind: 'unacked', startByte: last?.startByte, endByte })
  }
  // The watermark of the last frame vouches for what was before it.
  const size = built.storage.bytesOf(file).length
  const zeroed = damaged(built, file, (bytes) => bytes.fill(0, frames[7]!.startByte, size))
  t.same(verified(zeroed, true).findings, [], 'zeros are no bytes')
})

t.test(
  'Q48 a damaged last frame of a closed log is a loss: the footer vouches for it',
  async (t) => {
    const built = await builtWithCursors(8, { isClosed: true })
    const file = built.files[0]!
    const last = framesOf(built.storage.bytesOf(file))[7]!
    const storage = damaged(built, file, (bytes) => bytes.fill(0, last.startByte, last.endByte))
    const { damages, ids } = verified(storage, true)
    t.same(ids, range(0, 7))
    t.match(damages, [
      { kind: 'records', firstOffset: 7, recordCount: 1, startByte: last.startByte }
    ])
  }
)

t.test('Q48 Q05 each bit of one frame flipped: that frame, and who waits for it', async (t) => {
  const built = await builtWithCursors(6, { paddingBytes: 60, isClosed: true })
  const file = built.files[0]!
  const frame = framesOf(built.storage.bytesOf(file))[2]!
  const payloadEnd =
    frame.startByte + 72 + built.storage.bytesOf(file).readUInt32LE(frame.startByte + 4)
  const wrong: string[] = []
  for (let bit = frame.startByte * 8; bit < payloadEnd * 8; bit++) {
    const storage = damaged(built, file, (bytes) => {
      bytes[bit >> 3] = bytes[bit >> 3]! ^ (1 << (bit & 7))
      return bytes
    })
    const { findings } = verified(storage, true)
    const [found] = findings
    const isRight =
      findings.length === 1 &&
      found?.kind === 'records' &&
      found.startByte === frame.startByte &&
      found.endByte === frame.endByte &&
      found.firstOffset === 2 &&
      found.recordCount === 1 &&
      JSON.stringify(found.unfinished) === '{"waits":1}'
    if (!isRight) wrong.push(`${bit}: ${JSON.stringify(findings)}`)
  }
  t.same(wrong.slice(0, 3), [])
})

t.test(
  'Q48 Q06 Q07 zeroed and misdirected 4 KiB: what cannot be read is what is reported',
  async (t) => {
    const built = await builtWithCursors(150, { segmentBytes: 16_384, paddingBytes: 150 })
    const random = seededRandom(11)
    const wrong: string[] = []
    for (let run = 0; run < POSITIONS; run++) {
      const file = built.files[Math.floor(random() * (built.files.length - 1))]!
      const source = built.storage.bytesOf(built.files[Math.floor(random() * built.files.length)]!)
      const storage = damaged(built, file, (bytes) => {
        const at = Math.floor(random() * (bytes.length - 4096))
        const from = Math.floor((random() * (source.length - 4096)) / 8) * 8
        if (run % 2 === 0) bytes.fill(0, at, at + 4096)
        else source.copy(bytes, Math.floor(at / 8) * 8, from, from + 4096)
        return bytes
      })
      const { damages, ids } = verified(storage, true)
      const lost = damages.filter(({ kind }) => kind === 'records')
      const waits = lost.reduce((sum, { unfinished }) => sum + (unfinished['waits'] ?? 0), 0)
      if (lostIn(lost) !== 150 - ids.length) wrong.push(`run ${run}: ${lostIn(lost)} reported`)
      if (waits !== 150 - ids.length) wrong.push(`run ${run}: ${waits} waited for`)
      if (lost.some((finding) => finding.file !== path.basename(file)))
        wrong.push(`run ${run}: file`)
    }
    t.same(wrong, [])
  }
)

t.test('Q48 Q09 a frame inside a log line is not read for the one that is gone', async (t) => {
  for (const isDeep of [true, false]) {
    const { checked, damages, ids } = verified(await withFrameInLine(), isDeep)
    t.same(ids, [])
    t.match(checked, { frames: 0, records: 0 })
    t.equal(
      lostIn(damages.filter(({ kind }) => kind === 'records')),
      2,
      'both records of the frame'
    )
  }
})

t.test('Q48 Q08 a length beyond every bound is damage of its frame', async (t) => {
  const built = await builtWithCursors(6, { isClosed: true })
  const file = built.files[0]!
  const frame = framesOf(built.storage.bytesOf(file))[4]!
  for (const storedBytes of [0, 0xffff_ffff, 16 * 1024 * 1024 + 1]) {
    const storage = damaged(built, file, (bytes) => {
      bytes.writeUInt32LE(storedBytes, frame.startByte + 4)
      return bytes
    })
    const { findings } = verified(storage, true)
    t.match(findings, [
      {
        kind: 'records',
        ...frame,
        firstOffset: 4,
        recordCount: 1,
        unfinished: { done: 1, waits: 1 }
      }
    ])
    t.equal(findings.length, 1)
  }
})

t.test('Q48 Q10 a missing segment: its offsets, and no bytes', async (t) => {
  const built = await builtWithCursors(30, { segmentBytes: 1024 })
  for (const [index, file] of built.files.slice(0, -1).entries()) {
    const storage = built.storage.clone()
    storage.remove(file)
    const first = Number(path.basename(file).slice(0, 20))
    const end = Number(path.basename(built.files[index + 1]!).slice(0, 20))
    for (const isDeep of [true, false]) {
      const { findings } = verified(storage, isDeep)
      t.equal(findings.length, 1, `segment ${index}`)
      t.match(findings[0], {
        kind: 'records',
        file: null,
        firstOffset: first,
        recordCount: end - first,
        unfinished: { waits: end - first }
      })
    }
  }
})

t.test('Q48 Q11 a destroyed header costs no record, and is reported', async (t) => {
  const built = await builtWithCursors(12, { segmentBytes: 2048 })
  for (const file of built.files) {
    const { findings, ids } = verified(
      damaged(built, file, (bytes) => bytes.fill(0xee, 0, 64)),
      false
    )
    t.match(findings, [{ kind: 'header', file: path.basename(file), startByte: 0, endByte: 64 }])
    t.equal(findings.length, 1)
    t.same(ids, range(0, 12))
  }
})

t.test('Q48 Q13 a later format is refused, and nothing is changed', async (t) => {
  const built = await builtWithCursors(3, { isClosed: true })
  const file = built.files[0]!
  const shard = view(built.storage)
  const { salt } = shard.segments.all[0]!
  const storage = damaged(built, file, (bytes) => {
    bytes[4] = 9
    bytes.writeBigUInt64LE(hash([bytes.subarray(0, 56)], salt), 56)
    return bytes
  })
  t.throws(() => verified(storage, true), { code: 'MR_STORE_FORMAT' })
})

t.test('Q48 Q15 a superseded file and a foreign one are notes', async (t) => {
  const built = await builtWithCursors(6, { segmentBytes: 512 })
  const first = built.files[1]!
  const firstOffset = Number(path.basename(first).slice(0, 20))
  const older = segmentFileName(firstOffset, 5)
  built.storage.put(`${DIRECTORY}/${older}`, Buffer.alloc(64))
  built.storage.put(`${DIRECTORY}/notes.txt`, Buffer.from('mine'))
  const { findings, ids } = verified(built.storage, true)
  t.same(
    findings.map(({ file, isDamage, kind }) => [kind, file, isDamage]),
    [
      ['foreign', 'notes.txt', false],
      ['superseded', older, false]
    ]
  )
  t.same(ids, range(0, 6))
})

t.test('a cursor that cannot be read, and one whose counts are wrong, are damage', async (t) => {
  const built = await builtWithCursors(6)
  built.storage.put(`${DIRECTORY}/done.cur`, Buffer.alloc(131_072, 1))
  const { damages } = verified(built.storage, true)
  t.match(damages, [{ kind: 'cursor', file: 'done.cur' }])
  t.equal(damages.length, 1)
})

t.test('a cursor beyond the end of the log: its records are gone', async (t) => {
  const built = await builtWithCursors(3)
  const cursor = openCursor(built.storage, 0, 'ahead')
  cursor.finish(0, 9, 'delivered')
  cursor.persistNow()
  const { damages } = verified(built.storage, true)
  t.match(damages, [{ kind: 'records', file: null, firstOffset: 3, recordCount: 6 }])
  t.equal(cursorOptions(built.storage).outputId, 'search')
})

t.test('a footer that does not fit its frames is damage of the footer alone', async (t) => {
  const built = await builtWithCursors(6, { isClosed: true })
  const file = built.files[0]!
  const { salt } = view(built.storage).segments.all[0]!
  const storage = damaged(built, file, (bytes) => {
    const at = bytes.length - 64
    bytes.writeUInt32LE(77, at + 48)
    bytes.writeBigUInt64LE(hash([bytes.subarray(at, at + 56)], salt), at + 56)
    return bytes
  })
  const { damages, ids } = verified(storage, true)
  t.match(damages, [{ kind: 'footer', recordCount: 0 }])
  t.same(ids, range(0, 6))
})
