// The benchmark: `npm run bench:load -- [--scenario NAME]... [--runs 5] [--events 5000000] [--warm-up 500000]`.
// Routers alternate run by run, so that what else the machine does hits all of them alike.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { checkGates } from './runner/gates.ts'
import { machineFacts } from './runner/machine.ts'
import { type RunResult, type RunSize, runOnce } from './runner/measure.ts'
import { type ResultFile, resultsMarkdown } from './runner/report.ts'
import { type Router, routersUnderTest } from './runner/routers.ts'
import { type Scenario, scenarios } from './runner/scenarios.ts'

const BENCH = import.meta.dirname
const failures: string[] = []

const { values } = parseArgs({
  options: {
    scenario: { type: 'string', multiple: true },
    router: { type: 'string', multiple: true },
    runs: { type: 'string', default: '5' },
    events: { type: 'string', default: '5000000' },
    'warm-up': { type: 'string', default: '500000' },
    /** Prints only; no result file. */
    'dry-run': { type: 'boolean', default: false }
  }
})

function chosen<T extends { name: string }>(all: readonly T[], names: string[] | undefined): T[] {
  for (const name of names ?? []) {
    if (all.some((item) => item.name === name)) continue
    throw new Error(`${name} is not one of ${all.map((item) => item.name).join(', ')}`)
  }
  return all.filter((item) => names === undefined || names.includes(item.name))
}

async function runAll(
  routers: readonly Router[],
  jobs: readonly Scenario[],
  runCount: number,
  size: RunSize
): Promise<RunResult[]> {
  const results: RunResult[] = []
  for (let run = 0; run < runCount; run++) {
    for (const scenario of jobs) {
      for (const router of routers) {
        const folder = join(BENCH, 'out', `${router.name}-${scenario.name}`)
        const result = await runOnce(router, scenario, size, folder).catch((error) => {
          failures.push(`${router.name} ${scenario.name}: ${error}`)
          return null
        })
        if (result === null) continue
        results.push(result)
        console.log(JSON.stringify(result))
      }
    }
  }
  return results
}

function resultFile(runs: readonly RunResult[], size: RunSize): ResultFile {
  return { ...machineFacts(), warmUpEvents: size.warmUpEvents, runs }
}

function store(file: ResultFile): void {
  const kind = `${file.machine.cores}-core-${process.arch}`
  mkdirSync(join(BENCH, 'results'), { recursive: true })
  const path = join(BENCH, 'results', `${file.date}-${kind}.json`)
  writeFileSync(path, `${JSON.stringify(file, null, 2)}\n`)
  writeFileSync(join(BENCH, 'RESULTS.md'), resultsMarkdown(file))
  console.log(`stored ${path}`)
}

const size = { events: Number(values.events), warmUpEvents: Number(values['warm-up']) }
const jobs = chosen(scenarios, values.scenario)
const routers = chosen(routersUnderTest(process.env), values.router)
const runs = await runAll(routers, jobs, Number(values.runs), size)
if (!values['dry-run']) store(resultFile(runs, size))
for (const gate of checkGates(runs)) {
  const verdict = gate.isHeld ? 'held' : 'MISSED'
  console.log(
    `${verdict}: ${gate.scenario} ${gate.figure} ${gate.value} (${gate.kind} ${gate.limit})`
  )
}
for (const failure of failures) console.log(`FAILED: ${failure}`)
const isGood = failures.length === 0 && checkGates(runs).every((gate) => gate.isHeld)
process.exitCode = isGood ? 0 : 1
