import t from 'tap'
import { METRICS } from '../../../src/metrics/catalog.ts'
import { INGEST_COUNTERS } from '../../../src/metrics/ingest-counters.ts'
import type { MetricRegistry } from '../../../src/metrics/registry.ts'
import { type MetricsParts, provideMetrics } from '../../../src/server/status/metrics-sources.ts'
import { filesOf } from '../../support/source-tree.ts'

const hasWord = (text: string, value: string): boolean =>
  text.includes(`'${value}'`) || new RegExp(`[\\[ ]${value}[,\\]]`).test(text)

t.test('every metric of the catalog has exactly one source', (t) => {
  const provided: string[] = []
  // Casts: only the names matter, and no source is asked for values.
  const registry = {
    provide: (name: string) => void provided.push(name)
  } as unknown as MetricRegistry
  const parts = {
    config: { inputs: {}, routes: [] },
    store: { shards: [] },
    scrubber: { counts: {} },
    delivery: { destinations: [], outputs: new Map() }
  } as unknown as MetricsParts
  provideMetrics(registry, parts)
  t.same(provided.toSorted(), METRICS.map(({ name }) => name).toSorted())
  t.end()
})

t.test('every counter of the ingest threads is added to somewhere', (t) => {
  const text = filesOf(
    'src/{ingest,kernel,net,plugin,storage,codec}/*.ts',
    'src/server/own-log.ts',
    'plugins/inputs/**/*.ts'
  )
    .filter(({ path }) => !path.endsWith('.test.ts'))
    .map((file) => file.text)
    .join('\n')
  const isAdded = (key: string) => {
    const [metric, value] = key.split('/')
    if (new RegExp(`add\\('${key}'`).test(text)) return true
    // The value of the label is computed: then it stands as a word of its own type.
    return value !== undefined && text.includes(`\`${metric}/\${`) && hasWord(text, value)
  }
  const unused = INGEST_COUNTERS.map(({ key }) => key).filter((key) => !isAdded(key))
  t.same(unused, [])
  t.notOk(isAdded('no_such'))
  t.notOk(isAdded('input_paused_total/no_such'))
  t.end()
})
