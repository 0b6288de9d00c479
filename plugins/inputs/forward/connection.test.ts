// Connection, ack and load cases.

import dgram from 'node:dgram'
import zlib from 'node:zlib'
import { encode } from '@msgpack/msgpack'
import t from 'tap'
import { WORD } from '../../../src/threads/shared.ts'
import { eventually } from '../../../test/support/eventually.ts'
import { FakeClock, settled } from '../../../test/support/fake-clock.ts'
import { ForwardClient } from '../../../test/support/forward-client.ts'
import { forwardHost } from '../../../test/support/forward-host.ts'
import { freePort } from '../../../test/support/free-port.ts'
import { shortDir } from '../../../test/support/short-dir.ts'

const LIMIT_MS = 10_000

const message = (text: string, chunk?: string, tag = 't'): Buffer =>
  Buffer.from(encode([tag, [[1_700_000_000, { m: text }]], chunk === undefined ? {} : { chunk }]))
const single = (text: string, chunk?: string): Buffer =>
  Buffer.from(encode(['t', 1_700_000_000, { m: text }, chunk === undefined ? {} : { chunk }]))
const ackOf = (...chunks: string[]): Buffer =>
  Buffer.concat(chunks.map((chunk) => encode({ ack: chunk })))
const textsOf = (records: readonly { record: unknown }[]): string[] =>
  records.map(({ record }) => (record as { m: string }).m)

t.test('C03 a header that announces 300 MiB resets the connection at once', async (t) => {
  const { host, address } = await forwardHost(t)
  const client = await ForwardClient.connect(address)
  client.send(Buffer.from('92a174c612c00000', 'hex'))
  t.equal(await client.closed, 'reset')
  t.equal(host.counter('oversize_frames'), 1)
  const closed = () => host.counter('input_connections_closed_total/oversize')
  await eventually('it is counted', LIMIT_MS, () => closed() === 1)
  t.match(host.warnings, [/too long/])
})

t.test('C06 C07 half a message is given 60 seconds, a dribbling one 1 KiB a minute', async (t) => {
  const clock = new FakeClock()
  const { host, address } = await forwardHost(t, {}, { clock })
  const silent = await ForwardClient.connect(address)
  const slow = await ForwardClient.connect(address)
  const bytes = message('x'.repeat(5000), 'c1')
  silent.send(bytes.subarray(0, 20))
  slow.send(bytes.subarray(0, 20))
  const received = (count: number) => host.counter('received_bytes') >= count
  await eventually('both have begun', LIMIT_MS, () => received(40))
  clock.advance(59_000)
  await settled()
  t.equal(host.counter('connections'), 2)
  slow.send(bytes.subarray(20, 30))
  await eventually('it dribbled', LIMIT_MS, () => received(50))
  clock.advance(2000)
  t.equal(await silent.closed, 'reset')
  t.equal(await slow.closed, 'reset')
  const timeouts = () => host.counter('input_connections_closed_total/frame_timeout')
  await eventually('both are counted', LIMIT_MS, () => timeouts() === 2)
})

t.test('C08 an idle connection is kept for ever', async (t) => {
  const clock = new FakeClock()
  const { host, address } = await forwardHost(t, {}, { clock })
  const client = await ForwardClient.connect(address)
  client.send(message('before', 'c1'))
  await client.receive(ackOf('c1').length)
  for (let hour = 0; hour < 3600; hour += 60) clock.advance(60_000)
  await settled()
  client.send(message('after', 'c2'))
  t.ok((await client.receive(ackOf('c1', 'c2').length)).equals(ackOf('c1', 'c2')))
  t.same(textsOf(host.records()), ['before', 'after'])
  client.destroy()
})

t.test('C09 a sender that half-closes gets its ack and then the end', async (t) => {
  const { address } = await forwardHost(t)
  const client = await ForwardClient.connect(address)
  client.send(message('x', 'c1')).end()
  t.equal(await client.closed, 'end')
  t.ok(client.received.equals(ackOf('c1')))
})

t.test('C10 a message is stored although its sender closes at once', async (t) => {
  const { host, address } = await forwardHost(t)
  const client = await ForwardClient.connect(address)
  client.send(single('x')).end()
  await client.closed
  await eventually('it is stored', LIMIT_MS, () => host.recordCount() === 1)
  t.same(textsOf(host.records()), ['x'])
})

