// Runs on: any.
// Listen addresses as configuration writes them: `tcp://host:port`, `host:port`, `tls://host:port`, `unix:///path`, and
// `udp://host:port` where datagrams are taken.

import { MillraceError } from '../core/errors.ts'

export type ListenAddress =
  | {
      readonly kind: 'tcp'
      readonly host: string
      readonly port: number
      readonly isTls: boolean
    }
  | { readonly kind: 'unix'; readonly path: string }

export interface DatagramAddress {
  readonly kind: 'udp'
  readonly host: string
  readonly port: number
}

/** `sockaddr_un.sun_path` without its final NUL. */
export const UNIX_PATH_BYTES_MAX = 107

const PORT_MAX = 65_535
const SCHEME = /^([a-z][a-z0-9+.-]*):\/\//

/** An address of streams; throws `MR_CONFIG_INVALID` with the form that was expected. */
export function parseListenAddress(text: string): ListenAddress {
  const address = parseAnyAddress(text)
  if (address.kind === 'udp') throw invalid(text, 'datagrams are not taken here')
  return address
}

/** An address of streams or datagrams; throws as above. */
export function parseAnyAddress(text: string): ListenAddress | DatagramAddress {
  const scheme = SCHEME.exec(text)?.[1] ?? 'tcp'
  const rest = text.replace(SCHEME, '')
  switch (scheme) {
    case 'unix':
      return parseUnix(text, rest)
    case 'udp':
      return { kind: 'udp', ...parseHostPort(text, rest) }
    case 'tcp':
    case 'tls':
      return { kind: 'tcp', ...parseHostPort(text, rest), isTls: scheme === 'tls' }
    default:
      throw invalid(text, `scheme ${scheme} is not known`)
  }
}

/** The form in logs and in `millrace config`: always with its scheme, IPv6 in brackets. */
export function formatListenAddress(address: ListenAddress | DatagramAddress): string {
  if (address.kind === 'unix') return `unix://${address.path}`
  const host = address.host.includes(':') ? `[${address.host}]` : address.host
  const scheme = address.kind === 'udp' ? 'udp' : address.isTls ? 'tls' : 'tcp'
  return `${scheme}://${host}:${address.port}`
}

function parseUnix(text: string, path: string): ListenAddress {
  if (!path.startsWith('/')) throw invalid(text, 'the path of a Unix socket must be absolute')
  const byteCount = Buffer.byteLength(path)
  if (byteCount > UNIX_PATH_BYTES_MAX) {
    throw invalid(text, `path of ${byteCount} bytes exceeds the system's ${UNIX_PATH_BYTES_MAX}`)
  }
  return { kind: 'unix', path }
}

function parseHostPort(text: string, rest: string): { host: string; port: number } {
  const bracketed = /^\[([0-9a-fA-F:.%a-z]+)\]:(\d+)$/.exec(rest)
  const plain = /^([^:[\]/]+):(\d+)$/.exec(rest)
  const [, host, digits] = bracketed ?? plain ?? []
  if (host === undefined || digits === undefined) throw invalid(text, 'host and port are needed')
  const port = Number(digits)
  if (port > PORT_MAX) throw invalid(text, `port ${digits} exceeds ${PORT_MAX}`)
  return { host, port }
}

function invalid(text: string, reason: string): MillraceError {
  return new MillraceError(
    'MR_CONFIG_INVALID',
    `listen address "${text}": ${reason}; write tcp://host:port, tcp://[ipv6]:port or unix:///path`
  )
}
