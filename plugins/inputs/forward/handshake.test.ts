// Handshake cases H01 to H24, with what the real clients sent.

import { createHash } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import type { ConnectionOptions } from 'node:tls'
import { decode, encode } from '@msgpack/msgpack'
import t, { type Test } from 'tap'
import { certificate, identity, tlsFolder } from '../../../test/support/certificates.ts'
import { eventually } from '../../../test/support/eventually.ts'
import { FakeClock } from '../../../test/support/fake-clock.ts'
import { ForwardClient } from '../../../test/support/forward-client.ts'
import { type ForwardHost, forwardHost, NO_SECURITY } from '../../../test/support/forward-host.ts'
import type { HostOptions } from '../../../test/support/ingest-host.ts'
import { shortDir } from '../../../test/support/short-dir.ts'
import { Handshake } from './handshake.ts'
import { SourceRules } from './handshake-rules.ts'
import type { ForwardOptions, SecurityOptions } from './options.ts'
import { defaultHostname } from './security.ts'

const LIMIT_MS = 10_000
const KEY: SecurityOptions = {
  ...NO_SECURITY,
  shared_key: 'sekret',
  self_hostname: 'millrace-test'
}
const USERS: SecurityOptions = {
  ...KEY,
  user_auth: true,
  users: [
    { name: 'fluent', password: 'pw' },
    { name: 'other', password: 'pw2' }
  ]
}
const HELO_BYTES = 81
const event = (text: string, chunk?: string): Buffer =>
  Buffer.from(encode(['t', 1_700_000_000, { m: text }, chunk === undefined ? {} : { chunk }]))
const ackOf = (chunk: string): Buffer => Buffer.from(encode({ ack: chunk }))

type Text = string | Buffer

const sha512 = (...parts: Text[]): string => {
  const hash = createHash('sha512')
  for (const part of parts) hash.update(part)
  return hash.digest('hex')
}

interface Helo {
  readonly nonce: Buffer
  readonly auth: Buffer
}

interface PingOptions {
  readonly key?: string
  readonly salt?: Buffer
  readonly user?: string
  readonly password?: string
  /** Digests as the client writes them. */
  readonly written?: (digest: string) => string
  readonly isBin?: boolean
}

const str = (bytes: Text): Buffer => {
  const text = Buffer.from(bytes)
  return Buffer.concat([Buffer.from([0xd9, text.length]), text])
}
const bin = (bytes: Text): Buffer => {
  const text = Buffer.from(bytes)
  return Buffer.concat([Buffer.from([0xc4, text.length]), text])
}

/** The PING of a client named `client`, by bytes: no library stands between. */
function pingOf(helo: Helo, options: PingOptions = {}): Buffer {
  const { key = 'sekret', salt = Buffer.from('salt'), user = '', password = '' } = options
  const { isBin = false, written = (digest) => digest } = options
  const text = isBin ? bin : str
  return Buffer.concat([
    Buffer.from([0x96]),
    text('PING'),
    text('client'),
    text(salt),
    text(written(sha512(salt, 'client', helo.nonce, key))),
    text(user),
    text(written(sha512(helo.auth, user, password)))
  ])
}

function heloOf(bytes: Buffer): Helo {
  const [name, options] = decode(bytes) as [string, Record<string, Uint8Array>]
  if (name !== 'HELO') throw new Error(`${name} instead of HELO`)
  return { nonce: Buffer.from(options['nonce']!), auth: Buffer.from(options['auth']!) }
}

interface Talk {
  readonly client: ForwardClient
  readonly helo: Helo
  /** Waits for PONG and gives its elements. */
  pong(): Promise<unknown[]>
  /** What came behind PONG, when it is `byteCount` long. */
  behind(byteCount: number): Promise<Buffer>
}

