// Step 1. Runs on: ingest.
// A UDP socket. Datagrams that wait in the system are handed over together, once per turn of the event loop; what the
// system throws away because nobody came in time is counted there, and read from /proc. Limit of a batch: what libuv reads
// in one turn, 32 datagrams.

import dgram from 'node:dgram'
import fs from 'node:fs/promises'
import { isIPv6 } from 'node:net'
import { errnoOf, errorText, MillraceError } from '../core/errors.ts'
import { plainAddress } from './address-set.ts'

export interface Datagram {
  readonly bytes: Buffer
  /** Without the `::ffff:` of mapped addresses. */
  readonly address: string
  readonly port: number
}

export interface DatagramOptions {
  readonly host: string
  /** 0: any free one. */
  readonly port: number
  /** Wanted buffer of the system; null: its default. The system may give less (`net.core.rmem_max`). */
  readonly receiveBufferBytes: number | null
  /** The batch is reused: nothing of it may be kept but the bytes. */
  onBatch(batch: readonly Datagram[]): void
}

export class DatagramSocket {
  readonly host: string
  /** As bound. */
  readonly port: number
  readonly #socket: dgram.Socket
  readonly #batch: Datagram[] = []
  readonly #onBatch: DatagramOptions['onBatch']
  #isPlanned = false
  #isClosed = false

  private constructor(socket: dgram.Socket, { host, onBatch }: DatagramOptions) {
    this.host = host
    this.port = socket.address().port
    this.#socket = socket
    this.#onBatch = onBatch
    socket.removeAllListeners('error')
    // Errors of single datagrams (a peer's port is closed) end nothing.
    socket.on('error', () => {})
    socket.on('message', (bytes, { address, port }) => {
      this.#batch.push({ bytes, address: plainAddress(address), port })
      if (this.#isPlanned) return
      this.#isPlanned = true
      setImmediate(() => this.#handOver())
    })
  }

  static async open(options: DatagramOptions): Promise<DatagramSocket> {
    const { host, port, receiveBufferBytes } = options
    const socket = dgram.createSocket({
      type: host.includes(':') ? 'udp6' : 'udp4',
      ...(receiveBufferBytes === null ? {} : { recvBufferSize: receiveBufferBytes })
    })
    await new Promise<void>((resolve, reject) => {
      socket.once('error', (error) => {
        const hint = errnoOf(error) === 'EADDRINUSE' ? ' (another process listens there)' : ''
        const message = `cannot listen on udp://${host}:${port}: ${errorText(error)}${hint}`
        reject(new MillraceError('MR_LISTEN', message, { cause: error }))
      })
      socket.bind({ address: host, port }, () => resolve())
    })
    return new DatagramSocket(socket, options)
  }

  /** Buffer that the system gave. Linux counts its own bookkeeping in, and so gives twice what was asked. */
  get receiveBufferBytes(): number {
    return this.#isClosed ? 0 : this.#socket.getRecvBufferSize()
  }

  /** From the same address and port. A lost answer is lost. */
  answer({ address, port }: Datagram, bytes: Uint8Array): void {
    if (this.#isClosed) return
    const isMapped = this.host.includes(':') && !isIPv6(address)
    this.#socket.send(bytes, port, isMapped ? `::ffff:${address}` : address, () => {})
  }

  /** Datagrams that the system dropped since the bind, for want of room; null: it does not say. */
  async dropCount(): Promise<number | null> {
    const { address, family, port } = this.#socket.address()
    const file = family === 'IPv6' ? '/proc/net/udp6' : '/proc/net/udp'
    const table = await fs.readFile(file, 'latin1').catch(() => '')
    return droppedOf(table, procAddress(address, port))
  }

  /** What arrived before is handed over. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await new Promise<void>((resolve) => this.#socket.close(() => resolve()))
    this.#handOver()
  }

  #handOver(): void {
    this.#isPlanned = false
    if (this.#batch.length === 0) return
    this.#onBatch(this.#batch)
    this.#batch.length = 0
  }
}

/** Last column of the line of a socket in /proc/net/udp. */
export function droppedOf(table: string, local: string): number | null {
  for (const line of table.split('\n')) {
    const columns = line.trim().split(/\s+/)
    const dropped = Number(columns.at(-1))
    if (columns[1] === local && Number.isInteger(dropped)) return dropped
  }
  return null
}

/** `0100007F:5EA0`: 32-bit words of the address as this machine stores them, and the port. */
export function procAddress(address: string, port: number): string {
  const bytes = address.includes(':') ? bytesOfIPv6(address) : address.split('.').map(Number)
  const words: string[] = []
  for (let start = 0; start < bytes.length; start += 4) {
    words.push(Buffer.from(bytes.slice(start, start + 4).reverse()).toString('hex'))
  }
  return `${words.join('')}:${port.toString(16).padStart(4, '0')}`.toUpperCase()
}

function bytesOfIPv6(address: string): number[] {
  const [head = '', tail = ''] = address.replace(/%.*$/, '').split('::')
  const groups = (text: string) => (text === '' ? [] : text.split(':').map((part) => `0x${part}`))
  const [first, last] = [groups(head), groups(tail)]
  const zeros = Array(8 - first.length - last.length).fill('0x0')
  return [...first, ...zeros, ...last].flatMap((group) => [Number(group) >> 8, Number(group) & 255])
}
