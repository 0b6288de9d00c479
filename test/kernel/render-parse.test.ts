import t from 'tap'
import * as codes from '../../src/kernel/codes.ts'
import type { ParseOptions, ProgramWriter } from '../../src/kernel/program.ts'
import { packText } from './support/record-twin.ts'
import {
  entryOf,
  groupOf,
  type RunResult,
  runGroups,
  runRecords
} from './support/render-fixture.ts'

const NAMES = 'remote host user time method path code size referer agent rest'.split(' ')
const TIME_LAYOUT = { timeField: { key: 't', precision: 9 } } as const

function access(
  lines: readonly (string | Uint8Array)[],
  more: (writer: ProgramWriter) => ParseOptions = () => ({})
): RunResult {
  const entries = lines.map((line) =>
    entryOf(
      Buffer.concat([Buffer.from([0x81, 0xa3]), Buffer.from('log'), packText(Buffer.from(line))])
    )
  )
  return runGroups([groupOf(entries)], {
    write: (writer) => {
      const types = ['code', 'size'].map((key) => ({
        key: writer.key(key),
        type: codes.CONVERT_INTEGER
      }))
      writer.parseAccess(
        writer.key('log'),
        { types, failure: codes.FAILURE_DEAD_LETTER, ...more(writer) },
        NAMES.map((name) => writer.key(name))
      )
    }
  })
}

const first = (result: RunResult): unknown => JSON.parse(result.lines[0] ?? 'null')
const parsed = (line: string | Uint8Array): unknown => first(access([line]))

function parseJson(
  text: string | Uint8Array,
  options: (writer: ProgramWriter) => ParseOptions = () => ({})
): RunResult {
  const map = Buffer.concat([
    Buffer.from([0x81, 0xa3]),
    Buffer.from('log'),
    packText(Buffer.from(text), 3)
  ])
  return runGroups([groupOf([entryOf(map)])], {
    write: (writer) =>
      writer.parseJson(writer.key('log'), {
        failure: codes.FAILURE_DEAD_LETTER,
        ...options(writer)
      })
  })
}

const reason = (result: RunResult): string => result.verdicts[0]?.reason ?? ''

t.test('S33 access logs of every kind', async (t) => {
  const head = '10.0.0.1 - - [10/Oct/2000:13:55:36 -0700]'
  const base = { remote: '10.0.0.1', host: '-', user: '-', time: '10/Oct/2000:13:55:36 -0700' }
  t.same(parsed(`${head} "GET /a?b=c HTTP/1.1" 200 12`), {
    ...base,
    method: 'GET',
    path: '/a?b=c',
    code: 200,
    size: 12
  })
  t.same(
    parsed(`::1 - john doe [x] "GET /a b  HTTP/1.0" 404 - "ref" "agent \\"q\\" \\\\" rt=0.1 "x y"`),
    {
      remote: '::1',
      host: '-',
      user: 'john doe',
      time: 'x',
      method: 'GET',
      path: '/a b',
      code: 404,
      size: '-',
      referer: 'ref',
      agent: 'agent \\"q\\" \\\\',
      rest: 'rt=0.1 "x y"'
    }
  )
  t.same(parsed(`${head} "-" 408 0 "-" "-"`), {
    ...base,
    path: '-',
    code: 408,
    size: 0,
    referer: '-',
    agent: '-'
  })
  t.same(parsed(`${head} "\\x16\\x03\\x01 \\x00" 400 0`), {
    ...base,
    path: '\\x16\\x03\\x01 \\x00',
    code: 400,
    size: 0
  })
  t.same(parsed(`${head} "GET /" 200 0`), { ...base, method: 'GET', path: '/', code: 200, size: 0 })
  for (const cut of [
    `${head} "GET /`,
    `${head} "GET / HTTP/1.1" 200 1 "ref`,
    `${head} "GET / HTTP/1.1"`,
    '10.0.0.1 - -',
    ''
  ]) {
    t.equal(reason(access([cut])), 'no_match', cut)
  }
})