t.test('C11 a full route keeps the message and its connection, others go on', async (t) => {
  const { host, address } = await forwardHost(
    t,
    {},
    {
      routes: [{ id: 'full', match: { kind: 'parts', patterns: ['full'] } }, { id: 'all' }]
    }
  )
  const words = host.words('routes/full')
  words[WORD.isFull] = 1n
  const client = await ForwardClient.connect(address)
  const sent = Array.from({ length: 50 }, (_, i) => message(`m${i}`, `c${i}`, 'full'))
  const body = zlib.gzipSync(encode([1_700_000_000, { m: 'zipped' }]))
  const zipped = Buffer.from(encode(['full', body, { compressed: 'gzip', chunk: 'z' }]))
  client.send(Buffer.concat([...sent, zipped, single('last')]))
  const other = await ForwardClient.connect(address)
  other.send(message('other', 'o'))
  t.ok((await other.receive(ackOf('o').length)).equals(ackOf('o')))
  t.equal(host.recordCount('routes/full'), 0)
  t.equal(client.received.length, 0)
  t.ok(host.counter('input_paused_total/room') >= 1)
  words[WORD.isFull] = 0n
  await host.main.handle({ kind: 'room', logs: ['routes/full'] })
  const expected = ackOf(...sent.map((_, i) => `c${i}`), 'z')
  t.ok((await client.receive(expected.length)).equals(expected))
  t.same(textsOf(host.records('routes/full')), [...sent.map((_, i) => `m${i}`), 'zipped'])
  await eventually('the last', LIMIT_MS, () => textsOf(host.records()).includes('last'))
  t.equal(host.counter('duplicate_chunks'), 0)
  client.destroy()
  other.destroy()
})

t.test('C11 JSON waits for room like any message', async (t) => {
  const { host, address } = await forwardHost(t)
  const words = host.words('routes/all')
  words[WORD.isFull] = 1n
  const client = await ForwardClient.connect(address)
  client.send(Buffer.from('["t",1,{"m":"a"},{"chunk":"c1"}]["t",1,{"m":"b"},{"chunk":"c2"}]'))
  await eventually('it waits', LIMIT_MS, () => host.counter('input_paused_total/room') === 1)
  words[WORD.isFull] = 0n
  await host.main.handle({ kind: 'room', logs: ['routes/all'] })
  const expected = '{"ack":"c1"}{"ack":"c2"}'
  t.equal((await client.receive(expected.length)).toString(), expected)
  t.same(textsOf(host.records()), ['a', 'b'])
  client.destroy()
})

t.test('C11 a message that waits for room is stored after its sender has gone', async (t) => {
  const { host, address } = await forwardHost(t)
  const words = host.words('routes/all')
  words[WORD.isFull] = 1n
  const client = await ForwardClient.connect(address)
  client.send(Buffer.concat([single('no ack'), message('waits', 'c1')]))
  await eventually('it waits', LIMIT_MS, () => host.counter('input_paused_total/room') === 1)
  client.destroy()
  words[WORD.isFull] = 0n
  await host.main.handle({ kind: 'room', logs: ['routes/all'] })
  await eventually('it is stored', LIMIT_MS, () => host.recordCount() >= 1)
  t.equal(textsOf(host.records())[0], 'no ack')
})

t.test('C14 a stop takes what was sent, acks it and ends each sender in its way', async (t) => {
  const { host, address } = await forwardHost(t)
  const acking = await ForwardClient.connect(address)
  const plain = await ForwardClient.connect(address)
  acking.send(message('a', 'c1'))
  await acking.receive(ackOf('c1').length)
  acking.send(message('b', 'c2'))
  plain.send(single('c'))
  await eventually('both were read', LIMIT_MS, () => host.counter('received_records') === 3)
  await host.stop()
  t.equal(await acking.closed, 'end', 'who reads acks sees the end')
  t.equal(await plain.closed, 'reset', 'who does not sees an error on its next write')
  t.ok(acking.received.equals(ackOf('c1', 'c2')))
  t.same(textsOf(host.records()).sort(), ['a', 'b', 'c'])
  t.equal(host.messages.at(-1)?.kind, 'stopped')
})

