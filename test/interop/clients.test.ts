// Client libraries of other projects, unmodified, against a real router; what they sent is read from its output files.

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type EventModes, FluentClient } from '@fluent-org/logger'
import t, { type Test } from 'tap'
import { compare, nothingWrong } from '../support/event-source.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'
import { readRecords, type StoredRecord } from '../support/output-files.ts'
import { findProgram, requireAll } from '../support/require-program.ts'
import { startRouter } from '../support/router-process.ts'
import { shortDir } from '../support/short-dir.ts'

const CLIENTS = join(import.meta.dirname, 'clients')
const COUNT = 500
const LIMIT_MS = 60_000
const run = promisify(execFile)
const python = process.env['MILLRACE_TEST_PYTHON'] ?? ''
const goClient = findProgram('MILLRACE_TEST_GO_CLIENT', 'millrace-test-go-client')

t.setTimeout(300_000)

/** Runs a client against a fresh router and returns what was stored, in the order of the numbers. */
async function stored(t: Test, send: (port: number) => Promise<unknown>): Promise<StoredRecord[]> {
  const folder = shortDir(t)
  const [port, adminPort] = [await freePort(), await freePort()]
  const router = await startRouter(t, {
    folder,
    adminPort,
    config: `version: 1
data_dir: ${folder}/data
admin: {listen: "127.0.0.1:${adminPort}"}
inputs: {containers: {type: forward, listen: "tcp://127.0.0.1:${port}"}}
routes: {all: {match: "**", to: [files]}}
outputs: {files: {type: file, path: "${folder}/out/\${tag}.ndjson"}}
`
  })
  await send(port)
  const read = () => readRecords(join(folder, 'out'))
  await eventually(`${COUNT} records are stored`, LIMIT_MS, () => read().length >= COUNT).catch(
    () => undefined
  )
  t.equal(await router.stop(), 0, 'the router stops cleanly')
  const records = read().toSorted((a, b) => Number(a['seq']) - Number(b['seq']))
  const seqs = records.map((record) => Number(record['seq']))
  t.same(compare(seqs, COUNT), nothingWrong, 'each record is stored once')
  return records
}

function isRecent(time: string): boolean {
  return Math.abs(Date.parse(time) - Date.now()) < LIMIT_MS
}

async function sendWithNode(port: number, eventMode: EventModes, ack: boolean): Promise<void> {
  const client = new FluentClient('node', {
    eventMode,
    socket: { host: '127.0.0.1', port },
    milliseconds: true,
    ...(ack ? { ack: { ackTimeout: 20_000 } } : {}),
    disconnect: { waitForPending: true, waitForPendingDelay: 20_000, socketDisconnectDelay: 200 }
  })
  const sent: Promise<void>[] = []
  for (let seq = 0; seq < COUNT; seq++) sent.push(client.emit('app', { seq, text: 'héllo 😀' }))
  await Promise.all(sent)
  await client.shutdown()
}

for (const mode of ['Message', 'Forward', 'PackedForward', 'CompressedPackedForward'] as const) {
  for (const ack of [true, false]) {
    t.test(`@fluent-org/logger in ${mode} mode ${ack ? 'with' : 'without'} acks`, async (t) => {
      const records = await stored(t, (port) => sendWithNode(port, mode, ack))
      t.match(records[0], { tag: 'node.app', seq: 0, text: 'héllo 😀' })
      t.ok(records.every(({ time }) => isRecent(time)))
    })
  }
}

requireAll(t, [[python, 'a Python with fluent-logger in MILLRACE_TEST_PYTHON']], () => {
  const script = join(CLIENTS, 'python', 'client.py')
  for (const precision of [[], ['nanosecond']]) {
    t.test(`Python fluent-logger ${precision.join(' ')}`.trim(), async (t) => {
      const records = await stored(t, (port) => {
        return run(python, [script, '127.0.0.1', String(port), String(COUNT), ...precision])
      })
      t.match(records[0], { tag: 'python.app', text: 'héllo 😀', real: 1.5, none: null })
      t.same([records[0]?.['list'], records[0]?.['map']], [[1, 'two'], { a: true }])
      t.ok(records.every(({ time }) => isRecent(time)))
    })
  }
})

requireAll(t, [[goClient, 'the Go client in MILLRACE_TEST_GO_CLIENT']], () => {
  for (const acks of [[], ['ack']]) {
    t.test(`Go fluent-logger-golang ${acks.length > 0 ? 'with' : 'without'} acks`, async (t) => {
      const records = await stored(t, (port) => {
        return run(goClient!, ['127.0.0.1', String(port), String(COUNT), ...acks])
      })
      t.match(records[0], { tag: 'go.app', text: 'héllo 😀', real: 1.5, flag: true, bytes: 'raw' })
      t.ok(records.every(({ time }) => isRecent(time)))
    })
  }
})
