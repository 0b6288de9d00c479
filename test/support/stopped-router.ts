// A router with one destination that can be stopped and started again on the same data.

import type { Test } from 'tap'
import { FakeOpenSearch } from './fake-opensearch.ts'
import { freePort } from './free-port.ts'
import { NumberedLoad } from './numbered-load.ts'

export async function stoppedRouter(t: Test, drainTimeout: string, route = '') {
  const search = await new FakeOpenSearch().start()
  t.teardown(() => search.stop())
  const port = await freePort()
  const adminPort = await freePort()
  const config = `
version: 1
data_dir: ./data
drain_timeout: ${drainTimeout}
admin: {listen: "127.0.0.1:${adminPort}"}
inputs:
  load: {type: forward, listen: "tcp://127.0.0.1:${port}"}
routes:
  all: {match: "**", ${route} to: [search]}
outputs:
  search: {type: opensearch, endpoints: ["${search.url}"], index: logs, flush_interval: 50ms, retry: {base: 20ms, cap: 200ms}}
`
  const setup = { folder: t.testdir(), config, adminPort }
  const load = (options: object = {}) => {
    const made = new NumberedLoad({ port, tag: 'app.web', ...options }).start()
    t.teardown(() => made.stop())
    return made
  }
  const refuse = () =>
    search.plan(...Array.from({ length: 20_000 }, () => ({ kind: 'status' as const, status: 503 })))
  return { search, setup, load, refuse }
}
