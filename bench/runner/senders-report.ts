// SENDERS.md and the gates of `bench:senders`. Generated, never edited.

import type { CrowdResult, CrowdSize } from './crowd.ts'
import { median } from './gates.ts'
import type { MachineFacts } from './machine.ts'
import type { RunResult } from './measure.ts'
import { singleScenarios } from './sender-scenarios.ts'

export interface SendersFile extends MachineFacts {
  readonly crowd: (CrowdResult & { readonly size: CrowdSize }) | null
  readonly singles: readonly RunResult[]
}

export interface SenderCheck {
  readonly name: string
  readonly value: number
  readonly limit: string
  readonly isHeld: boolean
}

type Figure =
  | 'eventsPerSecond'
  | 'cpuSecondsPerMillion'
  | 'peakResidentMb'
  | 'ackP50Ms'
  | 'ackP99Ms'
  | 'lost'
  | 'doubled'

/** What one event per write may cost, CPU seconds per million; with acks there is no limit. */
const SINGLES_COST_MAX: Readonly<Record<string, number>> = {
  'singles-50k': 10.2,
  'singles-10k': 21.1
}
/** A crowd may take and add this share. */
const CROWD_SHARE_MAX = 0.1
/** 10,000 idle connections in 100 MiB. */
const IDLE_BYTES_MAX = (100 * 2 ** 20) / 10_000
const IDLE_CPU_MAX = 0.01

function of(runs: readonly RunResult[], figure: Figure): number {
  return median(runs.map((run) => run[figure]).filter((value) => value !== null))
}

const round = (value: number, digits = 3): number => Number(value.toFixed(digits))

/** Median over the pairs of a run beside the crowd and the one alone before it. */
function ratio({ alone, beside }: CrowdResult, figure: Figure): number {
  const pairs = beside.map((run, index) => {
    return Number(run[figure]) / Number(alone[index]?.[figure])
  })
  return round(median(pairs))
}

function most(name: string, value: number, limit: number): SenderCheck {
  return { name, value, limit: `at most ${limit}`, isHeld: value <= limit }
}

export function checkSenders({ crowd, singles }: SendersFile): SenderCheck[] {
  const checks: SenderCheck[] = []
  if (crowd !== null) {
    const rate = ratio(crowd, 'eventsPerSecond')
    const least = 1 - CROWD_SHARE_MAX
    const extraCpu = round(crowd.idleCpuShare - crowd.emptyCpuShare)
    checks.push(
      {
        name: 'rate beside the crowd / alone',
        value: rate,
        limit: `at least ${least}`,
        isHeld: rate >= least
      },
      most('CPU beside the crowd / alone', ratio(crowd, 'cpuSecondsPerMillion'), 1.1),
      most('bytes per idle connection', crowd.bytesPerIdleConnection, IDLE_BYTES_MAX),
      most('CPU share of the idle connections', extraCpu, IDLE_CPU_MAX)
    )
  }
  for (const { name } of singleScenarios) {
    const runs = singles.filter(({ scenario }) => scenario === name)
    const limit = SINGLES_COST_MAX[name]
    if (runs.length === 0 || limit === undefined) continue
    checks.push(most(`${name} CPU seconds per million`, of(runs, 'cpuSecondsPerMillion'), limit))
  }
  return checks
}

const HEADS =
  '| cpu-s per million | records/s | peak RSS MB | ack p50 / p99 ms | lost / doubled | runs |'

function row(first: string, runs: readonly RunResult[]): string {
  const hasAcks = runs.some(({ ackP50Ms }) => ackP50Ms !== null)
  const cells = [
    first,
    round(of(runs, 'cpuSecondsPerMillion')),
    Math.round(of(runs, 'eventsPerSecond')).toLocaleString('en-US'),
    Math.round(of(runs, 'peakResidentMb')),
    hasAcks ? `${round(of(runs, 'ackP50Ms'), 1)} / ${round(of(runs, 'ackP99Ms'), 1)}` : '-',
    `${of(runs, 'lost')} / ${of(runs, 'doubled')}`,
    runs.length
  ]
  return `| ${cells.join(' | ')} |`
}

function crowdLines({ crowd }: SendersFile): string[] {
  if (crowd === null) return []
  const { size } = crowd
  const count = (value: number) => value.toLocaleString('en-US')
  return [
    `## One sender beside ${count(size.idle)} idle and ${count(size.slow)} slow connections`,
    '',
    `PackedForward with acks to OpenSearch, ${count(size.events)} records a run, on one router in turns alone and beside the crowd. A slow`,
    `connection is within a message of 64 KiB and sends a byte of it each ${size.byteMs / 1000} s.`,
    '',
    `| Sender ${HEADS}`,
    '|---|---|---|---|---|---|---|',
    row('alone', crowd.alone),
    row('beside the crowd', crowd.beside),
    '',
    `An idle connection costs ${count(crowd.bytesPerIdleConnection)} bytes of memory. CPU of the router without a sender: ` +
      `${round(crowd.emptyCpuShare * 100, 1)} % of a core without connections, ${round(crowd.idleCpuShare * 100, 1)} % with ${count(size.idle)} idle ones.`,
    ''
  ]
}

function singleLines({ singles }: SendersFile): string[] {
  const rows = singleScenarios.flatMap(({ name, title }) => {
    const runs = singles.filter(({ scenario }) => scenario === name)
    return runs.length === 0 ? [] : [row(title, runs)]
  })
  if (rows.length === 0) return []
  const heads = `| Job ${HEADS}`
  return ['## One event per write', '', heads, '|---|---|---|---|---|---|---|', ...rows, '']
}

export function sendersMarkdown(file: SendersFile): string {
  const { machine, millrace } = file
  const checks = checkSenders(file).map(({ name, value, limit, isHeld }) => {
    return `| ${name} | ${limit} | ${value} | ${isHeld ? 'held' : '**missed**'} |`
  })
  const lines = [
    '<!-- generated by `npm run bench:senders`; do not edit -->',
    '# Many senders',
    '',
    'CPU seconds are user + system of the whole router process tree per million records. Records: 336 bytes of msgpack, as the',
    'Docker driver sends them. Medians; ratios are medians over pairs of runs. How it is measured: [bench/README.md](README.md).',
    '',
    `${file.date}, ${machine.cores} cores (${machine.cpu}), ${machine.memoryGib} GiB, Linux ${machine.kernel}, ` +
      `Node ${machine.node}, Millrace ${millrace.version} (${millrace.commit}); generators and sink run on the same machine.`,
    '',
    ...crowdLines(file),
    ...singleLines(file),
    '## Gates',
    '',
    '| Figure | Limit | Median | |',
    '|---|---|---|---|',
    ...checks
  ]
  return `${lines.join('\n').trimEnd()}\n`
}
