// Runs on: main.
// Rules between the options of `security`, beyond the schema.

import { MillraceError } from '../../../src/core/errors.ts'
import { AddressSet } from '../../../src/net/address-set.ts'
import type { ConfigFinding } from '../../../src/plugin/define.ts'
import { HOSTNAME_BYTES_MAX } from './handshake-messages.ts'
import type { ClientOptions, SecurityOptions } from './options.ts'

const KEY_HINT =
  'set shared_key; empty_shared_key: true if the clients have an empty one (then only passwords protect)'

export function checkSecurity(security: SecurityOptions): ConfigFinding[] {
  return [
    ...checkKeys(security),
    ...checkUsers(security),
    ...security.deny.flatMap((text, index) => checkNetwork(text, ['deny', index])),
    ...security.clients.flatMap((client, index) => checkClient(client, index, security))
  ].map((finding) => ({ ...finding, path: ['security', ...finding.path] }))
}

const hasKey = ({ empty_shared_key, shared_key }: SecurityOptions): boolean =>
  shared_key !== undefined || empty_shared_key

function checkKeys(security: SecurityOptions): ConfigFinding[] {
  const { allow_anonymous_source, clients, empty_shared_key, self_hostname, shared_key } = security
  const findings: ConfigFinding[] = []
  if (empty_shared_key && shared_key !== undefined) {
    const message = 'shared_key and empty_shared_key exclude each other'
    findings.push({ path: ['empty_shared_key'], message })
  }
  const isOpen = !hasKey(security) && clients.every((client) => client.shared_key === undefined)
  if (isOpen && !allow_anonymous_source) {
    const message = 'allow_anonymous_source: false needs a key: clients are refused by a handshake'
    findings.push({ path: ['allow_anonymous_source'], message, hint: KEY_HINT })
  }
  if (Buffer.byteLength(self_hostname ?? '') > HOSTNAME_BYTES_MAX) {
    const message = `self_hostname is longer than ${HOSTNAME_BYTES_MAX} bytes`
    findings.push({ path: ['self_hostname'], message })
  }
  return findings
}

function checkUsers(security: SecurityOptions): ConfigFinding[] {
  const { clients, user_auth, users } = security
  const findings: ConfigFinding[] = []
  const isAsking = user_auth || users.length > 0
  if (isAsking && !hasKey(security) && clients.every((each) => each.shared_key === undefined)) {
    const message = 'users need a shared key: clients send passwords in the handshake only'
    findings.push({ path: ['users'], message, hint: KEY_HINT })
  }
  if (user_auth && users.length === 0) {
    findings.push({ path: ['user_auth'], message: 'user_auth needs at least one user' })
  }
  if (!user_auth && users.length > 0) {
    const message = 'users have no effect while user_auth is false'
    findings.push({ path: ['users'], message, hint: 'user_auth: true' })
  }
  const seen = new Set<string>()
  for (const [index, { name }] of users.entries()) {
    if (seen.has(name)) findings.push({ path: ['users', index], message: `${name} stands twice` })
    seen.add(name)
  }
  return findings
}

function checkClient(
  client: ClientOptions,
  index: number,
  security: SecurityOptions
): ConfigFinding[] {
  const path = ['clients', index]
  const { host, network, shared_key, unix, users } = client
  const findings: ConfigFinding[] = []
  if ([host !== undefined, network !== undefined, unix].filter(Boolean).length !== 1) {
    findings.push({ path, message: 'a rule has one of host, network and unix: true' })
  }
  if (network !== undefined) findings.push(...checkNetwork(network, [...path, 'network']))
  if (shared_key === undefined && !hasKey(security)) {
    const message = 'the rule has no shared_key, and the input has none'
    findings.push({ path, message, hint: KEY_HINT })
  }
  if (users.length > 0 && !security.user_auth) {
    const message = 'users of a rule have no effect while user_auth is false'
    findings.push({ path: [...path, 'users'], message, hint: 'user_auth: true' })
  }
  for (const [place, name] of users.entries()) {
    if (security.users.some((user) => user.name === name)) continue
    findings.push({ path: [...path, 'users', place], message: `there is no user ${name}` })
  }
  return findings
}

function checkNetwork(text: string, path: ConfigFinding['path']): ConfigFinding[] {
  try {
    new AddressSet([text])
    return []
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error
    return [{ path, message: error.message }]
  }
}
