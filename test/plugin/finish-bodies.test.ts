import { createHash } from 'node:crypto'
import { gunzipSync } from 'node:zlib'
import t from 'tap'
import { finishPerTarget, finishTogether, PLAIN } from '../../src/plugin/finish-bodies.ts'
import { batchesOf, renderArea } from '../support/output-batches.ts'

const ROWS = [
  { target: 'b', text: 'one\n' },
  { target: 'a', text: 'two\n' },
  { target: 'b', text: 'three\n' },
  { target: 'c', text: 'four\n' },
  { target: 'a', text: 'five\n' }
]

const summary = (
  area: ReturnType<typeof renderArea>,
  finished: ReturnType<typeof finishTogether>
) =>
  batchesOf(area, finished).map((batch) => [
    batch.target,
    batch.body.toString(),
    Array.from({ length: batch.rowCount }, (_, row) => batch.rowBytes(row).toString())
  ])

t.test('together: one body, in the order of rendering', (t) => {
  const area = renderArea(ROWS)
  const all = ROWS.map(({ text }) => text)
  t.strictSame(summary(area, finishTogether(area, PLAIN)), [['', all.join(''), all]])
  const one = renderArea(ROWS.filter(({ target }) => target === 'a'))
  t.equal(finishTogether(one, PLAIN).bodies[0]?.target, 'a', 'a target that all share is named')
  t.strictSame(finishTogether(renderArea([]), PLAIN).bodies, [])
  t.end()
})

t.test('per target: a body each, the order kept within', (t) => {
  const area = renderArea(ROWS)
  const finished = finishPerTarget(area, PLAIN)
  t.strictSame(summary(area, finished), [
    ['b', 'one\nthree\n', ['one\n', 'three\n']],
    ['a', 'two\nfive\n', ['two\n', 'five\n']],
    ['c', 'four\n', ['four\n']]
  ])
  t.strictSame([...(finished.order ?? [])], [0, 2, 1, 4, 3])
  t.end()
})

t.test('per target: targets of one name share a body', (t) => {
  const area = renderArea(ROWS)
  const finished = finishPerTarget(area, PLAIN, (target) => (target === 'c' ? 'b' : target))
  t.strictSame(summary(area, finished), [
    ['b', 'one\nthree\nfour\n', ['one\n', 'three\n', 'four\n']],
    ['a', 'two\nfive\n', ['two\n', 'five\n']]
  ])
  const same = finishPerTarget(renderArea(ROWS), PLAIN, () => 'all')
  t.equal(same.order, null, 'one name needs no new order')
  t.equal(same.bodies[0]?.target, 'all')
  t.end()
})

t.test('a target that no row uses makes no body', (t) => {
  const area = { ...renderArea(ROWS), targets: ['unused', 'b', 'a', 'c', 'never'] }
  const rows = { ...area.rows, target: (row: number) => area.targets.indexOf(ROWS[row]!.target) }
  const finished = finishPerTarget({ ...area, rows }, PLAIN)
  t.strictSame(
    finished.bodies.map(({ target, rowCount }) => [target, rowCount]),
    [
      ['b', 2],
      ['a', 2],
      ['c', 1]
    ]
  )
  t.end()
})

t.test('compressed copies lie behind the bodies, and the hash is of what is sent', (t) => {
  const rows = ROWS.map((row) => ({ ...row, text: row.text.repeat(100) }))
  const area = renderArea(rows)
  const finished = finishPerTarget(area, { isCompressed: true, isHashed: true })
  for (const [index, batch] of batchesOf(area, finished).entries()) {
    const body = finished.bodies[index]!
    const plain = area.slot.subarray(body.startByte, body.startByte + body.byteCount)
    t.ok(batch.isCompressed)
    t.strictSame(gunzipSync(batch.body), Buffer.from(plain))
    t.equal(batch.sha256, createHash('sha256').update(batch.body).digest('hex'))
  }
  const places = finished.bodies.flatMap(({ compressed, ...plain }) => [plain, compressed!])
  places.sort((one, other) => one.startByte - other.startByte)
  for (let i = 1; i < places.length; i++) {
    const before = places[i - 1]!
    t.ok(before.startByte + before.byteCount <= places[i]!.startByte, 'nothing overlaps')
  }
  t.end()
})

t.test('without compression the hash is of the plain body', (t) => {
  const area = renderArea(ROWS)
  const [body] = finishTogether(area, { isCompressed: false, isHashed: true }).bodies
  const plain = ROWS.map(({ text }) => text).join('')
  t.equal(body?.sha256, createHash('sha256').update(plain).digest('hex'))
  t.end()
})

t.test('rows that find no room in the slot wait', (t) => {
  const area = renderArea(ROWS, 15)
  const finished = finishTogether(area, PLAIN)
  t.equal(finished.rowsTaken, 3)
  t.equal(finished.bodies[0]?.byteCount, 14)
  t.end()
})
