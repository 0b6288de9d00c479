import t from 'tap'
import { parsePlace } from '../../src/cli/places.ts'

const NOW = Date.UTC(2026, 10, 20, 12)

t.test('offsets, times, durations and ends are told apart', (t) => {
  t.same(parsePlace('0', NOW), { kind: 'offset', offset: 0 })
  t.same(parsePlace('1200', NOW), { kind: 'offset', offset: 1200 })
  t.same(parsePlace('oldest', NOW), { kind: 'oldest' })
  t.same(parsePlace('newest', NOW), { kind: 'newest' })
  const time = (text: string) => parsePlace(text, NOW)
  t.same(time('2026-11-20'), { kind: 'time', timeMs: Date.UTC(2026, 10, 20) })
  t.same(time('2026-11-20T10:30'), { kind: 'time', timeMs: Date.UTC(2026, 10, 20, 10, 30) })
  t.same(time('2026-11-20 10:30:01'), { kind: 'time', timeMs: Date.UTC(2026, 10, 20, 10, 30, 1) })
  t.same(time('2026-11-20T10:30:00.5Z').kind, 'time')
  t.same(time('2026-11-20T10:30:00+02:00'), {
    kind: 'time',
    timeMs: Date.UTC(2026, 10, 20, 8, 30)
  })
  t.same(time('2h'), { kind: 'time', timeMs: NOW - 7_200_000 })
  t.same(time('-1h30m'), { kind: 'time', timeMs: NOW - 5_400_000 })
  t.end()
})

t.test('anything else is refused with what can be written', (t) => {
  for (const text of ['', 'x', '-5', '2026-13-40', '2h later', '9'.repeat(20), '1.5']) {
    t.throws(() => parsePlace(text, NOW), /oldest or newest/, text)
  }
  t.end()
})
