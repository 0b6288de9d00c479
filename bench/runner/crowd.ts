// One honest sender alone and beside a crowd of idle and slow connections, in turns on the same router; and what an idle
// connection costs.

import { join } from 'node:path'
import { systemClock } from '../../src/core/clock.ts'
import type { CrowdOptions } from '../load/crowd.ts'
import { type Child, startScript, stop } from './child.ts'
import { type Bench, measured, type RunResult, resetSink, warmUp, withRouter } from './measure.ts'
import { cpuSeconds, memory } from './proc.ts'
import type { Router } from './routers.ts'
import type { Scenario } from './scenarios.ts'

const CROWD_SCRIPT = join(import.meta.dirname, '..', 'load', 'crowd.ts')
/** Connections of one client process: below the usual limits of open files and of source ports of one address. */
const CONNECTIONS_PER_PROCESS = 5000
/** What was freed is given back, what was compiled is compiled. */
const SETTLE_MS = 1000
/** The CPU time of the router with idle connections alone is read over so long. */
const IDLE_MS = 5000

export interface CrowdSize {
  readonly idle: number
  readonly slow: number
  readonly byteMs: number
  readonly runs: number
  readonly events: number
  readonly warmUpEvents: number
}

export interface CrowdResult {
  readonly alone: readonly RunResult[]
  readonly beside: readonly RunResult[]
  /** Memory of the router per idle connection, bytes; anonymous pages of the process. */
  readonly bytesPerIdleConnection: number
  /** CPU seconds per second with `idle` connections that send nothing, and without any. */
  readonly idleCpuShare: number
  readonly emptyCpuShare: number
  readonly exit: string
}

type Part = Pick<CrowdOptions, 'idle' | 'slow'>

/** `crowd` in processes that each hold so many connections as a process may. */
async function startCrowd(bench: Bench, { idle, slow }: Part, byteMs: number): Promise<Child[]> {
  const count = Math.ceil((idle + slow) / CONNECTIONS_PER_PROCESS)
  const share = (all: number, index: number) =>
    Math.floor((all * (index + 1)) / count) - Math.floor((all * index) / count)
  const starts = Array.from({ length: count }, (_, index) => {
    const options: CrowdOptions = {
      port: bench.ports.forward,
      idle: share(idle, index),
      slow: share(slow, index),
      byteMs,
      sourceByte: index + 2
    }
    return startScript(CROWD_SCRIPT, [JSON.stringify(options)])
  })
  return (await Promise.all(starts)).map(([child]) => child)
}

async function cpuShare({ child }: Bench): Promise<number> {
  await systemClock.sleep(SETTLE_MS)
  const before = cpuSeconds(child.pid)
  await systemClock.sleep(IDLE_MS)
  return (cpuSeconds(child.pid) - before) / (IDLE_MS / 1000)
}

async function idleCost(bench: Bench, size: CrowdSize) {
  const emptyCpuShare = await cpuShare(bench)
  const before = memory(bench.child.pid).anonymousBytes
  const crowd = await startCrowd(bench, { idle: size.idle, slow: 0 }, size.byteMs)
  const idleCpuShare = await cpuShare(bench)
  const added = memory(bench.child.pid).anonymousBytes - before
  await Promise.all(crowd.map(stop))
  return { emptyCpuShare, idleCpuShare, bytesPerIdleConnection: Math.round(added / size.idle) }
}

async function oneRun(bench: Bench, size: CrowdSize, isBeside: boolean): Promise<RunResult> {
  const crowd = isBeside ? await startCrowd(bench, size, size.byteMs) : []
  await systemClock.sleep(SETTLE_MS)
  await resetSink(bench.ports)
  const result = await measured(bench, size.events)
  await Promise.all(crowd.map(stop))
  console.log(JSON.stringify({ ...result, scenario: isBeside ? 'beside' : 'alone' }))
  return { ...result, exit: '' }
}

export async function runCrowd(
  router: Router,
  scenario: Scenario,
  size: CrowdSize,
  folder: string
): Promise<CrowdResult> {
  const alone: RunResult[] = []
  const beside: RunResult[] = []
  const run = await withRouter(router, scenario, folder, async (bench) => {
    const cost = await idleCost(bench, size)
    await warmUp(bench, size.warmUpEvents)
    for (let index = 0; index < size.runs; index++) {
      alone.push(await oneRun(bench, size, false))
      beside.push(await oneRun(bench, size, true))
    }
    return cost
  })
  if (run === null) throw new Error(`${router.name} has no configuration for ${scenario.name}`)
  return { alone, beside, ...run.result, exit: run.exit }
}
