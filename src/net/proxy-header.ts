// Step 1. Runs on: ingest.
// The header of the PROXY protocol, version 1 (a line of text) and 2 (binary): who connected to the balancer. Extensions
// (TLV) are passed over. Limit: PROXY_HEADER_BYTES_MAX.

import { isIPv4, isIPv6 } from 'node:net'

/** Version 1 has 107 bytes at most; version 2 may say more than anybody sends. */
export const PROXY_HEADER_BYTES_MAX = 536

const V1_BYTES_MAX = 107
const V1_START = Buffer.from('PROXY ', 'latin1')
const V2_START = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const V2_FIXED_BYTES = 16
const CR = 13
const LF = 10

export type ProxyHeader =
  /** Bytes so far may become a header. */
  | { readonly kind: 'more' }
  /** The connection begins with something else. */
  | { readonly kind: 'none' }
  | { readonly kind: 'malformed'; readonly reason: string }
  /** `peer` null: the balancer speaks for itself (LOCAL, UNKNOWN), so the address of the socket counts. */
  | { readonly kind: 'header'; readonly byteCount: number; readonly peer: ProxiedPeer | null }

export interface ProxiedPeer {
  /** '' for a peer on a Unix socket of the balancer. */
  readonly address: string
  readonly port: number
}

/** Looks at the first bytes of a connection. */
export function parseProxyHeader(bytes: Buffer): ProxyHeader {
  if (startsLike(bytes, V2_START)) return parseV2(bytes)
  if (startsLike(bytes, V1_START)) return parseV1(bytes)
  return { kind: 'none' }
}

/** One is the beginning of the other. */
function startsLike(bytes: Buffer, start: Buffer): boolean {
  const byteCount = Math.min(bytes.length, start.length)
  return bytes.compare(start, 0, byteCount, 0, byteCount) === 0
}

function parseV1(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, V1_BYTES_MAX).indexOf(LF)
  if (end < 0) return bytes.length < V1_BYTES_MAX ? { kind: 'more' } : malformed('line_too_long')
  if (bytes[end - 1] !== CR) return malformed('line_end')
  const byteCount = end + 1
  const line = bytes.toString('latin1', 0, end - 1)
  const [, family, ...parts] = line.split(' ')
  // Whatever follows UNKNOWN is to be ignored.
  if (family === 'UNKNOWN') return { kind: 'header', byteCount, peer: null }
  const isAddress = family === 'TCP4' ? isIPv4 : family === 'TCP6' ? isIPv6 : null
  if (isAddress === null) return malformed('family')
  const [address = '', target = '', port = '', targetPort = ''] = parts
  if (parts.length !== 4) return malformed('parts')
  if (!isAddress(address) || !isAddress(target)) return malformed('address')
  if (!isPort(port) || !isPort(targetPort)) return malformed('port')
  return { kind: 'header', byteCount, peer: { address, port: Number(port) } }
}

function isPort(text: string): boolean {
  return /^(0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535
}

const V2_COMMANDS = { 32: 'LOCAL', 33: 'PROXY' } as const
/** Bytes of the addresses by family: unspecified, IPv4, IPv6, Unix. */
const V2_ADDRESS_BYTES = [0, 12, 36, 216] as const
const V2_TRANSPORT_MAX = 2

function parseV2(bytes: Buffer): ProxyHeader {
  if (bytes.length < V2_FIXED_BYTES) return { kind: 'more' }
  const command = bytes.readUInt8(12)
  if (!(command in V2_COMMANDS)) return malformed('command')
  const family = bytes.readUInt8(13) >> 4
  const transport = bytes.readUInt8(13) & 15
  const addressBytes = V2_ADDRESS_BYTES[family]
  const byteCount = V2_FIXED_BYTES + bytes.readUInt16BE(14)
  if (byteCount > PROXY_HEADER_BYTES_MAX) return malformed('too_long')
  const isLocal = command === 32
  if (!isLocal) {
    if (addressBytes === undefined || transport > V2_TRANSPORT_MAX) return malformed('family')
    if (byteCount < V2_FIXED_BYTES + addressBytes) return malformed('too_short')
  }
  if (bytes.length < byteCount) return { kind: 'more' }
  const peer = isLocal ? null : peerOfV2(bytes, family)
  return { kind: 'header', byteCount, peer }
}

/** Source address first, then the target's, then both ports. */
function peerOfV2(bytes: Buffer, family: number): ProxiedPeer | null {
  const at = V2_FIXED_BYTES
  if (family === 1) {
    const address = [...bytes.subarray(at, at + 4)].join('.')
    return { address, port: bytes.readUInt16BE(at + 8) }
  }
  if (family === 2) {
    return { address: textOfIPv6(bytes.subarray(at, at + 16)), port: bytes.readUInt16BE(at + 32) }
  }
  return family === 3 ? { address: '', port: 0 } : null
}

function textOfIPv6(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, group) => bytes.readUInt16BE(2 * group))
  const isMapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff
  if (isMapped) return [...bytes.subarray(12)].join('.')
  // The URL parser writes the shortest form, as sockets do.
  const { hostname } = new URL(`http://[${groups.map((group) => group.toString(16)).join(':')}]`)
  return hostname.slice(1, -1)
}

const malformed = (reason: string): ProxyHeader => ({ kind: 'malformed', reason })
