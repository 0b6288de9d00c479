import t from 'tap'
import { invariant, unreachable } from '../../src/core/invariant.ts'

t.test('a broken invariant throws with its message, a kept one does nothing', (t) => {
  t.throws(() => invariant(0, 'zero'), { name: 'InvariantError', message: 'zero' })
  t.doesNotThrow(() => invariant(1, 'one'))
  t.end()
})

t.test('a member that a switch forgot is named', (t) => {
  // What a type checker would refuse, and a value from another version may be.
  t.throws(() => unreachable('new' as never), { message: 'unreachable value new' })
  t.end()
})
