import t from 'tap'
import { captureNames, parsePattern } from '../../src/core/pattern.ts'
import { parseFieldPath } from '../../src/plugin/field-path.ts'
import { checkSteps, compileSteps } from '../../src/steps/compile.ts'
import { environment } from '../support/task-harness.ts'

const findings = (...steps: unknown[]) =>
  checkSteps(steps, environment).map(({ path, message }) => `${path.join('.')}: ${message}`)

t.test('a list without faults becomes a plan with numbered names', (t) => {
  const { plan, findings: none } = compileSteps(
    [
      { docker_partial: { mode: 'pass' } },
      { parse: { type: 'nginx', key: 'log', on_failure: 'tag' } },
      { grep: { exclude: { path: '/^\\/healthz/i' } } },
      { set: { cluster: 'prod', stream: '${record.container_name}-${record.source}' } },
      { remove: ['container_id', 'x_*'] },
      { rename: { a: 'b' } },
      { js: { module: './steps/severity.ts', options: { level: 3 } } }
    ],
    environment
  )
  t.strictSame(none, [])
  t.equal(plan.join, null)
  t.strictSame(
    plan.steps.map(({ name }) => name),
    ['2:parse', '3:grep', '4:set', '5:remove', '6:rename', '7:js']
  )
  t.match(plan.steps[0]?.operation, { onFailure: 'tag', path: ['log'], time: { key: 'time' } })
  t.match(plan.steps[5]?.operation, { module: 'file:///config/steps/severity.ts' })
  t.end()
})

t.test('parts of Docker lines are joined in a route that does not say otherwise', (t) => {
  const { plan } = compileSteps([], environment)
  t.strictSame(plan, {
    join: { flushAfterMs: 5000, bytesMax: 1_048_576, streamsMax: 1024 },
    steps: []
  })
  const { plan: set } = compileSteps([{ docker_partial: { flush_after: 100 } }], environment)
  t.equal(set.join?.flushAfterMs, 100)
  t.end()
})

t.test('every fault of a list is found at once, with its path', (t) => {
  t.strictSame(
    findings(
      { prase: {} },
      { parse: { type: 'ngnix' } },
      { parse: { type: 'regexp', expression: '(' } },
      { parse: { type: 'regexp', expression: '(\\w+)' } },
      { parse: { type: 'json', key: 'a..b' } },
      { parse: { type: 'json', time_key: 'at' } },
      { parse: { type: 'json', time_key: 'at', time_format: '%K' } },
      { parse: { type: 'json', time_format: '%s' } },
      { grep: {} },
      { grep: { include: { 'a b': 'x', level: '/(/' }, any: [{ status: [] }] } },
      { set: { 'a.b': 1 } },
      { set: { a: '${nothing}' } },
      { remove: ['*', 'a*b'] },
      { rename: { a: 'c', b: 'c' } },
      { js: {} },
      { docker_partial: { mode: 'pass' } },
      'grep',
      { grep: {}, set: {} }
    ).map((text) => text.replace(/: .*/, '')),
    [
      '0.prase',
      '1.parse.type',
      '2.parse.expression',
      '3.parse.expression',
      '4.parse.key',
      '5.parse.time_key',
      '6.parse.time_format',
      '7.parse.time_format',
      '8.grep',
      '9.grep.include.a b',
      '9.grep.include.level',
      '9.grep.any.0.status',
      '10.set.a.b',
      '11.set.a',
      '12.remove.0',
      '12.remove.1',
      '13.rename.b',
      '14.js',
      '15.docker_partial',
      '16',
      '17'
    ]
  )
  t.end()
})

t.test('paths of fields', (t) => {
  t.strictSame(parseFieldPath('a'), ['a'])
  t.strictSame(parseFieldPath('$.a.b-c.d'), ['a', 'b-c', 'd'])
  t.strictSame(parseFieldPath('["x.y"]'), ['x.y'])
  t.strictSame(parseFieldPath('a["x.\\"y"][0].z'), ['a', 'x."y', 0, 'z'])
  t.strictSame(parseFieldPath('@timestamp'), ['@timestamp'])
  for (const wrong of ['', '.', 'a.', '.a', 'a..b', '[0]', 'a[', 'a]b', 'a["x"', 'a b', '$.']) {
    t.equal(parseFieldPath(wrong), null, JSON.stringify(wrong))
  }
  t.end()
})

t.test('S54 patterns: flags, names of groups, and those whose time has no bound', (t) => {
  t.strictSame(parsePattern('/a/im'), { source: 'a', flags: 'im' })
  t.strictSame(parsePattern('a/b'), { source: 'a/b', flags: '' })
  t.match(parsePattern('/a/g'), { fault: /flags 'g'/ })
  t.match(parsePattern('/[/'), { fault: String })
  t.match(parsePattern('^(?=a)(a+)+$'), { fault: /no bound/ })
  t.match(parsePattern('^(a+)+\\1$'), { fault: /no bound/ })
  t.match(parsePattern('^(?<!x)a'), { source: String })
  t.match(parsePattern('^(a+)+$'), { source: String }, 'V8 leaves backtracking here')
  t.strictSame(captureNames('(?<a>x)(y)(?:z)\\((?<b>[()])(?=q)'), ['a', '', 'b'])
  t.end()
})
