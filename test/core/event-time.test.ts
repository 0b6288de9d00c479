import { execFileSync } from 'node:child_process'
import t from 'tap'
import {
  compileTimeFormat,
  eventTimeMs,
  eventTimeOfMs,
  formatRfc3339,
  TIME_DIRECTIVES
} from '../../src/core/event-time.ts'

const time = (iso: string, nanoseconds = 0) => ({ seconds: Date.parse(iso) / 1000, nanoseconds })

t.test('milliseconds and event times convert both ways, before 1970 too', (t) => {
  t.same(eventTimeOfMs(1500), { seconds: 1, nanoseconds: 500_000_000 })
  t.same(eventTimeOfMs(-1), { seconds: -1, nanoseconds: 999_000_000 })
  for (const timeMs of [-1, 0, 1500, 1_795_000_000_123]) {
    t.equal(eventTimeMs(eventTimeOfMs(timeMs)), timeMs)
  }
  t.end()
})

t.test('RFC 3339 text has the digits that are asked for, cut and not rounded', (t) => {
  const at = time('2026-11-20T17:05:09Z', 999_999_999)
  t.same(
    ([0, 3, 6, 9] as const).map((precision) => formatRfc3339(at, precision)),
    [
      '2026-11-20T17:05:09Z',
      '2026-11-20T17:05:09.999Z',
      '2026-11-20T17:05:09.999999Z',
      '2026-11-20T17:05:09.999999999Z'
    ]
  )
  t.end()
})

t.test('strftime directives give what date(1) gives', (t) => {
  const own = new Set(['L', 'f', 'Q', '%'])
  const directives = TIME_DIRECTIVES.filter((directive) => !own.has(directive))
  for (const iso of ['2026-11-20T17:05:09Z', '2027-01-01T00:00:00Z', '2020-12-31T12:59:59Z']) {
    const at = time(iso, 123_456_789)
    for (const directive of directives) {
      const seconds = `@${at.seconds}.${at.nanoseconds}`
      const expected = execFileSync('date', ['-u', '-d', seconds, `+[%${directive}]`], {
        env: { LC_ALL: 'C' },
        encoding: 'utf8'
      }).trim()
      t.equal(`[${compileTimeFormat(`%${directive}`)(at)}]`, expected, `%${directive} of ${iso}`)
    }
  }
  t.end()
})

t.test('fractions of a second have the names of Ruby, Fluent Bit and JavaScript', (t) => {
  const at = time('2026-11-20T17:05:09Z', 12_345_678)
  t.equal(
    compileTimeFormat('%L %3N %6N %f %9N %N %Q %%')(at),
    '012 012 012345 012345 012345678 012345678 1795194309012 %'
  )
  t.end()
})

t.test('an unknown directive is refused, with the known ones', (t) => {
  t.throws(() => compileTimeFormat('%Y-%q'), { code: 'MR_CONFIG_TEMPLATE', message: /%q.*%Y/ })
  t.throws(() => compileTimeFormat('100%'), { code: 'MR_CONFIG_TEMPLATE' })
  t.end()
})

t.test('a time beyond every calendar has a text all the same', (t) => {
  const at = { seconds: Number.MAX_SAFE_INTEGER, nanoseconds: 0 }
  t.equal(compileTimeFormat('%Y-%m-%d')(at), '275760-09-13')
  t.match(formatRfc3339(at, 3), /^\+275760/)
  t.end()
})
