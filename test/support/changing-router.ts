// A router with two destinations whose routes change from start to start, and numbered records for it.

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { eventually } from './eventually.ts'
import { FakeOpenSearch } from './fake-opensearch.ts'
import { freePort } from './free-port.ts'
import { type LoadOptions, NumberedLoad } from './numbered-load.ts'
import { RouterProcess, startRouter } from './router-process.ts'

export const LIMIT_MS = 60_000

export const range = (first: number, end: number) =>
  Array.from({ length: end - first }, (_, index) => first + index)

export interface World {
  readonly dataDir: string
  readonly first: FakeOpenSearch
  readonly second: FakeOpenSearch
  start(
    routes: string,
    more?: {
      ingest?: number
      args?: readonly string[]
      env?: Readonly<Record<string, string>>
    }
  ): Promise<RouterProcess>
  /** Starts one that is not waited for. */
  launch(routes: string, args: readonly string[]): RouterProcess
  /** Begins to send; ends with the test. */
  load(options: Partial<Omit<LoadOptions, 'port'>>): NumberedLoad
  /** Sends and waits until all is acked. */
  send(count: number): Promise<void>
}

/** Two destinations, `first` and `second`; routes as given; numbered records with the tag `app.web`. */
export async function world(t: Test): Promise<World> {
  const first = await new FakeOpenSearch().start()
  const second = await new FakeOpenSearch().start()
  t.teardown(() => Promise.all([first.stop(), second.stop()]))
  const folder = t.testdir()
  const port = await freePort()
  const adminPort = await freePort()
  const flow = 'index: logs, flush_interval: 20ms, retry: {base: 20ms, cap: 100ms}'
  const config = (routes: string, ingest = 1, drainTimeout = '300ms') => `
version: 1
data_dir: ./data
drain_timeout: ${drainTimeout}
threads: {ingest: ${ingest}, pool: 1}
admin: {listen: "127.0.0.1:${adminPort}"}
inputs:
  load: {type: forward, listen: "tcp://127.0.0.1:${port}"}
routes:
${routes}
outputs:
  first: {type: opensearch, endpoints: ["${first.url}"], ${flow}}
  second: {type: opensearch, endpoints: ["${second.url}"], ${flow}}
`
  return {
    dataDir: join(folder, 'data'),
    first,
    second,
    start: (routes, { args = [], env = {}, ingest = 1 } = {}) =>
      startRouter(t, { folder, config: config(routes, ingest), adminPort, args, env }),
    launch(routes, args) {
      const router = new RouterProcess({
        folder,
        config: config(routes, 1, '60s'),
        adminPort,
        args
      })
      t.teardown(() => router.kill())
      return router
    },
    load(options) {
      const load = new NumberedLoad({ port, tag: 'app.web', ...options }).start()
      t.teardown(() => load.stop())
      return load
    },
    async send(count) {
      const load = new NumberedLoad({ port, tag: 'app.web', connections: 4, recordsMax: count })
      load.start()
      t.teardown(() => load.stop())
      await eventually('all is acked', LIMIT_MS, () => load.acked.length === count)
      load.stop()
    }
  }
}

export const refuse = (search: FakeOpenSearch) =>
  search.plan(...range(0, 20_000).map(() => ({ kind: 'status' as const, status: 503 })))

export const shardFiles = (dataDir: string, route: string) =>
  readdirSync(join(dataDir, 'routes', route, 'shard-00'))
