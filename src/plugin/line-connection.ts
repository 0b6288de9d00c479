// Steps 1 to 4. Runs on: ingest.
// One connection that sends text: whole lines or frames of what was read go into the queue, the rest waits for the next
// read. There are no acknowledgements: when a queue is full the socket is not read, and what was read is offered again.
// Limit: one unfinished line of up to `max_line_bytes`, and one read.

import type net from 'node:net'
import type { ScanKernel } from '../kernel/scan-kernel.ts'
import type { BytesHolder } from '../net/held-bytes.ts'
import type { Peer } from '../net/peer.ts'
import type { StreamReader } from '../net/read-into.ts'
import { resetSocket } from '../net/reset-socket.ts'
import { entryTimeOf, type PackedFields, packFields } from './entry-writer.ts'
import type { AppendSource, InputContext } from './input.ts'
import type { LineStore } from './line-store.ts'
import { peerFields } from './listening.ts'
import { PartialBytes, type ReadArea } from './partial-bytes.ts'
import { shownBytes } from './sender-warnings.ts'

/** Where a record ends; `auto`: what the first byte of a connection says, a digit being that of a count. */
export type Framing = 'lf' | 'octet_counting' | 'auto'

export interface LineShared {
  readonly context: InputContext<ScanKernel>
  readonly area: ReadArea
  readonly lines: LineStore
  readonly frames: LineStore
  readonly framing: Framing
  readonly tag: Buffer
  readonly lineBytesMax: number
  /** Field with the address of the sender; null: none. */
  readonly sourceKey: string | null
  /** The address is kept for `${source.address}`. */
  readonly hasSource: boolean
  warn(fields: object, message: string): void
  onClosed(connection: LineConnection): void
  /** A connection that had closed with text in hand is done with it. */
  onReleased(connection: LineConnection): void
}

type CloseReason = 'peer' | 'protocol' | 'memory' | 'idle' | 'stop'

const LINE_FEED = 0x0a
const NO_FIELDS = packFields([])

export class LineConnection implements StreamReader, BytesHolder {
  readonly #shared: LineShared
  readonly #socket: net.Socket
  readonly #peer: Peer
  readonly #source: AppendSource
  readonly #fields: PackedFields
  readonly #partial: PartialBytes
  /** Set by the first byte. */
  #store: LineStore | null = null
  #openBytes = 0
  lastReadMs: number
  /** The queue is full. */
  #isHeld = false
  /** All connections together hold too much. */
  #isStopped = false
  #isEnded = false
  #isClosed = false
  #closeReason: CloseReason = 'peer'

  constructor(shared: LineShared, socket: net.Socket, peer: Peer) {
    const { area, context, hasSource, sourceKey } = shared
    this.#shared = shared
    this.#socket = socket
    this.#peer = peer
    this.#source = { inputId: context.id, peer: hasSource ? peer.address : '' }
    const isNamed = sourceKey !== null && peer.address !== ''
    this.#fields = isNamed ? packFields([[sourceKey, peer.address]]) : NO_FIELDS
    this.#partial = new PartialBytes(context.kernel, area)
    this.lastReadMs = context.clock.monotonicMs()
    context.counters.add('connections', 1)
    context.counters.add('connections_total', 1)
  }

  get missingBytes(): number {
    return this.#partial.missingBytes
  }

  /** Closed, and its last text waits for room. */
  get isWaiting(): boolean {
    return this.#isClosed && this.#isHeld
  }

  get isHeld(): boolean {
    return this.#isHeld
  }

  stopReading(): void {
    this.#isStopped = true
    this.#socket.pause()
  }

  readOn(): void {
    this.#isStopped = false
    this.#readAgain()
  }