t.test('C14 what waits for room at a stop is counted when nobody sends it again', async (t) => {
  const { host, address } = await forwardHost(t)
  host.words('routes/all')[WORD.isFull] = 1n
  const stays = await ForwardClient.connect(address)
  stays.send(Buffer.concat([single('one'), single('two'), message('sent again', 'c1')]))
  await eventually('it waits', LIMIT_MS, () => host.counter('input_paused_total/room') === 1)
  const gone = await ForwardClient.connect(address)
  gone.send(single('three'))
  await eventually('both wait', LIMIT_MS, () => host.counter('input_paused_total/room') === 2)
  gone.destroy()
  await host.stop()
  t.equal(host.counter('input_rejected_records_total/stopped'), 3)
  t.equal(host.recordCount(), 0)
})

t.test('C16 a message that a dying sender cut does not touch the next sender', async (t) => {
  const { host, address } = await forwardHost(t)
  const dying = await ForwardClient.connect(address)
  dying.send(message('x'.repeat(1000), 'c1').subarray(0, 500))
  await eventually('it was read', LIMIT_MS, () => host.counter('received_bytes') === 500)
  dying.destroy()
  const next = await ForwardClient.connect(address)
  next.send(message('whole', 'c2'))
  t.ok((await next.receive(ackOf('c2').length)).equals(ackOf('c2')))
  t.same(textsOf(host.records()), ['whole'])
  next.destroy()
})

t.test('C17 C18 100 chunks in a row get their acks in order, whole in each segment', async (t) => {
  const { address } = await forwardHost(t)
  const client = await ForwardClient.connect(address)
  const segments: Buffer[] = []
  client.socket.on('data', (chunk) => segments.push(chunk))
  const names = Array.from({ length: 100 }, (_, i) => `chunk-${i}`)
  client.send(
    Buffer.concat(names.map((name, i) => (i % 2 ? single('x', name) : message('x', name))))
  )
  const expected = ackOf(...names)
  t.equal((await client.receive(expected.length)).toString(), expected.toString())
  const heads = Buffer.from('81a361636b', 'hex')
  t.ok(segments.every((segment) => segment.subarray(0, 5).equals(heads)))
  client.destroy()
})

t.test('C20 heartbeat datagrams to 128 bytes are answered from the same socket', async (t) => {
  const port = await freePort()
  const { host } = await forwardHost(t, { listen: [`127.0.0.1:${port}`], udp_heartbeat: true })
  const socket = dgram.createSocket('udp4')
  t.teardown(() => socket.close())
  const answers: { hex: string; port: number }[] = []
  socket.on('message', (bytes, from) => {
    answers.push({ hex: bytes.toString('hex'), port: from.port })
  })
  // One at a time: an answer too many would stand in the place of the next.
  const expected: { hex: string; port: number }[] = []
  for (const byteCounts of [[1], [0], [128], [1000, 129, 1]]) {
    for (const byteCount of byteCounts) socket.send(Buffer.alloc(byteCount), port, '127.0.0.1')
    expected.push({ hex: '00', port })
    await eventually('an answer', LIMIT_MS, () => answers.length === expected.length)
  }
  t.same(answers, expected)
  t.equal(host.counter('heartbeats'), 4)
})

t.test('C23 a Unix socket acks like TCP', async (t) => {
  const path = `${shortDir(t)}/f.sock`
  const { host, address } = await forwardHost(t, { listen: [`unix://${path}`] })
  const client = await ForwardClient.connect(address)
  client.send(message('x', 'c1'))
  t.ok((await client.receive(ackOf('c1').length)).equals(ackOf('c1')))
  t.equal(host.recordCount(), 1)
  client.destroy()
})

t.test('C15 connections above the limit are reset', async (t) => {
  const { host, address } = await forwardHost(t, { max_connections: 1 })
  const first = await ForwardClient.connect(address)
  first.send(message('x', 'c1'))
  await first.receive(1)
  const second = await ForwardClient.connect(address)
  t.equal(await second.closed, 'reset')
  t.equal(host.counter('input_connections_closed_total/too_many'), 1)
  first.destroy()
})

