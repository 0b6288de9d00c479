import t from 'tap'
import { Type } from 'typebox'
import { BlockChecker } from '../../src/config/block.ts'
import { placeTree } from '../../src/config/places.ts'

const nowhere = { file: 'm', line: 1, column: 1 }
const scalar = Type.Union([Type.String(), Type.Number()])
const test = Type.Object({ prefix: Type.Optional(Type.String()) }, { additionalProperties: false })
const fields = Type.Record(Type.String(), Type.Union([scalar, test, Type.Array(scalar)]))

function faults(value: unknown): string[] {
  const lines: string[] = []
  new BlockChecker().check(fields, value, [], placeTree(nowhere, nowhere), (_, path, message) =>
    lines.push(`${path.join('.')} ${message}`)
  )
  return lines
}

t.test('where several forms are allowed, the faults of the one that was meant are shown', (t) => {
  t.same(faults({ a: 'x', b: 1, c: { prefix: 'x' }, d: ['x', 1] }), [])
  t.same(faults({ a: { prefx: 'x' } }), ['a.prefx unknown key "prefx"'])
  t.same(faults({ a: { prefix: 5 } }), ['a.prefix is 5, expected text'])
  t.same(faults({ a: ['x', []] }), [
    'a.1 is a list, which is none of the forms that are allowed here'
  ])
  t.end()
})

t.test('where no form fits, one finding says so, for every such value', (t) => {
  t.same(faults({ a: null, b: true, c: 'x' }), [
    'a is empty, which is none of the forms that are allowed here',
    'b is true, which is none of the forms that are allowed here'
  ])
  t.end()
})
