import t from 'tap'
import { FakeClock } from '../../../test/support/fake-clock.ts'
import { PeerWarnings } from './peer-warnings.ts'

t.test('the first of a kind is printed, then one a minute with the number of the others', (t) => {
  const clock = new FakeClock()
  const lines: [object, string][] = []
  const warnings = new PeerWarnings(clock, (fields, message) => lines.push([fields, message]))
  for (let each = 0; each < 5; each++) warnings.warn({ peer: 'a' }, 'bad body')
  warnings.warn({ peer: 'a' }, 'too long')
  t.same(lines, [
    [{ peer: 'a' }, 'bad body'],
    [{ peer: 'a' }, 'too long']
  ])
  clock.advance(60_000)
  warnings.warn({ peer: 'a' }, 'bad body')
  t.same(lines.at(-1), [{ peer: 'a', left_out: 4 }, 'bad body'])
  warnings.warn({ peer: 'a' }, 'bad body')
  t.equal(lines.length, 3)
  t.end()
})