t.test('S34 a code with zeros is a number, 19 digits stay text and are counted', async (t) => {
  const result = access(['h - - [t] "GET / H" 007 1234567890123456789'])
  t.equal(result.lines[0]?.includes('"code":7,"size":"1234567890123456789"'), true)
  t.equal(result.counters['1:conversion_failed'], 1)
  t.equal(access(['h - - [t] "GET / H" 200 -']).counters['1:conversion_failed'], undefined)
})

t.test('S35 a parser that fails leaves record and time as they were', async (t) => {
  const result = runRecords(
    [{ a: 1, log: '{"t":"2020-01-01T00:00:00Z","b":1' }, { log: '{"t":"no time","b":1}' }],
    {
      layout: TIME_LAYOUT,
      write: (writer) =>
        writer.parseJson(writer.key('log'), {
          time: { key: writer.key('t'), format: 'iso8601' },
          failure: codes.FAILURE_TAG,
          tag: { key: writer.key('parse_error'), text: '1:parse' }
        })
    }
  )
  const time = '2026-11-20T17:05:09.123456789Z'
  t.same(JSON.parse(result.lines[0] ?? ''), {
    t: time,
    a: 1,
    log: '{"t":"2020-01-01T00:00:00Z","b":1',
    parse_error: '1:parse:bad_json'
  })
  t.same(JSON.parse(result.lines[1] ?? ''), {
    t: time,
    log: '{"t":"no time","b":1}',
    parse_error: '1:parse:bad_time'
  })
})

t.test('S36 S37 where results go', async (t) => {
  const record = { a: 'old', log: '{"log":"new","a":1}', z: 1 }
  const run = (options: (writer: ProgramWriter) => ParseOptions): string =>
    runRecords([record], {
      write: (writer) => writer.parseJson(writer.key('log'), options(writer))
    })
      .lines.join('')
      .trim()
  t.equal(
    run(() => ({})),
    '{"a":1,"z":1,"log":"new"}'
  )
  t.equal(
    run(() => ({ flags: codes.PARSE_KEEP_ORIGINAL })),
    '{"a":1,"log":"new","z":1}'
  )
  t.equal(
    run(() => ({ flags: codes.PARSE_DROP_OTHERS })),
    '{"log":"new","a":1}'
  )
  t.equal(
    run((writer) => ({ into: writer.key('p') })),
    '{"a":"old","z":1,"p":{"log":"new","a":1}}'
  )
  t.equal(
    run(() => ({ prefix: 'x_' })),
    '{"a":"old","z":1,"x_log":"new","x_a":1}'
  )
  t.equal(
    run(() => ({ flags: codes.PARSE_CONFLICT_KEEP })),
    '{"a":"old","z":1,"log":"new"}'
  )
  t.equal(
    run(() => ({ flags: codes.PARSE_CONFLICT_RENAME })),
    '{"a_orig":"old","z":1,"log":"new","a":1}'
  )
})

t.test('S39 S40 S41 what JSON becomes', async (t) => {
  const line = (text: string) => parseJson(text).lines[0]?.trim()
  t.equal(line('{"a":\n{"b"\r\n:\t[1 , 2]}\n}'), '{"a":{"b":[1,2]}}')
  t.equal(line('{"a":1,"b":2,"\\u0061":3,"a":4}'), '{"a":4,"b":2}')
  t.equal(
    line('{"n":123456789012345678901234567890,"e":1e400,"z":-0.0}'),
    '{"n":123456789012345678901234567890,"e":1e400,"z":-0.0}'
  )
  t.equal(
    line('{"s":"\\ud800x\\udc00","p":"\\ud83d\\ude00","k\\ud800":1}'),
    '{"s":"\\ufffdx\\ufffd","p":"\\ud83d\\ude00","k\ufffd":1}'
  )
  const nested = (depth: number) => `{"a":${'['.repeat(depth - 1)}${']'.repeat(depth - 1)}}`
  t.equal(reason(parseJson(nested(64))), '')
  t.equal(reason(parseJson(nested(65))), 'bad_json')
})