/** A client that read HELO. */
async function talk(address: string, tls: ConnectionOptions = {}): Promise<Talk> {
  const client = await ForwardClient.connect(address, tls)
  let heloBytes = 0
  while (heloBytes === 0) {
    const had = client.received.length
    heloBytes = wholeValue(client.received)
    if (heloBytes === 0) await client.receive(had + 1)
  }
  const helo = heloOf(client.received)
  const pong = async (): Promise<unknown[]> => {
    for (;;) {
      const rest = client.received.subarray(heloBytes)
      const pongBytes = wholeValue(rest)
      if (pongBytes > 0) return decode(rest.subarray(0, pongBytes)) as unknown[]
      const had = client.received.length
      if ((await client.receive(had + 1)).length === had) return []
    }
  }
  return {
    client,
    helo,
    pong,
    async behind(byteCount) {
      await pong()
      const start = heloBytes + wholeValue(client.received.subarray(heloBytes))
      return (await client.receive(start + byteCount)).subarray(start)
    }
  }
}

/** Length of the first value; 0: it is not whole. */
function wholeValue(bytes: Buffer): number {
  for (let end = 1; end <= bytes.length; end++) {
    try {
      decode(bytes.subarray(0, end))
      return end
    } catch {}
  }
  return 0
}

const folders = new WeakMap<Test, string>()
let places = 0
/** A router of a test; each one has a folder of its own. */
function secured(
  t: Test,
  security: SecurityOptions,
  options: Partial<ForwardOptions> = {},
  hostOptions: Partial<HostOptions> = {}
): Promise<ForwardHost> {
  const base = folders.get(t) ?? t.testdir()
  folders.set(t, base)
  const directory = `${base}/${places++}`
  return forwardHost(t, { security, ...options }, { directory, ...hostOptions })
}

/** PING answered by true, and an event behind it is stored. */
async function works(t: Test, { address, host }: ForwardHost, options: PingOptions): Promise<void> {
  const { client, helo, pong, behind } = await talk(address)
  const before = host.recordCount()
  client.send(pingOf(helo, options))
  const { key = 'sekret', salt = Buffer.from('salt') } = options
  const digest = sha512(salt, 'millrace-test', helo.nonce, key)
  t.same(await pong(), ['PONG', true, '', 'millrace-test', digest])
  const chunk = `c${before}`
  client.send(event('x', chunk))
  const ack = ackOf(chunk)
  t.ok((await behind(ack.length)).equals(ack))
  t.equal(host.recordCount(), before + 1)
  client.destroy()
}

async function fails(
  t: Test,
  { address, host }: ForwardHost,
  bytesOf: (helo: Helo) => Buffer,
  reason: string
): Promise<void> {
  const { client, helo, pong } = await talk(address)
  client.send(bytesOf(helo))
  t.same(await pong(), ['PONG', false, reason, '', ''])
  t.equal(await client.closed, 'end')
  t.equal(host.recordCount(), 0)
}

t.test('H01 HELO comes at once in one piece, with a nonce of its own in bin', async (t) => {
  const { address } = await secured(t, USERS)
  const nonces = new Set<string>()
  for (let index = 0; index < 3; index++) {
    const client = await ForwardClient.connect(address)
    const pieces: number[] = []
    client.socket.on('data', (chunk) => pieces.push(chunk.length))
    await client.receive(HELO_BYTES)
    t.ok(pieces.length <= 1)
    t.equal(client.received.length, HELO_BYTES)
    const hex = client.received.toString('hex')
    t.match(hex, /^92a448454c4f83a56e6f6e6365c418(3[0-9]|6[1-6]){24}a461757468c418/)
    t.match(hex, /a96b656570616c697665c3$/)
    nonces.add(heloOf(client.received).nonce.toString())
    client.destroy()
  }
  t.equal(nonces.size, 3)
  const plain = await talk((await secured(t, KEY)).address)
  t.equal(plain.helo.auth.length, 0, 'no user is asked for')
  plain.client.destroy()
})

