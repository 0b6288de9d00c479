// The handshake of @fluent-org/logger, unmodified, where its key or password is wrong.

import { FluentClient, FluentSocketEvent } from '@fluent-org/logger'
import t from 'tap'
import { eventually } from '../support/eventually.ts'
import { forwardHost, NO_SECURITY } from '../support/forward-host.ts'

const LIMIT_MS = 20_000
const RIGHT = { clientHostname: 'agent', sharedKey: 'k', username: 'fluent', password: 'pw' }
const users = [{ name: 'fluent', password: 'pw' }]

for (const [name, wrong, reason] of [
  ['key', { ...RIGHT, sharedKey: 'other' }, 'key'],
  ['password', { ...RIGHT, password: 'other' }, 'user']
] as const) {
  t.test(`H04 H05 @fluent-org/logger with a wrong ${name}: nothing is stored`, async (t) => {
    const security = { ...NO_SECURITY, shared_key: 'k', user_auth: true, users }
    const { address, host } = await forwardHost(t, { security })
    const failures = () => host.counter(`input_auth_failures_total/${reason}`)
    const client = new FluentClient('new', {
      eventMode: 'Message',
      socket: { host: '127.0.0.1', port: Number(new URL(address).port) },
      security: wrong
    })
    client.socketOn(FluentSocketEvent.ERROR, () => {})
    // It is told of the refusal, or waits for ever: what counts is what is stored.
    client.emit('app', { seq: 0 }).catch(() => {})
    await eventually('it is refused', LIMIT_MS, () => failures() >= 1)
    await client.shutdown().catch(() => {})
    t.equal(host.recordCount(), 0)
    t.equal(host.counter('forward_handshakes_total/accepted'), 0)
  })
}
