// Runs on: main.
// Rules between the options of an input that listens, beyond the schema. Files are looked at when the router starts:
// a configuration may be checked on another machine.

import { MillraceError } from '../core/errors.ts'
import { AddressSet } from '../net/address-set.ts'
import type { ListenerTls } from '../net/tls-files.ts'
import type { ConfigFinding } from './define.ts'

interface Listening {
  readonly listen: readonly string[]
  /** `udp://` is an address of this input. */
  readonly takesDatagrams?: boolean
  readonly tls?: ListenerTls | undefined
  readonly proxy_protocol: 'off' | 'optional' | 'required'
  readonly proxy_protocol_from: readonly string[]
}

export function checkListening(options: Listening): ConfigFinding[] {
  const findings = options.listen.flatMap((text, index) => checkAddress(text, index, options))
  return [...findings, ...checkTls(options), ...checkProxy(options)]
}

function checkAddress(text: string, index: number, options: Listening): ConfigFinding[] {
  const { takesDatagrams = false, tls } = options
  if (text.startsWith('udp://') && !takesDatagrams) {
    const message = `${text}: this input takes no datagrams`
    return [{ path: ['listen', index], message, hint: 'write tcp://, tls:// or unix://' }]
  }
  if (!isTls(text) || tls !== undefined) return []
  const message = `${text} needs a certificate`
  return [{ path: ['listen', index], message, hint: 'add tls: {cert_file: ..., key_file: ...}' }]
}

function checkTls({ listen, tls }: Listening): ConfigFinding[] {
  if (tls === undefined) return []
  const findings: ConfigFinding[] = []
  for (const option of ['cert_file', 'key_file'] as const) {
    if (tls[option] === undefined) {
      findings.push({ path: ['tls'], message: `${option} is needed` })
    }
  }
  if (tls.client_auth !== 'none' && tls.ca_file === undefined) {
    const message = `client_auth: ${tls.client_auth} needs ca_file`
    const hint = 'the authorities that the certificates of clients are checked against'
    findings.push({ path: ['tls', 'client_auth'], message, hint })
  }
  if (tls.client_auth === 'none' && tls.ca_file !== undefined) {
    const message = 'ca_file has no effect while client_auth is none'
    findings.push({ path: ['tls', 'ca_file'], message, hint: 'client_auth: required' })
  }
  if (!listen.some(isTls)) {
    const message = 'no address of this input speaks TLS'
    findings.push({ path: ['tls'], message, hint: 'write tls://host:port instead of tcp://' })
  }
  return findings
}

function checkProxy(options: Listening): ConfigFinding[] {
  const { proxy_protocol: mode, proxy_protocol_from: from } = options
  if (mode !== 'off' && from.length === 0) {
    const message = `proxy_protocol: ${mode} needs proxy_protocol_from`
    const hint = 'the addresses of the balancer: anybody else could claim any address'
    return [{ path: ['proxy_protocol'], message, hint }]
  }
  return from.flatMap((text, index) => {
    try {
      new AddressSet([text])
      return []
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error
      return [{ path: ['proxy_protocol_from', index], message: error.message }]
    }
  })
}

/** Addresses were parsed before, and written with their scheme. */
const isTls = (text: string): boolean => text.startsWith('tls://')
