// One real router that takes clients by TCP, TLS and a Unix socket, and writes what it took into one file per tag.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { certificateFile } from './certificates.ts'
import { compare, nothingWrong } from './event-source.ts'
import { eventually } from './eventually.ts'
import { freePort } from './free-port.ts'
import type { StoredRecord } from './output-files.ts'
import { type RouterProcess, startRouter } from './router-process.ts'
import { shortDir } from './short-dir.ts'

export const CLIENT_LIMIT_MS = 60_000

/** What a client shows at `keyPort`. */
export const CLIENT_SECURITY = {
  clientHostname: 'client.example',
  sharedKey: 'a-shared-key',
  username: 'shop',
  password: 'a-password'
} as const

export interface ClientRouter {
  readonly port: number
  readonly tlsPort: number
  /** Asks for `CLIENT_SECURITY`. */
  readonly keyPort: number
  readonly socket: string
  readonly caFile: string
  /** The process that runs now. */
  readonly router: RouterProcess
  /** Lines of the output file of a tag. */
  lines(tag: string): string[]
  /** Waits for `count` numbered records of a tag, checks that each is there once, and returns them by number. */
  stored(t: Test, tag: string, count: number): Promise<StoredRecord[]>
  /** SIGKILL, and the same router again. */
  killAndStart(): Promise<void>
}

/** `t` is the test that the router ends with. */
export async function clientRouter(t: Test): Promise<ClientRouter> {
  const folder = shortDir(t)
  const [port, tlsPort, adminPort] = [await freePort(), await freePort(), await freePort()]
  const keyPort = await freePort()
  const { sharedKey, username, password } = CLIENT_SECURITY
  const socket = join(folder, 'fluent.sock')
  const setup = {
    folder,
    adminPort,
    config: `version: 1
data_dir: ${folder}/data
admin: {listen: "127.0.0.1:${adminPort}"}
inputs:
  plain: {type: forward, listen: ["tcp://127.0.0.1:${port}", "unix://${socket}"]}
  encrypted:
    type: forward
    listen: "tls://127.0.0.1:${tlsPort}"
    tls: {cert_file: "${certificateFile('server.pem')}", key_file: "${certificateFile('server.key')}"}
  keyed:
    type: forward
    listen: "tcp://127.0.0.1:${keyPort}"
    security: {shared_key: ${sharedKey}, user_auth: true, users: [{username: ${username}, password: ${password}}]}
routes: {all: {match: "**", to: [files]}}
outputs: {files: {type: file, path: "${folder}/out/\${tag}.ndjson"}}
`
  }
  let router = await startRouter(t, setup)
  const lines = (tag: string): string[] => {
    const file = join(folder, 'out', `${tag}.ndjson`)
    return existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : []
  }
  return {
    port,
    tlsPort,
    keyPort,
    socket,
    caFile: certificateFile('ca.pem'),
    get router() {
      return router
    },
    lines,
    stored: async (t, tag, count) => {
      const parse = (): StoredRecord[] => lines(tag).map((line) => JSON.parse(line))
      const isAll = () => new Set(parse().map((record) => record['seq'])).size >= count
      await eventually(`${count} records of ${tag}`, CLIENT_LIMIT_MS, isAll).catch(() => undefined)
      const records = parse().toSorted((a, b) => Number(a['seq']) - Number(b['seq']))
      const seqs = records.map((record) => Number(record['seq']))
      t.same(compare(seqs, count), nothingWrong, `each record of ${tag} is stored once`)
      return records
    },
    killAndStart: async () => {
      await router.kill()
      router = await startRouter(t, setup)
    }
  }
}

/** Whether an event time is that of a test which runs now. */
export function isRecent(time: string): boolean {
  return Math.abs(Date.parse(time) - Date.now()) < 5 * CLIENT_LIMIT_MS
}
