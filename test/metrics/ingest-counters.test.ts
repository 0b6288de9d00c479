import t from 'tap'
import {
  INGEST_COUNTERS,
  ingestCounterBase,
  ingestCounterBytes,
  ingestCounterPlace
} from '../../src/metrics/ingest-counters.ts'

t.test('keys and metric names with their labels are unique', (t) => {
  t.equal(new Set(INGEST_COUNTERS.map(({ key }) => key)).size, INGEST_COUNTERS.length)
  const series = INGEST_COUNTERS.map(({ metric, labels }) => metric + JSON.stringify(labels))
  t.equal(new Set(series).size, INGEST_COUNTERS.length)
  t.end()
})

t.test('the series of one metric have one kind, one help and the same labels', (t) => {
  const families = Map.groupBy(INGEST_COUNTERS, ({ metric }) => metric)
  for (const [metric, counters] of families) {
    t.match(metric, /^[a-z][a-z_]*$/)
    const shapes = counters.map(({ kind, help, labels }) => [kind, help, Object.keys(labels)])
    t.equal(new Set(shapes.map((shape) => JSON.stringify(shape))).size, 1, metric)
    t.equal(metric.endsWith('_total'), counters[0]?.kind === 'counter', metric)
  }
  t.end()
})

t.test('the cells of inputs do not overlap and fit the memory', (t) => {
  t.equal(ingestCounterBase(0), 0)
  t.equal(ingestCounterBase(2), 2 * INGEST_COUNTERS.length)
  t.equal(ingestCounterBytes(3), 4 * INGEST_COUNTERS.length * 8)
  t.equal(INGEST_COUNTERS[ingestCounterPlace('acks') ?? -1]?.metric, 'input_acks_total')
  t.equal(ingestCounterPlace('input_received_messages_total'), undefined)
  t.end()
})
