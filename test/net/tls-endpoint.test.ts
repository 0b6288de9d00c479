import { X509Certificate } from 'node:crypto'
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import tls from 'node:tls'
import { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import { parseListenAddress } from '../../src/net/listen-address.ts'
import { Listener, type ListenerOptions, readInto } from '../../src/net/listener.ts'
import type { Peer } from '../../src/net/peer.ts'
import { attachOnread } from '../../src/net/read-into.ts'
import { resetSocket } from '../../src/net/reset-socket.ts'
import type { CertificateNews, TlsFailure } from '../../src/net/tls-endpoint.ts'
import { fileState, type ListenerTls, readTlsMaterial } from '../../src/net/tls-files.ts'
import { certificate, identity, tlsFolder } from '../support/certificates.ts'
import { eventually } from '../support/eventually.ts'
import { FakeClock, settled } from '../support/fake-clock.ts'

const until = (check: () => boolean) => eventually('it happens', 20_000, check)
const CA = certificate('ca.pem')
const serialOf = (name: string): string => new X509Certificate(certificate(name)).serialNumber

interface Served {
  readonly port: number
  readonly clock: FakeClock
  readonly news: CertificateNews[]
  readonly failures: { reason: TlsFailure; peer: Peer; detail: string }[]
  readonly peers: Peer[]
  readonly listener: Listener
}

/** Echoes what it reads; the end of the peer is answered by `end`. */
async function serve(t: Test, tlsOptions: ListenerTls, rest: Partial<ListenerOptions> = {}) {
  const clock = new FakeClock()
  const served = { clock, news: [], failures: [], peers: [] } as unknown as Served
  const readBuffer = Buffer.alloc(1024)
  const listener = await Listener.open({
    address: parseListenAddress('tls://127.0.0.1:0'),
    backlog: 128,
    isPortShared: false,
    unix: { mode: 0o660, uid: null, gid: null },
    keepaliveMs: 0,
    clock,
    proxy: null,
    tls: {
      tls: tlsOptions,
      ticketSecret: Buffer.alloc(32, 1),
      scope: 'test',
      onNews: (news) => served.news.push(news)
    },
    hasRoom: () => true,
    onRefused: () => {},
    onProxyFailed: () => {},
    onTlsFailed: (reason, peer, detail) => served.failures.push({ reason, peer, detail }),
    take: readInto(readBuffer, attachOnread, (socket, peer) => {
      served.peers.push(peer)
      return {
        onRead(byteCount) {
          const bytes = Buffer.from(readBuffer.subarray(0, byteCount))
          if (bytes.includes('reset')) resetSocket(socket)
          else socket.write(bytes)
        },
        onEnd: () => socket.end('end'),
        onClose() {}
      }
    }),
    ...rest
  })
  t.teardown(() => listener.close())
  const address = parseListenAddress(listener.address)
  if (address.kind !== 'tcp') throw new Error('no port')
  return Object.assign(served, { port: address.port, listener })
}

interface Client {
  readonly socket: tls.TLSSocket
  readonly secured: Promise<void>
  /** Code of the error that ended it; '' without one. */
  readonly closed: Promise<string>
  read(byteCount: number): Promise<string>
}

function connect(port: number, options: tls.ConnectionOptions = {}): Client {
  const socket = tls.connect({ port, host: '127.0.0.1', ca: CA, ...options })
  let text = ''
  let code = ''
  const changed: (() => void)[] = []
  const wake = () => {
    for (const resolve of changed.splice(0)) resolve()
  }
  socket.on('data', (chunk) => {
    text += chunk
    wake()
  })
  socket.on('error', (error: NodeJS.ErrnoException) => {
    code = error.code ?? error.message
  })
  const closed = new Promise<string>((resolve) => {
    socket.on('close', () => {
      wake()
      resolve(code)
    })
  })
  const read = async (byteCount: number) => {
    while (text.length < byteCount && !socket.destroyed) {
      await new Promise<void>((resolve) => changed.push(resolve))
    }
    return text
  }
  const secured = new Promise<void>((resolve) => {
    socket.once('secureConnect', resolve)
    socket.once('close', resolve)
  })
  return { socket, secured, closed, read }
}

const serialSeen = ({ socket }: Client): string =>
  socket.getPeerX509Certificate()?.serialNumber ?? ''

t.test('bytes come through in pieces of the read buffer, and an ack after the end', async (t) => {
  const { port, peers } = await serve(t, tlsFolder(t).tls)
  const client = connect(port)
  const sent = 'abcdefgh'.repeat(10_000)
  client.socket.end(sent)
  t.equal(await client.read(sent.length + 3), `${sent}end`, 'half-closed, and still answered')
  t.match(peers, [{ address: '127.0.0.1', port: Number, proxyAddress: null, certificate: null }])
  t.equal(await client.closed, '')
})

t.test('a reset goes through TLS: the client sees an error', async (t) => {
  const { port } = await serve(t, tlsFolder(t).tls)
  const client = connect(port)
  client.socket.write('reset')
  t.equal(await client.closed, 'ECONNRESET')
})

t.test('C25 replaced certificate files: new connections get the new one, old stay', async (t) => {
  const folder = tlsFolder(t)
  const { clock, news, port } = await serve(t, folder.tls)
  const before = connect(port)
  before.socket.write('hi')
  await before.read(2)
  t.equal(serialSeen(before), serialOf('server.pem'))
  folder.replace('tls.crt', 'server-next.pem')
  folder.replace('tls.key', 'server-next.key')
  clock.advance(10_000)
  await until(() => news.length === 2)
  t.match(news[1], { kind: 'loaded', isFirst: false, material: { subject: 'CN=localhost' } })
  const after = connect(port)
  await after.secured
  t.equal(serialSeen(after), serialOf('server-next.pem'))
  before.socket.write('still here')
  t.equal(await before.read(12), 'histill here', 'the old connection goes on')
  before.socket.destroy()
  after.socket.destroy()
})

t.test(
  'C25 a certificate whose key comes later is not taken before, and told of once',
  async (t) => {
    const folder = tlsFolder(t)
    const { clock, news, port } = await serve(t, folder.tls)
    folder.replace('tls.crt', 'server-next.pem')
    clock.advance(10_000)
    await until(() => news.length === 2)
    t.match(news[1], { kind: 'kept', error: /the two do not belong together/ })
    const between = connect(port)
    between.socket.write('hi')
    await between.read(2)
    t.equal(serialSeen(between), serialOf('server.pem'), 'the old pair serves')
    for (let look = 0; look < 3; look++) {
      clock.advance(10_000)
      await until(() => clock.timerCount > 0)
    }
    t.equal(news.length, 2, 'the same fault is no news')
    folder.replace('tls.key', 'server-next.key')
    await until(() => {
      clock.advance(10_000)
      return news.length === 3
    })
    t.match(news[2], { kind: 'loaded', isFirst: false })
    const after = connect(port)
    await after.secured
    t.equal(serialSeen(after), serialOf('server-next.pem'))
    between.socket.destroy()
    after.socket.destroy()
  }
)

t.test('C25 a secret of Kubernetes changes by the link behind its files', async (t) => {
  const folder = tlsFolder(t)
  const { directory } = folder
  for (const [name, fixture] of [
    ['one', 'server'],
    ['two', 'server-next']
  ]) {
    fs.mkdirSync(path.join(directory, `..${name}`))
    fs.writeFileSync(path.join(directory, `..${name}/tls.crt`), certificate(`${fixture}.pem`))
    fs.writeFileSync(path.join(directory, `..${name}/tls.key`), certificate(`${fixture}.key`))
  }
  const point = (name: string) => {
    fs.symlinkSync(`..${name}`, path.join(directory, '..new'))
    fs.renameSync(path.join(directory, '..new'), path.join(directory, '..data'))
  }
  point('one')
  for (const file of ['tls.crt', 'tls.key']) {
    fs.unlinkSync(path.join(directory, file))
    fs.symlinkSync(`..data/${file}`, path.join(directory, file))
  }
  const { clock, news, port } = await serve(t, folder.tls)
  point('two')
  clock.advance(10_000)
  await until(() => news.length === 2)
  const client = connect(port)
  await client.secured
  t.equal(serialSeen(client), serialOf('server-next.pem'))
  client.socket.destroy()
})

t.test('files that vanish leave the certificate in use', async (t) => {
  const folder = tlsFolder(t)
  const { clock, news, port } = await serve(t, folder.tls)
  fs.unlinkSync(path.join(folder.directory, 'tls.crt'))
  t.equal(await fileState(folder.tls.cert_file), '')
  clock.advance(10_000)
  await until(() => news.length === 2)
  t.match(news[1], { kind: 'kept', error: /tls\.cert_file cannot be read: ENOENT/ })
  const client = connect(port)
  await client.secured
  t.equal(serialSeen(client), serialOf('server.pem'))
  client.socket.destroy()
})

t.test('the end of a certificate is told once a day in its last two weeks', async (t) => {
  const { clock, news } = await serve(t, tlsFolder(t).tls)
  t.equal(news.length, 1)
  const endsMs = Date.parse('2120-01-01T00:00:00Z')
  t.match(news[0], { kind: 'loaded', material: { endsMs } })
  clock.jumpTo(endsMs - 15 * 24 * 3_600_000)
  const look = async () => {
    await until(() => clock.timerCount > 0)
    clock.advance(10_000)
    await until(() => clock.timerCount > 0)
  }
  await look()
  t.equal(news.length, 1)
  clock.jumpTo(endsMs - 13 * 24 * 3_600_000)
  await look()
  await look()
  t.match(news.slice(1), [{ kind: 'ending', endsMs }])
  clock.jumpTo(endsMs + 1000)
  await look()
  t.ok((news[2] as { leftMs: number }).leftMs < 0, 'and when it has ended')
})

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  t.test(`H22 ${version}: only a client with a certificate of ours gets in`, async (t) => {
    const { tls: options } = tlsFolder(t, { client_auth: 'required' })
    const { failures, peers, port } = await serve(t, options)
    const using = { minVersion: version, maxVersion: version }
    const good = connect(port, { ...using, ...identity('client') })
    good.socket.write('hello')
    t.equal(await good.read(5), 'hello')
    t.match(peers, [
      { certificate: { commonName: 'agent-1', alternativeNames: 'DNS:agent-1.example' } }
    ])
    good.socket.destroy()
    for (const [reason, shown, detail] of [
      ['certificate_missing', {}, /PEER_DID_NOT_RETURN_A_CERTIFICATE/],
      ['certificate_refused', identity('stranger'), 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
      ['certificate_refused', identity('expired'), 'CERT_HAS_EXPIRED']
    ] as const) {
      const client = connect(port, { ...using, ...shown })
      client.socket.write('hello')
      await client.closed
      t.equal(await client.read(1), '')
      await until(() => failures.length > 0)
      t.match(failures.splice(0), [{ reason, detail, peer: { address: '127.0.0.1' } }])
    }
    t.equal(peers.length, 1, 'no byte of the others was read')
  })
}

t.test(
  'an optional certificate may be missing, and one that is shown has to be good',
  async (t) => {
    const { failures, peers, port } = await serve(t, tlsFolder(t, { client_auth: 'optional' }).tls)
    const none = connect(port)
    none.socket.write('hello')
    t.equal(await none.read(5), 'hello')
    const good = connect(port, identity('client'))
    good.socket.write('hello')
    t.equal(await good.read(5), 'hello')
    t.match(peers, [{ certificate: null }, { certificate: { commonName: 'agent-1' } }])
    const stranger = connect(port, identity('stranger'))
    stranger.socket.write('hello')
    await stranger.closed
    await until(() => failures.length > 0)
    t.match(failures, [{ reason: 'certificate_refused' }])
    t.equal(await stranger.read(1), '')
    none.socket.destroy()
    good.socket.destroy()
  }
)

t.test('changed authorities count for new connections and for resumed sessions', async (t) => {
  const folder = tlsFolder(t, { client_auth: 'required' })
  const { clock, failures, news, peers, port } = await serve(t, folder.tls)
  const using = { maxVersion: 'TLSv1.2', ...identity('client') } as const
  const first = connect(port, using)
  first.socket.write('hi')
  await first.read(2)
  const session = first.socket.getSession()
  const resumed = connect(port, { ...using, session })
  resumed.socket.write('hi')
  await resumed.read(2)
  t.equal(resumed.socket.isSessionReused(), true, 'it resumes while nothing changed')
  t.match(peers[1], { certificate: { commonName: 'agent-1' } }, 'and is known by its name')
  folder.replace('ca.crt', 'other-ca.pem')
  clock.advance(10_000)
  await until(() => news.length === 2)
  const late = connect(port, { ...using, session })
  await late.closed
  await until(() => failures.length > 0)
  t.match(failures, [{ reason: 'certificate_refused' }])
  const stranger = connect(port, { ...using, ...identity('stranger') })
  stranger.socket.write('hi')
  t.equal(await stranger.read(2), 'hi')
  for (const { socket } of [first, resumed, stranger]) socket.destroy()
})

t.test('plain bytes on a TLS port: reset, and the reason says so', async (t) => {
  const { failures, port } = await serve(t, tlsFolder(t).tls)
  for (const [bytes, count] of [
    [Buffer.from([0x93, 0xa3, 0x61, 0x70, 0x70, 1, 0x80]), 1],
    [Buffer.from('GET / HTTP/1.1\r\nhost: x\r\n\r\n'), 2]
  ] as const) {
    const socket = net.connect(port, '127.0.0.1')
    const code = new Promise((resolve) => {
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code))
      socket.on('close', () => resolve('end'))
    })
    socket.write(bytes)
    socket.resume()
    t.equal(await code, 'ECONNRESET')
    await until(() => failures.length === count)
    t.match(failures.at(-1), { reason: 'not_tls', peer: { address: '127.0.0.1' } })
  }
})

