import dgram from 'node:dgram'
import t, { type Test } from 'tap'
import { DatagramSocket, droppedOf, procAddress } from '../../src/net/datagram-socket.ts'
import { eventually } from '../support/eventually.ts'

const until = (check: () => boolean) => eventually('it happens', 20_000, check)

async function open(t: Test, host: string, receiveBufferBytes: number | null = null) {
  const batches: { text: string; address: string; port: number }[][] = []
  const socket = await DatagramSocket.open({
    host,
    port: 0,
    receiveBufferBytes,
    onBatch: (batch) =>
      batches.push(batch.map(({ bytes, ...from }) => ({ text: bytes.toString(), ...from })))
  })
  t.teardown(() => socket.close())
  return { batches, socket }
}

function sender(t: Test, type: 'udp4' | 'udp6' = 'udp4'): Promise<dgram.Socket> {
  const socket = dgram.createSocket(type)
  t.teardown(() => socket.close())
  return new Promise((resolve) => socket.bind(0, () => resolve(socket)))
}

const send = (from: dgram.Socket, port: number, text: string, host = '127.0.0.1') =>
  new Promise((resolve) => from.send(text, port, host, resolve))

t.test('datagrams come in order, several at a time, with their sender', async (t) => {
  const { batches, socket } = await open(t, '127.0.0.1')
  const from = await sender(t)
  const texts = Array.from({ length: 20 }, (_, index) => `line ${index}`)
  await Promise.all(texts.map((text) => send(from, socket.port, text)))
  await until(() => batches.flat().length === texts.length)
  t.same(
    batches.flat().map(({ text }) => text),
    texts
  )
  const { port } = from.address()
  t.ok(batches.flat().every((each) => each.address === '127.0.0.1' && each.port === port))
})

t.test('an answer comes from the port that was asked, over a mapped address too', async (t) => {
  const socket = await DatagramSocket.open({
    host: '::',
    port: 0,
    receiveBufferBytes: null,
    onBatch: ([first]) => first && socket.answer(first, Buffer.from(first.address))
  })
  t.teardown(() => socket.close())
  const from = await sender(t)
  const answer = new Promise((resolve) => {
    from.on('message', (bytes, { port }) => resolve(`${bytes} ${port}`))
  })
  await send(from, socket.port, 'hello')
  t.equal(await answer, `127.0.0.1 ${socket.port}`)
})

t.test('the buffer is as asked, and what it cannot hold is counted by the system', async (t) => {
  const { batches, socket } = await open(t, '127.0.0.1', 4096)
  t.ok(socket.receiveBufferBytes >= 4096)
  t.ok(socket.receiveBufferBytes < 65_536)
  if ((await socket.dropCount()) === null) {
    t.pass('the system does not say what it drops')
    return
  }
  const from = await sender(t)
  const sentCount = 200
  // Node reads nothing while this turn lasts, and loopback delivers within `send`.
  for (let count = 0; count < sentCount; count++)
    from.send('x'.repeat(1000), socket.port, '127.0.0.1')
  let seenCount = -1
  await eventually('all are read or dropped', 20_000, async () => {
    seenCount = batches.flat().length + ((await socket.dropCount()) ?? 0)
    return seenCount === sentCount
  })
  t.ok(((await socket.dropCount()) ?? 0) > 0, 'some did not fit')
})

t.test('a port that is taken is refused with the address', async (t) => {
  const { socket } = await open(t, '127.0.0.1')
  const again = { host: '127.0.0.1', port: socket.port, receiveBufferBytes: null, onBatch() {} }
  await t.rejects(DatagramSocket.open(again), {
    code: 'MR_LISTEN',
    message: new RegExp(`cannot listen on udp://127.0.0.1:${socket.port}: .*EADDRINUSE`)
  })
})

t.test('a closed socket answers nothing and may be closed again', async (t) => {
  const { socket } = await open(t, '127.0.0.1')
  await socket.close()
  await socket.close()
  socket.answer({ bytes: Buffer.alloc(0), address: '127.0.0.1', port: 9 }, Buffer.from('x'))
  t.equal(socket.receiveBufferBytes, 0)
})

t.test('lines of /proc/net/udp are found by address and port', (t) => {
  t.equal(procAddress('127.0.0.1', 24224), '0100007F:5EA0')
  t.equal(procAddress('::1', 514), '00000000000000000000000001000000:0202')
  t.equal(procAddress('2001:db8::ff00:42:8329', 1), 'B80D01200000000000FF000029834200:0001')
  const table = [
    '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops',
    '  177: 0100007F:5EA0 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 15 2 0000 42'
  ].join('\n')
  t.equal(droppedOf(table, '0100007F:5EA0'), 42)
  t.equal(droppedOf(table, '0100007F:5EA1'), null)
  t.equal(droppedOf('', '0100007F:5EA0'), null)
  t.end()
})
