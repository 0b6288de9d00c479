import t from 'tap'
import { parseTimePoint } from '../../src/core/time-point.ts'

const NOW = Date.UTC(2026, 10, 20, 12)

t.test(
  'absolute times are RFC 3339; a date is its first moment, and what has no zone is UTC',
  (t) => {
    for (const [text, timeMs] of [
      ['2026-11-20T10:30:00Z', Date.UTC(2026, 10, 20, 10, 30)],
      ['2026-11-20t10:30:00z', Date.UTC(2026, 10, 20, 10, 30)],
      ['2026-11-20 10:30:00Z', Date.UTC(2026, 10, 20, 10, 30)],
      ['2026-11-20T10:30Z', Date.UTC(2026, 10, 20, 10, 30)],
      ['2026-11-20T10:30:00.250+02:00', Date.UTC(2026, 10, 20, 8, 30, 0, 250)],
      ['2026-11-20', Date.UTC(2026, 10, 20)],
      ['2026-11-20T10:30:00+0200', Date.UTC(2026, 10, 20, 8, 30)],
      ['2026-11-20T10:30:00', Date.UTC(2026, 10, 20, 10, 30)],
      ['2024-02-29', Date.UTC(2024, 1, 29)]
    ] as const) {
      t.equal(parseTimePoint(text, NOW), timeMs, text)
    }
    t.end()
  }
)

t.test('relative times go back from now, words are the ends of what is stored', (t) => {
  t.equal(parseTimePoint('-2h', NOW), NOW - 7_200_000)
  t.equal(parseTimePoint('-1h30m', NOW), NOW - 5_400_000)
  t.equal(parseTimePoint('2h', NOW), NOW - 7_200_000)
  t.equal(parseTimePoint('now', NOW), NOW)
  t.equal(parseTimePoint('oldest', NOW), Number.NEGATIVE_INFINITY)
  t.equal(parseTimePoint('newest', NOW), Number.POSITIVE_INFINITY)
  t.end()
})

t.test('anything else is no time', (t) => {
  for (const text of [
    '',
    '-',
    '-2 hours',
    'yesterday',
    '1763640000',
    '-90',
    '2026-02-30',
    '2026-13-01',
    '2026-11-20T25:00:00Z'
  ]) {
    t.equal(parseTimePoint(text, NOW), null, text)
  }
  t.end()
})
