// One measured run: fresh sink, fresh data folder, fresh router; warm-up; then the load, until the sink has seen all.

import { spawn } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { systemClock } from '../../src/core/clock.ts'
import type { LoadOptions, LoadReport } from '../load/options.ts'
import { type Child, freePort, startLogged, startScript, stop, waitForPort } from './child.ts'
import { stageSeconds } from './metrics.ts'
import { cpuSeconds, cpuSecondsByThread, memory } from './proc.ts'
import type { Ports, Router } from './routers.ts'
import type { Scenario } from './scenarios.ts'

const BENCH = join(import.meta.dirname, '..')
const POLL_MS = 50
/** Nothing new at the sink for so long: the rest counts as lost. */
const STALL_MS = 30_000
const START_MS = 60_000
/** Without a destination the end is where the router's CPU stands still for so long. */
const QUIET_MS = 1500
const QUIET_CPU_SECONDS = 0.05

export interface RunResult {
  readonly router: string
  readonly scenario: string
  readonly events: number
  readonly cpuSecondsPerMillion: number
  readonly eventsPerSecond: number
  readonly peakResidentMb: number
  readonly peakAnonymousMb: number
  readonly lost: number | null
  readonly doubled: number | null
  readonly ackP50Ms: number | null
  readonly ackP99Ms: number | null
  readonly ackMaxMs: number | null
  /** CPU seconds per million of each stage and of each thread. */
  readonly stages: Record<string, number>
  readonly threads: Record<string, number>
  readonly exit: string
}

interface SinkStats {
  readonly distinct: number
  readonly doubled: number
}

async function sinkStats(port: number): Promise<SinkStats> {
  const answer = await fetch(`http://127.0.0.1:${port}/_sink/stats`)
  // The sink is our own program; its answer has this shape.
  return (await answer.json()) as SinkStats
}