t.test('strings that are objects themselves are taken apart, one level', async (t) => {
  const run = (text: string) =>
    parseJson(text, () => ({ flags: codes.PARSE_ALSO_NESTED })).lines[0]?.trim()
  const inner = JSON.stringify({ b: 'x"\n', c: JSON.stringify({ d: 1 }) })
  t.equal(run(JSON.stringify({ a: inner, n: '{no', s: 'x' })), `{"a":${inner},"n":"{no","s":"x"}`)
  t.equal(run('{"a":"{}"}'), '{"a":{}}')
})

t.test('S42 what is no object fails with its reason', async (t) => {
  for (const text of ['[1]', '"x"', '1', 'null', ' true '])
    t.equal(reason(parseJson(text)), 'not_object', text)
  for (const text of [
    '',
    ' ',
    '{',
    '{}x',
    '{"a":1}}',
    "{'a':1}",
    '{"a":01}',
    '{"a":1,}',
    '{a:1}'
  ]) {
    t.equal(reason(parseJson(text)), 'bad_json', text)
  }
  t.equal(parseJson('\ufeff {"a":1} ').lines[0], '{"a":1}\n')
  t.equal(parseJson('[1, 2]', (writer) => ({ into: writer.key('p') })).lines[0], '{"p":[1, 2]}\n')
  t.equal(
    reason(parseJson(Buffer.from('7b2261223a22c080227d', 'hex'))),
    'bad_json',
    'overlong form'
  )
  t.equal(reason(parseJson(Buffer.from('7b2261223a22eda080227d', 'hex'))), 'bad_json', 'surrogate')
})

t.test('S43 escapes of JSON strings are decoded for tests and templates', async (t) => {
  const result = runRecords([{ log: '{"a":"\\u0047\\u0045T \\ud83d\\ude00\\n"}' }], {
    write: (writer) => {
      writer.parseJson(writer.key('log'), {})
      const kept = writer.label()
      writer.match(writer.key('a'), codes.MATCH_EQUAL, 'GET 😀\n', kept, true)
      writer.drop()
      writer.place(kept)
      writer.setText(writer.key('b'), [
        { kind: 'text', text: '<' },
        { kind: 'record', path: ['a'], fallback: null }
      ])
    }
  })
  t.match(first(result), { b: '<GET 😀\n' })
})

t.test('S44 conversions of canonical, odd and wrong text', async (t) => {
  const cases: [number, unknown, string | null][] = [
    [codes.CONVERT_INTEGER, '12', '12'],
    [codes.CONVERT_INTEGER, '-0', '0'],
    [codes.CONVERT_INTEGER, '+5', '5'],
    [codes.CONVERT_INTEGER, '-007', '-7'],
    [codes.CONVERT_INTEGER, '5e2', '500'],
    [codes.CONVERT_INTEGER, '1.5', null],
    [codes.CONVERT_INTEGER, '', null],
    [codes.CONVERT_INTEGER, '-', null],
    [codes.CONVERT_INTEGER, 2n ** 64n - 1n, '18446744073709551615'],
    [codes.CONVERT_INTEGER, 12.0, '12'],
    [codes.CONVERT_FLOAT, '0.10', '0.10'],
    [codes.CONVERT_FLOAT, '.5', '0.5'],
    [codes.CONVERT_FLOAT, '-.5', '-0.5'],
    [codes.CONVERT_FLOAT, '5.', '5'],
    [codes.CONVERT_FLOAT, '+1', '1'],
    [codes.CONVERT_FLOAT, '5.e3', '5e3'],
    [codes.CONVERT_FLOAT, '007.5', '7.5'],
    [codes.CONVERT_FLOAT, '.', null],
    [codes.CONVERT_FLOAT, 'NaN', null],
    [codes.CONVERT_FLOAT, 'inf', null],
    [codes.CONVERT_FLOAT, '0x1f', null],
    [codes.CONVERT_FLOAT, '1e', null],
    [codes.CONVERT_BOOLEAN, 'Yes', 'true'],
    [codes.CONVERT_BOOLEAN, 'on', 'true'],
    [codes.CONVERT_BOOLEAN, '1', 'true'],
    [codes.CONVERT_BOOLEAN, 'TRUE', 'true'],
    [codes.CONVERT_BOOLEAN, 'no', 'false'],
    [codes.CONVERT_BOOLEAN, 'off', 'false'],
    [codes.CONVERT_BOOLEAN, '0', 'false'],
    [codes.CONVERT_BOOLEAN, false, 'false'],
    [codes.CONVERT_BOOLEAN, 'maybe', null],
    [codes.CONVERT_TEXT, 1.5, '"1.5"'],
    [codes.CONVERT_TEXT, { a: [1] }, '"{\\"a\\":[1]}"'],
    [codes.CONVERT_TEXT, null, '""'],
    [codes.CONVERT_JSON, ' [1,\n2] ', '[1,2]'],
    [codes.CONVERT_JSON, '{"a"', null]
  ]
  for (const [type, value, expected] of cases) {
    const result = runRecords([{ a: value }], {
      write: (writer) => writer.convert(writer.key('a'), type)
    })
    const text = expected ?? JSON.stringify(value)
    t.equal(result.lines[0], `{"a":${text}}\n`, `${String(value)} as ${type}`)
    t.equal(result.counters['1:conversion_failed'], expected === null ? 1 : undefined)
  }
})

