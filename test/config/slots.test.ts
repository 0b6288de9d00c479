import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { findingLines, readConfig } from '../../src/cli/config-source.ts'

function findingsOf(t: Test, sizes: string): string {
  const workingDirectory = t.testdir()
  const text = `version: 1
inputs: {web: {type: http, listen: "tcp://127.0.0.1:1"}}
routes:
  app: {match: "**", to: [there]}
outputs:
  there: {type: opensearch, endpoints: ["http://127.0.0.1:2"], ${sizes}}
`
  writeFileSync(join(workingDirectory, 'm.yaml'), text)
  const sink = { out: () => {}, error: () => {}, write: async () => true }
  const io = { environment: {}, workingDirectory, ...sink }
  return findingLines(readConfig(['m.yaml'], { config: [] }, io).findings)
}

t.test('requests in flight that need more memory than can be addressed are refused', (t) => {
  t.equal(findingsOf(t, 'bulk_bytes: 32MiB, inflight_max: 64'), '')
  t.match(
    findingsOf(t, 'bulk_bytes: 64MiB, inflight_max: 64'),
    /outputs\.there MR_CONFIG_INVALID 64 requests of 64MiB need \S+; an output has 3GiB/
  )
  t.end()
})
