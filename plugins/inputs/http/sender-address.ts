// Step 1. Runs on: ingest.
// The address of a sender: that of the connection (or of its PROXY header), or what a proxy that is trusted tells in
// `X-Forwarded-For`.

import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { AddressSet } from '../../../src/net/address-set.ts'
import { type Peer, peerOf } from '../../../src/net/peer.ts'

export class SenderAddress {
  readonly #proxies: AddressSet
  readonly #peers = new WeakMap<Socket, Peer>()

  /** Throws at the first text that is no address and no network. */
  constructor(trustedProxies: readonly string[]) {
    this.#proxies = new AddressSet(trustedProxies)
  }

  /** A connection begins. */
  add(socket: Socket, peer: Peer): void {
    this.#peers.set(socket, peer)
  }

  peerOf({ socket }: Pick<IncomingMessage, 'socket'>): Peer {
    return this.#peers.get(socket) ?? peerOf(socket)
  }

  /** '' for Unix sockets. */
  of(request: IncomingMessage): string {
    const { address } = this.peerOf(request)
    return (this.#proxies.has(address) ? forwardedFor(request.headers) : null) ?? address
  }
}

/** The first address that a trusted proxy tells. */
function forwardedFor(headers: IncomingHttpHeaders): string | null {
  const header = headers['x-forwarded-for']
  const text = Array.isArray(header) ? header[0] : header
  const first = text?.split(',', 1)[0]?.trim() ?? ''
  return first === '' ? null : first
}
