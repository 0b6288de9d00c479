// Random records through random lists of steps: the compiled program in the kernel and naive functions over plain objects
// give the same bytes and the same verdicts.

import fc from 'fast-check'
import t from 'tap'
import { FrameStore } from '../support/frame-store.ts'
import type { Plain } from '../support/msgpack-objects.ts'
import { packEntry } from '../support/msgpack-objects.ts'
import { harness } from '../support/task-harness.ts'

const RUNS = 300

const KEYS = [
  'a',
  'b',
  'log',
  'message',
  'level',
  'x_1',
  'x_2',
  'a long key of more than 16'
] as const
const key = fc.constantFrom(...KEYS)
const word = fc.constantFrom(
  '',
  'error',
  'warn',
  '500',
  '-7',
  '1e3',
  '0x1f',
  'a b',
  'é"\\\n\t',
  '日本',
  'true'
)
const text = fc.oneof(
  word,
  fc.string({ maxLength: 40 }),
  fc.array(word, { maxLength: 9 }).map((words) => words.join(' '))
)
const scalar: fc.Arbitrary<Plain> = fc.oneof(
  { weight: 6, arbitrary: text },
  { weight: 1, arbitrary: fc.integer() },
  { weight: 1, arbitrary: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }) },
  { weight: 1, arbitrary: fc.boolean() },
  { weight: 1, arbitrary: fc.constant(null) },
  { weight: 1, arbitrary: fc.constantFrom(0.5, -2.25, 1e21, 1e-7, 123456.789) }
)
const jsonLine = fc
  .dictionary(
    key,
    fc.oneof(text, fc.integer(), fc.boolean(), fc.constant(null), fc.constant({ n: [1, 'x'] }))
  )
  .map((object) => JSON.stringify(object))
const record = fc.dictionary(
  key,
  fc.oneof(
    { weight: 5, arbitrary: scalar },
    { weight: 1, arbitrary: jsonLine },
    { weight: 1, arbitrary: fc.constant({ p: 'web', q: { r: [1, 'two'] } } as Plain) },
    { weight: 1, arbitrary: fc.constant([1, 'two', null] as Plain) }
  ),
  { maxKeys: 6 }
)

const path = fc.oneof(
  { weight: 6, arbitrary: key.map((name) => (name.includes(' ') ? `["${name}"]` : name)) },
  { weight: 1, arbitrary: fc.constantFrom('a.p', 'b.q.r[1]', 'log.n') }
)
const test = fc.oneof(
  text.filter((value) => !value.startsWith('/')),
  fc.integer({ min: -1000, max: 1000 }),
  fc.record({ prefix: fc.constantFrom('e', 'err', 'a') }),
  fc.record({ contains: fc.constantFrom('r', 'or', ' ', '日') }),
  fc.record({ gte: fc.integer({ min: -10, max: 1000 }) }),
  fc.record({ lt: fc.integer({ min: -10, max: 1000 }), exists: fc.boolean() }),
  fc.record({ exists: fc.boolean() }),
  fc.constantFrom('/^err/', '/o.$/i', '/\\d+/', '/é/'),
  fc.constantFrom(['error', 'warn'], ['500'])
)
const block = fc.dictionary(path, test, { minKeys: 1, maxKeys: 2 })
const blocks = fc.array(block, { minLength: 1, maxLength: 2 })
const grep = fc
  .record({ include: block, exclude: block, any: blocks, all: blocks }, { requiredKeys: [] })
  .filter((rules) => Object.keys(rules).length > 0)
  .map((rules) => ({ grep: rules }))
const template = fc.constantFrom(
  'constant',
  7,
  null,
  { m: [1, 'x'] },
  '${record.a}',
  '${record.b:-none}',
  '<${record.log}>',
  '${record.a}-${record.b:-none}-${tag}',
  '${tag_parts[1]}${record.x_1}',
  '${time:%Y-%m-%dT%H}',
  '${record.a.q}!'
)
const set = fc
  .tuple(
    fc.dictionary(fc.constantFrom('a', 'b', 'log', 'new', 'x_2'), template, {
      minKeys: 1,
      maxKeys: 3
    }),
    fc.boolean()
  )
  .map(([assignments, isOnlyMissing]) => ({
    set: isOnlyMissing ? { if_missing: true, ...assignments } : assignments
  }))
const remove = fc
  .subarray(['a', 'log', 'level', 'x_*', 'nothing', 'a long*'], { minLength: 1 })
  .map((names) => ({ remove: names }))
const rename = fc
  .tuple(
    fc.subarray([...KEYS], { minLength: 1, maxLength: 3 }),
    fc.shuffledSubarray([...KEYS, 'new', 'other'], { minLength: 3, maxLength: 3 }),
    fc.constantFrom('replace', 'keep')
  )
  .filter(
    ([from, to, onConflict]) =>
      onConflict === 'replace' ||
      !to.slice(0, from.length).some((name) => from.some((each) => each === name))
  )
  .map(([from, to, onConflict]) => ({
    rename: {
      on_conflict: onConflict,
      ...Object.fromEntries(from.map((name, index) => [name, to[index] ?? 'new']))
    }
  }))
const parser = fc.record({
  format: fc.constantFrom(
    { type: 'json' },
    { type: 'regexp', expression: '^(?<level>\\w+) (?<rest>.*)$' },
    { type: 'regexp', expression: '(?<x_1>\\d+)(?<unit>[a-z])?' }
  ),
  options: fc.record(
    {
      key: fc.constantFrom('log', 'a', 'message', 'a.p'),
      keep_original: fc.boolean(),
      keep_others: fc.boolean(),
      prefix: fc.constantFrom('', 'p_'),
      on_conflict: fc.constantFrom('replace', 'keep', 'rename'),
      on_failure: fc.constantFrom('keep', 'dead_letter', 'drop', 'tag'),
      on_missing: fc.constantFrom('keep', 'fail'),
      types: fc.constantFrom({ x_1: 'integer' }, { level: 'boolean' })
    },
    { requiredKeys: [] }
  )
})
const parse = parser.map(({ format, options }) => ({ parse: { ...format, ...options } }))
const steps = fc.array(fc.oneof(grep, set, remove, rename, parse), { minLength: 1, maxLength: 5 })

t.test('S32 S35 S36 S37 S44 kernel and plain objects agree on random records and steps', (t) => {
  fc.assert(
    fc.property(steps, fc.array(record, { minLength: 1, maxLength: 8 }), (list, records) => {
      const store = new FrameStore(1000)
      store.append([{ entries: records.map((each) => packEntry(each)) }], 1_700_000_000_000)
      const compiled = harness(store, { steps: list })
      const objects = harness(store, { steps: list, kernel: 'objects' })
      const one = compiled.run()
      const other = objects.run()
      const view = (result: typeof one) => ({
        dropped: result.dropped.flatMap(({ first, end, reason }) =>
          Array.from({ length: end - first }, (_, index) => `${first + index} ${reason}`)
        ),
        deadLetters: result.deadLetters,
        resumeOffset: result.resumeOffset
      })
      const found = { ...view(one), bodies: compiled.bodies(one) }
      const wanted = { ...view(other), bodies: objects.bodies(other) }
      if (JSON.stringify(found) !== JSON.stringify(wanted)) {
        throw new Error(`kernel ${JSON.stringify(found)}\nobjects ${JSON.stringify(wanted)}`)
      }
    }),
    { numRuns: RUNS, seed: 20261120, includeErrorInReport: true }
  )
  t.end()
})
