import t from 'tap'
import { runSteps } from '../../../test/support/task-harness.ts'

t.test('S18 a missing field changes nothing, all fields leave an empty record', (t) => {
  t.strictSame(runSteps([{ remove: ['x'] }], [{ a: 1 }]).documents, [{ a: 1 }])
  t.strictSame(runSteps([{ remove: ['a', 'b'] }], [{ a: 1, b: 2 }]).documents, [{}])
  t.end()
})

t.test('S20 a prefix removes keys that were never seen before, too', (t) => {
  const records = [
    { x_a: 1, keep: 1 },
    { keep: 2, x_b: 1, x_: 1 },
    { x: 3, xx_: 1 }
  ]
  t.strictSame(runSteps([{ remove: ['x_*'] }], records).documents, [
    { keep: 1 },
    { keep: 2 },
    { x: 3, xx_: 1 }
  ])
  t.end()
})

t.test('S04 what is set after a removal is there', (t) => {
  const { documents } = runSteps([{ remove: ['a'] }, { set: { a: 'new' } }], [{ a: 'old', b: 1 }])
  t.strictSame(documents, [{ b: 1, a: 'new' }])
  t.end()
})

t.test('a name with a dot is the name of a field', (t) => {
  t.strictSame(runSteps([{ remove: ['a.b'] }], [{ 'a.b': 1, a: { b: 2 } }]).documents, [
    { a: { b: 2 } }
  ])
  t.end()
})
