// Records through the real kernel to the bodies of PutLogEvents.

import t from 'tap'
import { renderContext } from '../../../test/support/output-batches.ts'
import { type PoolRecord, RECORD_SECONDS, renderInPool } from '../../../test/support/pool-render.ts'
import type { CloudWatchOptions } from './options.ts'
import createRender from './render.ts'

const OPTIONS: CloudWatchOptions = {
  log_group_name: '/app/${tag_parts[0]}',
  log_stream_name: '${record.container_id:-none}',
  default_log_group_name: 'millrace-default',
  sanitize_char: '.',
  allow_unconfined_names: false,
  auto_create_group: false,
  auto_create_stream: true,
  include_tag_key: false,
  tag_key: 'tag',
  max_event_bytes: 1_048_550,
  oversize: 'dlq',
  truncate_suffix: '[Truncated...]',
  compression: 'none',
  batch_events: 10_000,
  flush_interval: 5000,
  max_in_flight: 16,
  connect_timeout: 1000,
  request_timeout: 5000,
  retry: { base: 1000, cap: 60_000 }
}

function requests(records: readonly PoolRecord[], overrides: Partial<CloudWatchOptions> = {}) {
  const half = createRender({ ...OPTIONS, ...overrides }, renderContext)
  return renderInPool(half, records).batches.map(({ body }) => JSON.parse(body.toString()))
}

const messages = (record: unknown, overrides: Partial<CloudWatchOptions> = {}) =>
  requests([{ record }], overrides).flatMap(({ logEvents }) =>
    logEvents.map(({ message }: { message: string }) => message)
  )

t.test('a request per stream, named by the record', (t) => {
  const found = requests([
    { tag: 'web.1', record: { container_id: 'a:b', log: 'one' } },
    { tag: 'db.1', record: { log: 'two' } },
    { tag: 'web.2', record: { container_id: 'a:b', log: 'three' } }
  ])
  const timestamp = RECORD_SECONDS * 1000
  t.strictSame(found, [
    {
      logGroupName: '/app/web',
      logStreamName: 'a.b',
      logEvents: [
        { message: '{"container_id":"a:b","log":"one"}', timestamp },
        { message: '{"container_id":"a:b","log":"three"}', timestamp }
      ]
    },
    {
      logGroupName: '/app/db',
      logStreamName: 'none',
      logEvents: [{ message: '{"log":"two"}', timestamp }]
    }
  ])
  t.end()
})

t.test('C11 broken UTF-8 becomes the replacement character', (t) => {
  const bytes = Buffer.from([0x61, 0xff, 0x62, 0xed, 0xa0, 0x80])
  const [message] = messages({ log: bytes }, { log_key: 'log' })
  t.match(message, /^a\ufffdb\ufffd+$/)
  t.end()
})

t.test('C20 times are cut to milliseconds, never rounded up', (t) => {
  const at = (nanoseconds: number) =>
    requests([{ record: { log: 'x' }, seconds: 1_700_000_000, nanoseconds }])[0].logEvents[0]
      .timestamp
  t.equal(at(999_999_999), 1_700_000_000_999)
  t.equal(at(0), 1_700_000_000_000)
  t.end()
})

t.test('C56 a text is sent as it is, other values as JSON', (t) => {
  const log_key = 'log'
  t.strictSame(messages({ log: 'say "hi"\n' }, { log_key }), ['say "hi"\n'])
  t.strictSame(messages({ log: 42 }, { log_key }), ['42'])
  t.strictSame(messages({ log: { a: [1] } }, { log_key }), ['{"a":[1]}'])
  t.strictSame(messages({ log: [1, 'x'] }, { log_key }), ['[1,"x"]'])
  t.strictSame(
    messages({ other: 1 }, { log_key }),
    ['{"other":1}'],
    'without the field: the record'
  )
  t.end()
})

t.test('C57 the field is matched by its whole name', (t) => {
  t.strictSame(messages({ lo: 'a', log: 'b', logs: 'c' }, { log_key: 'log' }), ['b'])
  t.end()
})

t.test('C58 integers of 64 bits keep every digit', (t) => {
  t.strictSame(messages({ n: 9_007_199_254_740_993n, m: -9_223_372_036_854_775_808n }), [
    '{"n":9007199254740993,"m":-9223372036854775808}'
  ])
  t.end()
})

t.test('C59 paths within the message are those of the record', (t) => {
  const record = { kubernetes: { container_name: 'backend-app' }, log: 'an ERROR' }
  t.strictSame(JSON.parse(messages(record)[0] ?? ''), record)
  t.end()
})

t.test('C05 the kernel counts what the service counts', (t) => {
  // 950,000 bytes of text that travel as 1,900,000.
  const records = Array.from({ length: 50 }, () => ({ record: { log: '"'.repeat(19_000) } }))
  const found = requests(records, { log_key: 'log' })
  t.strictSame(
    found.map(({ logEvents }) => logEvents.length),
    [50]
  )
  t.end()
})

t.test('C10 an empty text is no event', (t) => {
  const found = requests(
    [{ record: { log: 'a' } }, { record: { log: '' } }, { record: { log: ' ' } }],
    {
      log_key: 'log'
    }
  )
  t.strictSame(
    found.flatMap(({ logEvents }) => logEvents.map(({ message }: { message: string }) => message)),
    ['a', ' ']
  )
  t.end()
})
