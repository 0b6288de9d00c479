// Step 1. Runs on: ingest.
// Who is at the other end of a connection, as rules, `${source.address}` and log lines see it.

import type net from 'node:net'
import { plainAddress } from './address-set.ts'

/** Names of a client certificate that was checked against `ca_file`. */
export interface CertificateNames {
  /** Common name of the subject; '' without one. */
  readonly commonName: string
  /** As Node writes them: `DNS:agent-1, IP Address:192.0.2.7`; '' without any. */
  readonly alternativeNames: string
}

export interface Peer {
  /** Without the `::ffff:` of mapped addresses; '' for Unix sockets. */
  readonly address: string
  readonly port: number
  /** Address of the balancer whose PROXY header named the peer; null: the peer connected itself. */
  readonly proxyAddress: string | null
  /** null: it showed none, or none was asked for. */
  readonly certificate: CertificateNames | null
}

/** The other end of the socket itself. To be asked while the socket is open. */
export function peerOf(socket: net.Socket): Peer {
  const { remoteAddress = '', remotePort = 0 } = socket
  return {
    address: plainAddress(remoteAddress),
    port: remotePort,
    proxyAddress: null,
    certificate: null
  }
}