t.test('a version that is too old, and a client that does not trust us', async (t) => {
  const { failures, port } = await serve(t, { ...tlsFolder(t).tls, min_version: '1.3' })
  const old = connect(port, { maxVersion: 'TLSv1.2' })
  t.not(await old.closed, '')
  await until(() => failures.length === 1)
  t.match(failures[0], { reason: 'version' })
  const distrusting = connect(port, { ca: certificate('other-ca.pem') })
  t.equal(await distrusting.closed, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE')
})

t.test('a handshake that does not end is reset after 10 s and had a place meanwhile', async (t) => {
  let waitingMax = 0
  const hasRoom = (waitingCount: number) => {
    waitingMax = Math.max(waitingMax, waitingCount)
    return waitingCount < 2
  }
  let refused = 0
  const onRefused = () => {
    refused++
  }
  const { clock, failures, port } = await serve(t, tlsFolder(t).tls, { hasRoom, onRefused })
  const open = () => {
    const socket = net.connect(port, '127.0.0.1')
    socket.resume()
    const ended = new Promise((resolve) => {
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code))
      socket.on('close', () => resolve('end'))
    })
    return ended
  }
  const first = open()
  const second = open()
  const timers = clock.timerCount
  await until(() => clock.timerCount >= timers + 2)
  t.equal(await open(), 'ECONNRESET', 'the third finds no room')
  t.equal(refused, 1)
  t.equal(waitingMax, 2)
  clock.advance(9999)
  await settled()
  t.same(failures, [])
  clock.advance(1)
  t.same(await Promise.all([first, second]), ['ECONNRESET', 'ECONNRESET'])
  t.match(failures, [{ reason: 'timeout' }, { reason: 'timeout' }])
})

