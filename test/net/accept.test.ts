import net from 'node:net'
import tls from 'node:tls'
import t, { type Test } from 'tap'
import type { ProxyRules } from '../../src/net/accept.ts'
import { AddressSet } from '../../src/net/address-set.ts'
import { parseListenAddress } from '../../src/net/listen-address.ts'
import { Listener, readInto } from '../../src/net/listener.ts'
import type { Peer } from '../../src/net/peer.ts'
import { attachData, attachOnread } from '../../src/net/read-into.ts'
import { certificate, tlsFolder } from '../support/certificates.ts'
import { eventually } from '../support/eventually.ts'
import { FakeClock, settled } from '../support/fake-clock.ts'
import { IPV6_BYTES, v1, v2 } from '../support/proxy-headers.ts'

const until = (check: () => boolean) => eventually('it happens', 20_000, check)
const V4 = v1('TCP4 192.0.2.7 10.0.0.1 5000 24224')

interface Options {
  readonly mode?: ProxyRules['mode']
  readonly from?: readonly string[]
  readonly attach?: typeof attachOnread
  readonly isTls?: boolean
}

/** Answers `<address>:<port> <bytes>` to what it has at the end of the peer. */
async function serve(t: Test, { from = ['127.0.0.0/8'], ...options }: Options = {}) {
  const { attach = attachOnread, isTls = false, mode = 'required' } = options
  const clock = new FakeClock()
  const peers: Peer[] = []
  const failures: string[] = []
  const readBuffer = Buffer.alloc(64)
  const { tls: tlsOptions } = tlsFolder(t)
  const listener = await Listener.open({
    address: parseListenAddress(`${isTls ? 'tls' : 'tcp'}://127.0.0.1:0`),
    backlog: 128,
    isPortShared: false,
    unix: { mode: 0o660, uid: null, gid: null },
    keepaliveMs: 0,
    clock,
    proxy: { mode, from: new AddressSet(from) },
    tls: isTls
      ? { tls: tlsOptions, ticketSecret: Buffer.alloc(32), scope: '', onNews: () => {} }
      : null,
    hasRoom: () => true,
    onRefused: () => {},
    onProxyFailed: (reason, peer, bytes, detail) =>
      failures.push([reason, peer.address, bytes.length, detail].join(' ')),
    onTlsFailed: (reason) => failures.push(reason),
    take: readInto(readBuffer, attach, (socket, peer) => {
      peers.push(peer)
      let text = ''
      return {
        onRead(byteCount) {
          text += readBuffer.toString('latin1', 0, byteCount)
        },
        onEnd: () => socket.end(`${peer.address}:${peer.port} ${text}`),
        onClose() {}
      }
    })
  })
  t.teardown(() => listener.close())
  const parsed = parseListenAddress(listener.address)
  const port = parsed.kind === 'tcp' ? parsed.port : 0
  return { clock, peers, failures, port }
}

interface Client {
  readonly socket: net.Socket
  /** What came, or the code of the error. */
  readonly answer: Promise<string>
}

function connect(port: number): Client {
  const socket = net.connect(port, '127.0.0.1')
  socket.setNoDelay(true)
  let text = ''
  let code = ''
  socket.on('data', (chunk) => {
    text += chunk
  })
  socket.on('error', (error: NodeJS.ErrnoException) => {
    code = error.code ?? ''
  })
  const answer = new Promise<string>((resolve) => {
    socket.on('close', () => resolve(code || text))
  })
  return { socket, answer }
}

function ask(port: number, bytes: Buffer): Promise<string> {
  const { answer, socket } = connect(port)
  socket.end(bytes)
  return answer
}

const and = (...parts: (Buffer | string)[]): Buffer =>
  Buffer.concat(parts.map((part) => Buffer.from(part)))

for (const [name, attach] of [
  ['onread', attachOnread],
  ['data', attachData]
] as const) {
  t.test(`C24 ${name}: header and data in one segment, and byte by byte`, async (t) => {
    const { failures, peers, port } = await serve(t, { attach })
    const data = 'data '.repeat(100)
    t.equal(await ask(port, and(V4, data)), `192.0.2.7:5000 ${data}`)
    const six = v2({ family: 0x21, addresses: [...IPV6_BYTES, ...IPV6_BYTES, 0, 7, 0, 8] })
    t.equal(await ask(port, and(six, data)), `2001:db8::7:7 ${data}`)
    const { answer, socket } = connect(port)
    for (const byte of and(V4, data)) {
      await new Promise((resolve) => socket.write(Buffer.from([byte]), resolve))
      await new Promise(setImmediate)
    }
    socket.end()
    t.equal(await answer, `192.0.2.7:5000 ${data}`)
    t.match(peers.at(-1), { address: '192.0.2.7', port: 5000, proxyAddress: '127.0.0.1' })
    t.same(failures, [])
  })
}

