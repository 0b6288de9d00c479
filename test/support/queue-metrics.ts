// What /metrics says of the queue for one destination, and whether it adds up.

import type { RouterProcess } from './router-process.ts'

/** Series of a metric, by their labels as printed. */
async function seriesOf(router: RouterProcess, name: string): Promise<Map<string, number>> {
  const found = new Map<string, number>()
  for (const line of (await router.metrics()).split('\n')) {
    const match = /^([a-z0-9_]+)(\{[^}]*\})? (\S+)$/.exec(line)
    if (match?.[1] === `millrace_queue_${name}`) found.set(match[2] ?? '', Number(match[3]))
  }
  return found
}

/** Sum of a metric over the series of one destination. */
export async function metricOf(
  router: RouterProcess,
  name: string,
  destination: string
): Promise<number> {
  let sum = 0
  for (const [labels, value] of await seriesOf(router, name)) {
    if (labels.includes(`destination="${destination}"`)) sum += value
  }
  return sum
}

const TERMS = [
  'delivered_records_total',
  'dead_lettered_records_total',
  'moved_records_total',
  'dropped_records_total',
  'lost_records_total',
  'pending_records'
]

/** What /metrics says is due to a destination, minus what became of it. */
export async function gapOf(router: RouterProcess, destination: string): Promise<number> {
  let left = await metricOf(router, 'due_records_total', destination)
  for (const term of TERMS) left -= await metricOf(router, term, destination)
  return left
}
