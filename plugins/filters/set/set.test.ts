import t from 'tap'
import { runSteps } from '../../../test/support/task-harness.ts'

const set = (assignments: object, record: Parameters<typeof runSteps>[1][number]) =>
  runSteps([{ set: assignments }], [record]).documents[0]

t.test(
  'S14 a constant with backslash, quote, newline and emoji, and a template that reads it',
  (t) => {
    const odd = 'a\\b"c\nd\u{1f600}'
    const { documents } = runSteps(
      [{ set: { x: odd } }, { set: { y: '<${record.x}>' } }],
      [{ x: 1 }]
    )
    t.strictSame(documents, [{ x: odd, y: `<${odd}>` }])
    t.end()
  }
)

t.test('constants keep their type', (t) => {
  t.strictSame(set({ n: 5, f: 0.5, b: true, z: null, l: [1, 'a'], m: { a: 1 } }, {}), {
    n: 5,
    f: 0.5,
    b: true,
    z: null,
    l: [1, 'a'],
    m: { a: 1 }
  })
  t.end()
})

t.test('S15 a template: missing, default, null, map, number', (t) => {
  const record = { n: 7, f: 0.25, z: null, m: { a: 'x' }, t: 'text', b: true }
  t.strictSame(
    set(
      {
        missing: '<${record.nothing}>',
        fallback: '<${record.nothing:-none}>',
        z: '<${record.z}>',
        m: '<${record.m}>',
        n: '<${record.n}|${record.f}|${record.b}>',
        tag: '${tag}/${tag_parts[0]}/${tag_parts[-1]}',
        time: '${time:%Y-%m-%d}'
      },
      record
    ),
    {
      ...record,
      missing: '<>',
      fallback: '<none>',
      z: '<>',
      m: '<{"a":"x"}>',
      n: '<7|0.25|true>',
      tag: 'docker.web/docker/web',
      time: '2023-11-14'
    }
  )
  t.end()
})

t.test('S16 a template of one placeholder copies the value with its type', (t) => {
  t.strictSame(
    set({ a: '${record.n}', b: '${record.m}', c: '${record.m.x}' }, { n: 7, m: { x: [1] } }),
    {
      n: 7,
      m: { x: [1] },
      a: 7,
      b: { x: [1] },
      c: [1]
    }
  )
  t.end()
})

t.test('S17 assignments of one set read the record before the step', (t) => {
  t.strictSame(set({ a: '${record.b}', b: '${record.a}' }, { a: '1', b: '2' }), { a: '2', b: '1' })
  t.end()
})

t.test('if_missing leaves fields alone that exist', (t) => {
  t.strictSame(set({ if_missing: true, a: 'new', b: 'new' }, { a: 'old' }), { a: 'old', b: 'new' })
  t.end()
})

t.test('a name with a dot is written as a quoted path', (t) => {
  t.strictSame(set({ '["a.b"]': 1 }, {}), { 'a.b': 1 })
  t.end()
})
