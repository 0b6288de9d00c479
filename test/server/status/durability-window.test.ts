import t from 'tap'
import { durabilityWindow } from '../../../src/server/status/durability-window.ts'

const none = () => {
  throw new Error('ENOENT')
}

t.test('the window of each policy is said in numbers', (t) => {
  const of = (durability: 'sync' | 'interval' | 'os' | 'memory', read = none as () => string) =>
    durabilityWindow({ durability, syncIntervalMs: 250 }, read)
  t.equal(of('sync'), null)
  t.match(of('interval'), /power cut loses what came in the last 250ms .* at most 32MiB/)
  t.match(of('os'), /last 35s or so/)
  t.match(
    of('os', () => '1000\n'),
    /last 20s or so/,
    'as this system is set up'
  )
  t.match(
    of('os', () => '0\n'),
    /last 35s or so/
  )
  t.match(of('memory'), /may lose all of it/)
  t.end()
})