t.test('H02 H03 H07 H23 the right key, and the right password, open the connection', async (t) => {
  const keyOnly = await secured(t, KEY)
  await works(t, keyOnly, {})
  await works(t, keyOnly, { isBin: true })
  await works(t, keyOnly, { written: (digest) => digest.toUpperCase() })
  await works(t, keyOnly, { user: 'nobody', password: 'asked' })
  t.equal(keyOnly.host.counter('forward_handshakes_total/accepted'), 4)
  const withUser = await secured(t, USERS)
  await works(t, withUser, { user: 'fluent', password: 'pw' })
  await works(t, withUser, {
    user: 'fluent',
    password: 'pw',
    isBin: true,
    written: (digest) => digest.toUpperCase()
  })
  t.equal(withUser.host.counter('unauthenticated_bytes'), 0)
})

t.test('H04 H05 wrong keys and passwords are refused with their words', async (t) => {
  const secure = await secured(t, USERS)
  const mismatch = 'username/password mismatch'
  const ping = (options: PingOptions) => (helo: Helo) => pingOf(helo, options)
  await fails(t, secure, ping({ key: 'wrong' }), 'shared_key mismatch')
  await fails(t, secure, ping({ user: 'fluent', password: 'no' }), mismatch)
  await fails(t, secure, ping({ user: 'nobody', password: 'pw' }), mismatch)
  await fails(t, secure, ping({ user: 'nobody', password: '' }), mismatch)
  await fails(t, secure, ping({ user: 'fluent', password: 'pw2' }), mismatch)
  await fails(t, secure, ping({ written: () => '' }), 'shared_key mismatch')
  await fails(t, secure, ping({ written: () => 'é'.repeat(64) }), 'shared_key mismatch')
  const { host } = secure
  t.equal(host.counter('input_auth_failures_total/key'), 3)
  t.equal(host.counter('input_auth_failures_total/user'), 4)
  t.equal(host.counter('forward_handshakes_total/refused'), 7)
  await eventually('all are gone', LIMIT_MS, () => host.counter('connections') === 0)
  t.equal(host.counter('input_connections_closed_total/auth'), 7)
})

t.test('H04 a refused client that stays is cut off within a second', async (t) => {
  const clock = new FakeClock()
  const { address, host } = await secured(t, KEY, {}, { clock })
  const { client, helo, pong } = await talk(address)
  client.socket.allowHalfOpen = true
  client.send(pingOf(helo, { key: 'wrong' }))
  await pong()
  t.equal(host.counter('connections'), 1)
  clock.advance(1000)
  await eventually('it is gone', LIMIT_MS, () => host.counter('connections') === 0)
  client.destroy()
})

t.test('H06 the salt may be raw bytes in str', async (t) => {
  const salt = Buffer.from('fffe80c00011223344556677889900aa', 'hex')
  await works(t, await secured(t, KEY), { salt })
})

t.test('H06 what real clients sent is accepted with the nonce that they had', (t) => {
  const folder = new URL('../../../test/fixtures/wire/', import.meta.url)
  const names = fs.readdirSync(folder).filter((name) => /(auth|shared-key).*c2s/.test(name))
  t.ok(names.length >= 8, `${names.length} captures`)
  for (const name of names) {
    const sent = fs.readFileSync(new URL(name, folder))
    const answered = fs.readFileSync(new URL(name.replace('c2s', 's2c'), folder))
    const heloBytes = wholeValue(answered)
    const [, helo] = decode(answered.subarray(0, heloBytes)) as [string, Helo]
    const pongBytes = wholeValue(answered.subarray(heloBytes))
    const pong = answered.subarray(heloBytes, heloBytes + pongBytes)
    const isEmpty = name.includes('empty')
    const isWrong = name.includes('wrong')
    const handshake = new Handshake(
      {
        selfHostname: 'capture.example',
        sharedKey: isEmpty ? '' : 'sekret',
        passwords: isEmpty ? null : new Map([['fluent', isWrong ? 'another' : 'pw']]),
        rules: rulesOf()
      },
      { address: '127.0.0.1', isUnix: false },
      Buffer.from(helo.nonce),
      Buffer.from(helo.auth)
    )
    const step = handshake.read(sent)
    t.equal(step.kind, isWrong ? 'refused' : 'accepted', name)
    if (step.kind === 'more') continue
    t.same(decode(step.pong), decode(pong), `${name}: the same PONG`)
    if (step.kind === 'accepted') t.equal(step.takenBytes, wholeValue(sent), name)
  }
  t.end()
})

