import t from 'tap'
import { definePlugin, type ScriptStep } from '../../src/plugin/step.ts'
import { asScriptStep, runScript } from '../../src/steps/scripts.ts'
import type { Plain } from '../support/msgpack-objects.ts'
import { runSteps } from '../support/task-harness.ts'

const STEP = { js: { module: './step.ts', on_failure: 'tag' } }

function run(step: Partial<ScriptStep>, records: { [key: string]: Plain }[], steps = [STEP]) {
  const whole = definePlugin({
    kind: 'step',
    reads: '*',
    writes: '*',
    run: () => undefined,
    ...step
  })
  return runSteps(steps, records, { scripts: [whole] })
}

t.test('S63 declared fields cross, changes are laid over the record, null removes', (t) => {
  const seen: unknown[] = []
  const { documents } = run(
    {
      reads: ['log', 'level'],
      writes: ['severity', 'level'],
      run(record) {
        seen.push(record)
        return { severity: String(record['log']).length, level: null }
      }
    },
    [{ log: 'abc', level: 'x', other: 1 }, { log: 'é"\n' }]
  )
  t.strictSame(seen, [{ log: 'abc', level: 'x' }, { log: 'é"\n' }])
  t.strictSame(documents, [
    { log: 'abc', other: 1, severity: 3 },
    { log: 'é"\n', severity: 3 }
  ])
  t.end()
})

t.test(
  'S63 the whole record crosses and is replaced; undefined leaves it; null and false drop it',
  (t) => {
    const { documents, result } = run(
      {
        run(record) {
          if (record['n'] === 1n || record['n'] === 1) return { only: record['nested'] }
          if (record['n'] === 2) return undefined
          return record['n'] === 3 ? null : false
        }
      },
      [{ n: 1, nested: { a: [1, 'x'] } }, { n: 2, keep: 'yes' }, { n: 3 }, { n: 4 }]
    )
    t.strictSame(documents, [{ only: { a: [1, 'x'] } }, { n: 2, keep: 'yes' }])
    t.strictSame(result.dropped, [{ first: 2, end: 4, reason: '1:js' }])
    t.end()
  }
)

t.test(
  'S63 what throws, answers by promise, is cyclic or writes what it did not declare, fails',
  (t) => {
    const cyclic: Record<string, unknown> = {}
    cyclic['self'] = cyclic
    const answers: (() => unknown)[] = [
      () => {
        throw new Error('no')
      },
      () => Promise.resolve({}),
      () => cyclic,
      () => ({ forbidden: 1 }),
      () => [1],
      () => 7,
      () => ({ toJSON: () => undefined })
    ]
    for (const answer of answers) {
      const { documents, result } = run(
        { reads: ['log'], writes: ['ok', 'self', 'toJSON'], run: answer as ScriptStep['run'] },
        [{ log: 'x' }]
      )
      t.strictSame(documents, [{ log: 'x', parse_error: '1:js:javascript' }], String(answer))
      t.equal(result.counters['step_records_total|route|1:js|failed|javascript'], 1)
    }
    t.end()
  }
)

t.test('S63 integers beyond 2^53 are never rounded; __proto__ is a field like others', (t) => {
  const big = { id: 18_446_744_073_709_551_615n, small: 7 }
  const asText = run({ reads: ['id'], writes: ['copy'], run: ({ id }) => ({ copy: id }) }, [big])
  t.strictSame(asText.documents[0]?.['copy'], '18446744073709551615')
  const stage = (bigints: boolean) => ({
    step: definePlugin({ kind: 'step', reads: '*', writes: '*', bigints, run: (record) => record }),
    context: { options: null, state: {} }
  })
  const json = '{"id":18446744073709551615,"f":0.1,"__proto__":{"x":1}}'
  t.strictSame(runScript(stage(true), json), { kind: 'replace', json })
  t.strictSame(runScript(stage(false), json), {
    kind: 'replace',
    json: '{"id":"18446744073709551615","f":0.1,"__proto__":{"x":1}}'
  })
  t.end()
})

t.test('options and state reach the step; NaN and undefined members follow JSON', (t) => {
  const step = definePlugin({
    kind: 'step',
    reads: ['n'],
    writes: '*',
    run(_record, { options, state }) {
      state['count'] = Number(state['count'] ?? 0) + 1
      return { count: state['count'], options, nan: Number.NaN, gone: undefined }
    }
  })
  const context = { options: { level: 3 }, state: {} }
  runScript({ step, context }, '{}')
  t.strictSame(runScript({ step, context }, '{}'), {
    kind: 'changes',
    json: '{"count":2,"options":{"level":3},"nan":null}'
  })
  t.end()
})

t.test('a module whose default export is no step is refused', (t) => {
  for (const wrong of [
    undefined,
    {},
    { kind: 'step' },
    { kind: 'step', run: 1, reads: '*', writes: '*' }
  ]) {
    t.throws(() => asScriptStep(wrong, 'file:///x.ts'), { code: 'MR_TASK' })
  }
  t.end()
})
