import fc from 'fast-check'
import t from 'tap'
import * as codes from '../../src/kernel/codes.ts'
import {
  APPEND_TIME_MS,
  entryOf,
  groupOf,
  runGroups,
  runRecords
} from './support/render-fixture.ts'

/** What a text means by a format: ISO text with nanoseconds, or the failure's reason. */
function read(format: string, texts: readonly string[], zoneSeconds = 0): readonly string[] {
  const result = runRecords(
    texts.map((text) => ({ t: text })),
    {
      layout: { timeField: { key: 'time', precision: 9 } },
      write: (writer) =>
        writer.parseTime(writer.key('t'), {
          failure: codes.FAILURE_TAG,
          tag: { key: writer.key('error'), text: 's' },
          time: { key: writer.key('t'), format, zoneSeconds }
        })
    }
  )
  return result.lines.map((line) => {
    const record = JSON.parse(line)
    return record.error?.slice(2) ?? record.time
  })
}

const one = (format: string, text: string, zoneSeconds = 0): string =>
  read(format, [text], zoneSeconds)[0] ?? ''
const Z9 = '.000000000Z'

t.test('S46 every directive reads what it should', async (t) => {
  const cases: [string, string, string][] = [
    ['%d/%b/%Y:%H:%M:%S %z', '10/Oct/2000:13:55:36 -0700', `2000-10-10T20:55:36${Z9}`],
    ['%Y-%m-%d %H:%M:%S', '2024-02-29 23:59:59', `2024-02-29T23:59:59${Z9}`],
    ['%Y-%m-%d', '2023-02-29', 'bad_time'],
    ['%Y-%m-%d', '2000-02-29', `2000-02-29T00:00:00${Z9}`],
    ['%Y-%m-%d', '2100-02-29', 'bad_time'],
    ['%Y-%m-%d', '2023-04-31', 'bad_time'],
    ['%Y-%m-%d', '2023-13-01', 'bad_time'],
    ['%F %T', '2023-04-30 01:02:03', `2023-04-30T01:02:03${Z9}`],
    ['%F %T', '2016-12-31 23:59:60', `2017-01-01T00:00:00${Z9}`],
    ['%F %T', '2016-12-31 24:00:00', 'bad_time'],
    ['%D %R', '04/30/23 01:02', `2023-04-30T01:02:00${Z9}`],
    ['%y%m%d', '990102', `1999-01-02T00:00:00${Z9}`],
    ['%Y %j', '2024 366', `2024-12-31T00:00:00${Z9}`],
    ['%Y %j', '2023 366', 'bad_time'],
    ['%a %b %e %H:%M:%S %Y', 'Fri Nov  6 17:05:09 2026', `2026-11-06T17:05:09${Z9}`],
    ['%A, %d %B %Y', 'Friday, 06 November 2026', `2026-11-06T00:00:00${Z9}`],
    ['%d %b %Y', '06 NOV 2026', `2026-11-06T00:00:00${Z9}`],
    ['%d %b %Y', '06 Nux 2026', 'bad_time'],
    ['%F %I:%M %p', '2026-11-06 12:05 AM', `2026-11-06T00:05:00${Z9}`],
    ['%F %l:%M %P', '2026-11-06  1:05 pm', `2026-11-06T13:05:00${Z9}`],
    ['%F %k:%M', '2026-11-06  7:05', `2026-11-06T07:05:00${Z9}`],
    ['%F %T.%L', '2026-11-06 01:02:03.045', '2026-11-06T01:02:03.045000000Z'],
    ['%F %T%L', '2026-11-06 01:02:03,045', '2026-11-06T01:02:03.045000000Z'],
    ['%F %T.%6N', '2026-11-06 01:02:03.000045', '2026-11-06T01:02:03.000045000Z'],
    ['%F %T.%f', '2026-11-06 01:02:03.1', '2026-11-06T01:02:03.100000000Z'],
    ['%F %T.%N', '2026-11-06 01:02:03.123456789012', '2026-11-06T01:02:03.123456789Z'],
    ['%F %T.%N', '2026-11-06 01:02:03.', 'bad_time'],
    ['%F %T %Z', '2026-11-06 01:02:03 JST', `2026-11-05T16:02:03${Z9}`],
    ['%F %T %Z', '2026-11-06 01:02:03 utc', `2026-11-06T01:02:03${Z9}`],
    ['%F %T %Z', '2026-11-06 01:02:03 IST', 'bad_time'],
    ['%F %T%z', '2026-11-06 01:02:03+09:30', `2026-11-05T15:32:03${Z9}`],
    ['%F %T%:z', '2026-11-06 01:02:03-09', `2026-11-06T10:02:03${Z9}`],
    ['%F %T%z', '2026-11-06 01:02:03+9', 'bad_time'],
    ['%F %T%z', '2026-11-06 01:02:03+09:', 'bad_time'],
    ['iso8601', '2026-11-06 01:02:03.25+0000', '2026-11-06T01:02:03.250000000Z'],
    ['iso8601', '2026-02-30T01:02:03Z', 'bad_time'],
    ['iso8601', '2026-11-06T24:02:03Z', 'bad_time'],
    ['iso8601', '2026-11-06T01:02:3Z', 'bad_time'],
    ['iso8601', '2026-11-06T01:0x:03Z', 'bad_time'],
    ['iso8601', '2026-11-06T01:02:03', 'bad_time'],
    ['iso8601', '2026-11-06T01:02:03Z', `2026-11-06T01:02:03${Z9}`],
    ['rfc3339', '2026-11-06T01:02:03.5+01:00', '2026-11-06T00:02:03.500000000Z'],
    ['rfc2822', 'Fri, 06 Nov 2026 01:02:03 +0100', `2026-11-06T00:02:03${Z9}`],
    ['epoch', '1700000000', `2023-11-14T22:13:20${Z9}`],
    ['epoch_ms', '1700000000123', '2023-11-14T22:13:20.123000000Z'],
    ['epoch_ns', '1700000000123456789', '2023-11-14T22:13:20.123456789Z'],
    ['float', '1700000000.25', '2023-11-14T22:13:20.250000000Z'],
    ['%s', '99999999999', 'time_range'],
    ['%F', '1969-12-31', 'time_range'],
    ['[%d日 %H%%]', '', 'bad_time'],
    ['%Y %F日', '2026 2026-11-06日', `2026-11-06T00:00:00${Z9}`],
    ['%F', '2026-11-06 ', 'bad_time'],
    ['%F', '', 'bad_time']
  ]
  for (const [format, text, expected] of cases)
    t.equal(one(format, text), expected, `${format} of ${text}`)
  t.equal(
    one('%F %T', '2026-11-06 01:02:03', 9 * 3600),
    `2026-11-05T16:02:03${Z9}`,
    'zone of the step'
  )
})

