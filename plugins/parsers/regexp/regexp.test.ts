import t from 'tap'
import { runSteps } from '../../../test/support/task-harness.ts'

const parse = (expression: string, log: string, options: object = {}) =>
  runSteps([{ parse: { type: 'regexp', expression, ...options } }], [{ log }]).documents[0]

t.test(
  'named groups become fields; groups without a name and those that took no part do not',
  (t) => {
    t.strictSame(parse('^(?<level>\\w+) (\\d+) (?<rest>.*?)(?<tail>!)?$', 'warn 12 hello'), {
      level: 'warn',
      rest: 'hello'
    })
    t.strictSame(parse('^(?<a>x?)y', 'y'), { a: '' }, 'an empty group is an empty text')
    t.end()
  }
)

t.test('flags, types, prefix and text that is not ASCII', (t) => {
  t.strictSame(
    parse(
      '/^(?<level>[a-z]+) (?<took>[\\d.]+) (?<n>\\d+) (?<ok>\\w+) (?<what>.*)$/i',
      'WARN 0.50 007 yes 日本é',
      {
        types: { took: 'float', n: 'integer', ok: 'boolean' },
        prefix: 'p_'
      }
    ),
    { p_level: 'WARN', p_took: 0.5, p_n: 7, p_ok: true, p_what: '日本é' }
  )
  t.end()
})

t.test('S44 a text that is not of its type stays text and is counted', (t) => {
  const { documents, result } = runSteps(
    [{ parse: { type: 'regexp', expression: '(?<n>.*)', types: { n: 'integer' } } }],
    [{ log: 'abc' }]
  )
  t.strictSame(documents, [{ n: 'abc' }])
  t.equal(result.counters['step_records_total|route|1:parse|failed|conversion_failed'], 1)
  t.end()
})

t.test('S37 keep_original, keep_others, into, on_conflict', (t) => {
  const run = (options: object) =>
    runSteps(
      [{ parse: { type: 'regexp', expression: '(?<a>\\w)(?<b>\\w)', ...options } }],
      [{ log: 'xy', a: 'old', other: 1 }]
    ).documents[0]
  t.strictSame(run({}), { a: 'x', other: 1, b: 'y' })
  t.strictSame(run({ on_conflict: 'keep' }), { a: 'old', other: 1, b: 'y' })
  t.strictSame(run({ on_conflict: 'rename' }), { a_orig: 'old', other: 1, a: 'x', b: 'y' })
  t.strictSame(run({ keep_original: true }), { log: 'xy', a: 'x', other: 1, b: 'y' })
  t.strictSame(run({ keep_others: false }), { a: 'x', b: 'y' })
  t.strictSame(run({ into: 'found' }), { a: 'old', other: 1, found: { a: 'x', b: 'y' } })
  t.end()
})

t.test('S36 a result with the name of the parsed field wins', (t) => {
  t.strictSame(parse('^<(?<log>.*)>$', '<inner>'), { log: 'inner' })
  t.end()
})

t.test(
  'S51 a pattern that backtracks without end, and a text that is too long, take the failure path',
  (t) => {
    t.match(parse('^(?<a>(a+)+)$', `${'a'.repeat(5000)}!`, { on_failure: 'tag' }), {
      parse_error: '1:parse:no_match'
    })
    t.match(parse('(?<a>a)', 'a'.repeat(300_000), { on_failure: 'tag' }), {
      parse_error: '1:parse:text_too_long'
    })
    t.end()
  }
)