t.test('a regex parser fills its groups, absent ones stay absent', async (t) => {
  const result = runRecords(
    [
      { log: 'é=1' },
      { log: 'x=2 y' },
      { log: '?' },
      { log: 'q'.repeat(300_000) },
      { log: [1] },
      {}
    ],
    {
      write: (writer) =>
        writer.parseRegex(
          writer.key('log'),
          { failure: codes.FAILURE_DEAD_LETTER, flags: codes.PARSE_MISSING_FAILS },
          writer.pattern('^(\\S)=(\\d+)( .*)?$'),
          ['k', 'v', 'rest'].map((key) => writer.key(key))
        )
    }
  )
  t.same(result.lines, ['{"k":"é","v":"1"}\n', '{"k":"x","v":"2","rest":" y"}\n'])
  t.same(
    result.verdicts.slice(1).map((run) => run.reason),
    ['no_match', 'text_too_long', 'not_text', 'missing_field']
  )
})

t.test('JavaScript steps change, replace, drop and fail', async (t) => {
  const answers = {
    changes: { kind: 'changes', json: '{"a":null,"b":{"x":"\\ud83d\\ude00"},"c":[1]}' },
    replace: { kind: 'replace', json: '{"only":1}' },
    unchanged: { kind: 'unchanged' },
    drop: { kind: 'drop' },
    failed: { kind: 'failed' },
    broken: { kind: 'changes', json: '{"a":' }
  } as const
  const seen: string[] = []
  const result = runRecords(
    Object.keys(answers).map((a) => ({ a, b: 1 })),
    {
      write: (writer) =>
        writer.leaveJs(3, [writer.key('a'), writer.key('missing')], {
          failure: codes.FAILURE_DEAD_LETTER
        }),
      leaveJs: (stage, json) => {
        seen.push(`${stage}${json}`)
        const { a } = JSON.parse(json)
        return answers[a as keyof typeof answers]
      }
    }
  )
  t.equal(seen[0], '3{"a":"changes"}')
  t.same(result.lines, [
    '{"b":{"x":"\\ud83d\\ude00"},"c":[1]}\n',
    '{"only":1}\n',
    '{"a":"unchanged","b":1}\n'
  ])
  t.same(
    result.verdicts.slice(1).map(({ fate, reason }) => [fate, reason]),
    [
      ['dropped', 'step'],
      ['dead_letter', 'javascript'],
      ['dead_letter', 'bad_json']
    ]
  )
})
