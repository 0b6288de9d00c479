// What `millrace validate` says of the security block.

import t from 'tap'
import { NO_SECURITY } from '../../../test/support/forward-host.ts'
import type { SecurityOptions } from './options.ts'
import { checkSecurity } from './security-check.ts'

const users = [{ name: 'fluent', password: 'pw' }]
const rule = { unix: false, users: [] }
const pathsOf = (security: Partial<SecurityOptions>): string[] =>
  checkSecurity({ ...NO_SECURITY, ...security }).map(({ path }) => path.join('.'))

t.test('H19 users without a key are an error that says what to set', (t) => {
  const [finding] = checkSecurity({ ...NO_SECURITY, user_auth: true, users })
  t.same(finding?.path, ['security', 'users'])
  t.match(finding?.hint, /shared_key.*empty_shared_key: true/)
  t.same(pathsOf({ user_auth: true, users, shared_key: 'k' }), [])
  t.same(pathsOf({ user_auth: true, users, empty_shared_key: true }), [])
  t.same(pathsOf({ shared_key: 'k', empty_shared_key: true }), ['security.empty_shared_key'])
  t.end()
})

t.test('options that would have no effect, or let nobody in, are errors', (t) => {
  const key = { shared_key: 'k' }
  t.same(pathsOf({}), [])
  t.same(pathsOf({ deny: ['10.0.0.0/8'] }), [], 'deny needs no key')
  t.same(pathsOf({ deny: ['x', '10.0.0.1', '10.0.0.0/33'] }), [
    'security.deny.0',
    'security.deny.2'
  ])
  t.same(pathsOf({ ...key, user_auth: true }), ['security.user_auth'])
  t.same(pathsOf({ ...key, users }), ['security.users'])
  t.same(pathsOf({ ...key, user_auth: true, users: [...users, ...users] }), ['security.users.1'])
  t.same(pathsOf({ allow_anonymous_source: false }), ['security.allow_anonymous_source'])
  t.same(pathsOf({ ...key, self_hostname: 'h'.repeat(254) }), ['security.self_hostname'])
  t.end()
})

t.test('rules say one thing about one kind of client', (t) => {
  const key = { shared_key: 'k' }
  t.same(pathsOf({ ...key, clients: [rule] }), ['security.clients.0'])
  t.same(pathsOf({ ...key, clients: [{ ...rule, unix: true, host: 'h' }] }), ['security.clients.0'])
  t.same(pathsOf({ ...key, clients: [{ ...rule, network: '10/8' }] }), [
    'security.clients.0.network'
  ])
  t.same(pathsOf({ clients: [{ ...rule, unix: true }] }), ['security.clients.0'], 'no key at all')
  t.same(pathsOf({ clients: [{ ...rule, unix: true, shared_key: 'k' }] }), [])
  t.same(pathsOf({ ...key, clients: [{ unix: true, users: ['fluent'] }] }), [
    'security.clients.0.users',
    'security.clients.0.users.0'
  ])
  t.end()
})
