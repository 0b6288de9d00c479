import fs from 'node:fs'
import fsp from 'node:fs/promises'
import net from 'node:net'
import path from 'node:path'
import { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import { type ListenAddress, parseListenAddress } from '../../src/net/listen-address.ts'
import { Listener, type ListenerOptions, readInto } from '../../src/net/listener.ts'
import {
  type AttachReader,
  attachData,
  attachOnread,
  canAttach,
  type StreamReader
} from '../../src/net/read-into.ts'
import { resetSocket } from '../../src/net/reset-socket.ts'
import { shortDir } from '../support/short-dir.ts'

const READ_BYTES = 1024

interface TestOptions extends Partial<ListenerOptions> {
  readonly readBuffer?: Buffer
  readonly attach?: AttachReader
  readonly open?: (socket: net.Socket) => StreamReader
}

function options(
  text: string,
  {
    readBuffer = Buffer.alloc(READ_BYTES),
    attach = attachOnread,
    open = () => ({ onRead() {}, onEnd() {}, onClose() {} }),
    ...rest
  }: TestOptions = {}
): ListenerOptions {
  return {
    address: parseListenAddress(text),
    backlog: 128,
    isPortShared: false,
    unix: { mode: 0o660, uid: null, gid: null },
    keepaliveMs: 60_000,
    clock: systemClock,
    proxy: null,
    tls: null,
    hasRoom: () => true,
    onRefused: () => {},
    onProxyFailed: () => {},
    onTlsFailed: () => {},
    take: readInto(readBuffer, attach, open),
    ...rest
  }
}

async function listen(t: Test, listenerOptions: ListenerOptions): Promise<Listener> {
  const listener = await Listener.open(listenerOptions)
  t.teardown(() => listener.close())
  return listener
}

function connect(address: string): net.Socket {
  const parsed: ListenAddress = parseListenAddress(address)
  const socket =
    parsed.kind === 'unix' ? net.connect(parsed.path) : net.connect(parsed.port, parsed.host)
  socket.on('error', () => {})
  return socket
}

const closed = (socket: net.Socket): Promise<void> =>
  new Promise((resolve) => {
    socket.on('error', () => {})
    socket.once('close', () => resolve())
  })

for (const [name, attach] of [
  ['onread', attachOnread],
  ['data', attachData]
] as const) {
  t.test(
    `${name}: bytes arrive in order in the shared buffer, writes go out after the peer ended`,
    async (t) => {
      const readBuffer = Buffer.alloc(READ_BYTES)
      const received: Buffer[] = []
      const open = (socket: net.Socket): StreamReader => ({
        onRead(byteCount) {
          t.ok(byteCount <= READ_BYTES, 'never more than the buffer holds')
          received.push(Buffer.from(readBuffer.subarray(0, byteCount)))
        },
        onEnd() {
          socket.end('reply after half-close')
        },
        onClose() {}
      })
      const listener = await listen(t, options('127.0.0.1:0', { readBuffer, attach, open }))
      const sent = Buffer.alloc(100_000, 'abcdefg')
      const client = connect(listener.address)
      let reply = ''
      client.on('data', (chunk) => {
        reply += chunk
      })
      client.end(sent)
      await closed(client)
      t.ok(Buffer.concat(received).equals(sent))
      t.equal(reply, 'reply after half-close')
    }
  )

  t.test(`${name}: a paused socket reads nothing until it is resumed`, async (t) => {
    let byteCount = 0
    let server: net.Socket | undefined
    const firstRead = Promise.withResolvers<void>()
    const ended = Promise.withResolvers<void>()
    const open = (socket: net.Socket): StreamReader => {
      server = socket
      return {
        onRead(count) {
          if (byteCount === 0) socket.pause()
          byteCount += count
          firstRead.resolve()
        },
        onEnd() {
          ended.resolve()
          socket.end()
        },
        onClose() {}
      }
    }
    const listener = await listen(t, options('127.0.0.1:0', { attach, open }))
    const client = connect(listener.address)
    client.write(Buffer.alloc(200_000))
    await firstRead.promise
    const atPause = byteCount
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
    t.ok(byteCount <= atPause + 65_536, 'at most the chunk that was on its way')
    server?.resume()
    client.end()
    await ended.promise
    t.equal(byteCount, 200_000)
  })

  t.test(`${name}: the self-test passes`, async (t) => {
    t.equal(await canAttach(attach, systemClock), true)
  })
}

t.test('the self-test fails when the handle cannot be taken or no bytes come', async (t) => {
  const throwing: AttachReader = () => {
    throw new Error('accepted socket has no handle')
  }
  t.equal(await canAttach(throwing, systemClock), false)
  const losing: AttachReader = (accepted, _buffer, open) => {
    const reader = open(accepted)
    accepted.on('data', () => {})
    accepted.on('end', () => reader.onEnd())
    accepted.resume()
    accepted.write('!')
  }
  t.equal(await canAttach(losing, systemClock), false)
})

t.test('C15 a connection above the limit is reset at once and counted', async (t) => {
  let open = 0
  let refused = 0
  const listener = await listen(
    t,
    options('127.0.0.1:0', {
      hasRoom: () => open < 1,
      onRefused: () => {
        refused++
      },
      open: (socket) => {
        open++
        socket.write('hello')
        return { onRead() {}, onEnd: () => socket.end(), onClose() {} }
      }
    })
  )
  const first = connect(listener.address)
  await new Promise((resolve) => first.once('data', resolve))
  const second = net.connect(parseListenAddress(listener.address) as net.TcpNetConnectOpts)
  const error = await new Promise<NodeJS.ErrnoException>((resolve) => second.once('error', resolve))
  t.equal(error.code, 'ECONNRESET')
  t.equal(refused, 1)
  first.end()
  await closed(first)
})

t.test(
  'a reset reaches the peer as an error over TCP and as an end over a Unix socket',
  async (t) => {
    const path = `${shortDir(t)}/s.sock`
    for (const address of ['127.0.0.1:0', `unix://${path}`]) {
      const listener = await listen(
        t,
        options(address, {
          open: (socket) => ({ onRead: () => resetSocket(socket), onEnd() {}, onClose() {} })
        })
      )
      const client = connect(listener.address)
      let code: string | undefined = ''
      client.on('error', (error: NodeJS.ErrnoException) => {
        code = error.code
      })
      client.write('x')
      await closed(client)
      t.equal(code, address.startsWith('unix') ? '' : 'ECONNRESET')
    }
  }
)

t.test(
  'C21 a stale socket is replaced, a live one, a file and a missing directory are refused',
  async (t) => {
    const directory = shortDir(t, { file: 'text' })
    const path = `${directory}/s.sock`
    // A process that was killed leaves its file behind: a hard link survives the unlink at close.
    const dead = net.createServer()
    await new Promise<void>((resolve) => dead.listen(`${directory}/dead`, resolve))
    fs.linkSync(`${directory}/dead`, path)
    await new Promise((resolve) => dead.close(resolve))
    t.ok(fs.lstatSync(path).isSocket())
    const listener = await listen(t, options(`unix://${path}`))
    await t.rejects(Listener.open(options(`unix://${path}`)), {
      code: 'MR_LISTEN',
      message: /another process listens there/
    })
    await t.rejects(Listener.open(options(`unix://${directory}/file`)), {
      code: 'MR_LISTEN',
      message: /a file that is no socket has this name/
    })
    await t.rejects(Listener.open(options(`unix://${directory}/none/s.sock`)), {
      code: 'MR_LISTEN',
      message: /ENOENT/
    })
    t.equal(fs.readFileSync(`${directory}/file`, 'utf8'), 'text')
    await listener.close()
    t.notOk(fs.existsSync(path), 'the path is free after the close')
  }
)

t.test('C22 with umask 000 no moment shows the Unix socket with more than its mode', async (t) => {
  const directory = shortDir(t)
  const final = `${directory}/s.sock`
  const umask = process.umask(0)
  t.teardown(() => process.umask(umask))
  const server = net.createServer()
  const bound: { path: string; isPrivate: boolean; isThere: boolean }[] = []
  // From the bind to the rename the socket lies where nobody else can go.
  server.on('listening', () => {
    const staged = String(server.address())
    const mode = fs.statSync(path.dirname(staged)).mode & 0o777
    bound.push({ path: staged, isPrivate: mode === 0o700, isThere: fs.existsSync(final) })
  })
  const rename = fsp.rename
  const modes: number[] = []
  t.teardown(() => {
    fsp.rename = rename
  })
  fsp.rename = (from, to) => {
    modes.push(fs.statSync(from).mode & 0o777)
    return rename(from, to)
  }
  const unix = { mode: 0o600, uid: null, gid: null }
  const listener = await Listener.open(options(`unix://${final}`, { unix }), server)
  t.match(bound, [{ isPrivate: true, isThere: false }])
  t.not(bound[0]?.path, final)
  t.same(modes, [0o600], 'it gets its name when it has its mode')
  t.equal(fs.statSync(final).mode & 0o777, 0o600)
  await listener.close()
})

t.test('C22 the Unix socket has its mode and nothing is left beside it', async (t) => {
  const directory = shortDir(t)
  const unix = { mode: 0o600, uid: null, gid: null }
  await listen(t, options(`unix://${directory}/s.sock`, { unix }))
  t.equal(fs.statSync(`${directory}/s.sock`).mode & 0o777, 0o600)
  t.same(fs.readdirSync(directory), ['s.sock'])
})

t.test('closing leaves the socket file of a successor alone', async (t) => {
  const path = `${shortDir(t)}/s.sock`
  const first = await Listener.open(options(`unix://${path}`))
  fs.unlinkSync(path)
  const second = await listen(t, options(`unix://${path}`))
  await first.close()
  t.ok(fs.existsSync(path))
  const client = connect(second.address)
  await new Promise((resolve) => client.once('connect', resolve))
  client.destroy()
})

t.test('an address in use is refused with the code and the address', async (t) => {
  const listener = await listen(t, options('127.0.0.1:0'))
  await t.rejects(Listener.open(options(listener.address)), {
    code: 'MR_LISTEN',
    message: /cannot listen on tcp:\/\/127\.0\.0\.1:\d+: .*EADDRINUSE/
  })
})

t.test('two threads share a TCP port and both get connections', async (t) => {
  const probe = await Listener.open(options('127.0.0.1:0'))
  const { address } = probe
  await probe.close()
  const source = new URL('../support/listener.thread.ts', import.meta.url)
  const threads = [0, 1].map(() => new Worker(source, { workerData: { address } }))
  t.teardown(() => Promise.all(threads.map((thread) => thread.postMessage('stop'))))
  await Promise.all(threads.map((thread) => new Promise((r) => thread.once('message', r))))
  const seen = new Set<string>()
  for (let attempt = 0; attempt < 200 && seen.size < 2; attempt++) {
    const client = connect(address)
    const chunk = await new Promise<Buffer>((resolve) => client.once('data', resolve))
    seen.add(chunk.toString())
    client.destroy()
  }
  t.equal(seen.size, 2)
})
