import t from 'tap'
import { runSteps } from '../../../test/support/task-harness.ts'

const parse = (options: object, record: { [key: string]: string | number }) =>
  runSteps([{ parse: { type: 'json', ...options } }], [record])
const fields = (options: object, record: { [key: string]: string | number }) =>
  JSON.stringify(parse(options, record).documents[0])

t.test('members become fields with their very digits, in the place of the text', (t) => {
  const log =
    '{"a":1,"big":123456789012345678901234567890,"f":0.10,"n":null,"o":{"x":[1, 2]},"u":"\\u00e9"}'
  const { result } = parse({}, { log, keep: 'yes' })
  t.equal(result.rowCount, 1)
  t.match(fields({}, { log, keep: 'yes' }), /^\{"keep":"yes","a":1,/)
  t.end()
})

t.test('S39 newlines inside nested values leave one line', (t) => {
  const { documents, result } = parse({}, { log: '{"o":{\n"x":[\r\n1,\n2]}}' })
  t.strictSame(documents, [{ o: { x: [1, 2] } }])
  t.equal(result.rowCount, 1)
  t.end()
})

t.test(
  'S40 members that stand twice, and a key that is written with an escape: the last one wins',
  (t) => {
    t.equal(fields({}, { log: '{"a":1,"b":2,"a":3}' }), '{"a":3,"b":2}')
    t.equal(fields({}, { log: '{"a":1,"\\u0061":2}' }), '{"a":2}')
    t.end()
  }
)

t.test('S42 an array, a scalar, nothing, trailing text: the record stays and is counted', (t) => {
  for (const [log, reason] of [
    ['[1]', 'not_object'],
    ['7', 'not_object'],
    ['', 'bad_json'],
    ['{"a":1} x', 'bad_json'],
    ['{"a":01}', 'bad_json'],
    ['{"a":"\u0001"}', 'bad_json']
  ] as const) {
    const { documents, result } = parse({ on_failure: 'tag' }, { log })
    t.strictSame(documents, [{ log, parse_error: `1:parse:${reason}` }])
    t.equal(result.counters[`step_records_total|route|1:parse|failed|${reason}`], 1)
  }
  t.strictSame(
    parse({}, { log: '\ufeff{"a":1}' }).documents,
    [{ a: 1 }],
    'a byte order mark is skipped'
  )
  t.end()
})

t.test('S43 a text with escapes is decoded where steps read it', (t) => {
  const { documents } = runSteps(
    [
      { parse: { type: 'json' } },
      { grep: { include: { a: 'x"\u{1f600}\n' } } },
      { set: { b: '<${record.a}>' } }
    ],
    [{ log: '{"a":"x\\"\\ud83d\\ude00\\n"}' }]
  )
  t.strictSame(documents, [{ a: 'x"\u{1f600}\n', b: '<x"\u{1f600}\n>' }])
  t.end()
})

t.test('a member that is a time becomes the time of the record', (t) => {
  const { documents } = runSteps(
    [{ parse: { type: 'json', time_key: 'at', time_format: 'iso8601' } }],
    [{ log: '{"at":"2024-02-29T12:00:00.5+09:00","m":1}' }],
    { spec: { timeField: { key: '@timestamp', precision: 3 } } }
  )
  t.strictSame(documents, [{ '@timestamp': '2024-02-29T03:00:00.500Z', m: 1 }])
  t.end()
})

t.test('S61 a dead letter names step and reason; the entry is not in the body', (t) => {
  const { documents, result } = parse({ on_failure: 'dead_letter' }, { log: 'no json' })
  t.strictSame(documents, [])
  t.strictSame(result.deadLetters, [
    { offset: 0, members: null, step: '1:parse', reason: 'bad_json' }
  ])
  const drop = parse({ on_failure: 'drop' }, { log: 'no json' })
  t.strictSame(drop.result.dropped, [{ first: 0, end: 1, reason: '1:parse' }])
  t.end()
})

t.test(
  'message is parsed where there is no log; a missing field is no failure unless it shall be',
  (t) => {
    t.equal(fields({}, { message: '{"a":1}' }), '{"a":1}')
    t.equal(fields({}, { message: '{"a":1}', log: '{"b":1}' }), '{"message":"{\\"a\\":1}","b":1}')
    t.equal(fields({}, { other: 1 }), '{"other":1}')
    t.equal(
      parse({ on_missing: 'fail', on_failure: 'drop', key: 'log' }, { other: 1 }).documents.length,
      0
    )
    t.end()
  }
)
