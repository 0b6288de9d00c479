import { deepStrictEqual } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { readSyslog } from '../../../test/support/syslog-oracle.ts'
import { runSteps } from '../../../test/support/task-harness.ts'

const RUNS = Number(process.env['MILLRACE_FUZZ_RUNS'] ?? 1500)
/** When records of the harness arrive: 2023-11-14T22:13:20Z. */
const ARRIVAL_MS = 1_700_000_000_000
const ARRIVAL = '2023-11-14T22:13:20.000Z'
const TIMED = { spec: { timeField: { key: '@timestamp', precision: 3 } } } as const

const parse = (message: string, options: object = {}) =>
  runSteps([{ parse: { type: 'syslog', ...options } }], [{ message }], TIMED).documents[0]

t.test('RFC 5424: the examples of the RFC', (t) => {
  t.same(
    parse(
      `<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \ufeff'su root' failed for lonvick on /dev/pts/8`
    ),
    {
      '@timestamp': '2003-10-11T22:14:15.003Z',
      facility: 'auth',
      severity: 'crit',
      host: 'mymachine.example.com',
      ident: 'su',
      msgid: 'ID47',
      message: `'su root' failed for lonvick on /dev/pts/8`
    }
  )
  t.match(
    parse('<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It is time.'),
    { '@timestamp': '2003-08-24T12:14:15.000Z', pid: '8710', message: '%% It is time.' }
  )
  const structured =
    '<165>1 2003-10-11T22:14:15.003Z h evntslog - ID47 [exampleSDID@32473 iut="3" eventSource="App \\"a\\\\b\\]\\c" iut="4"][x@1] An event'
  t.same(parse(structured)?.['structured_data'], {
    'exampleSDID@32473': { iut: '4', eventSource: 'App "a\\b]\\c' },
    'x@1': {}
  })
  t.match(parse(structured, { structured_data: 'flat', prefix: 's_' }), {
    's_exampleSDID@32473.iut': '4',
    's_exampleSDID@32473.eventSource': 'App "a\\b]\\c',
    s_message: 'An event'
  })
  t.match(parse(structured, { structured_data: 'text' })?.['structured_data'], /^\[exam.*\[x@1\]$/)
  t.same(parse('<0>1 - - - - - -'), {
    '@timestamp': ARRIVAL,
    facility: 'kern',
    severity: 'emerg'
  })
  t.end()
})

t.test('RFC 3164: times without a year are the nearest past, by arrival', (t) => {
  t.same(parse(`<34>Oct 11 22:14:15 mymachine su: 'su root' failed`), {
    '@timestamp': '2023-10-11T22:14:15.000Z',
    facility: 'auth',
    severity: 'crit',
    host: 'mymachine',
    ident: 'su',
    message: `'su root' failed`
  })
  const time = (text: string) => parse(`<13>${text} h a: b`)?.['@timestamp']
  t.equal(time('Nov 15 22:13:20'), '2023-11-15T22:13:20.000Z', 'a day ahead: a wrong clock')
  t.equal(time('Nov 15 22:13:21'), '2022-11-15T22:13:21.000Z', 'more: last year')
  t.equal(time('Dec 31 23:59:59'), '2022-12-31T23:59:59.000Z')
  t.equal(time('Jan  1 00:00:00'), '2023-01-01T00:00:00.000Z')
  t.equal(time('Feb 29 00:00:00'), '2020-02-29T00:00:00.000Z', 'the last leap year')
  t.equal(time('Nov 14 2021 01:02:03.25'), '2021-11-14T01:02:03.250Z')
  t.equal(time('2021-11-14T01:02:03.5+09:00'), '2021-11-13T16:02:03.500Z')
  const zoned = parse('<13>Nov 14 22:00:00 h a: b', { utc_offset: '+09:00' })
  t.equal(zoned?.['@timestamp'], '2023-11-14T13:00:00.000Z')
  t.equal(parse('<13>Nov 14 22:00:00 h a: b', { keep_time: true })?.['time'], 'Nov 14 22:00:00')
  t.end()
})

t.test('RFC 3164: what senders leave out is left out', (t) => {
  const rest = (message: string) => {
    const { facility, severity, '@timestamp': _, ...fields } = parse(message) ?? {}
    return fields
  }
  const local = 'Nov 14 22:00:00 '
  t.same(rest(`<30>${local}systemd[1]: Started.`), {
    ident: 'systemd',
    pid: '1',
    message: 'Started.'
  })
  t.same(rest('<30>postfix/smtpd[12]: hi'), { ident: 'postfix/smtpd', pid: '12', message: 'hi' })
  t.same(rest('<30>plain text'), { message: 'plain text' })
  t.same(rest(`<30>${local}host last message repeated 2 times`), {
    host: 'host',
    message: 'last message repeated 2 times'
  })
  t.same(rest('<189>Nov 14 22:00:00: %LINK-3-UPDOWN: Interface up'), {
    ident: '%LINK-3-UPDOWN',
    message: 'Interface up'
  })
  t.same(rest('<30>'), { message: '' })
  t.same(rest('<30>1x'), { message: '1x' })
  t.end()
})

t.test('what is no message keeps its text, and is counted', (t) => {
  const wrong = ['text', '<192>1 - - - - - -', '<1', '<>x', '<1>1 - - - - -', '<1>1 x - - - - -']
  const records = wrong.map((message) => ({ message }))
  const { documents, result } = runSteps([{ parse: { type: 'syslog' } }], records)
  t.same(documents, records)
  const counted = (reason: string) =>
    Object.entries(result.counters).find(([key]) => key.includes(reason))?.[1]
  t.equal(counted('no_match'), 5)
  t.equal(counted('bad_time'), 1)
  const strict = { type: 'syslog_rfc5424' }
  t.same(runSteps([{ parse: strict }], [{ message: '<1>a: b' }]).documents, [
    { message: '<1>a: b' }
  ])
  const old = runSteps([{ parse: { type: 'syslog_rfc3164' } }], [{ message: '<1>1 - - - - - -' }])
  t.match(old.documents[0], { message: '1 - - - - - -' })
  t.end()
})

t.test('priorities as numbers; on_failure tags', (t) => {
  t.match(parse('<165>a: b', { numbers: true }), { facility: 20, severity: 5 })
  t.match(parse('x', { on_failure: 'tag' }), { message: 'x', parse_error: /no_match/ })
  t.match(parse('<165>a: b', { into: 'log' }), { log: { facility: 'local4', ident: 'a' } })
  t.end()
})

const word = fc.oneof(
  { weight: 4, arbitrary: fc.stringMatching(/^[a-z0-9./%-]{1,8}$/) },
  fc.constantFrom('-', '', 'h:', 'a[1]', 'a[b]:', '[', ']', ':', '\x00', 'é', 'a[b c]:')
)
const time = fc.constantFrom(
  '-',
  'Nov 14 22:13:20',
  'Nov  5 22:13:20.123456',
  'Nov 31 00:00:00',
  'Feb 29 12:00:00',
  'Feb 29 2023 12:00:00',
  'nov 14 2020 22:13:20',
  'Nov 14 24:00:00',
  'Nov 14 22:13:20:',
  'Nov 14 22:13:20x',
  '2023-11-14T22:13:20Z',
  '2023-11-14T22:13:20.5+01:30',
  '2023-02-30T00:00:00Z',
  '1969-12-31T23:59:59Z',
  'Nov'
)
const value = fc.string({ maxLength: 6, unit: fc.constantFrom('a', '"', '\\', ']', ' ', '[', '=') })
const param = fc.tuple(fc.constantFrom('a', 'b', 'c@1', '', 'a b'), value, fc.boolean())
const element = fc
  .tuple(fc.constantFrom('x', 'y@1', '', '[z'), fc.array(param, { maxLength: 3 }))
  .map(([id, params]) => {
    const texts = params.map(([name, raw, isEscaped]) => {
      const text = isEscaped ? raw.replaceAll(/["\\\]]/g, '\\$&') : raw
      return ` ${name}="${text}"`
    })
    return `[${id}${texts.join('')}]`
  })
const structured = fc.oneof(
  fc.constant('-'),
  fc.array(element, { maxLength: 3 }).map((all) => all.join(''))
)
const priority = fc.oneof(
  { weight: 8, arbitrary: fc.nat(191).map((n) => `<${n}>`) },
  fc.constantFrom('<192>', '<>', '<0191>', '<007>', '<1', '')
)
const tail = fc.array(word, { maxLength: 4 }).map((words) => words.join(' '))
const message = fc.oneof(
  fc
    .tuple(
      priority,
      time,
      word,
      word,
      word,
      word,
      structured,
      fc.constantFrom('', ' ', ' \ufeff'),
      tail
    )
    .map(([p, ...rest]) => `${p}1 ${rest.slice(0, 6).join(' ')}${rest.slice(6).join('')}`),
  fc.tuple(priority, time, tail).map(([p, ...rest]) => `${p}${rest.join(' ')}`),
  fc.tuple(priority, tail).map((parts) => parts.join('')),
  fc.string({ maxLength: 40 })
)

t.test('any message gives what a plain reader gives', (t) => {
  const options = fc.record({
    type: fc.constantFrom('syslog', 'syslog_rfc3164', 'syslog_rfc5424'),
    structured_data: fc.constantFrom('nested', 'flat', 'text')
  })
  fc.assert(
    fc.property(fc.array(message, { minLength: 1, maxLength: 20 }), options, (messages, given) => {
      const { structured_data, type } = given
      const step = type === 'syslog_rfc3164' ? { type } : given
      const records = messages.map((each) => ({ message: each }))
      const { documents } = runSteps([{ parse: step }], records, TIMED)
      const expected = messages.map((each) => {
        const dialect =
          type === 'syslog' ? 'auto' : type === 'syslog_rfc3164' ? 'rfc3164' : 'rfc5424'
        const read = readSyslog(Buffer.from(each).toString('latin1'), {
          dialect,
          structuredData: structured_data,
          arrivalMs: ARRIVAL_MS
        })
        const fields = read === null ? { message: each } : utf8Of(read.fields)
        return { '@timestamp': new Date(read?.timeMs ?? ARRIVAL_MS).toISOString(), ...fields }
      })
      deepStrictEqual(documents, expected)
    }),
    { numRuns: RUNS }
  )
  t.end()
})

/** Texts of the oracle are bytes. */
function utf8Of(item: Record<string, unknown>): Record<string, unknown> {
  const entries = Object.entries(item).map(([key, inner]) => [
    Buffer.from(key, 'latin1').toString(),
    typeof inner === 'string'
      ? Buffer.from(inner, 'latin1').toString()
      : utf8Of(inner as Record<string, unknown>)
  ])
  return Object.fromEntries(entries)
}