t.test('H08 H15 what is no PING is refused', async (t) => {
  const secure = await secured(t, KEY)
  const five = (helo: Helo) => Buffer.concat([Buffer.from([0x95]), pingOf(helo).subarray(1, -130)])
  const invalid = 'invalid ping message'
  await fails(t, secure, five, invalid)
  await fails(t, secure, () => Buffer.from(encode('PING')), invalid)
  await fails(t, secure, () => Buffer.from(encode(['HELO', '', '', '', '', ''])), invalid)
  await fails(t, secure, () => Buffer.from(encode(['PING', 1, '', '', '', ''])), invalid)
  await fails(t, secure, () => Buffer.from('["t",1,{"a":1}]'), invalid)
  const endless = Buffer.from('96a450494e47dbffffffff', 'hex')
  await fails(t, secure, () => endless, invalid)
  t.equal(secure.host.counter('input_auth_failures_total/malformed'), 6)
})

t.test('H09 an event instead of PING is refused, counted and told', async (t) => {
  const secure = await secured(t, KEY)
  await fails(t, secure, () => event('secret'), 'invalid ping message')
  t.equal(secure.host.counter('unauthenticated_bytes'), event('secret').length)
  t.match(
    secure.host.messages.filter(({ kind }) => kind === 'log'),
    [
      {
        level: 'warn',
        message: /Docker/,
        fields: {
          peer: '127.0.0.1',
          listen: 'tcp://127.0.0.1:0',
          reason: 'malformed',
          tag: 't',
          first_bytes: event('secret').toString('hex')
        }
      }
    ]
  )
})

t.test('H10 H12 events behind PING in its segment, and PING byte by byte', async (t) => {
  const { address, host } = await secured(t, KEY)
  const first = await talk(address)
  first.client.send(Buffer.concat([pingOf(first.helo), event('1', 'c1'), event('2', 'c2')]))
  const acks = Buffer.concat([ackOf('c1'), ackOf('c2')])
  t.ok((await first.behind(acks.length)).equals(acks))
  const second = await talk(address)
  const bytes = Buffer.concat([pingOf(second.helo), event('3', 'c3')])
  await second.client.sendPieces([...bytes].map((byte) => Buffer.from([byte])))
  t.ok((await second.behind(ackOf('c3').length)).equals(ackOf('c3')))
  t.equal(host.recordCount(), 3)
  t.equal(host.counter('unauthenticated_bytes'), 0)
  first.client.destroy()
  second.client.destroy()
})

t.test('H11 H14 nothing is stored behind a wrong PING', async (t) => {
  const { address, host } = await secured(t, KEY)
  const { client, helo, pong } = await talk(address)
  client.socket.allowHalfOpen = true
  client.send(Buffer.concat([pingOf(helo, { key: 'wrong' }), event('1', 'c1')]))
  t.same((await pong()).slice(0, 3), ['PONG', false, 'shared_key mismatch'])
  const strayBytes = () => host.counter('unauthenticated_bytes')
  t.equal(strayBytes(), event('1', 'c1').length)
  client.send(event('2', 'c2'))
  const bothBytes = event('1', 'c1').length + event('2', 'c2').length
  await eventually('it is counted', LIMIT_MS, () => strayBytes() === bothBytes)
  client.end()
  await eventually('it is gone', LIMIT_MS, () => host.counter('connections') === 0)
  t.equal(host.recordCount(), 0)
  t.equal(host.counter('acks'), 0)
})

