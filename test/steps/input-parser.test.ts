// The parser of an input runs before the steps of a route, for records of that input alone.

import t from 'tap'
import { FrameStore } from '../support/frame-store.ts'
import { packEntry } from '../support/msgpack-objects.ts'
import { harness } from '../support/task-harness.ts'

const JSON_TEXT = '{"level":"warn","text":"x"}'

function run(inputSteps: { input: string; parser: unknown }[], steps: unknown[] = []) {
  const store = new FrameStore()
  const group = (source: string) => ({ source, entries: [packEntry({ log: JSON_TEXT })] })
  store.append(
    [group('app\0'), group('app2\x0010.0.0.1'), group('ap\0'), group('app\x0010.1.1.1')],
    1
  )
  const one = harness(store, { inputSteps, steps, spec: { timeField: null } })
  return one.documents(one.run())
}

t.test('records of the input are parsed, with and without an address; others are not', (t) => {
  const parsed = { level: 'warn', text: 'x' }
  const raw = { log: JSON_TEXT }
  t.same(run([{ input: 'app', parser: { type: 'json' } }]), [parsed, raw, raw, parsed])
  t.same(run([{ input: 'app2', parser: { type: 'json' } }]), [raw, parsed, raw, raw])
  t.end()
})

t.test('each input has its own, and the steps of the route see what they made', (t) => {
  const documents = run(
    [
      { input: 'app', parser: { type: 'json' } },
      { input: 'ap', parser: { type: 'json', into: 'made' } }
    ],
    [{ grep: { include: { level: 'warn' } } }]
  )
  t.same(documents, [
    { level: 'warn', text: 'x' },
    { level: 'warn', text: 'x' }
  ])
  t.end()
})
