// Records through the real kernel to the body of `_bulk`, read as strictly as the server does.

import t from 'tap'
import { parseBulk } from '../../../test/support/bulk-body.ts'
import { renderContext } from '../../../test/support/output-batches.ts'
import { type PoolRecord, renderInPool } from '../../../test/support/pool-render.ts'
import type { OpenSearchOptions } from './options.ts'
import createRender from './render.ts'

const OPTIONS: OpenSearchOptions = {
  endpoints: ['http://127.0.0.1:9200'],
  path: '',
  index: 'svc-${time:%Y-%m-%d}',
  index_sanitize: true,
  id: 'position',
  require_alias: false,
  time_key: '@timestamp',
  time_precision: 3,
  time_key_conflict: 'overwrite',
  include_tag_key: false,
  tag_key: 'tag',
  bulk_bytes: 4 * 1024 * 1024,
  flush_interval: 1000,
  inflight_max: 8,
  server_timeout: 1000,
  connect_timeout: 1000,
  request_timeout: 5000,
  max_response_bytes: 64 * 1024 * 1024,
  retry: { base: 1000, cap: 60_000 }
}

function items(records: readonly PoolRecord[], overrides: Partial<OpenSearchOptions> = {}) {
  const half = createRender({ ...OPTIONS, ...overrides }, renderContext)
  const { batches } = renderInPool(half, records)
  return batches.flatMap(({ body }) => parseBulk(body))
}

const document = (record: unknown, overrides: Partial<OpenSearchOptions> = {}) => {
  const [item] = items([{ record }], overrides)
  if (item?.documentFault !== null) throw new Error(String(item?.documentFault))
  return JSON.parse(item?.source ?? '')
}

t.test('O05 the index follows the day of the event, in UTC', (t) => {
  const last = Date.UTC(2022, 4, 2, 23, 59, 59) / 1000
  t.strictSame(
    items([
      { seconds: last, nanoseconds: 999_000_000, record: { log: 'a' } },
      { seconds: last + 1, record: { log: 'b' } }
    ]).map(({ index, source }) => [index, JSON.parse(source)['@timestamp']]),
    [
      ['svc-2022-05-02', '2022-05-02T23:59:59.999Z'],
      ['svc-2022-05-03', '2022-05-03T00:00:00.000Z']
    ]
  )
  t.end()
})

t.test('O01 each record has an id of its own, the same for every try', (t) => {
  const records = Array.from({ length: 100 }, (_, n) => ({ record: { n } }))
  const ids = items(records).map(({ id }) => id)
  t.equal(new Set(ids).size, 100)
  t.match(ids[0], /^ABEiM0RVZnc/)
  t.strictSame(
    items(records).map(({ id }) => id),
    ids
  )
  t.strictSame(items(records, { id: 'none' }).map(({ id }) => id)[0], null)
  t.end()
})

t.test('O02 a field named like the time field stands once', (t) => {
  const record = { '@timestamp': 'mine', log: 'x' }
  t.match(document(record)['@timestamp'], /^2025-11-20T/)
  const renamed = document(record, { time_key_conflict: 'rename' })
  t.match(renamed, { '@timestamp': /^2025/, '@timestamp_original': 'mine', log: 'x' })
  const kept = document({ '@timestamp': '2020-01-01T00:00:00Z' }, { time_key_conflict: 'keep' })
  t.equal(kept['@timestamp'], '2020-01-01T00:00:00Z')
  t.end()
})

t.test('O03 values that break others are valid JSON here', (t) => {
  const deep = (levels: number): unknown => (levels === 0 ? 1 : { a: deep(levels - 1) })
  const found = document({
    bin: Buffer.from('bytes'),
    broken: Buffer.from([0x61, 0xff, 0xfe]),
    nan: Number.NaN,
    infinite: Number.POSITIVE_INFINITY,
    big: 9_223_372_036_854_775_807n,
    deep: deep(30),
    'key "with"\n': 'quotes',
    nothing: null,
    text: '日本語 \u2028 \u0000'
  })
  t.match(found, {
    bin: 'bytes',
    broken: 'a\ufffd\ufffd',
    nan: null,
    infinite: null,
    'key "with"\n': 'quotes',
    nothing: null,
    text: '日本語 \u2028 \u0000'
  })
  t.end()
})

t.test('the tag is a field where it is wanted', (t) => {
  t.notOk('tag' in document({ log: 'x' }))
  t.match(document({ log: 'x' }, { include_tag_key: true, tag_key: 'fluent_tag' }), {
    fluent_tag: 'docker.web'
  })
  t.notOk('@timestamp' in document({ log: 'x' }, { time_key: '' }))
  t.end()
})

t.test('a record without index goes to the dead letters, its neighbours do not', (t) => {
  const half = createRender({ ...OPTIONS, index: '${record.index}' }, renderContext)
  const { batches, result } = renderInPool(half, [
    { record: { index: 'good' } },
    { record: { index: '..' } },
    { record: { other: 1 } }
  ])
  t.strictSame(
    batches.flatMap(({ body }) => parseBulk(body)).map(({ index }) => index),
    ['good', 'unknown']
  )
  t.strictSame(
    result.deadLetters.map(({ offset, reason }) => [offset, reason]),
    [[1, 'index_name']]
  )
  t.end()
})

t.test('a record that fits no request goes to the dead letters as too large', (t) => {
  const half = createRender({ ...OPTIONS, bulk_bytes: 100_000 }, renderContext)
  const { batches, result } = renderInPool(half, [
    { record: { log: 'a' } },
    { record: { log: 'x'.repeat(100_000) } },
    { record: { log: 'b' } }
  ])
  t.equal(batches.flatMap(({ body }) => parseBulk(body)).length, 2)
  t.strictSame(
    result.deadLetters.map(({ offset, reason }) => [offset, reason]),
    [[1, 'too_large']]
  )
  t.end()
})
