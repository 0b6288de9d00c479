import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { findingLines, readConfig } from '../../src/cli/config-source.ts'

function findingsOf(t: Test, inputs: string): string {
  const workingDirectory = t.testdir()
  const text = `version: 1
inputs: {${inputs}}
routes:
  app: {match: "**", to: [files]}
outputs:
  files: {type: file}
`
  writeFileSync(join(workingDirectory, 'm.yaml'), text)
  const sink = { out: () => {}, error: () => {}, write: async () => true }
  const io = { environment: {}, workingDirectory, ...sink }
  return findingLines(readConfig(['m.yaml'], { config: [] }, io).findings)
}

t.test('the log of the process has one input at most', (t) => {
  t.equal(findingsOf(t, 'self: {type: internal}'), '')
  t.match(
    findingsOf(t, 'self: {type: internal}, again: {type: internal, tag: other}'),
    /inputs\.again MR_CONFIG_DUPLICATE "self" takes the log of the process already/
  )
  t.end()
})
