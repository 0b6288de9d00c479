import { once } from 'node:events'
import tls from 'node:tls'
import t from 'tap'
import { WORD } from '../../../src/threads/shared.ts'
import { certificate, tlsFolder } from '../../../test/support/certificates.ts'
import { eventually } from '../../../test/support/eventually.ts'
import { v1 } from '../../../test/support/proxy-headers.ts'
import { connectTo, sendPieces, textHost } from '../../../test/support/text-host.ts'

const LIMIT_MS = 20_000

t.test('lines end with LF or CRLF, the last one at the end of the connection', async (t) => {
  const { address, host, texts } = await textHost(t, 'tcp')
  await sendPieces(address, ['one\ntwo\r\n\n\r\nth\0ree\nlast'])
  await eventually('four records', LIMIT_MS, () => host.recordCount() === 4)
  t.same(texts(), ['one', 'two', 'th\0ree', 'last'])
  t.equal(host.records()[0]?.tag, 'app')
  t.equal(host.counter('received_records'), 4)
  t.equal(host.counter('connections_total'), 1)
})

t.test('a stream that is cut anywhere gives the same lines', async (t) => {
  const { address, host, texts } = await textHost(t, 'tcp')
  const stream = 'first\r\nsécond\n\nx\r\nend'
  const bytes = Buffer.from(stream)
  const expected = ['first', 'sécond', 'x', 'end']
  for (let at = 1; at < bytes.length; at++) {
    await sendPieces(address, [bytes.subarray(0, at), bytes.subarray(at)])
  }
  await sendPieces(
    address,
    [...bytes].map((byte) => Buffer.of(byte))
  )
  const rounds = bytes.length
  await eventually('all records', LIMIT_MS, () => host.recordCount() === 4 * rounds)
  t.same(texts(), Array(rounds).fill(expected).flat())
})

t.test('a line over the limit goes on in the next record, and is counted', async (t) => {
  const { address, host, texts } = await textHost(t, 'tcp', { max_line_bytes: 64 })
  await sendPieces(address, ['a'.repeat(50), 'a'.repeat(50), `b\n${'c'.repeat(64)}\nd`])
  await eventually('four records', LIMIT_MS, () => host.recordCount() === 4)
  t.same(texts(), ['a'.repeat(64), `${'a'.repeat(36)}b`, 'c'.repeat(64), 'd'])
  t.equal(host.counter('cut_lines'), 1)
})

t.test('the address of the sender is a field where one is named', async (t) => {
  const { address, host } = await textHost(t, 'tcp', {
    key: 'text',
    source_key: 'sender',
    source_address: true,
    proxy_protocol: 'optional',
    proxy_protocol_from: ['127.0.0.1']
  })
  await sendPieces(address, ['one\n'])
  await eventually('a record', LIMIT_MS, () => host.recordCount() === 1)
  await sendPieces(address, [
    Buffer.concat([v1('TCP4 192.0.2.7 10.0.0.1 5 6'), Buffer.from('two')])
  ])
  await eventually('two records', LIMIT_MS, () => host.recordCount() === 2)
  t.same(
    host.records().map(({ record }) => record),
    [
      { sender: '127.0.0.1', text: 'one' },
      { sender: '192.0.2.7', text: 'two' }
    ]
  )
  t.match(host.groups().at(-1)?.source, /192\.0\.2\.7/)
})

t.test('lines come over TLS and Unix sockets', async (t) => {
  const { directory, tls: block } = tlsFolder(t)
  const { addresses, host, texts } = await textHost(t, 'tcp', {
    listen: ['tls://127.0.0.1:0', `unix://${directory}/s`],
    tls: block
  })
  const [secure = '', unix = ''] = addresses
  const socket = tls.connect({ port: Number(new URL(secure).port), ca: certificate('ca.pem') })
  await once(socket, 'secureConnect')
  socket.end('over tls')
  socket.resume()
  await once(socket, 'close')
  await sendPieces(unix, ['over unix\n'])
  await eventually('two records', LIMIT_MS, () => host.recordCount() === 2)
  t.same(texts(), ['over tls', 'over unix'])
})

t.test('a connection above the limit is reset', async (t) => {
  const { address, host } = await textHost(t, 'tcp', { max_connections: 1 })
  const first = connectTo(address)
  await eventually('a connection', LIMIT_MS, () => host.counter('connections') === 1)
  const second = connectTo(address)
  await new Promise((resolve) => second.once('close', resolve))
  t.equal(host.counter('input_connections_closed_total/too_many'), 1)
  first.destroy()
})

t.test('a full queue stops the reading, and nothing is lost when there is room', async (t) => {
  const { address, host, texts } = await textHost(t, 'tcp')
  const words = host.words('routes/all')
  words[WORD.isFull] = 1n
  const lines = Array.from({ length: 2000 }, (_, i) => `line ${i} ${'x'.repeat(100)}`)
  const socket = connectTo(address)
  socket.write(`${lines.join('\n')}\n`)
  await eventually('a pause', LIMIT_MS, () => host.counter('input_paused_total/room') > 0)
  t.equal(host.recordCount(), 0)
  words[WORD.isFull] = 0n
  await host.main.handle({ kind: 'room', logs: ['routes/all'] })
  socket.end('last')
  await eventually('all records', LIMIT_MS, () => host.recordCount() === lines.length + 1)
  t.same(texts(), [...lines, 'last'])
})

t.test(
  'what waits for room is stored after its sender has gone, or counted at a stop',
  async (t) => {
    const { address, host, texts } = await textHost(t, 'tcp')
    const words = host.words('routes/all')
    words[WORD.isFull] = 1n
    await sendPieces(address, ['one\ntwo\nthree'], true)
    await eventually('it waits', LIMIT_MS, () => host.counter('input_paused_total/room') === 1)
    words[WORD.isFull] = 0n
    await host.main.handle({ kind: 'room', logs: ['routes/all'] })
    await eventually('three records', LIMIT_MS, () => host.recordCount() === 3)
    t.same(texts(), ['one', 'two', 'three'])
    words[WORD.isFull] = 1n
    await sendPieces(address, ['four\nfive\nsix'], true)
    await eventually('it waits', LIMIT_MS, () => host.counter('input_paused_total/room') === 2)
    await host.stop()
    t.equal(host.counter('input_rejected_records_total/stopped'), 3)
  }
)

t.test('a stop stores what has no line end yet', async (t) => {
  const { address, host, texts } = await textHost(t, 'tcp')
  const socket = connectTo(address)
  socket.write('one\ntwo')
  await eventually('a record', LIMIT_MS, () => host.counter('received_bytes') === 7)
  await host.stop()
  t.same(texts(), ['one', 'two'])
  t.equal(host.counter('connections'), 0)
  t.equal(host.counter('input_connections_closed_total/stop'), 1)
})
