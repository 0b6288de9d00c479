// A destination that was down comes back while records still arrive: how fast the backlog drains, and what that does to
// the acks of ingest. Prints one line of JSON; nothing is asserted, read it beside the load of the machine.
//
//   npm run build && node bench/catch-up.ts [--backlog <records>] [--rate <records/s>] [--seconds <n>] [--catchup <size>]

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { systemClock } from '../src/core/clock.ts'
import type { LoadOptions, LoadReport } from './load/options.ts'
import {
  type Child,
  freePort,
  startLogged,
  startScript,
  stop,
  waitForPort
} from './runner/child.ts'
import { parseMetrics } from './runner/metrics.ts'

const BENCH = import.meta.dirname
const MAIN = process.env['MILLRACE_BENCH_MAIN'] ?? join(BENCH, '..', 'dist', 'src', 'main.js')
const START_MS = 60_000
/** An outage in short: so long nothing answers before the backlog is there. */
const BEHIND_MS = 12_000

const { values } = parseArgs({
  options: {
    backlog: { type: 'string', default: '6000000' },
    rate: { type: 'string', default: '60000' },
    seconds: { type: 'string', default: '15' },
    catchup: { type: 'string', default: '64MiB' }
  }
})
const rate = Number(values.rate)
const seconds = Number(values.seconds)
const ports = { forward: await freePort(), admin: await freePort(), sink: await freePort() }

function config(folder: string): string {
  return `version: 1
data_dir: ${join(folder, 'data')}
admin: {listen: "127.0.0.1:${ports.admin}"}
queue: {catchup_read_rate: ${values.catchup}}
inputs: {load: {type: forward, listen: "tcp://127.0.0.1:${ports.forward}"}}
routes: {all: {match: "**", to: [out], max_bytes: 64GiB}}
outputs:
  out: {type: opensearch, endpoints: ["http://127.0.0.1:${ports.sink}"], index: bench, compress: off, retry: {base: 100ms, cap: 500ms}}
`
}

async function load(events: number, perSecond: number): Promise<LoadReport> {
  const options: LoadOptions = {
    host: '127.0.0.1',
    port: ports.forward,
    mode: 'packed',
    events,
    connections: 2,
    tags: 8,
    chunkEvents: 200,
    ack: true,
    window: 4,
    rate: perSecond
  }
  const script = join(BENCH, 'load', 'main.ts')
  const child = spawn(process.execPath, [script, JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  for await (const line of createInterface({ input: child.stdout })) {
    // The load generator is our own program; its line has this shape.
    return JSON.parse(line) as LoadReport
  }
  throw new Error('the load generator ended without a report')
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${ports.admin}/metrics`)).text()
  const samples = parseMetrics(text).filter((sample) => sample.name === name)
  return samples.reduce((sum, { value }) => sum + value, 0)
}

const startSink = async (): Promise<Child> => {
  const [child] = await startScript(join(BENCH, 'sink', 'main.ts'), [String(ports.sink)])
  return child
}

const latency = ({ ackMaxMs, ackP50Ms, ackP99Ms }: LoadReport) => ({
  p50Ms: ackP50Ms,
  p99Ms: ackP99Ms,
  maxMs: ackMaxMs
})

async function measure(folder: string): Promise<object> {
  const file = join(folder, 'millrace.yaml')
  writeFileSync(file, config(folder))
  let sink = await startSink()
  const command = [process.execPath, '--max-semi-space-size=2', MAIN, 'run', '-c', file]
  const router = startLogged(command, {}, join(folder, 'router.log'))
  try {
    await waitForPort(ports.forward, router, START_MS)
    await load(10 * rate, rate)
    const before = await load(seconds * rate, rate)
    await stop(sink)
    await load(Number(values.backlog), 0)
    await systemClock.sleep(BEHIND_MS)
    const pendingBefore = await metric('millrace_queue_pending_records')
    sink = await startSink()
    const startMs = performance.now()
    const deliveredBefore = await metric('millrace_queue_delivered_records_total')
    const during = await load(seconds * rate, rate)
    const drainSeconds = (performance.now() - startMs) / 1000
    const delivered = (await metric('millrace_queue_delivered_records_total')) - deliveredBefore
    return {
      catchup: values.catchup,
      ingestPerSecond: Math.round(during.events / during.seconds),
      backlog: pendingBefore,
      pendingAfter: await metric('millrace_queue_pending_records'),
      drainPerSecond: Math.round(delivered / drainSeconds),
      drainOverIngest: Number((delivered / during.events).toFixed(2)),
      ackBefore: latency(before),
      ackWhileDraining: latency(during)
    }
  } finally {
    await stop(router)
    await stop(sink)
  }
}

const folder = mkdtempSync(join(tmpdir(), 'millrace-catch-up-'))
try {
  console.log(JSON.stringify(await measure(folder)))
} finally {
  rmSync(folder, { recursive: true, force: true })
}
