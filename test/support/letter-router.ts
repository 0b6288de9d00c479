// A router whose one route sends to a fake OpenSearch that can refuse records, and the commands about its dead letters.

import type { Test } from 'tap'
import type { CursorStatus, JobStatus } from '../../src/admin/status.ts'
import { command } from './command-line.ts'
import { eventually } from './eventually.ts'
import { FakeOpenSearch } from './fake-opensearch.ts'
import { freePort } from './free-port.ts'
import { type RouterProcess, type RouterSetup, startRouter } from './router-process.ts'

export const LIMIT_MS = 30_000

export async function setUp(t: Test, settings = '') {
  const search = await new FakeOpenSearch().start()
  t.teardown(() => search.stop())
  const http = await freePort()
  const adminPort = await freePort()
  const configOf = (more: string, match: string) => `
version: 1
data_dir: ./data
admin: {listen: "127.0.0.1:${adminPort}"}
${settings}
${more}
inputs:
  web: {type: http, listen: "tcp://127.0.0.1:${http}"}
routes:
  app:
    match: "${match}"
    steps:
      - grep: {exclude: {log: {prefix: "noise"}}}
    to: [search]
outputs:
  search: {type: opensearch, endpoints: ["${search.url}"], index: "logs"}
`
  const folder = t.testdir()
  const start = (more = '', match = 'app.**', setup: Partial<RouterSetup> = {}) =>
    startRouter(t, { folder, config: configOf(more, match), adminPort, ...setup })
  const post = async (tag: string, records: object[]) => {
    const answer = await fetch(`http://127.0.0.1:${http}/${tag}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(records)
    })
    if (answer.status !== 200) throw new Error(`${answer.status} ${await answer.text()}`)
  }
  return { search, start, post, folder, url: `http://127.0.0.1:${http}` }
}

export async function cursor(router: RouterProcess): Promise<CursorStatus> {
  const answer = await fetch(`${router.adminUrl}/api/v1/queues`)
  const { cursors } = (await answer.json()) as { cursors: CursorStatus[] }
  return cursors[0]!
}

export const settledAt = (router: RouterProcess, appended: number) =>
  eventually(`${appended} records are settled`, LIMIT_MS, async () => {
    const status = await cursor(router)
    return status.appended === appended && status.pending === 0 ? status : null
  })

/** A command against the router, as people write it. */
export const dlq = (router: RouterProcess, ...words: string[]) =>
  command(['dlq', ...words, '--admin', router.adminUrl])

export const json = async (router: RouterProcess, ...words: string[]) => {
  const { error, exitCode, out } = await dlq(router, ...words, '--json')
  if (out === '') throw new Error(`dlq ${words.join(' ')}: exit ${exitCode}, ${error}`)
  return JSON.parse(out)
}

export const replay = (router: RouterProcess, ...words: string[]): Promise<JobStatus> =>
  json(router, 'replay', 'out.search', ...words)