t.test('closing a listener resets those within a handshake and keeps the others', async (t) => {
  const { clock, listener, port } = await serve(t, tlsFolder(t).tls)
  const open = connect(port)
  open.socket.write('hi')
  await open.read(2)
  const timers = clock.timerCount
  const begun = net.connect(port, '127.0.0.1')
  begun.on('error', () => {})
  begun.resume()
  await until(() => clock.timerCount > timers)
  const closing = listener.close()
  await new Promise((resolve) => begun.once('close', resolve))
  open.socket.end('bye')
  t.equal(await open.read(8), 'hibyeend')
  await closing
  t.equal(clock.timerCount, 0, 'nobody looks at the files any more')
})

t.test('a session of one thread resumes on the other', async (t) => {
  const { tls: options } = tlsFolder(t)
  const probe = net.createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => probe.once('listening', resolve))
  const { port } = probe.address() as net.AddressInfo
  await new Promise((resolve) => probe.close(resolve))
  const source = new URL('../support/listener.thread.ts', import.meta.url)
  const workerData = { address: `tls://127.0.0.1:${port}`, tls: options }
  const threads = [0, 1].map(() => new Worker(source, { workerData }))
  t.teardown(() => Promise.all(threads.map((thread) => thread.postMessage('stop'))))
  await Promise.all(threads.map((thread) => new Promise((r) => thread.once('message', r))))
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const first = connect(port, { maxVersion })
    let session: Buffer | undefined
    first.socket.on('session', (ticket) => {
      session = ticket
    })
    const owner = await first.read(1)
    await until(() => session !== undefined)
    first.socket.destroy()
    let isResumedElsewhere = false
    for (let attempt = 0; attempt < 200 && !isResumedElsewhere; attempt++) {
      const next = connect(port, { maxVersion, ...(session && { session }) })
      const thread = await next.read(1)
      t.equal(next.socket.isSessionReused(), true)
      isResumedElsewhere = thread !== owner
      next.socket.destroy()
    }
    t.ok(isResumedElsewhere, `${maxVersion}: both threads took the ticket`)
  }
})

