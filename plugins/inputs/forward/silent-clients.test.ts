// Clients that connect and say nothing: heartbeats, probes, and agents that wait for a handshake.

import t from 'tap'
import { eventually } from '../../../test/support/eventually.ts'
import { FakeClock } from '../../../test/support/fake-clock.ts'
import { ForwardClient } from '../../../test/support/forward-client.ts'
import { forwardHost, NO_SECURITY } from '../../../test/support/forward-host.ts'

const LIMIT_MS = 20_000
const CONNECTS = Number(process.env['MILLRACE_CONNECTS'] ?? 300)

t.test('C05 connects without a byte leave no log line and no connection', async (t) => {
  for (const security of [NO_SECURITY, { ...NO_SECURITY, shared_key: 'k' }]) {
    const { address, host } = await forwardHost(t, { security })
    for (let index = 0; index < CONNECTS; index++) {
      const client = await ForwardClient.connect(address)
      client.destroy()
    }
    await eventually('all were seen', LIMIT_MS, () => host.counter('heartbeats') === CONNECTS)
    t.equal(host.counter('connections'), 0)
    t.equal(host.counter('connections_total'), CONNECTS)
    t.same(
      host.messages.filter(({ kind }) => kind === 'log'),
      []
    )
    await host.stop()
  }
})

t.test('a client that left after 30 silent seconds may have waited for a handshake', async (t) => {
  const clock = new FakeClock()
  const { address, host } = await forwardHost(t, {}, { clock })
  const lines = () => host.messages.filter(({ kind }) => kind === 'log')
  const short = await ForwardClient.connect(address)
  const long = await ForwardClient.connect(address)
  await eventually('both are there', LIMIT_MS, () => host.counter('connections') === 2)
  clock.advance(29_000)
  short.destroy()
  await eventually('one has left', LIMIT_MS, () => host.counter('connections') === 1)
  t.same(lines(), [])
  clock.advance(1000)
  long.destroy()
  await eventually('both have left', LIMIT_MS, () => host.counter('connections') === 0)
  t.match(lines(), [{ level: 'info', message: /handshake/, fields: { peer: '127.0.0.1' } }])
})