async function runLoad(options: LoadOptions): Promise<LoadReport> {
  const script = join(BENCH, 'load', 'main.ts')
  const child = spawn(process.execPath, [script, JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  for await (const line of createInterface({ input: child.stdout })) {
    // The load generator is our own program; its line has this shape.
    return JSON.parse(line) as LoadReport
  }
  throw new Error(`the load ended without a report, exit code ${child.exitCode}`)
}

async function stages(router: Router, ports: Ports): Promise<Record<string, number>> {
  if (!router.hasMetrics) return {}
  const answer = await fetch(`http://127.0.0.1:${ports.admin}/metrics`)
  return stageSeconds(await answer.text())
}

function perMillion(
  after: Record<string, number>,
  before: Record<string, number>,
  events: number
): Record<string, number> {
  const entries = Object.entries(after).map(([key, value]): [string, number] => {
    return [key, round(((value - (before[key] ?? 0)) / events) * 1e6)]
  })
  return Object.fromEntries(entries.filter(([, value]) => value !== 0))
}

const round = (value: number): number => Math.round(value * 1000) / 1000
const megabytes = (bytes: number): number => round(bytes / 1e6)

/** Samples until the promise settles. */
async function sampledDuring<T>(work: Promise<T>, sample: () => void): Promise<T> {
  let isRunning = true
  const watched = work.finally(() => {
    isRunning = false
  })
  while (isRunning) {
    sample()
    await Promise.race([systemClock.sleep(POLL_MS), watched])
  }
  return watched
}

/** Resolves with the time (monotonic ms) at which the sink had seen `events`, or stopped seeing more. */
async function delivered(port: number, events: number, sample: () => void): Promise<number> {
  let last = -1
  let lastChangeMs = performance.now()
  for (;;) {
    sample()
    const { distinct } = await sinkStats(port)
    const nowMs = performance.now()
    if (distinct >= events) return nowMs
    if (distinct !== last) lastChangeMs = nowMs
    if (nowMs - lastChangeMs > STALL_MS) return lastChangeMs
    last = distinct
    await systemClock.sleep(POLL_MS)
  }
}

async function quiet(pid: number): Promise<void> {
  for (;;) {
    const before = cpuSeconds(pid)
    await systemClock.sleep(QUIET_MS)
    if (cpuSeconds(pid) - before < QUIET_CPU_SECONDS) return
  }
}

export interface Bench {
  readonly router: Router
  readonly scenario: Scenario
  readonly ports: Ports
  readonly child: Child
}

export async function warmUp(bench: Bench, events: number): Promise<void> {
  const { scenario, ports, child } = bench
  if (events === 0) return
  await runLoad({ ...scenario.load, host: '127.0.0.1', port: ports.forward, events, rate: 0 })
  if (scenario.destination === 'down') return quiet(child.pid)
  await delivered(ports.sink, events, () => undefined)
  await resetSink(ports)
}

/** The next part begins with number 0 again. */
export async function resetSink(ports: Ports): Promise<void> {
  await fetch(`http://127.0.0.1:${ports.sink}/_sink/reset`, { method: 'POST' })
}

export async function measured(bench: Bench, wanted: number): Promise<Omit<RunResult, 'exit'>> {
  const { router, scenario, ports, child } = bench
  const isDown = scenario.destination === 'down'
  const chunk = scenario.load.chunkEvents
  const events = Math.ceil(wanted / chunk) * chunk
  const stagesBefore = await stages(router, ports)
  const threadsBefore = cpuSecondsByThread(child.pid)
  const cpuBefore = cpuSeconds(child.pid)
  let resident = 0
  let anonymous = 0
  const sample = () => {
    const now = memory(child.pid)
    resident = Math.max(resident, now.residentBytes)
    anonymous = Math.max(anonymous, now.anonymousBytes)
  }
  const startMs = performance.now()
  const load = runLoad({ ...scenario.load, host: '127.0.0.1', port: ports.forward, events })
  const endMs = isDown ? null : await delivered(ports.sink, events, sample)
  const report = await sampledDuring(load, sample)
  if (isDown) await sampledDuring(quiet(child.pid), sample)
  const cpu = cpuSeconds(child.pid) - cpuBefore
  const threads = perMillion(cpuSecondsByThread(child.pid), threadsBefore, events)
  const seconds = endMs === null ? report.seconds : (endMs - startMs) / 1000
  const stats = isDown ? null : await sinkStats(ports.sink)
  const hasAcks = report.ackedChunks > 0
  return {
    router: router.name,
    scenario: scenario.name,
    events,
    cpuSecondsPerMillion: round((cpu / events) * 1e6),
    eventsPerSecond: Math.round((stats?.distinct ?? events) / seconds),
    peakResidentMb: megabytes(resident),
    peakAnonymousMb: megabytes(anonymous),
    lost: stats === null ? null : Math.max(0, events - stats.distinct),
    doubled: stats === null ? null : stats.doubled,
    ackP50Ms: hasAcks ? round(report.ackP50Ms) : null,
    ackP99Ms: hasAcks ? round(report.ackP99Ms) : null,
    ackMaxMs: hasAcks ? round(report.ackMaxMs) : null,
    stages: perMillion(await stages(router, ports), stagesBefore, events),
    threads
  }
}

export interface RunSize {
  readonly events: number
  readonly warmUpEvents: number
}

/** null: this router has no configuration for this scenario. */
export async function runOnce(
  router: Router,
  scenario: Scenario,
  size: RunSize,
  folder: string
): Promise<RunResult | null> {
  const run = await withRouter(router, scenario, folder, async (bench) => {
    await warmUp(bench, size.warmUpEvents)
    return measured(bench, scenario.events ?? size.events)
  })
  return run === null ? null : { ...run.result, exit: run.exit }
}

/** Fresh sink, folder and router for `use`, and their end. */
export async function withRouter<T>(
  router: Router,
  scenario: Scenario,
  folder: string,
  use: (bench: Bench) => Promise<T>
): Promise<{ result: T; exit: string } | null> {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const [sink, line] = await startScript(join(BENCH, 'sink', 'main.ts'), [])
  // Nobody listens on the port of a destination that is down.
  const sinkPort = scenario.destination === 'down' ? await freePort() : Number(line)
  const ports = { forward: await freePort(), admin: await freePort(), sink: sinkPort }
  try {
    const start = router.start(scenario, ports, folder)
    if (start === null) return null
    const child = startLogged(start.command, start.env, join(folder, 'router.log'))
    try {
      await waitForPort(ports.forward, child, START_MS)
      const result = await use({ router, scenario, ports, child })
      return { result, exit: await stop(child) }
    } finally {
      await stop(child)
    }
  } finally {
    await stop(sink)
    rmSync(join(folder, 'data'), { recursive: true, force: true })
  }
}