t.test('H13 a client that does not answer is cut off after ten seconds', async (t) => {
  const clock = new FakeClock()
  const { address, host } = await secured(t, KEY, {}, { clock })
  const silent = await talk(address)
  const halting = await talk(address)
  halting.client.send(pingOf(halting.helo).subarray(0, 50))
  await eventually('half of it is there', LIMIT_MS, () => host.counter('received_bytes') === 50)
  clock.advance(9000)
  t.equal(host.counter('connections'), 2)
  clock.advance(1000)
  t.equal(await silent.client.closed, 'reset')
  t.equal(await halting.client.closed, 'reset')
  t.equal(host.counter('forward_handshakes_total/timeout'), 2)
  t.equal(host.counter('unauthenticated_bytes'), 50)
})

t.test('H16 a denied client is reset before HELO', async (t) => {
  const { address, host } = await secured(t, { ...KEY, deny: ['127.0.0.0/8'] })
  const client = await ForwardClient.connect(address)
  t.equal(await client.closed, 'reset')
  t.equal(client.received.length, 0)
  t.equal(host.counter('input_connections_closed_total/denied'), 1)
  const mapped = rulesOf({ ...KEY, deny: ['10.0.0.0/8'] })
  t.ok(mapped.isDenied({ address: '::ffff:10.1.2.3', isUnix: false }))
  t.notOk(mapped.isDenied({ address: '', isUnix: true }))
})

const rule = { unix: false, users: [] }

t.test('H17 the key of a rule counts for its network alone', async (t) => {
  const near = await secured(t, {
    ...KEY,
    clients: [{ ...rule, network: '127.0.0.0/8', shared_key: 'near' }]
  })
  await works(t, near, { key: 'near' })
  const far = await secured(t, {
    ...KEY,
    clients: [{ ...rule, network: '10.0.0.0/8', shared_key: 'far' }]
  })
  await works(t, far, {})
  const { client, helo, pong } = await talk(far.address)
  client.send(pingOf(helo, { key: 'far' }))
  t.equal((await pong())[1], false)
  await client.closed
  const grants = rulesOf({
    ...KEY,
    clients: [
      { ...rule, network: '10.1.0.0/16', shared_key: 'a' },
      { ...rule, network: '10.0.0.0/8', shared_key: 'b' },
      { ...rule, unix: true, shared_key: 'c' }
    ]
  })
  const keyOf = (address: string, isUnix = false) => grants.grantOf({ address, isUnix })?.sharedKey
  t.same(
    [keyOf('10.1.0.1'), keyOf('10.2.0.1'), keyOf('::ffff:10.2.0.1'), keyOf('11.0.0.1')],
    ['a', 'b', 'b', null]
  )
  t.equal(keyOf('', true), 'c')
})

t.test('H18 without a rule that fits, a client is refused where rules decide', async (t) => {
  const security = {
    ...KEY,
    allow_anonymous_source: false,
    clients: [{ ...rule, network: '10.0.0.0/8' }]
  }
  const secure = await secured(t, security)
  await fails(t, secure, (helo) => pingOf(helo), 'source address denied')
  t.equal(secure.host.counter('input_auth_failures_total/address'), 1)
  const path = `${shortDir(t)}/f.sock`
  const clients = [{ ...rule, unix: true }]
  const local = await secured(t, { ...security, clients }, { listen: [`unix://${path}`] })
  await works(t, local, {})
})

t.test('H19 an empty key is a key', async (t) => {
  const { shared_key: _, ...rest } = KEY
  await works(t, await secured(t, { ...rest, empty_shared_key: true }), { key: '' })
})

t.test('H20 a rule lets in the users that it names', async (t) => {
  const clients = [{ ...rule, network: '127.0.0.1', users: ['fluent'] }]
  const secure = await secured(t, { ...USERS, clients })
  const other = (helo: Helo) => pingOf(helo, { user: 'other', password: 'pw2' })
  await fails(t, secure, other, 'username/password mismatch')
  await works(t, secure, { user: 'fluent', password: 'pw' })
})