t.test('C26 resends are stored by the rules of each mode', async (t) => {
  const base = t.testdir()
  for (const [dedupe, onHealthy, afterBreak] of [
    ['window', 1, 1],
    ['unconfirmed', 2, 1],
    ['off', 2, 2]
  ] as const) {
    const { host, address } = await forwardHost(t, { dedupe }, { directory: `${base}/${dedupe}` })
    const client = await ForwardClient.connect(address)
    const expected = ackOf('h', 'h', 'next')
    for (const bytes of [message('healthy', 'h'), message('healthy', 'h'), message('n', 'next')]) {
      const before = client.received.length
      client.send(bytes)
      await client.receive(before + 1)
    }
    t.ok((await client.receive(expected.length)).equals(expected), `${dedupe}: both are acked`)
    const texts = () => textsOf(host.records())
    t.equal(texts().filter((text) => text === 'healthy').length, onHealthy, dedupe)
    client.send(message('broken', 'b'))
    await client.receive(expected.length + ackOf('b').length)
    client.destroy()
    await eventually('it is gone', LIMIT_MS, () => host.counter('connections') === 0)
    const again = await ForwardClient.connect(address)
    again.send(message('broken', 'b'))
    t.ok((await again.receive(ackOf('b').length)).equals(ackOf('b')))
    t.equal(
      texts().filter((text) => text === 'broken').length,
      afterBreak,
      `${dedupe}: after a break`
    )
    again.destroy()
  }
})

t.test('a resend among other messages of one read is passed over alone', async (t) => {
  const known = `t\0${Buffer.from(encode('c1')).toString('latin1')}`
  const { host, address } = await forwardHost(t, {}, { recoveredIngestIds: [known] })
  const client = await ForwardClient.connect(address)
  client.send(Buffer.concat([single('0', 'c0'), single('1', 'c1'), single('2'), single('3', 'c3')]))
  const expected = ackOf('c0', 'c1', 'c3')
  t.ok((await client.receive(expected.length)).equals(expected))
  t.same(textsOf(host.records()), ['0', '2', '3'])
  t.equal(host.counter('duplicate_chunks'), 1)
  t.equal(host.counter('received_records'), 3)
  client.destroy()
})

t.test('P20 a body that cannot be decompressed is a dead letter, or refused', async (t) => {
  const body = zlib.gzipSync(encode([1_700_000_000, { m: 'x' }])).subarray(0, -6)
  const bytes = Buffer.from(encode(['t', body, { compressed: 'gzip', chunk: 'c1' }]))
  const { host, address } = await forwardHost(t)
  const client = await ForwardClient.connect(address)
  client.send(bytes)
  t.ok((await client.receive(ackOf('c1').length)).equals(ackOf('c1')))
  t.match(host.records('dlq/in.fwd'), [
    { tag: 't', record: { reason: 'undecodable', input: 'fwd', bytes: new Uint8Array(body) } }
  ])
  t.equal(host.counter('dead_letters'), 1)
  client.destroy()
  const strict = await forwardHost(
    t,
    { on_undecodable: 'reject' },
    { directory: `${t.testdirName}/strict` }
  )
  const refused = await ForwardClient.connect(strict.address)
  refused.send(bytes)
  t.equal(await refused.closed, 'reset')
  t.equal(strict.host.recordCount('dlq/in.fwd'), 0)
})

t.test('a small body above max_decompressed_bytes is a dead letter', async (t) => {
  const body = zlib.gzipSync(encode([1_700_000_000, { m: 'x'.repeat(2000) }]))
  const { host, address } = await forwardHost(t, { max_decompressed_bytes: 1024 })
  const client = await ForwardClient.connect(address)
  client.send(Buffer.from(encode(['t', body, { compressed: 'gzip', chunk: 'c1' }])))
  t.ok((await client.receive(ackOf('c1').length)).equals(ackOf('c1')))
  t.match(host.records('dlq/in.fwd'), [{ tag: 't', record: { reason: 'too_large' } }])
  t.equal(host.recordCount(), 0)
  t.equal(host.counter('input_rejected_records_total/too_large'), 1)
  client.destroy()
})

t.test(
  'F08 F10 invalid entries go to the dead letters, a batch in their place has its own tag',
  async (t) => {
    const { host, address } = await forwardHost(t)
    const client = await ForwardClient.connect(address)
    const inner = ['inner', [[1_700_000_000, { m: 'nested' }]]]
    const entries = [[1_700_000_000, { m: 'good' }], 5, inner, [1_700_000_000, { m: 'also' }]]
    client.send(Buffer.from(encode(['t', entries, { chunk: 'c1' }])))
    t.ok((await client.receive(ackOf('c1').length)).equals(ackOf('c1')))
    t.match(host.records(), [
      { tag: 't', record: { m: 'good' } },
      { tag: 'inner', record: { m: 'nested' } },
      { tag: 't', record: { m: 'also' } }
    ])
    const letter = host.records('dlq/in.fwd')[0]?.record as { reason: string; bytes: Uint8Array }
    t.equal(letter.reason, 'not_an_entry')
    t.ok(Buffer.from(letter.bytes).includes(5))
    t.equal(host.counter('nested_forward'), 1)
    t.equal(host.counter('input_rejected_records_total/not_an_entry'), 1)
    client.destroy()
  }
)

