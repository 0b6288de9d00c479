import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { findingLines, readConfig } from '../../src/cli/config-source.ts'

function findingsOf(t: Test, output: string, steps: string): string {
  const workingDirectory = t.testdir()
  const text = `version: 1
inputs: {web: {type: http, listen: "tcp://127.0.0.1:1"}}
routes:
  app: {match: "**", steps: [${steps}], to: [{output: there, drain_order: newest_first}]}
outputs:
  there: ${output}
`
  writeFileSync(join(workingDirectory, 'm.yaml'), text)
  const io = {
    environment: {},
    workingDirectory,
    out: () => {},
    error: () => {},
    write: async () => true
  }
  const { config, findings } = readConfig(['m.yaml'], { config: [] }, io)
  t.equal(config === null, findings.length > 0)
  return findingLines(findings)
}

const SEARCH = '{type: opensearch, endpoints: ["http://127.0.0.1:2"]}'
const PASS = 'docker_partial: {mode: pass}'

t.test('newest_first needs a route that joins nothing: joining is on unless told', (t) => {
  t.equal(findingsOf(t, SEARCH, PASS), '')
  for (const steps of ['', 'docker_partial: {mode: join}', 'docker_partial: {flush_after: 1s}']) {
    const text = findingsOf(t, SEARCH, steps)
    t.match(text, /routes\.app\.to\[0\]\.drain_order MR_CONFIG_INVALID/)
    t.match(text, /begin the steps of the route with docker_partial: \{mode: pass\}/)
  }
  t.end()
})

t.test('newest_first is refused for outputs that keep an order per target', (t) => {
  const ordered = [
    ['file', '{type: file, path: "/tmp/x.log"}'],
    ['stdout', '{type: stdout}'],
    [
      'cloudwatch_logs',
      '{type: cloudwatch_logs, region: eu-west-1, log_group_name: a, log_stream_name: b}'
    ]
  ] as const
  for (const [type, output] of ordered) {
    const text = findingsOf(t, output, PASS)
    t.match(text, `newest_first breaks the order that ${type} outputs keep`)
  }
  t.equal(findingsOf(t, "{type: 'null'}", PASS), '')
  t.end()
})