t.test('H21 a second PING is a message that is none; the connection stays', async (t) => {
  const { address, host } = await secured(t, KEY)
  const { client, helo, behind } = await talk(address)
  const ping = pingOf(helo)
  client.send(Buffer.concat([ping, ping, event('after', 'c')]))
  t.ok((await behind(ackOf('c').length)).equals(ackOf('c')))
  t.equal(host.recordCount(), 1)
  // It looks like a PackedForward message whose body is `client`: six values that are no entries.
  t.equal(host.counter('input_rejected_records_total/not_an_entry'), 6)
  t.equal(host.counter('dead_letters'), 1)
  t.equal(host.counter('connections'), 1)
  client.destroy()
})

t.test(
  'H22 TLS, a certificate and a key together; without certificate no HELO comes',
  async (t) => {
    const { tls } = tlsFolder(t, { client_auth: 'required' })
    const { address, host } = await secured(t, USERS, { listen: ['tls://127.0.0.1:0'], tls })
    const ca = certificate('ca.pem')
    const bare = await ForwardClient.connect(address, { ca })
    bare.send(event('x', 'c'))
    await bare.closed
    t.equal(bare.received.length, 0)
    const failures = () => host.counter('input_tls_failures_total/certificate_missing')
    await eventually('a failure of TLS', LIMIT_MS, () => failures() === 1)
    t.equal(host.counter('connections_total'), 0)

    const shown = { ca, ...identity('client') }
    const wrong = await talk(address, shown)
    wrong.client.send(pingOf(wrong.helo, { key: 'other', user: 'fluent', password: 'pw' }))
    t.match(await wrong.pong(), ['PONG', false, 'shared_key mismatch'])
    const { client, helo, behind } = await talk(address, shown)
    const proof = pingOf(helo, { user: 'fluent', password: 'pw' })
    client.send(Buffer.concat([proof, event('x', 'c')]))
    t.ok((await behind(ackOf('c').length)).equals(ackOf('c')))
    t.equal(host.recordCount(), 1)
    client.destroy()
  }
)

t.test('H24 the name of the server is not that of its machine', (t) => {
  t.not(defaultHostname(), os.hostname())
  t.equal(defaultHostname(), `millrace-${os.hostname()}`)
  t.end()
})

t.test('C14 a stop ends who proved itself by FIN, though it never asked for an ack', async (t) => {
  const { address, host } = await secured(t, KEY)
  const { client, helo, pong } = await talk(address)
  client.send(Buffer.concat([pingOf(helo), event('x')]))
  await pong()
  await eventually('it was read', LIMIT_MS, () => host.counter('received_records') === 1)
  await host.stop()
  t.equal(await client.closed, 'end')
  t.equal(host.recordCount(), 1)
})

t.test('names of hosts are looked up each minute; a failure keeps what was found', async (t) => {
  const clock = new FakeClock()
  let answers: readonly string[] | null = ['10.0.0.1', '::1']
  const failed: string[] = []
  const clients = [{ ...rule, host: 'agent', shared_key: 'k' }]
  const rules = new SourceRules(
    { ...KEY, clients },
    {
      clock,
      async lookup() {
        if (answers === null) throw new Error('no answer')
        return answers
      },
      onLookupFailed: (host) => failed.push(host)
    }
  )
  const keyOf = (address: string) => rules.grantOf({ address, isUnix: false })?.sharedKey ?? ''
  await rules.start()
  t.same([keyOf('10.0.0.1'), keyOf('::1'), keyOf('10.0.0.2')], ['k', 'k', ''])
  answers = null
  clock.advance(60_000)
  await eventually('it failed', LIMIT_MS, () => failed.length === 1)
  t.equal(keyOf('10.0.0.1'), 'k')
  answers = ['10.0.0.2']
  await eventually('it is found', LIMIT_MS, () => {
    clock.advance(60_000)
    return keyOf('10.0.0.2') === 'k'
  })
  t.equal(keyOf('10.0.0.1'), '')
  rules.close()
})

function rulesOf(security: SecurityOptions = KEY): SourceRules {
  return new SourceRules(security, {
    clock: new FakeClock(),
    lookup: async () => [],
    onLookupFailed() {}
  })
}
