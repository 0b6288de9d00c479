import { Writable } from 'node:stream'
import t, { type Test } from 'tap'
import { BUILT_INS } from '../../plugins/index.ts'
import { FakeCloudWatch } from '../support/fake-cloudwatch.ts'
import { FakeOpenSearch } from '../support/fake-opensearch.ts'
import { outputConformance, type Subject } from './output.ts'

/** What a type needs besides its defaults to run here. A type that is not listed runs on its defaults. */
const SUBJECTS: Record<string, (t: Test) => Promise<Subject>> = {
  async opensearch(t) {
    const fake = await new FakeOpenSearch().start()
    t.teardown(() => fake.stop())
    return { options: { endpoints: [fake.url] }, hang: () => fake.plan({ kind: 'hang' }) }
  },
  async cloudwatch_logs(t) {
    const fake = await new FakeCloudWatch({
      isEverythingThere: true,
      nowMs: () => 1_763_650_020_000
    }).start()
    t.teardown(() => fake.stop())
    const options = {
      region: 'us-east-1',
      endpoint: fake.url,
      aws_key_id: 'AK',
      aws_sec_key: 'SK',
      log_group_name: '/app/${tag_parts[0]}'
    }
    return { options, hang: () => fake.plan('PutLogEvents', { kind: 'hang' }) }
  },
  file: async (t) => ({
    options: { path: `${t.testdir()}/logs/\${tag}.ndjson` },
    hang: null
  }),
  null: async () => ({ options: {}, hang: null })
}

// The lines of the output `stdout` would mix with the report of the tests.
const written: Buffer[] = []
const sink = new Writable({
  write(chunk, _encoding, callback) {
    written.push(chunk)
    callback()
  }
})

for (const definition of BUILT_INS) {
  if (definition.kind !== 'output') continue
  const isStream = definition.type === 'stdout'
  t.test(`output ${definition.type}`, (t) => {
    if (isStream) {
      const { stderr } = process
      Object.defineProperty(process, 'stderr', { value: sink, configurable: true })
      t.teardown(() => {
        Object.defineProperty(process, 'stderr', { value: stderr, configurable: true })
      })
    }
    const subject =
      SUBJECTS[definition.type] ??
      (async () => ({ options: isStream ? { stream: 'stderr' } : {}, hang: null }))
    outputConformance(t, definition, subject)
    t.end()
  })
}

t.test('the stream got whole lines', (t) => {
  const lines = Buffer.concat(written).toString().trimEnd().split('\n')
  t.ok(lines.length > 0)
  for (const line of lines) t.match(JSON.parse(line), { tag: String, time: String, log: String })
  t.end()
})
