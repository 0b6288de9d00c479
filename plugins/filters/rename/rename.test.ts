import t from 'tap'
import { runSteps } from '../../../test/support/task-harness.ts'

const rename = (pairs: object, record: { [key: string]: number }) =>
  JSON.stringify(runSteps([{ rename: pairs }], [record]).documents[0])

t.test('S19 rename: to an existing name, to itself, swapped, from a missing field', (t) => {
  t.equal(rename({ a: 'b' }, { a: 1, b: 2, c: 3 }), '{"b":1,"c":3}')
  t.equal(rename({ a: 'a' }, { a: 1 }), '{"a":1}')
  t.equal(rename({ a: 'b', b: 'a' }, { a: 1, b: 2 }), '{"b":1,"a":2}')
  t.equal(rename({ a: 'b', b: 'c', c: 'a' }, { a: 1, b: 2, c: 3 }), '{"b":1,"c":2,"a":3}')
  t.equal(rename({ x: 'a' }, { a: 1 }), '{"a":1}')
  t.equal(rename({ a: 'b', b: 'a' }, { b: 2 }), '{"a":2}')
  t.end()
})

t.test('on_conflict keep leaves both fields as they are', (t) => {
  t.equal(rename({ on_conflict: 'keep', a: 'b' } as object, { a: 1, b: 2 }), '{"a":1,"b":2}')
  t.equal(rename({ on_conflict: 'keep', a: 'b' } as object, { a: 1 }), '{"b":1}')
  t.end()
})
