// Step 1. Runs on: ingest.
// What happens to a connection before its protocol sees a byte: room, PROXY header, TLS handshake; each within a time.
// Connections in between count against the room. What fails is reset, so that its sender sees an error.

import type net from 'node:net'
import type { Clock } from '../core/clock.ts'
import type { AddressSet } from './address-set.ts'
import { type Peer, peerOf } from './peer.ts'
import { type ProxyFailure, readProxyHeader } from './proxy-reader.ts'
import { resetSocket } from './reset-socket.ts'
import type { TlsEndpoint, TlsFailure } from './tls-endpoint.ts'

/** A handshake has to be done after this long, milliseconds. */
export const TLS_HANDSHAKE_MS = 10_000

const NOTHING = Buffer.alloc(0)

export interface ProxyRules {
  readonly mode: 'optional' | 'required'
  /** Peers whose headers are believed. */
  readonly from: AddressSet
}

export interface AcceptOptions {
  readonly clock: Clock
  /** null: headers are not looked for. */
  readonly proxy: ProxyRules | null
  /** Whether connections may be taken; `waitingCount`: those between accept and protocol. */
  hasRoom(waitingCount: number): boolean
  onRefused(peer: Peer): void
  onProxyFailed(reason: ProxyFailure, peer: Peer, bytes: Buffer, detail: string): void
  onTlsFailed(reason: TlsFailure, peer: Peer, detail: string): void
  /** The connection begins. Bytes that were read already are put back into the socket. */
  take(socket: net.Socket, peer: Peer): void
}

/** A connection that its protocol does not have yet. */
interface Waiting {
  readonly raw: net.Socket
  peer: Peer
  cancel: () => void
}

export class Acceptor {
  readonly #options: AcceptOptions
  readonly #waiting = new Map<net.Socket, Waiting>()
  #tls: TlsEndpoint | null = null

  constructor(options: AcceptOptions) {
    this.#options = options
  }

  /** Set before the first connection; its `onSecure` and `onFailed` call the methods here. */
  set tls(endpoint: TlsEndpoint) {
    this.#tls = endpoint
  }

  get waitingCount(): number {
    return this.#waiting.size
  }

  accept(raw: net.Socket): void {
    const { hasRoom, onRefused, proxy, take } = this.#options
    if (!hasRoom(this.#waiting.size)) {
      const peer = peerOf(raw)
      resetSocket(raw)
      onRefused(peer)
      return
    }
    if (proxy === null && this.#tls === null) {
      take(raw, peerOf(raw))
      return
    }
    const waiting: Waiting = { raw, peer: peerOf(raw), cancel: () => {} }
    this.#waiting.set(raw, waiting)
    raw.on('error', () => {})
    if (proxy === null) this.#handOn(waiting)
    else this.#readHeader(waiting, proxy)
  }

  /** From the endpoint: bytes are plain now. */
  secured(socket: net.Socket, raw: net.Socket, certificate: Peer['certificate']): void {
    const waiting = this.#forget(raw)
    // Given up in the meantime.
    if (waiting === undefined) socket.destroy()
    else this.#options.take(socket, { ...waiting.peer, certificate })
  }

  /** From the endpoint. */
  handshakeFailed(raw: net.Socket, reason: TlsFailure, detail: string): void {
    const waiting = this.#forget(raw)
    if (waiting === undefined) return
    // Others were told by an alert, which a reset could overtake.
    if (reason === 'not_tls' || reason === 'timeout') resetSocket(raw)
    this.#options.onTlsFailed(reason, waiting.peer, detail)
  }

  /** Gives up what waits. */
  close(): void {
    this.#tls?.close()
    for (const { raw } of [...this.#waiting.values()]) {
      this.#forget(raw)
      resetSocket(raw)
    }
  }

  #forget(raw: net.Socket): Waiting | undefined {
    const waiting = this.#waiting.get(raw)
    this.#waiting.delete(raw)
    waiting?.cancel()
    return waiting
  }

  #handOn(waiting: Waiting): void {
    const { raw } = waiting
    waiting.cancel()
    if (this.#tls === null) {
      this.#forget(raw)
      this.#options.take(raw, waiting.peer)
      return
    }
    waiting.cancel = this.#options.clock.after(TLS_HANDSHAKE_MS, () => {
      this.handshakeFailed(raw, 'timeout', '')
    })
    this.#tls.accept(raw)
  }

  #readHeader(waiting: Waiting, { from, mode }: ProxyRules): void {
    const { peer, raw } = waiting
    if (!from.has(peer.address)) {
      if (mode === 'required') this.#refuseHeader(waiting, 'not_listed', NOTHING, '')
      else this.#handOn(waiting)
      return
    }
    const { clock } = this.#options
    const onClose = (): void => {
      this.#forget(raw)
    }
    raw.once('close', onClose)
    waiting.cancel = readProxyHeader(raw, mode === 'required', clock, (outcome) => {
      if (outcome.kind === 'failed') {
        this.#refuseHeader(waiting, outcome.reason, outcome.bytes, outcome.detail)
      } else if (outcome.kind === 'left') {
        this.#forget(raw)
        raw.destroy()
      } else {
        if (outcome.kind === 'header' && outcome.peer !== null) {
          waiting.peer = { ...peer, ...outcome.peer, proxyAddress: peer.address }
        }
        // From here the endpoint says how it ends.
        raw.off('close', onClose)
        this.#handOn(waiting)
      }
    })
  }

  #refuseHeader(waiting: Waiting, reason: ProxyFailure, bytes: Buffer, detail: string): void {
    this.#forget(waiting.raw)
    resetSocket(waiting.raw)
    this.#options.onProxyFailed(reason, waiting.peer, bytes, detail)
  }
}