t.test('S46 every second of a calendar comes back', async (t) => {
  const seconds = fc.sample(fc.integer({ min: 0, max: 7_258_118_399 }), 3000)
  const texts = seconds.map((second) => new Date(second * 1000).toISOString().slice(0, 19))
  t.same(
    read('%Y-%m-%dT%H:%M:%S', texts),
    texts.map((text) => `${text}${Z9}`)
  )
})

t.test(
  'S47 a time without a year is the nearest that is not a day ahead of the arrival',
  async (t) => {
    // The arrival is 2026-11-20T17:06:40Z.
    t.equal(one('%b %e %H:%M:%S', 'Nov 20 17:00:00'), `2026-11-20T17:00:00${Z9}`)
    t.equal(one('%b %e %H:%M:%S', 'Nov 21 17:00:00'), `2026-11-21T17:00:00${Z9}`)
    t.equal(one('%b %e %H:%M:%S', 'Nov 21 18:00:00'), `2025-11-21T18:00:00${Z9}`)
    t.equal(one('%b %e %H:%M:%S', 'Feb 29 00:00:00'), `2024-02-29T00:00:00${Z9}`)
    t.equal(
      one('%H:%M:%S', '01:02:03'),
      `2026-11-20T01:02:03${Z9}`,
      'without a date: the day of the arrival'
    )
    t.equal(new Date(APPEND_TIME_MS).toISOString(), '2026-11-20T17:06:40.500Z')
  }
)

t.test('S49 the same text by another format right after is read anew', async (t) => {
  const text = '01/02/2026'
  const result = runGroups([groupOf([entryOf({ t: text }), entryOf({ t: text })])], {
    write: (writer) => {
      for (const [to, format] of [
        ['a', '%d/%m/%Y'],
        ['b', '%m/%d/%Y']
      ] as const) {
        writer.copy(writer.key(to), writer.key('t'))
        writer.convert(writer.key(to), codes.CONVERT_TIME, format)
      }
    }
  })
  const expected = `{"t":"${text}","a":"2026-02-01T00:00:00${Z9}","b":"2026-01-02T00:00:00${Z9}"}\n`
  t.same(result.lines, [expected, expected])
})
