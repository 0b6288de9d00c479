// A raw connection of tests: bytes out, bytes in, and how it ended.

import net from 'node:net'
import tls from 'node:tls'
import { parseListenAddress } from '../../src/net/listen-address.ts'

export class ForwardClient {
  readonly socket: net.Socket
  /** `end`: the peer's FIN; `reset`: an error. */
  readonly closed: Promise<'end' | 'reset'>
  #received = Buffer.alloc(0)
  #changed = Promise.withResolvers<void>()
  #isOver = false

  private constructor(socket: net.Socket) {
    this.socket = socket
    socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk])
      this.#notify()
    })
    this.closed = new Promise((resolve) => {
      let result: 'end' | 'reset' = 'end'
      socket.on('error', () => {
        result = 'reset'
      })
      socket.on('close', () => {
        this.#isOver = true
        this.#notify()
        resolve(result)
      })
    })
  }

  /** `options`: for addresses of TLS. */
  static async connect(
    address: string,
    options: tls.ConnectionOptions = {}
  ): Promise<ForwardClient> {
    const parsed = parseListenAddress(address)
    if (parsed.kind === 'tcp' && parsed.isTls) {
      const { host, port } = parsed
      const secured = tls.connect({ host, port, ...options })
      const client = new ForwardClient(secured)
      await new Promise<void>((resolve) => {
        secured.once('close', () => resolve())
        secured.once('secureConnect', resolve)
      })
      return client
    }
    const socket = new net.Socket({ allowHalfOpen: false })
    const client = new ForwardClient(socket)
    await new Promise<void>((resolve) => {
      // A reset may come before the connection is announced.
      socket.once('close', () => resolve())
      if (parsed.kind === 'unix') socket.connect(parsed.path, resolve)
      else socket.connect(parsed.port, parsed.host, resolve)
    })
    socket.setNoDelay(true)
    return client
  }

  /** Everything that came so far. */
  get received(): Buffer {
    return this.#received
  }

  send(bytes: Uint8Array): this {
    this.socket.write(bytes)
    return this
  }

  /** Sends each piece after the one before has left. */
  async sendPieces(pieces: readonly Uint8Array[]): Promise<void> {
    for (const piece of pieces) {
      await new Promise((resolve) => this.socket.write(piece, resolve))
    }
  }

  /** Waits for `byteCount` bytes in all; fewer when the connection ends before. */
  async receive(byteCount: number): Promise<Buffer> {
    while (this.#received.length < byteCount && !this.#isOver) await this.#changed.promise
    return this.#received
  }

  /** Half-closes: nothing more is sent. */
  end(): this {
    this.socket.end()
    return this
  }

  destroy(): void {
    this.socket.destroy()
  }

  #notify(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers()
  }
}
