// Step 1. Runs on: ingest.
// A listener: accepts connections, bounds their number, and hands each one to `open` with its bytes read into one shared
// buffer. TCP listeners exist once per ingest thread (`reusePort`); a connection above the limit gets a reset at once,
// because one left in the backlog would take writes into the void.

import net from 'node:net'
import { errnoOf, errorText, MillraceError } from '../core/errors.ts'
import { formatListenAddress, type ListenAddress } from './listen-address.ts'
import type { AttachReader, StreamReader } from './read-into.ts'
import { listenUnix, type UnixSocketRights } from './unix-socket.ts'

export interface ListenerOptions {
  readonly address: ListenAddress
  readonly backlog: number
  /** Several threads bind the same port. */
  readonly isPortShared: boolean
  readonly unix: UnixSocketRights
  /** OS keepalive probes after this much silence, milliseconds; 0: none. */
  readonly keepaliveMs: number
  readonly readBuffer: Uint8Array
  readonly attach: AttachReader
  /** Asked before each connection; false: reset it. */
  hasRoom(): boolean
  onRefused(): void
  open(socket: net.Socket): StreamReader
}

export class Listener {
  /** As bound, with the real port. */
  readonly address: string
  readonly #server: net.Server
  readonly #unlink: () => Promise<void>

  private constructor(address: string, server: net.Server, unlink: () => Promise<void>) {
    this.address = address
    this.#server = server
    this.#unlink = unlink
  }

  static async open(options: ListenerOptions): Promise<Listener> {
    const { address } = options
    const server = net.createServer({
      pauseOnConnect: true,
      allowHalfOpen: true,
      noDelay: true,
      ...(options.keepaliveMs > 0
        ? { keepAlive: true, keepAliveInitialDelay: options.keepaliveMs }
        : {})
    })
    server.on('connection', (accepted) => accept(accepted, options))
    if (address.kind === 'unix') {
      const unlink = await listenUnix(server, address.path, options.backlog, options.unix)
      ignoreAcceptErrors(server)
      return new Listener(formatListenAddress(address), server, unlink)
    }
    const port = await listenTcp(server, address.host, address.port, options)
    ignoreAcceptErrors(server)
    return new Listener(formatListenAddress({ ...address, port }), server, async () => {})
  }

  /** Stops accepting; open connections stay. */
  async close(): Promise<void> {
    await this.#unlink()
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve())
    })
  }
}

/** Ends a connection so that its sender sees an error on its next write instead of losing it (Forward rule: RST, not FIN). */
export function resetSocket(socket: net.Socket): void {
  if (socket.destroyed) return
  // Unix sockets know no reset; the next write of the peer fails at once on a plain close. After `end` the system may be
  // shutting the connection down; it refuses a reset then, and the socket would stay for ever.
  if (socket.remoteFamily === undefined || socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}

function accept(accepted: net.Socket, options: ListenerOptions): void {
  if (!options.hasRoom()) {
    resetSocket(accepted)
    options.onRefused()
    return
  }
  options.attach(accepted, options.readBuffer, options.open)
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
