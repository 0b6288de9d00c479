// Many senders: `npm run bench:senders -- [--part crowd|singles]... [--runs 5] [--events N] [--idle N] [--slow N]`.
// Part `crowd`: one sender at full speed alone and beside idle and slow connections. Part `singles`: one event per write.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type CrowdSize, runCrowd } from './runner/crowd.ts'
import { machineFacts } from './runner/machine.ts'
import { type RunResult, runOnce } from './runner/measure.ts'
import { type Router, routersUnderTest } from './runner/routers.ts'
import { crowdScenario, singleScenarios } from './runner/sender-scenarios.ts'
import { checkSenders, type SendersFile, sendersMarkdown } from './runner/senders-report.ts'

const BENCH = import.meta.dirname

const { values } = parseArgs({
  options: {
    part: { type: 'string', multiple: true },
    scenario: { type: 'string', multiple: true },
    runs: { type: 'string', default: '5' },
    /** Events of a run of the crowd. */
    events: { type: 'string', default: '2000000' },
    /** Seconds of a run of single events. */
    seconds: { type: 'string', default: '8' },
    idle: { type: 'string', default: '10000' },
    slow: { type: 'string', default: '2000' },
    /** Prints only; no result file. */
    'dry-run': { type: 'boolean', default: false }
  }
})

const [millrace] = routersUnderTest({})
if (millrace === undefined) throw new Error('no router')
const runCount = Number(values.runs)
const isWanted = (part: string) => values.part === undefined || values.part.includes(part)

const size: CrowdSize = {
  idle: Number(values.idle),
  slow: Number(values.slow),
  byteMs: 5000,
  runs: runCount,
  events: Number(values.events),
  warmUpEvents: 500_000
}

async function runSingles(router: Router): Promise<RunResult[]> {
  const results: RunResult[] = []
  for (let run = 0; run < runCount; run++) {
    for (const scenario of singleScenarios) {
      if (values.scenario !== undefined && !values.scenario.includes(scenario.name)) continue
      const folder = join(BENCH, 'out', `senders-${scenario.name}`)
      const events = scenario.load.rate * Number(values.seconds)
      const result = await runOnce(router, scenario, { events, warmUpEvents: 200_000 }, folder)
      if (result === null) continue
      results.push(result)
      console.log(JSON.stringify(result))
    }
  }
  return results
}

/** A part that was not run keeps the figures of the file of the same day and machine. */
function store(file: SendersFile): void {
  const { cores } = file.machine
  const path = join(BENCH, 'results', `senders-${file.date}-${cores}-core-${process.arch}.json`)
  mkdirSync(join(BENCH, 'results'), { recursive: true })
  const before = earlier(path)
  const whole: SendersFile = {
    ...file,
    crowd: file.crowd ?? before?.crowd ?? null,
    singles: file.singles.length > 0 ? file.singles : (before?.singles ?? [])
  }
  writeFileSync(path, `${JSON.stringify(whole, null, 2)}\n`)
  writeFileSync(join(BENCH, 'SENDERS.md'), sendersMarkdown(whole))
  console.log(`stored ${path}`)
}

function earlier(path: string): SendersFile | null {
  try {
    // Written by this program.
    return JSON.parse(readFileSync(path, 'utf8')) as SendersFile
  } catch {
    return null
  }
}

const crowd = isWanted('crowd')
  ? {
      size,
      ...(await runCrowd(millrace, crowdScenario, size, join(BENCH, 'out', 'senders-crowd')))
    }
  : null
const singles = isWanted('singles') ? await runSingles(millrace) : []
const file: SendersFile = { ...machineFacts(), crowd, singles }
if (!values['dry-run']) store(file)
const checks = checkSenders(file)
for (const { isHeld, name, value, limit } of checks) {
  console.log(`${isHeld ? 'held' : 'MISSED'}: ${name} ${value} (${limit})`)
}
process.exitCode = checks.every(({ isHeld }) => isHeld) ? 0 : 1
