import t from 'tap'
import { eventually } from '../../../test/support/eventually.ts'
import { sendDatagrams, sendPieces, textHost } from '../../../test/support/text-host.ts'

const LIMIT_MS = 20_000
const OLD = '<34>Oct 11 22:14:15 mymachine su: it failed'
const NEW = '<165>1 2003-10-11T22:14:15.003Z host app - ID47 - \ufeffan event\nof two lines'
const counted = (text: string) => `${Buffer.byteLength(text)} ${text}`

t.test('messages come as they are by UDP and TCP, whatever their framing', async (t) => {
  const { addresses, host, texts } = await textHost(t, 'syslog', {
    listen: ['udp://127.0.0.1:0', 'tcp://127.0.0.1:0']
  })
  const [udp = '', tcp = ''] = addresses
  t.match(udp, /^udp:/)
  await sendDatagrams(udp, [`${NEW}\n`])
  await eventually('one', LIMIT_MS, () => host.recordCount() === 1)
  await sendPieces(tcp, [`${OLD}\n${OLD}`])
  await eventually('three', LIMIT_MS, () => host.recordCount() === 3)
  await sendPieces(tcp, [counted(NEW) + counted(OLD)])
  await eventually('five', LIMIT_MS, () => host.recordCount() === 5)
  t.same(texts(), [NEW, OLD, OLD, NEW, OLD])
})

t.test('counted frames that are cut anywhere give the same messages', async (t) => {
  const { address, host, texts } = await textHost(t, 'syslog')
  const bytes = Buffer.from(`${counted('<1>é one\n')}\n${counted(NEW)}0 7 <2>last`)
  const expected = ['<1>é one', NEW, '<2>last']
  for (let at = 1; at < bytes.length; at++) {
    await sendPieces(address, [bytes.subarray(0, at), bytes.subarray(at)])
  }
  await sendPieces(
    address,
    [...bytes].map((byte) => Buffer.of(byte))
  )
  const rounds = bytes.length
  await eventually('all records', LIMIT_MS, () => host.recordCount() === 3 * rounds)
  t.same(texts(), Array(rounds).fill(expected).flat())
})

t.test('a frame over the limit goes on in the next record', async (t) => {
  const { address, host, texts } = await textHost(t, 'syslog', { max_line_bytes: 64 })
  const long = 'x'.repeat(150)
  await sendPieces(address, [`150 ${long.slice(0, 70)}`, `${long.slice(70)}3 abc`])
  await eventually('four records', LIMIT_MS, () => host.recordCount() === 4)
  t.same(texts(), [long.slice(0, 64), long.slice(0, 64), long.slice(0, 22), 'abc'])
  t.equal(host.counter('cut_lines'), 2)
})

t.test('a frame that the end of the connection cuts is a record', async (t) => {
  const { address, host, texts } = await textHost(t, 'syslog')
  await sendPieces(address, ['5 first20 secon'])
  await eventually('two records', LIMIT_MS, () => host.recordCount() === 2)
  t.same(texts(), ['first', 'secon'])
})

t.test('what is no count resets the connection, is counted and shown', async (t) => {
  const { address, host, texts } = await textHost(t, 'syslog')
  await sendPieces(address, ['5 first<13>oops'])
  await eventually('a record', LIMIT_MS, () => host.recordCount() === 1)
  t.same(texts(), ['first'])
  t.equal(host.counter('input_rejected_records_total/bad_frame'), 1)
  t.equal(host.counter('input_connections_closed_total/protocol'), 1)
  t.match(host.warnings, ['no length of a message where one has to be: connection reset'])
  await sendPieces(address, ['9999999999 x'])
  t.equal(host.counter('input_rejected_records_total/bad_frame'), 2)
})

t.test('the framing may be fixed', async (t) => {
  const { address, host, texts } = await textHost(t, 'syslog', { framing: 'lf' })
  await sendPieces(address, ['12 apples\n'])
  await eventually('a record', LIMIT_MS, () => host.recordCount() === 1)
  t.same(texts(), ['12 apples'])
})
