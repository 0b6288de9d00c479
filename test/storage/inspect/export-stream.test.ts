import { hash } from 'node:crypto'
import t from 'tap'
import {
  EXPORT_LINE_BYTES_MAX,
  ExportDecoder,
  ExportEncoder,
  type ExportItem,
  type ExportRun,
  runsOf
} from '../../../src/storage/inspect/export-stream.ts'
import { seededRandom } from '../../support/seeded-random.ts'
import { entryOf } from '../../support/shard-harness.ts'

const HEADER = {
  store: '00ff',
  log: 'routes/web',
  createdMs: 1_700_000_000_000,
  records: 'pending' as const,
  destination: null
}

function runOf(part: Partial<ExportRun> = {}): ExportRun {
  return {
    shardNumber: 0,
    epoch: 1_700_000_000,
    firstOffset: 7,
    recordCount: 2,
    appendTimeMs: 1_700_000_000_123,
    tag: Buffer.from('app.ü'),
    source: Buffer.from('in\x0010.0.0.1'),
    ingestId: Buffer.from('a26331', 'hex'),
    form: 1,
    entries: Buffer.concat([entryOf(1), entryOf(2, 10)]),
    ...part
  }
}

function streamOf(runs: readonly ExportRun[]): string {
  const encoder = new ExportEncoder()
  const lines = [encoder.header(HEADER), ...runs.map((run) => encoder.run(run))]
  lines.push(
    encoder.hole({ shardNumber: 0, firstOffset: 9, recordCount: 4, reason: 'corrupt' }),
    encoder.end()
  )
  return lines.join('')
}

function decode(stream: Buffer, pieceBytes = stream.length): ExportItem[] {
  const decoder = new ExportDecoder()
  const items: ExportItem[] = []
  for (let at = 0; at < stream.length; at += pieceBytes) {
    items.push(...decoder.push(stream.subarray(at, at + pieceBytes)))
  }
  decoder.finish()
  return items
}

/** Of all lines but the last, which names it. */
const sumOf = (stream: Buffer): string =>
  hash('sha256', stream.subarray(0, stream.lastIndexOf('\n', -2) + 1))

t.test('what is written is read, whatever pieces the bytes come in', (t) => {
  const plain = runOf()
  const odd = runOf({
    tag: Buffer.from('ff00fe', 'hex'),
    ingestId: null,
    form: 2,
    recordCount: 1,
    entries: Buffer.from('93a174ce0000000180', 'hex')
  })
  const stream = Buffer.from(streamOf([plain, odd]))
  const wanted = [
    { kind: 'header', ...HEADER },
    { kind: 'run', ...plain },
    { kind: 'run', ...odd },
    { kind: 'hole', shardNumber: 0, firstOffset: 9, recordCount: 4, reason: 'corrupt' },
    { kind: 'end', recordCount: 3, lostCount: 4, sum: sumOf(stream) }
  ]
  for (const pieceBytes of [stream.length, 1, 7, 100]) t.same(decode(stream, pieceBytes), wanted)
  t.end()
})

t.test('a stream that is cut anywhere is refused', (t) => {
  const stream = Buffer.from(streamOf([runOf()]))
  for (let endByte = 0; endByte < stream.length; endByte++) {
    t.throws(() => decode(stream.subarray(0, endByte), 50), { code: 'MR_EXPORT' })
  }
  t.throws(() => decode(Buffer.concat([stream, Buffer.from('{}\n')])), /follows the last line/)
  t.end()
})

t.test('a stream with any byte changed is refused or says the same', (t) => {
  const stream = Buffer.from(streamOf([runOf()]))
  const wanted = JSON.stringify(decode(stream))
  const random = seededRandom(3)
  for (let at = 0; at < stream.length; at++) {
    const changed = Buffer.from(stream)
    changed[at] = (changed[at]! + 1 + Math.floor(random() * 255)) & 255
    try {
      t.equal(JSON.stringify(decode(changed)), wanted, `byte ${at}`)
    } catch (error) {
      t.match(error, { code: 'MR_EXPORT' }, `byte ${at}`)
    }
  }
  t.end()
})

t.test('values that would harm a queue are refused', (t) => {
  const wrongs: Partial<ExportRun>[] = [
    { recordCount: 3 },
    { recordCount: 0 },
    { recordCount: 1.5 },
    { form: 3 },
    { epoch: 2 ** 32 },
    { firstOffset: 2 ** 48 + 1 },
    { tag: Buffer.alloc(65_536, 0x61) },
    { entries: Buffer.from('c1c1', 'hex') },
    { recordCount: 1, entries: Buffer.from('01', 'hex') },
    { recordCount: 1, entries: Buffer.from('9201c0', 'hex') },
    { recordCount: 1, entries: Buffer.from('930180c0', 'hex') },
    { recordCount: 1, form: 2, entries: Buffer.from('9201c0', 'hex') }
  ]
  for (const part of wrongs) {
    t.throws(() => decode(Buffer.from(streamOf([runOf(part)]))), { code: 'MR_EXPORT' })
  }
  for (const line of ['', '[]', 'null', '{"millrace":"export","format":2}', '{"millrace":"end"}']) {
    t.throws(() => decode(Buffer.from(`${line}\n`)), { code: 'MR_EXPORT' }, line)
  }
  t.end()
})

t.test('a line without an end is given up at its bound', (t) => {
  const decoder = new ExportDecoder()
  const piece = Buffer.alloc(1024 * 1024, 0x20)
  let heldBytes = 0
  t.throws(
    () => {
      for (;;) {
        for (const _ of decoder.push(piece)) t.fail('no item')
        heldBytes += piece.length
      }
    },
    { code: 'MR_EXPORT' }
  )
  t.ok(heldBytes <= EXPORT_LINE_BYTES_MAX)
  t.end()
})

t.test('groups are cut into runs of bounded length, without the markers of groups', (t) => {
  const marker = Buffer.from('9292d700ffffffff000000008080', 'hex')
  const entries = Array.from({ length: 40 }, (_, id) => entryOf(id, 100_000))
  const group = Buffer.concat([marker, ...entries, marker])
  const runs = [...runsOf(runOf({ firstOffset: 50, recordCount: 40, entries: group }))]
  t.ok(runs.length >= 4 && runs.length < 8, `${runs.length} runs`)
  t.ok(Buffer.concat(runs.map((run) => run.entries)).equals(Buffer.concat(entries)))
  t.equal(runs[0]?.firstOffset, 50)
  for (const [index, run] of runs.entries()) {
    const next = runs[index + 1]
    t.equal(run.firstOffset + run.recordCount, next?.firstOffset ?? 90)
    t.ok(run.entries.length <= 1024 * 1024)
  }
  const long = entryOf(1, 3_000_000)
  t.equal([...runsOf(runOf({ recordCount: 1, entries: long }))].length, 1)
  t.end()
})
