// A whole router that is attacked while an honest sender goes on, and what has to be true afterwards: every honest record
// was acknowledged on its first connection, stored once, and the identity of the queues holds.

import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import type { Test } from 'tap'
import { command } from './command-line.ts'
import { eventually } from './eventually.ts'
import { FakeOpenSearch } from './fake-opensearch.ts'
import { freePort } from './free-port.ts'
import { arrivedSeqs, missingSeqs, NumberedLoad } from './numbered-load.ts'
import { type RouterProcess, startRouter } from './router-process.ts'

export const LIMIT_MS = 60_000
/** Acks before the attack: code is compiled, buffers are in place. */
const WARM_RECORDS = 4000
/** Records that have to be acknowledged after an attack began, before it counts as survived. */
const PROOF_RECORDS = 400

export interface HostileWorld {
  readonly router: RouterProcess
  readonly honest: NumberedLoad
  readonly forwardPort: number
  readonly httpPort: number
  readonly search: FakeOpenSearch
  /** Sum of the series of a metric whose labels hold `label`. */
  count(name: string, label?: string): Promise<number>
  /** Lines of the log that hold `text`. */
  logLines(text: string): Record<string, unknown>[]
  /** Resident memory without mapped files, bytes. */
  memory(): number
  /** Waits until the honest sender got more acks than it has now. */
  proveHonest(): Promise<void>
  /** Ends the honest sender and checks everything. `others`: documents that are not its own. */
  finish(others?: number): Promise<void>
}

export interface HostileSetup {
  /** More options of the inputs, as YAML flow text that begins with a comma. */
  readonly forward?: string
  readonly http?: string
}

export async function hostileWorld(t: Test, setup: HostileSetup = {}): Promise<HostileWorld> {
  const search = await new FakeOpenSearch().start()
  t.teardown(() => search.stop())
  const forwardPort = await freePort()
  const httpPort = await freePort()
  const adminPort = await freePort()
  const config = `
version: 1
data_dir: ./data
drain_timeout: 300ms
threads: {ingest: 1, pool: 1}
admin: {listen: "127.0.0.1:${adminPort}"}
inputs:
  agents: {type: forward, listen: "tcp://127.0.0.1:${forwardPort}"${setup.forward ?? ''}}
  web: {type: http, listen: "tcp://127.0.0.1:${httpPort}"${setup.http ?? ''}}
routes:
  all: {match: "**", to: [search]}
outputs:
  search: {type: opensearch, endpoints: ["${search.url}"], index: logs, flush_interval: 20ms}
`
  const router = await startRouter(t, { folder: t.testdir(), config, adminPort })
  const honest = new NumberedLoad({ port: forwardPort, tag: 'app.honest', pauseMs: 2 }).start()
  t.teardown(() => honest.stop())
  await eventually('the honest sender is warm', LIMIT_MS, () => honest.acked.length > WARM_RECORDS)
  return {
    router,
    honest,
    forwardPort,
    httpPort,
    search,
    count: (name, label = '') => countOf(router, `millrace_${name}`, label),
    logLines: (text) => logLines(router, text),
    memory: () => anonymousBytes(router),
    async proveHonest() {
      const wanted = honest.acked.length + PROOF_RECORDS
      await eventually('honest acks go on', LIMIT_MS, () => honest.acked.length >= wanted)
    },
    finish: (others = 0) => finish(t, { router, honest, search, adminPort, others })
  }
}

interface Ending {
  readonly router: RouterProcess
  readonly honest: NumberedLoad
  readonly search: FakeOpenSearch
  readonly adminPort: number
  readonly others: number
}

async function finish(t: Test, ending: Ending): Promise<void> {
  const { adminPort, honest, others, router, search } = ending
  honest.close()
  await eventually('every honest record is acked', LIMIT_MS, () => {
    return honest.acked.length === honest.sent
  })
  t.equal(honest.connects, 1, 'the honest connection was never broken')
  const wanted = honest.sent + others
  await eventually('all is delivered', LIMIT_MS, async () => {
    const pending = await router.metric('millrace_queue_pending_records')
    return search.documents.length >= wanted && pending === 0
  })
  const arrived = arrivedSeqs(search)
  t.same(missingSeqs(honest.acked, arrived), [], 'nothing acked is missing')
  t.equal(search.documents.length, wanted, 'stored exactly once')
  const words = ['queue', 'reconcile', '--admin', `127.0.0.1:${adminPort}`]
  const verdict = await command(words)
  t.equal(verdict.exitCode, 0, verdict.out + verdict.error)
  honest.stop()
  t.equal(await router.stop(), 0)
}

async function countOf(router: RouterProcess, name: string, label: string): Promise<number> {
  let sum = 0
  for (const line of (await router.metrics()).split('\n')) {
    const found = /^([a-z0-9_]+)(\{[^}]*\})? (\S+)$/.exec(line)
    if (found?.[1] === name && (found[2] ?? '').includes(label)) sum += Number(found[3])
  }
  return sum
}

function logLines(router: RouterProcess, text: string): Record<string, unknown>[] {
  return router.log
    .split('\n')
    .filter((line) => line.startsWith('{') && line.endsWith('}') && line.includes(text))
    .map((line) => JSON.parse(line))
}

function anonymousBytes(router: RouterProcess): number {
  const status = readFileSync(`/proc/${router.child.pid}/status`, 'latin1')
  return Number(/^RssAnon:\s+(\d+)/m.exec(status)?.[1]) * 1024
}

export interface Attacker {
  readonly socket: Socket
  /** How it ended: the peer's FIN or a reset. */
  readonly closed: Promise<'end' | 'reset'>
}

/** A connection that sends `bytes`. It reads what comes, unless `isDeaf`. */
export function attack(port: number, bytes: Uint8Array | string = '', isDeaf = false): Attacker {
  const socket = connect({ host: '127.0.0.1', port })
  let result: 'end' | 'reset' = 'end'
  socket.on('error', () => {
    result = 'reset'
  })
  if (!isDeaf) socket.resume()
  const closed = new Promise<'end' | 'reset'>((resolve) => {
    socket.once('close', () => resolve(result))
  })
  if (bytes.length > 0) socket.write(bytes)
  return { socket, closed }
}
