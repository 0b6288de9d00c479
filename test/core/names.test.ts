import t from 'tap'
import { editDistance, isComponentId, nearestName } from '../../src/core/names.ts'

t.test('ids are lower case words of at most 63 characters', (t) => {
  for (const id of ['a', 'web-1', 'a_b', 'x'.repeat(63)]) t.ok(isComponentId(id), id)
  for (const id of ['', 'A', '1a', '-a', 'a.b', 'a/b', '..', 'x'.repeat(64)]) {
    t.notOk(isComponentId(id), id)
  }
  t.end()
})

t.test('a swap of neighbours is one edit', (t) => {
  t.equal(editDistance('dorp', 'drop', 3), 1)
  t.equal(editDistance('kitten', 'sitting', 5), 3)
  t.equal(editDistance('a', 'abcdef', 2), 3, 'more than the limit')
  t.equal(editDistance('', 'ab', 2), 2)
  t.end()
})

t.test('the nearest name is the one that was probably meant', (t) => {
  const known = ['listen', 'endpoints', 'max_bytes', 'log_group_name']
  t.equal(nearestName('lisen', known), 'listen')
  t.equal(nearestName('endpoint', known), 'endpoints')
  t.equal(nearestName('Max-Bytes', known), 'max_bytes')
  t.equal(nearestName('group', known), null)
  t.equal(nearestName('d', ['a']), null, 'one letter says nothing')
  t.equal(nearestName('x'.repeat(65), ['x'.repeat(64)]), null, 'too long to compare')
  t.end()
})