t.test('large bodies are decompressed beside other connections and stored in order', async (t) => {
  const { host, address } = await forwardHost(t)
  const client = await ForwardClient.connect(address)
  const entries = Array.from({ length: 3000 }, (_, i) => encode([i, { m: 'y'.repeat(1000) + i }]))
  for (const [chunk, compressed] of [
    ['g', zlib.gzipSync(Buffer.concat(entries))],
    ['z', zlib.zstdCompressSync(Buffer.concat(entries))]
  ] as const) {
    client.send(Buffer.from(encode(['t', compressed, { compressed: 'gzip', chunk }])))
  }
  client.send(message('behind', 'b'))
  const expected = ackOf('g', 'z', 'b')
  t.ok((await client.receive(expected.length)).equals(expected))
  t.equal(host.recordCount(), 6001)
  t.equal(textsOf(host.records()).at(-1), 'behind')
  t.equal(host.counter('input_received_messages_total/zstd'), 1)
  client.destroy()
})

t.test('tags are replaced, prefixed, defaulted and cut', async (t) => {
  const base = t.testdir()
  for (const [options, expected] of [
    [{}, ['t', 'untagged', 'é'.repeat(512)]],
    [{ tag: 'fixed' }, ['fixed', 'fixed', 'fixed']],
    [{ add_tag_prefix: 'p' }, ['p.t', 'p.untagged', `p.${'é'.repeat(511)}`]],
    [{ tag_prefix_raw: 'p' }, ['pt', 'puntagged', `p${'é'.repeat(511)}`]]
  ] as const) {
    const { host, address } = await forwardHost(t, options, {
      directory: `${base}/${expected[0]}`
    })
    const client = await ForwardClient.connect(address)
    for (const tag of ['t', '', 'é'.repeat(2000)]) client.send(message('x', tag.slice(0, 1), tag))
    await client.receive(ackOf('t', '', 'é').length)
    t.same(
      host.groups().map(({ tag }) => tag),
      expected
    )
    client.destroy()
  }
})

t.test('the address of the sender is stored only when an option asks for it', async (t) => {
  const base = t.testdir()
  for (const [isStored, source] of [
    [false, 'fwd\0'],
    [true, 'fwd\0' + '127.0.0.1']
  ] as const) {
    const { host, address } = await forwardHost(
      t,
      { source_address: isStored },
      { directory: `${base}/${isStored}` }
    )
    const client = await ForwardClient.connect(address)
    client.send(message('x', 'c1'))
    await client.receive(1)
    t.equal(host.groups()[0]?.source, source)
    client.destroy()
  }
})

t.test('a connection that asks for acks is closed between messages at its age', async (t) => {
  const clock = new FakeClock()
  const { host, address } = await forwardHost(t, { max_connection_age: 300_000 }, { clock })
  const acking = await ForwardClient.connect(address)
  const plain = await ForwardClient.connect(address)
  acking.send(message('x', 'c1'))
  plain.send(single('y'))
  await acking.receive(ackOf('c1').length)
  await eventually('both were read', LIMIT_MS, () => host.counter('received_records') === 2)
  clock.advance(361_000)
  t.equal(await acking.closed, 'end')
  await eventually('it is closed', LIMIT_MS, () => host.counter('connections') < 2)
  t.equal(host.counter('connections'), 1, 'one that asks for none stays')
  t.equal(host.counter('input_connections_closed_total/age'), 1)
  plain.destroy()
})

t.test('TLS and PROXY headers are closed with a hint', async (t) => {
  const { host, address } = await forwardHost(t)
  for (const hex of ['16030100c8010000c40303', Buffer.from('PROXY TCP4 1').toString('hex')]) {
    const client = await ForwardClient.connect(address)
    client.send(Buffer.from(hex, 'hex'))
    t.equal(await client.closed, 'reset')
  }
  t.match(host.warnings, [/TLS on a plain/, /PROXY protocol/])
  t.equal(host.counter('forward_protocol_mismatch_total/tls'), 1)
  t.equal(host.counter('forward_protocol_mismatch_total/proxy'), 1)
})
