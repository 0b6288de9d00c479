// The log of the process as records of its own queue.

import { join } from 'node:path'
import t from 'tap'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'
import { readRecords } from '../support/output-files.ts'
import { startRouter } from '../support/router-process.ts'

const LIMIT_MS = 60_000

t.setTimeout(180_000)

t.test('the router stores what it logs, and a failing output does not feed itself', async (t) => {
  const folder = t.testdir()
  const adminPort = await freePort()
  const deadPort = await freePort()
  const router = await startRouter(t, {
    folder,
    adminPort,
    args: ['--log-level', 'error'],
    config: `
version: 1
data_dir: ./data
drain_timeout: 1s
admin: {listen: "127.0.0.1:${adminPort}"}
inputs:
  self: {type: internal}
routes:
  all: {match: "millrace.**", to: [files, search]}
outputs:
  files: {type: file, path: ${join(folder, 'out')}/own.ndjson}
  search: {type: opensearch, endpoints: ["http://127.0.0.1:${deadPort}"], index: logs, flush_interval: 10ms, retry: {base: 10ms, cap: 20ms}}
`
  })
  const records = () => readRecords(join(folder, 'out'))
  await eventually('its first record arrived', LIMIT_MS, () =>
    records().some(({ event, tag }) => event === 'started' && tag === 'millrace.main')
  )
  await eventually('the trouble of the output too', LIMIT_MS, () =>
    records().some(({ level }) => level === 'warn')
  )
  t.notMatch(router.log, /"event":"started"/, 'the output has its own level')
  const before = await router.metric('millrace_output_retries_total')
  await eventually('it fails on and on', LIMIT_MS, async () => {
    return (await router.metric('millrace_output_retries_total')) > before + 100
  })
  const received = await router.metric('millrace_input_received_records_total')
  t.ok(received >= 2 && received < 30, `${received} records`)
  t.equal(await router.metric('millrace_input_rejected_records_total'), 0)
  t.equal(await router.stop(), 0)
})
