// One connection of the load. A chunk buffer is free again when the kernel has taken it and, with acks, when its ack came.

import { connect, type Socket } from 'node:net'
import type { Random } from '../../src/core/clock.ts'
import { AckReader } from './acks.ts'
import { CHUNK_ID_LENGTH, type Chunk, messageChunk, packedChunk, stamp } from './chunk.ts'
import type { LoadOptions } from './options.ts'

/** Hands out sequence numbers; null when there are none left or the rate allows none now. */
export type TakeSeq = (count: number) => number | null

export interface SenderCallbacks {
  readonly take: TakeSeq
  readonly isFinished: () => boolean
  readonly onAck: (latencyMs: number) => void
  readonly onSent: (byteCount: number) => void
}

interface Slot {
  readonly chunk: Chunk
  isTaken: boolean
  isWritten: boolean
  sentAtMs: number
}

export class Sender {
  private readonly socket: Socket
  private readonly slots: Slot[]
  private readonly waiting = new Map<string, Slot>()
  private readonly ready: Promise<void>
  private readonly done: Promise<void>
  private finish: () => void = () => undefined
  private chunkNumber = 0
  private readonly options: LoadOptions
  private readonly index: number
  private readonly callbacks: SenderCallbacks

  constructor(options: LoadOptions, index: number, random: Random, callbacks: SenderCallbacks) {
    this.options = options
    this.index = index
    this.callbacks = callbacks
    const build = options.mode === 'packed' ? packedChunk : messageChunk
    this.slots = Array.from({ length: options.window }, (_, slot) => {
      const tag = (index + slot * options.connections) % options.tags
      return {
        chunk: build(random, tag, options.chunkEvents, options.ack),
        isTaken: false,
        isWritten: true,
        sentAtMs: 0
      }
    })
    this.socket = connect({ host: options.host, port: options.port, noDelay: true })
    this.ready = new Promise((resolve, reject) => {
      this.socket.once('connect', () => resolve())
      this.socket.once('error', reject)
    })
    this.done = new Promise((resolve, reject) => {
      this.finish = resolve
      this.socket.once('close', () => reject(new Error('the router closed a connection')))
    })
    this.done.catch(() => undefined)
    const acks = new AckReader((chunkId) => this.acked(chunkId))
    this.socket.on('data', (data: Buffer) => acks.push(data))
  }

  connected(): Promise<void> {
    return this.ready
  }

  finished(): Promise<void> {
    return this.done
  }

  /** Sends while there are free chunks and numbers. Called again by acks, by finished writes and by the clock of the rate. */
  pump(): void {
    for (const slot of this.slots) {
      if (slot.isTaken || !slot.isWritten) continue
      const firstSeq = this.callbacks.take(slot.chunk.eventCount)
      if (firstSeq === null) break
      this.send(slot, firstSeq)
    }
    if (!this.callbacks.isFinished()) return
    if (this.slots.every((slot) => !slot.isTaken && slot.isWritten)) {
      this.socket.removeAllListeners('close')
      this.socket.end(() => this.finish())
    }
  }

  private send(slot: Slot, firstSeq: number): void {
    const chunkId = `${process.pid}-${this.index}-${this.chunkNumber++}`.padEnd(
      CHUNK_ID_LENGTH,
      '='
    )
    stamp(slot.chunk, firstSeq, chunkId, performance.timeOrigin + performance.now())
    slot.isTaken = this.options.ack
    slot.isWritten = false
    slot.sentAtMs = performance.now()
    if (this.options.ack) this.waiting.set(chunkId, slot)
    this.callbacks.onSent(slot.chunk.bytes.length)
    this.socket.write(slot.chunk.bytes, () => {
      slot.isWritten = true
      this.pump()
    })
  }

  private acked(chunkId: string): void {
    const slot = this.waiting.get(chunkId)
    if (slot === undefined) throw new Error(`ack of a chunk that was not sent: ${chunkId}`)
    this.waiting.delete(chunkId)
    slot.isTaken = false
    this.callbacks.onAck(performance.now() - slot.sentAtMs)
    this.pump()
  }
}
