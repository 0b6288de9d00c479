// Step 1. Runs on: ingest.
// UDP heartbeats: any datagram up to 128 bytes, an empty one too, is answered with one zero byte from the
// same socket.

import dgram from 'node:dgram'
import { errorText, MillraceError } from '../../../src/core/errors.ts'

const HEARTBEAT_BYTES_MAX = 128
const ANSWER = Buffer.from([0])

export class Heartbeats {
  readonly #socket: dgram.Socket

  private constructor(socket: dgram.Socket) {
    this.#socket = socket
  }

  static async open(host: string, port: number, onHeartbeat: () => void): Promise<Heartbeats> {
    const socket = dgram.createSocket(host.includes(':') ? 'udp6' : 'udp4')
    socket.on('message', (bytes, peer) => {
      if (bytes.length > HEARTBEAT_BYTES_MAX) return
      onHeartbeat()
      // A lost answer is one lost heartbeat.
      socket.send(ANSWER, peer.port, peer.address, () => {})
    })
    await new Promise<void>((resolve, reject) => {
      socket.once('error', (error) => {
        const message = `cannot listen on udp://${host}:${port}: ${errorText(error)}`
        reject(new MillraceError('MR_LISTEN', message, { cause: error }))
      })
      socket.bind({ address: host, port }, () => resolve())
    })
    socket.removeAllListeners('error')
    socket.on('error', () => {})
    return new Heartbeats(socket)
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#socket.close(() => resolve()))
  }
}
