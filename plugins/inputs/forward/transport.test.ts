// What carries Forward: TLS with and without certificates of clients, the PROXY protocol, and what is said of failures.

import { encode } from '@msgpack/msgpack'
import t, { type Test } from 'tap'
import {
  certificate,
  identity,
  type TlsFolder,
  tlsFolder
} from '../../../test/support/certificates.ts'
import { eventually } from '../../../test/support/eventually.ts'
import { FakeClock } from '../../../test/support/fake-clock.ts'
import { ForwardClient } from '../../../test/support/forward-client.ts'
import { forwardHost } from '../../../test/support/forward-host.ts'
import { v1 } from '../../../test/support/proxy-headers.ts'

const LIMIT_MS = 20_000
const ca = certificate('ca.pem')
const message = (tag: string, chunk: string, text = 'hello') =>
  encode([tag, 1_700_000_000, { log: text }, { chunk }])
const ack = (chunk: string) => Buffer.from(encode({ ack: chunk }))
const LISTEN = ['tls://127.0.0.1:0']

t.test('H22 with TLS and certificates messages are stored and acknowledged', async (t) => {
  const { tls } = tlsFolder(t, { client_auth: 'required' })
  const { address, host } = await forwardHost(t, { listen: LISTEN, tls })
  const client = await ForwardClient.connect(address, { ca, ...identity('client') })
  const text = 'x'.repeat(300_000)
  client.send(message('app', 'c1', text)).send(message('app', 'c2'))
  const expected = Buffer.concat([ack('c1'), ack('c2')])
  t.ok((await client.receive(expected.length)).equals(expected))
  t.match(host.records(), [{ tag: 'app', record: { log: text } }, { record: { log: 'hello' } }])
  client.send(message('app', 'c3')).end()
  const whole = Buffer.concat([expected, ack('c3')])
  t.ok((await client.receive(whole.length)).equals(whole), 'acknowledged after the half-close')
  t.equal(await client.closed, 'end')
  const ended = host.messages.find(({ kind }) => kind === 'certificate')
  t.match(ended, { listener: LISTEN[0], endsMs: Date.parse('2120-01-01') })
})

t.test('H22 a client without certificate stores nothing, is counted and named', async (t) => {
  const { tls } = tlsFolder(t, { client_auth: 'required' })
  const { address, host } = await forwardHost(t, { listen: LISTEN, tls })
  const client = await ForwardClient.connect(address, { ca })
  client.send(message('app', 'c1'))
  await client.closed
  const count = () => host.counter('input_tls_failures_total/certificate_missing')
  await eventually('a failure', LIMIT_MS, () => count() === 1)
  t.equal(host.recordCount(), 0)
  t.equal(client.received.length, 0)
  t.match(host.messages.at(-1), {
    kind: 'log',
    level: 'warn',
    fields: { peer: '127.0.0.1', listen: LISTEN[0], reason: 'certificate_missing' },
    message: /showed no certificate/
  })
  t.equal(host.counter('connections_total'), 0)
})

t.test('files that do not work end the start with a code of the configuration', async (t) => {
  const folder = tlsFolder(t)
  folder.replace('tls.key', 'client.key')
  await t.rejects(forwardHost(t, { listen: LISTEN, tls: folder.tls }), {
    message: /^MR_CONFIG_TLS: .*tls\.key is no key of the certificate .*do not belong together/
  })
})

t.test('plain Forward on a TLS port is reset, counted and explained', async (t) => {
  const { tls } = tlsFolder(t)
  const { address, host } = await forwardHost(t, { listen: LISTEN, tls })
  const client = await ForwardClient.connect(address.replace('tls:', 'tcp:'))
  client.send(message('app', 'c1'))
  t.equal(await client.closed, 'reset')
  await eventually('a warning', LIMIT_MS, () => host.warnings.length === 1)
  t.match(host.warnings, [/plain bytes on a TLS port: turn TLS on at the sender/])
  t.equal(host.counter('input_tls_failures_total/not_tls'), 1)
})

t.test('C24 records bear the address of the PROXY header', async (t) => {
  const { address, host } = await forwardHost(t, {
    proxy_protocol: 'required',
    proxy_protocol_from: ['127.0.0.1'],
    source_address: true
  })
  const client = await ForwardClient.connect(address)
  client.send(Buffer.concat([v1('TCP4 192.0.2.7 10.0.0.1 5000 24224'), message('app', 'c1')]))
  await client.receive(1)
  t.match(host.groups(), [{ tag: 'app', source: '192.0.2.7' }])
  client.destroy()
})

t.test('C24 a broken header is reset, counted and shown', async (t) => {
  const { address, host } = await forwardHost(t, {
    proxy_protocol: 'required',
    proxy_protocol_from: ['127.0.0.1']
  })
  const client = await ForwardClient.connect(address)
  client.send(v1('TCP4 nobody'))
  t.equal(await client.closed, 'reset')
  t.equal(host.counter('input_proxy_failures_total/malformed'), 1)
  t.match(host.messages.at(-1), {
    fields: {
      peer: '127.0.0.1',
      reason: 'malformed',
      first_bytes: v1('TCP4 nobody').toString('hex')
    }
  })
})

async function reloading(t: Test, { directory, tls }: TlsFolder, index: number) {
  const clock = new FakeClock()
  const thread = { index, count: 2 }
  const rest = { clock, thread, directory: `${directory}/data` }
  const { host } = await forwardHost(t, { listen: LISTEN, tls }, rest)
  return { clock, host }
}

/** A look at the files has ended when the next one is planned. */
async function look(clock: FakeClock): Promise<void> {
  const timers = clock.timerCount
  clock.advance(10_000)
  await eventually('a look', LIMIT_MS, () => clock.timerCount >= timers)
}

t.test('a reload is counted and told by the first thread alone', async (t) => {
  for (const [index, expected] of [
    [0, 1],
    [1, 0]
  ] as const) {
    const folder = tlsFolder(t)
    const { clock, host } = await reloading(t, folder, index)
    folder.replace('tls.crt', 'server-next.pem')
    folder.replace('tls.key', 'server-next.key')
    await look(clock)
    t.equal(host.counter('input_tls_reloads_total/ok'), expected)
    t.equal(host.messages.filter(({ kind }) => kind === 'certificate').length, 2 * expected)
    folder.replace('tls.key', 'client.key')
    await look(clock)
    t.equal(host.counter('input_tls_reloads_total/failed'), expected)
    t.equal(host.warnings.length, expected)
  }
})
