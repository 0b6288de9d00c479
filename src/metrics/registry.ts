// Runs on: main.
// Metrics are read where they are counted, at scrape time; nothing is added per record. prom-client prints them.

import { collectDefaultMetrics, type MetricObject, Registry } from 'prom-client'
import { invariant } from '../core/invariant.ts'
import { METRICS, type MetricFamily, SECONDS_BUCKETS } from './catalog.ts'
import { HISTOGRAM_CELLS } from './histogram.ts'

export interface Sample {
  readonly labels: Readonly<Record<string, string>>
  /** A number, or the cells of a histogram. */
  readonly value: number | Float64Array
}

export type Source = () => Iterable<Sample> | Promise<Iterable<Sample>>

const PREFIX = 'millrace_'

export class MetricRegistry {
  readonly #registry = new Registry()
  readonly #sources = new Map<string, Source[]>()

  constructor(families: readonly MetricFamily[] = METRICS) {
    collectDefaultMetrics({ register: this.#registry })
    for (const family of families) {
      const sources: Source[] = []
      this.#sources.set(family.name, sources)
      // The registry asks no more of a metric than `name` and `get`; its own classes cannot hold values of other threads.
      this.#registry.registerMetric({
        name: PREFIX + family.name,
        get: () => snapshot(family, sources)
      } as unknown as Parameters<Registry['registerMetric']>[0])
    }
  }

  /** Adds a reader of one family. Labels have to be those of the catalog. */
  provide(name: string, source: Source): void {
    const sources = this.#sources.get(name)
    invariant(sources !== undefined, `metric ${name} is not in the catalog`)
    sources.push(source)
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  /** Prometheus text 0.0.4. */
  text(): Promise<string> {
    return this.#registry.metrics()
  }
}

interface PrintedValue {
  readonly metricName?: string
  readonly labels: Record<string, string | number>
  readonly value: number
}

async function snapshot(family: MetricFamily, sources: readonly Source[]): Promise<MetricObject> {
  const values: PrintedValue[] = []
  for (const source of sources) {
    for (const { labels, value } of await source()) {
      if (typeof value === 'number') values.push({ labels, value })
      else values.push(...histogramValues(PREFIX + family.name, labels, value))
    }
  }
  return {
    name: PREFIX + family.name,
    help: family.help,
    type: family.kind,
    values,
    aggregator: 'sum'
    // prom-client types `type` as its enum, which erasable syntax cannot name.
  } as unknown as MetricObject
}

function histogramValues(
  name: string,
  labels: Readonly<Record<string, string>>,
  cells: Float64Array
): PrintedValue[] {
  let sum = 0
  const printed: PrintedValue[] = SECONDS_BUCKETS.map((le, bucket) => {
    sum += cells[bucket] ?? 0
    return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: sum }
  })
  const count = cells[HISTOGRAM_CELLS - 1] ?? 0
  printed.push({ metricName: `${name}_bucket`, labels: { ...labels, le: '+Inf' }, value: count })
  printed.push({ metricName: `${name}_sum`, labels, value: cells[HISTOGRAM_CELLS - 2] ?? 0 })
  printed.push({ metricName: `${name}_count`, labels, value: count })
  return printed
}
