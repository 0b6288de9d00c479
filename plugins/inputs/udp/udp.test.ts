import t from 'tap'
import { WORD } from '../../../src/threads/shared.ts'
import { eventually } from '../../../test/support/eventually.ts'
import { sendDatagrams, textHost } from '../../../test/support/text-host.ts'

const LIMIT_MS = 20_000
const listen = ['udp://127.0.0.1:0']

t.test('a datagram is a record; ends of lines belong to nobody', async (t) => {
  const { address, host, texts } = await textHost(t, 'udp', { listen, source_key: 'sender' })
  await sendDatagrams(address, ['one', 'two\nlines\r\n', '', 'three\0'])
  await eventually('three records', LIMIT_MS, () => host.recordCount() === 3)
  t.same(texts(), ['one', 'two\nlines', 'three'])
  t.same(host.records()[0]?.record, { sender: '127.0.0.1', log: 'one' })
  t.equal(host.counter('input_dropped_datagrams_total/empty'), 1)
  t.equal(host.counter('received_records'), 3)
  t.equal(host.counter('received_bytes'), 3 + 11 + 0 + 6)
})

t.test('lines of a datagram are records where that is asked for', async (t) => {
  const { address, host, texts } = await textHost(t, 'udp', { listen, lines: true })
  await sendDatagrams(address, ['one\ntwo\r\n\nthree', 'four\n'])
  await eventually('four records', LIMIT_MS, () => host.recordCount() === 4)
  t.same(texts(), ['one', 'two', 'three', 'four'])
})

t.test('a datagram over the limit is dropped and counted', async (t) => {
  const { address, host, texts } = await textHost(t, 'udp', { listen, max_line_bytes: 64 })
  await sendDatagrams(address, ['x'.repeat(65), 'y'.repeat(64)])
  await eventually('a record', LIMIT_MS, () => host.recordCount() === 1)
  t.same(texts(), ['y'.repeat(64)])
  t.equal(host.counter('input_dropped_datagrams_total/too_large'), 1)
})

t.test('records bear their sender where routes may ask for it', async (t) => {
  const { address, host } = await textHost(t, 'udp', { listen, source_address: true })
  await sendDatagrams(address, ['one'])
  await eventually('a record', LIMIT_MS, () => host.recordCount() === 1)
  t.match(host.groups()[0]?.source, /127\.0\.0\.1/)
})

t.test('a full queue holds 2 MiB back, drops the rest, and counts it', async (t) => {
  const { address, host } = await textHost(t, 'udp', { listen, receive_buffer: 1024 * 1024 })
  const words = host.words('routes/all')
  words[WORD.isFull] = 1n
  const text = 'x'.repeat(32_000)
  const { length: sent } = Array(80)
  for (let i = 0; i < sent; i++) {
    await sendDatagrams(address, [text])
    // The system's buffer holds fewer: each is taken before the next.
    await eventually('it came', LIMIT_MS, () => host.counter('received_bytes') === (i + 1) * 32_000)
  }
  const dropped = host.counter('input_dropped_datagrams_total/full')
  t.ok(dropped > 0 && dropped < 20, `${dropped} dropped`)
  t.equal(host.counter('received_records'), 0)
  await host.stop()
  t.equal(host.counter('input_rejected_records_total/stopped'), sent - dropped)
})
