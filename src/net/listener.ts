// Step 1. Runs on: ingest.
// A listener: accepts connections, bounds their number, and hands each one on when its PROXY header and its TLS handshake
// are done. TCP listeners exist once per ingest thread (`reusePort`); a connection above the limit gets a reset at once,
// because one left in the backlog would take writes into the void.

import net from 'node:net'
import { errnoOf, errorText, MillraceError } from '../core/errors.ts'
import { type AcceptOptions, Acceptor } from './accept.ts'
import { formatListenAddress, type ListenAddress } from './listen-address.ts'
import type { Peer } from './peer.ts'
import type { AttachReader, StreamReader } from './read-into.ts'
import { TlsEndpoint, type TlsEndpointOptions } from './tls-endpoint.ts'
import { listenUnix, type UnixSocketRights } from './unix-socket.ts'

export interface ListenerOptions extends AcceptOptions {
  readonly address: ListenAddress
  readonly backlog: number
  /** Several threads bind the same port. */
  readonly isPortShared: boolean
  readonly unix: UnixSocketRights
  /** OS keepalive probes after this much silence, milliseconds; 0: none. */
  readonly keepaliveMs: number
  /** Needed for `tls://` addresses. */
  readonly tls: Omit<TlsEndpointOptions, 'onSecure' | 'onFailed' | 'clock'> | null
}

export class Listener {
  /** As bound, with the real port. */
  readonly address: string
  readonly #server: net.Server
  readonly #acceptor: Acceptor
  readonly #unlink: () => Promise<void>

  private constructor(
    address: string,
    server: net.Server,
    acceptor: Acceptor,
    unlink: () => Promise<void>
  ) {
    this.address = address
    this.#server = server
    this.#acceptor = acceptor
    this.#unlink = unlink
  }

  /** `server`: one that serves connections itself; it gets them by `take` instead of from the system. */
  static async open(options: ListenerOptions, server = createServer(options)): Promise<Listener> {
    const { address } = options
    const acceptor = new Acceptor(options)
    if (address.kind === 'tcp' && address.isTls) acceptor.tls = await openTls(options, acceptor)
    server.removeAllListeners('connection')
    server.on('connection', (accepted) => acceptor.accept(accepted))
    try {
      if (address.kind === 'unix') {
        const unlink = await listenUnix(server, address.path, options.backlog, options.unix)
        ignoreAcceptErrors(server)
        return new Listener(formatListenAddress(address), server, acceptor, unlink)
      }
      const port = await listenTcp(server, address.host, address.port, options)
      ignoreAcceptErrors(server)
      const bound = formatListenAddress({ ...address, port })
      return new Listener(bound, server, acceptor, async () => {})
    } catch (error) {
      acceptor.close()
      throw error
    }
  }

  /** Stops accepting; open connections stay. */
  async close(): Promise<void> {
    await this.#unlink()
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve())
    })
    this.#acceptor.close()
    await closed
  }
}

/** Gives each connection to a reader of its bytes. */
export function readInto(
  readBuffer: Uint8Array,
  attach: AttachReader,
  open: (socket: net.Socket, peer: Peer) => StreamReader
): AcceptOptions['take'] {
  return (socket, peer) => attach(socket, readBuffer, (attached) => open(attached, peer))
}

function createServer({ keepaliveMs }: ListenerOptions): net.Server {
  return net.createServer({
    pauseOnConnect: true,
    allowHalfOpen: true,
    noDelay: true,
    ...(keepaliveMs > 0 ? { keepAlive: true, keepAliveInitialDelay: keepaliveMs } : {})
  })
}

function openTls(options: ListenerOptions, acceptor: Acceptor): Promise<TlsEndpoint> {
  const { clock, tls } = options
  if (tls === null) {
    const message = `${formatListenAddress(options.address)} needs a tls block with cert_file and key_file`
    throw new MillraceError('MR_CONFIG_TLS', message)
  }
  return TlsEndpoint.open({
    ...tls,
    clock,
    onSecure: (socket, raw, certificate) => acceptor.secured(socket, raw, certificate),
    onFailed: (raw, reason, detail) => acceptor.handshakeFailed(raw, reason, detail)
  })
}

function listenTcp(
  server: net.Server,
  host: string,
  port: number,
  options: ListenerOptions
): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const text = formatListenAddress(options.address)
      const hint = errnoOf(error) === 'EADDRINUSE' ? ' (another process listens there)' : ''
      const message = `cannot listen on ${text}: ${errorText(error)}${hint}`
      reject(new MillraceError('MR_LISTEN', message, { cause: error }))
    })
    const { backlog, isPortShared } = options
    server.listen({ host, port, backlog, reusePort: isPortShared }, () => {
      server.removeAllListeners('error')
      // A TCP server that listens has an object as address.
      resolve((server.address() as net.AddressInfo).port)
    })
  })
}

/** `accept` may fail for want of descriptors; the backlog is tried again with the next connection. */
function ignoreAcceptErrors(server: net.Server): void {
  server.on('error', () => {})
}