t.test('files that do not work are named with what is wrong', async (t) => {
  const { directory, tls: options } = tlsFolder(t, { client_auth: 'required' })
  fs.writeFileSync(path.join(directory, 'text'), 'no certificate')
  fs.writeFileSync(path.join(directory, 'locked'), certificate('server-locked.key'))
  fs.writeFileSync(
    path.join(directory, 'broken'),
    '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'
  )
  const file = (name: string) => path.join(directory, name)
  for (const [change, message] of [
    [{ cert_file: file('none') }, /tls\.cert_file cannot be read: ENOENT/],
    [{ cert_file: file('text') }, /tls\.cert_file: .*text holds no certificate in PEM form/],
    [{ cert_file: file('broken') }, /tls\.cert_file: .*broken holds a certificate that cannot/],
    [{ key_file: file('text') }, /text is no key .*holds no private key in PEM form/],
    [{ key_file: file('none') }, /tls\.key_file cannot be read: ENOENT/],
    [{ cert_file: file('ca.crt') }, /tls\.key is no key .*the two do not belong together/],
    [{ key_file: file('locked') }, /it needs key_passphrase/],
    [{ key_file: file('locked'), key_passphrase: 'wrong' }, /key_passphrase is wrong/],
    [{ ca_file: file('tls.key') }, /tls\.ca_file: .* holds no certificate in PEM form/]
  ] as const) {
    await t.rejects(readTlsMaterial({ ...options, ...change }), { code: 'MR_CONFIG_TLS', message })
  }
  const good = { ...options, key_file: file('locked'), key_passphrase: 'sesame' }
  t.match(await readTlsMaterial(good), { subject: 'CN=localhost' })
})

t.test('TLS without a block is refused', async (t) => {
  const { tls: options } = tlsFolder(t)
  await t.rejects(serve(t, options, { tls: null, clock: systemClock }), {
    code: 'MR_CONFIG_TLS',
    message: /tls:\/\/127\.0\.0\.1:0 needs a tls block/
  })
})
