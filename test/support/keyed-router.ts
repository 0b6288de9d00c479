// A router whose queue is compressed and may be encrypted, a destination that can be down, and looks at its files.

import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { CursorStatus, QueuesStatus } from '../../src/admin/status.ts'
import { eventually } from './eventually.ts'
import type { FakeOpenSearch } from './fake-opensearch.ts'
import { RouterProcess, startRouter } from './router-process.ts'
import { searchPlace } from './search-place.ts'

export const LIMIT_MS = 30_000
export const EXIT_IO = 74
export const SECRET = 'correct horse battery staple'
export const KEY_ONE = Buffer.alloc(32, 1).toString('base64')
export const KEY_TWO = Buffer.alloc(32, 2).toString('hex')

export async function setUpKeyed(t: Test, route = '') {
  const { search, folder, port: http, adminPort } = await searchPlace(t)
  const config = (encryption: string) => `
version: 1
data_dir: ./data
drain_timeout: 50ms
admin: {listen: "127.0.0.1:${adminPort}"}
queue: {${encryption}}
inputs:
  web: {type: http, listen: "tcp://127.0.0.1:${http}"}
routes:
  app: {match: "app.**", compression: zstd, ${route} to: [search]}
outputs:
  search: {type: opensearch, endpoints: ["${search.url}"], index: logs, retry: {base: 20ms, cap: 100ms}}
`
  const post = async (tag: string, numbers: readonly number[]) => {
    const answer = await fetch(`http://127.0.0.1:${http}/${tag}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(numbers.map((n) => ({ log: `${SECRET} ${SECRET} ${n}`, n })))
    })
    t.equal(answer.status, 200)
  }
  const start = (encryption: string, ...args: string[]) =>
    startRouter(t, { folder, config: config(encryption), adminPort, args })
  /** Exit code of a start that is refused. */
  const refusal = (encryption: string) =>
    new RouterProcess({ folder, config: config(encryption), adminPort }).exit
  return { search, post, start, refusal, data: join(folder, 'data') }
}

export function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .map((name) => join(directory, name))
    .filter((file) => statSync(file).isFile())
    .toSorted()
}

/** Names and contents; the lock names its last holder, which is no part of the queue. */
export function treeHash(directory: string): string {
  const tree = createHash('sha256')
  for (const file of filesBelow(directory)) {
    if (!file.endsWith('/LOCK')) tree.update(file).update('\0').update(readFileSync(file))
  }
  return tree.digest('hex')
}

/** Files that hold a word of every record. */
export const readable = (directory: string) =>
  filesBelow(directory).filter((file) => readFileSync(file).includes('battery'))

async function cursorOf(router: RouterProcess): Promise<CursorStatus> {
  const { cursors } = (await (
    await fetch(`${router.adminUrl}/api/v1/queues`)
  ).json()) as QueuesStatus
  return cursors[0]!
}

export const counted = (router: RouterProcess, wanted: Partial<CursorStatus>) =>
  eventually(JSON.stringify(wanted), LIMIT_MS, async () => {
    const status = await cursorOf(router)
    return Object.entries(wanted).every(
      ([key, value]) => status[key as keyof CursorStatus] === value
    )
      ? status
      : null
  })

export const down = { kind: 'status' as const, status: 503 }
export const numbersIn = (search: FakeOpenSearch) =>
  search.documents
    .map(({ source }) => Number((JSON.parse(source) as { n: number }).n))
    .sort((a, b) => a - b)