  onRead(byteCount: number): void {
    if (this.#isClosed || this.#isEnded) return
    const { area, context } = this.#shared
    const { clock, counters } = context
    counters.add('received_bytes', byteCount)
    this.lastReadMs = clock.monotonicMs()
    this.#store ??= this.#storeFor(area.readBuffer[0] ?? 0)
    if (this.#isHeld || this.#isUnfinished(byteCount)) {
      if (this.#partial.add(byteCount) === 'no_memory') this.#giveUp()
      else this.#hold()
      return
    }
    const bytes = this.#partial.join(byteCount)
    if (bytes === 'no_memory') this.#giveUp()
    else this.#take(bytes)
  }

  onEnd(): void {
    this.#finish()
    if (!this.#isHeld && !this.#isClosed) this.#socket.end()
  }

  onClose(): void {
    if (this.#isClosed) return
    // What a connection that broke had sent is as good as that of one that ended.
    this.#finish()
    this.#isClosed = true
    const { context } = this.#shared
    context.counters.add('connections', -1)
    context.counters.add(`input_connections_closed_total/${this.#closeReason}`, 1)
    if (!this.#isHeld) this.#release()
    this.#shared.onClosed(this)
  }

  /** What was read is stored, and the connection ends. */
  close(reason: 'idle' | 'stop'): void {
    if (this.#isClosed) return
    this.#closeReason = reason
    this.#finish()
    this.#socket.destroy()
  }

  /** The end of the process while text waits for room: it is gone, and counted. */
  abandon(): void {
    if (!this.#isHeld) return
    this.#isHeld = false
    this.#countLost('stopped')
    this.#release()
  }

  /** Nothing that follows is a line of before. */
  #finish(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    if (!this.#isHeld) this.#take(this.#partial.bytes())
  }

  #take(bytes: Buffer): void {
    const { context, tag } = this.#shared
    const store = this.#store
    if (store === null) return
    const time = entryTimeOf(context.clock.nowMs())
    let at = 0
    let neededBytes = 0
    while (at < bytes.length) {
      const text = at === 0 ? bytes : bytes.subarray(at)
      const openBytes = this.#openBytes
      const isLast = this.#isEnded
      const chunk = { tag, text, fields: this.#fields, time, isLast, openBytes }
      const outcome = store.append(this.#source, chunk, null)
      if (outcome.kind === 'full') {
        this.#waitForRoom(bytes.subarray(at))
        return
      }
      at += outcome.consumedBytes
      this.#openBytes = outcome.openBytes
      if (outcome.isBroken) {
        this.#refuse(bytes.subarray(at))
        return
      }
      neededBytes = outcome.neededBytes
      if (outcome.consumedBytes === 0) break
    }
    this.#keep(bytes.subarray(at), neededBytes)
  }

  #keep(rest: Buffer, neededBytes: number): void {
    if (this.#partial.keep(rest, neededBytes) === 'no_memory') this.#giveUp()
    else this.#hold()
  }

  #hold(): void {
    this.#shared.context.held.set(this, this.#partial.heldBytes)
  }

  #waitForRoom(rest: Buffer): void {
    const { appender, counters } = this.#shared.context
    this.#keep(rest, 0)
    if (this.#partial.byteCount === 0) return
    this.#isHeld = true
    this.#socket.pause()
    counters.add('input_paused_total/room', 1)
    appender.onRoom(() => this.#offerAgain())
  }

  #offerAgain(): void {
    if (!this.#isHeld) return
    this.#isHeld = false
    this.#take(this.#partial.bytes())
    if (this.#isHeld) return
    if (this.#isClosed) {
      this.#release()
      this.#shared.onReleased(this)
    } else if (this.#isEnded) this.#socket.end()
    else this.#readAgain()
  }

  #readAgain(): void {
    if (!this.#isHeld && !this.#isStopped && !this.#isClosed) this.#socket.resume()
  }

  /** No end of a line in what came, and none is due: not to be looked at again with each read. */
  #isUnfinished(byteCount: number): boolean {
    const { area, lineBytesMax, lines } = this.#shared
    if (this.#partial.byteCount === 0) return false
    if (this.#store !== lines) return this.#partial.isShort(byteCount)
    if (this.#partial.byteCount + byteCount > lineBytesMax) return false
    const end = area.readBuffer.indexOf(LINE_FEED)
    return end < 0 || end >= byteCount
  }

  #storeFor(first: number): LineStore {
    const { frames, framing, lines } = this.#shared
    const isCounted = framing === 'auto' ? first > 0x30 && first <= 0x39 : framing !== 'lf'
    return isCounted ? frames : lines
  }

  #refuse(bytes: Buffer): void {
    const fields = { ...peerFields(this.#peer), first_bytes: shownBytes(bytes) }
    this.#shared.warn(fields, 'no length of a message where one has to be: connection reset')
    this.#shared.context.counters.add('input_rejected_records_total/bad_frame', 1)
    this.#reset('protocol')
  }

  /** The memory for unfinished lines is used up. */
  #giveUp(): void {
    this.#countLost('overflow')
    this.#reset('memory')
  }

  #countLost(reason: 'overflow' | 'stopped'): void {
    const bytes = this.#partial.bytes()
    let lineCount = 1
    for (let at = bytes.indexOf(LINE_FEED); at >= 0; at = bytes.indexOf(LINE_FEED, at + 1)) {
      if (at < bytes.length - 1) lineCount++
    }
    this.#shared.context.counters.add(`input_rejected_records_total/${reason}`, lineCount)
  }

  #reset(reason: CloseReason): void {
    this.#isEnded = true
    this.#closeReason = reason
    this.#release()
    if (!this.#isClosed) resetSocket(this.#socket)
  }

  #release(): void {
    this.#partial.release()
    this.#shared.context.held.remove(this)
  }
}
