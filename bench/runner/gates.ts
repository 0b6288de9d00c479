// The gates: the most that a scenario may cost. A change that exceeds one needs a decision record.

import type { RunResult } from './measure.ts'
import { scenarios } from './scenarios.ts'

export type Figure =
  | 'cpuSecondsPerMillion'
  | 'peakResidentMb'
  | 'eventsPerSecond'
  | 'ackP50Ms'
  | 'ackP99Ms'

export interface Gate {
  readonly scenario: string
  readonly figure: Figure
  /** `added`: the difference to the scenario that it is compared with. */
  readonly kind: 'most' | 'least' | 'added'
  readonly limit: number
}

export const gates: readonly Gate[] = [
  { scenario: 'packed-opensearch', figure: 'cpuSecondsPerMillion', kind: 'most', limit: 0.95 },
  { scenario: 'message-opensearch', figure: 'cpuSecondsPerMillion', kind: 'most', limit: 1.15 },
  { scenario: 'packed-cloudwatch', figure: 'cpuSecondsPerMillion', kind: 'most', limit: 1.8 },
  { scenario: 'nginx-opensearch', figure: 'cpuSecondsPerMillion', kind: 'added', limit: 0.3 },
  { scenario: 'gzip-opensearch', figure: 'cpuSecondsPerMillion', kind: 'added', limit: 1.2 },
  { scenario: 'stored', figure: 'cpuSecondsPerMillion', kind: 'most', limit: 0.4 },
  { scenario: 'stored', figure: 'eventsPerSecond', kind: 'least', limit: 1_500_000 },
  { scenario: 'paced-opensearch', figure: 'ackP50Ms', kind: 'most', limit: 2 },
  { scenario: 'paced-opensearch', figure: 'ackP99Ms', kind: 'most', limit: 20 },
  ...scenarios.map(({ name, isCompressed }): Gate => {
    return {
      scenario: name,
      figure: 'peakResidentMb',
      kind: 'most',
      limit: isCompressed ? 260 : 200
    }
  })
]

export interface GateResult extends Gate {
  readonly value: number
  readonly isHeld: boolean
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2
}

/** Median of a figure over the runs of one router and scenario; null when no run has it. */
export function medianOf(
  runs: readonly RunResult[],
  router: string,
  scenario: string,
  figure: Figure | 'lost' | 'doubled' | 'peakAnonymousMb'
): number | null {
  const values = runs
    .filter((run) => run.router === router && run.scenario === scenario)
    .map((run) => run[figure])
    .filter((value) => value !== null)
  return values.length === 0 ? null : median(values)
}

/** Gates of the scenarios that were run; one that was not run is left out. */
export function checkGates(runs: readonly RunResult[]): GateResult[] {
  const results: GateResult[] = []
  for (const gate of gates) {
    const value = medianOf(runs, 'millrace', gate.scenario, gate.figure)
    const other = scenarios.find(({ name }) => name === gate.scenario)?.comparedWith
    const base = gate.kind === 'added' ? medianOf(runs, 'millrace', other ?? '', gate.figure) : 0
    if (value === null || base === null) continue
    const figure = Math.round((value - base) * 1000) / 1000
    const isHeld = gate.kind === 'least' ? figure >= gate.limit : figure <= gate.limit
    results.push({ ...gate, value: figure, isHeld })
  }
  return results
}
