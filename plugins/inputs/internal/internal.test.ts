import t, { type Test } from 'tap'
import { WORD } from '../../../src/threads/shared.ts'
import { eventually } from '../../../test/support/eventually.ts'
import { FakeClock } from '../../../test/support/fake-clock.ts'
import { IngestHost } from '../../../test/support/ingest-host.ts'

const LIMIT_MS = 20_000
const TIME = '2026-11-20T10:00:00.250Z'

async function hostOf(t: Test, thread = { index: 0, count: 1 }) {
  const host = new IngestHost({
    inputs: { self: { type: 'internal', config: { tag: 'millrace', level: 'info' } } },
    inputModules: { internal: new URL('./input.ts', import.meta.url).href },
    clock: new FakeClock(),
    thread,
    directory: t.testdir()
  })
  await host.start(t)
  const take = (component: string, text: string) =>
    host.main.handle({ kind: 'own_log', batch: [{ component, text }] })
  const takenCount = () => host.messages.filter(({ kind }) => kind === 'own_log_taken').length
  return { host, take, takenCount }
}

const line = (msg: string) => `${JSON.stringify({ level: 'info', time: TIME, n: 7, msg })}\n`

t.test('lines are records with their time, under the tag of their component', async (t) => {
  const { host, take, takenCount } = await hostOf(t)
  await take('main', line('one') + line('two'))
  await take('disk', line('three'))
  t.equal(takenCount(), 2)
  await host.stop()
  t.same(
    host.records().map(({ tag, record }) => [tag, Object(record).msg]),
    [
      ['millrace.main', 'one'],
      ['millrace.main', 'two'],
      ['millrace.disk', 'three']
    ]
  )
  const [first] = host.records()
  t.same(first?.record, { level: 'info', n: 7n, msg: 'one' })
  const bytes = Object(first?.time).data
  const view = Buffer.from(bytes)
  t.equal(view.readUInt32BE(0), Date.parse(TIME) / 1000 - 0.25)
  t.equal(view.readUInt32BE(4), 250_000_000)
  t.equal(host.counter('received_records'), 3)
  t.equal(host.counter('received_bytes'), 3 * line('one').length + 2)
})

t.test('a line that is no good costs no other', async (t) => {
  const { host, take } = await hostOf(t)
  await take('main', `${line('one')}{"msg":"\\ud800"\n{"msg":\n${line('two')}nothing\n`)
  await host.stop()
  t.same(
    host.records().map(({ record }) => Object(record).msg),
    ['one', 'two']
  )
  t.equal(host.counter('input_rejected_records_total/bad_record'), 3)
})

t.test('a full queue is waited for without an answer, in order', async (t) => {
  const { host, take, takenCount } = await hostOf(t)
  const words = host.words('routes/all')
  words[WORD.isFull] = 1n
  await take('main', line('one'))
  await take('disk', line('two'))
  t.equal(takenCount(), 0)
  words[WORD.isFull] = 0n
  await host.main.handle({ kind: 'room', logs: ['routes/all'] })
  await eventually('both are taken', LIMIT_MS, () => takenCount() === 2)
  await host.stop()
  t.same(
    host.records().map(({ record }) => Object(record).msg),
    ['one', 'two']
  )
})

t.test('a stop gives up what found no room, and counts it', async (t) => {
  const { host, take, takenCount } = await hostOf(t)
  host.words('routes/all')[WORD.isFull] = 1n
  await take('main', line('one') + line('two'))
  await host.stop()
  t.equal(takenCount(), 0)
  t.equal(host.counter('input_rejected_records_total/stopped'), 2)
  t.equal(host.recordCount(), 0)
})

t.test('other threads take nothing, and nothing is logged about it', async (t) => {
  const { host, take } = await hostOf(t, { index: 1, count: 2 })
  await take('main', line('one'))
  await host.stop()
  t.equal(host.recordCount(), 0)
  t.same(host.warnings, [])
})
