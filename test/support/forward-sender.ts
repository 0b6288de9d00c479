// A forward client for tests that behaves as real ones do: it asks for an ack per chunk, keeps a chunk until its ack has
// come, and after a reconnect sends the kept ones again, byte for byte.

import { connect, type NetConnectOpts, type Socket } from 'node:net'
import { decodeMulti, ExtData, encode } from '@msgpack/msgpack'
import { systemClock } from '../../src/core/clock.ts'

export type FrameMode = 'message' | 'forward' | 'packed'
export type Event = Record<string, unknown>

const RECONNECT_MS = 5

export function eventTime(ms: number): ExtData {
  const bytes = new Uint8Array(8)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, Math.floor(ms / 1000))
  view.setUint32(4, (ms % 1000) * 1_000_000)
  return new ExtData(0, bytes)
}

/** One frame; message mode takes the first event only. */
export function frame(
  mode: FrameMode,
  tag: string,
  events: readonly Event[],
  option: Record<string, unknown>,
  timeMs = Date.now()
): Buffer {
  const time = eventTime(timeMs)
  if (mode === 'message') return Buffer.from(encode([tag, time, events[0], option]))
  const entries = events.map((event) => [time, event])
  if (mode === 'forward') return Buffer.from(encode([tag, entries, option]))
  const body = Buffer.concat(entries.map((entry) => encode(entry)))
  return Buffer.from(encode([tag, body, { ...option, size: entries.length }]))
}

export interface Chunk {
  readonly id: string
  readonly bytes: Buffer
  readonly seqs: readonly number[]
}

export interface SenderOptions {
  readonly address: NetConnectOpts
  /** Makes the next chunk; null: none now. */
  readonly next: () => Chunk | null
  readonly onAck: (chunk: Chunk) => void
  /** Chunks without an ack. */
  readonly window: number
  /** Wait between an ack and the next chunk, milliseconds. */
  readonly pauseMs: number
}

/** Ack-asking client that survives the death of the server. */
export class ForwardSender {
  private readonly options: SenderOptions
  private readonly waiting = new Map<string, Chunk>()
  private socket: Socket | null = null
  private isOpen = false
  private isStopped = false
  resentChunks = 0
  connects = 0

  constructor(options: SenderOptions) {
    this.options = options
  }

  get unackedChunks(): number {
    return this.waiting.size
  }

  start(): void {
    this.isStopped = false
    this.connect()
  }

  /** Closes the connection and stays away; chunks without an ack are kept. */
  stop(): void {
    this.isStopped = true
    this.socket?.destroy()
  }

  /** Asks `next` again after it had nothing. */
  poke(): void {
    this.pump()
  }

  private connect(): void {
    const socket = connect(this.options.address)
    let rest: Buffer = Buffer.alloc(0)
    this.socket = socket
    socket.on('connect', () => {
      this.isOpen = true
      this.connects++
      this.resentChunks += this.waiting.size
      for (const chunk of this.waiting.values()) socket.write(chunk.bytes)
      this.pump()
    })
    socket.on('data', (data) => {
      rest = this.takeAcks(Buffer.concat([rest, data]))
    })
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.isOpen = false
      if (!this.isStopped) systemClock.after(RECONNECT_MS, () => this.reconnect())
    })
  }

  private reconnect(): void {
    if (!this.isStopped) this.connect()
  }

  private pump(): void {
    while (this.isOpen && this.waiting.size < this.options.window) {
      const chunk = this.options.next()
      if (chunk === null) return
      this.waiting.set(chunk.id, chunk)
      this.socket?.write(chunk.bytes)
    }
  }

  /** Returns the bytes of an answer that is not complete. */
  private takeAcks(bytes: Buffer): Buffer {
    let taken = 0
    try {
      for (const answer of decodeMulti(bytes)) {
        const { ack } = answer as { ack: string }
        taken += encode({ ack }).length
        const chunk = this.waiting.get(ack)
        if (chunk === undefined) continue
        this.waiting.delete(ack)
        this.options.onAck(chunk)
      }
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
    }
    if (this.options.pauseMs === 0) this.pump()
    else systemClock.after(this.options.pauseMs, () => this.pump())
    return Buffer.from(bytes.subarray(taken))
  }
}

/** Sends frames on one connection without asking for acks, and closes it when the kernel has taken all. */
export async function sendFrames(
  address: NetConnectOpts,
  frames: readonly Buffer[]
): Promise<void> {
  const socket = connect(address)
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    socket.once('connect', () => {
      for (const bytes of frames) socket.write(bytes)
      socket.end(() => resolve())
    })
  })
}