t.test('C24 LOCAL and UNKNOWN leave the address of the socket', async (t) => {
  const { peers, port } = await serve(t)
  const local = v2({ command: 0x20, family: 0, addresses: [] })
  for (const header of [local, v1('UNKNOWN')]) {
    t.match(await ask(port, and(header, 'x')), /^127\.0\.0\.1:\d+ x$/)
    t.match(peers.at(-1), { proxyAddress: null })
  }
})

t.test('C24 malformed, missing and cut headers are reset and counted', async (t) => {
  const { failures, peers, port } = await serve(t)
  for (const [bytes, failure] of [
    [v1('TCP4 nobody 10.0.0.1 1 2'), 'malformed 127.0.0.1 32 address'],
    [Buffer.from([0x93, 0xa3]), 'missing 127.0.0.1 2 '],
    [V4.subarray(0, 20), 'malformed 127.0.0.1 20 cut_short'],
    [v2({ family: 0, addresses: Array(600).fill(0) }), 'malformed 127.0.0.1 616 too_long']
  ] as const) {
    t.equal(await ask(port, bytes), 'ECONNRESET')
    t.same(failures.splice(0), [failure])
  }
  t.same(peers, [])
})

t.test('C24 a slow header is reset after 5 s', async (t) => {
  for (const [mode, begun] of [
    ['required', ''],
    ['required', 'PROXY TCP4'],
    ['optional', 'PROXY TCP4']
  ] as const) {
    const { clock, failures, port } = await serve(t, { mode })
    const { answer, socket } = connect(port)
    await until(() => clock.timerCount === 1)
    socket.write(begun)
    // The bytes are read when the server has answered something that came later.
    t.match(await ask(port, and(V4, 'x')), / x$/)
    await settled()
    clock.advance(4999)
    await settled()
    t.same(failures, [])
    clock.advance(1)
    t.equal(await answer, 'ECONNRESET')
    t.same(failures, [`timeout 127.0.0.1 ${begun.length} `])
  }
})

t.test('C24 optional: a connection without a header is taken with all its bytes', async (t) => {
  const { clock, failures, peers, port } = await serve(t, { mode: 'optional' })
  t.match(await ask(port, Buffer.from('PROXZ data')), /^127\.0\.0\.1:\d+ PROXZ data$/)
  t.equal(await ask(port, and(V4, 'data')), '192.0.2.7:5000 data')
  const silent = connect(port)
  await until(() => clock.timerCount === 1)
  clock.advance(5000)
  await until(() => peers.length === 3)
  silent.socket.end('late')
  t.match(await silent.answer, /^127\.0\.0\.1:\d+ late$/, 'it may have waited for our first word')
  t.same(failures, [])
})

t.test('C24 a header from a peer that is not listed names nobody', async (t) => {
  const required = await serve(t, { from: ['192.0.2.0/24'] })
  t.equal(await ask(required.port, and(V4, 'data')), 'ECONNRESET')
  t.same(required.failures, ['not_listed 127.0.0.1 0 '])
  const optional = await serve(t, { from: ['192.0.2.0/24'], mode: 'optional' })
  const answer = await ask(optional.port, and(V4, 'data'))
  t.match(answer, /^127\.0\.0\.1:\d+ PROXY TCP4 192\.0\.2\.7 .*\r\ndata$/s)
})

t.test('C24 a probe that connects and leaves is no failure', async (t) => {
  const { clock, failures, peers, port } = await serve(t)
  t.equal(await ask(port, Buffer.alloc(0)), '')
  await until(() => clock.timerCount === 0)
  t.same(failures, [])
  t.same(peers, [])
})

t.test('C24 the header comes before TLS, in the same segment as its first bytes too', async (t) => {
  const { failures, peers, port } = await serve(t, { isTls: true })
  for (const mode of ['apart', 'together'] as const) {
    const raw = net.connect(port, '127.0.0.1')
    await new Promise((resolve) => raw.once('connect', resolve))
    if (mode === 'apart') await new Promise((resolve) => raw.write(V4, resolve))
    else {
      raw.cork()
      raw.write(V4)
    }
    const socket = tls.connect({ socket: raw, ca: certificate('ca.pem'), servername: 'localhost' })
    if (mode === 'together') setImmediate(() => raw.uncork())
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk
    })
    socket.end('data')
    await new Promise((resolve) => socket.once('close', resolve))
    t.equal(text, '192.0.2.7:5000 data', mode)
  }
  t.match(peers, [{ proxyAddress: '127.0.0.1' }, { proxyAddress: '127.0.0.1' }])
  t.same(failures, [])
})
