// Steps 1 and 2. Runs on: ingest.
// One Forward connection: bytes -> scan -> units -> queue, and acks back. Invariants: a message is taken whole or not at
// all; every message that asks for an ack gets it or sees the connection end; what finds no room stays here and pauses
// this connection alone; nothing of one connection touches another. Limits: one unfinished message, counted with all
// others of the thread (HeldBytes); acks that the sender does not read up to UNREAD_ACK_BYTES_MAX.

import type net from 'node:net'
import { type ScanKernel, ScanProgress } from '../../../src/kernel/scan-kernel.ts'
import type { ScanUnit } from '../../../src/kernel/scan-unit.ts'
import type { BytesHolder } from '../../../src/net/held-bytes.ts'
import { resetSocket } from '../../../src/net/listener.ts'
import type { StreamReader } from '../../../src/net/read-into.ts'
import type { InputContext } from '../../../src/plugin/input.ts'
import { AckLine } from './ack-line.ts'
import { BodyStore } from './body-store.ts'
import { JsonStream, jsonAcks } from './json-stream.ts'
import { MessagePace } from './message-pace.ts'
import type { ForwardOptions } from './options.ts'
import { PartialBytes, type ReadArea } from './partial-bytes.ts'
import { TagRule } from './tag-rule.ts'
import { UnitStore } from './unit-store.ts'
import { HINTS, HTTP_ANSWER, shownBytes, type WrongProtocol } from './wrong-protocol.ts'

export interface ConnectionShared {
  readonly context: InputContext<ScanKernel>
  readonly options: ForwardOptions
  readonly area: ReadArea
  /** Log line about a sender, limited in number. */
  warn(fields: object, message: string): void
  onClosed(connection: ForwardConnection): void
  /** A connection that had closed with messages in hand is done with them. */
  onReleased(connection: ForwardConnection): void
}

/** Why a connection is not read; several may hold. */
const PAUSE = { room: 1, memory: 2, acks: 4, inflate: 8 } as const
const PAUSE_NAMES = { 1: 'room', 2: 'memory', 4: 'acks', 8: 'inflate' } as const
type Pause = (typeof PAUSE)[keyof typeof PAUSE]

const UNREAD_ACK_BYTES_MAX = 1024 * 1024

export type CloseReason =
  | 'protocol'
  | 'frame_timeout'
  | 'oversize'
  | 'rejected'
  | 'memory'
  | 'age'
  | 'idle'
  | 'stop'

export class ForwardConnection implements StreamReader, BytesHolder {
  readonly #shared: ConnectionShared
  readonly #socket: net.Socket
  readonly #partial: PartialBytes
  readonly #progress = new ScanProgress()
  readonly #tags: TagRule
  readonly #line: AckLine
  readonly #store: UnitStore
  readonly #peer: string
  readonly #openedMs: number
  #pauses = 0
  /** Length of the kept unit that waits for room; 0: none does. */
  #waitingBytes = 0
  readonly #bodies: BodyStore
  readonly #pace: MessagePace
  /** The sender speaks JSON. */
  #json: JsonStream | null = null
  #hasRead = false
  #hasAsked = false
  #isEnded = false
  /** It spoke another protocol and was answered; what else it sends is nobody's. */
  #isRefused = false
  /** The end was sent. */
  #isClosing = false
  #isClosed = false
  #closeReason: CloseReason | 'peer' = 'peer'

  constructor(shared: ConnectionShared, socket: net.Socket) {
    const { context, options } = shared
    this.#shared = shared
    this.#socket = socket
    this.#peer = socket.remoteAddress ?? ''
    this.#partial = new PartialBytes(context.kernel, shared.area)
    this.#openedMs = context.clock.monotonicMs()
    this.#pace = new MessagePace(this.#openedMs)
    this.#tags = new TagRule({
      tag: options.tag,
      prefix: options.add_tag_prefix,
      rawPrefix: options.tag_prefix_raw,
      defaultTag: options.default_tag
    })
    this.#line = new AckLine({
      clock: context.clock,
      resends: context.resends,
      dedupe: options.dedupe,
      write: (bytes, ackCount) => this.#writeAcks(bytes, ackCount),
      reset: () => this.reset('rejected'),
      onDrained: () => this.#endWhenDone()
    })
    this.#store = new UnitStore({
      context,
      source: {
        inputId: context.id,
        peer: options.source_address ? this.#peer : ''
      },
      line: this.#line,
      dedupe: options.dedupe,
      tagOf: (received) => this.#tags.of(received)
    })
    this.#bodies = new BodyStore(context, options, this.#store, {
      isSentAgain: (ackCount) => this.#isSentAgain(ackCount),
      reset: (reason) => this.reset(reason),
      warn: (fields, text) => shared.warn({ peer: this.#peer, ...fields }, text),
      onInflated: (isStored) => {
        if (!isStored) this.#waitForRoom(0)
        this.#goOn(PAUSE.inflate)
      }
    })
    context.counters.add('connections', 1)
    context.counters.add('connections_total', 1)
  }

  /** Stands between two messages with nothing to store and nothing to answer. */
  get isQuiet(): boolean {
    return this.#partial.byteCount === 0 && this.#bodies.isEmpty && this.#line.isEmpty
  }

  get lastReadMs(): number {
    return this.#pace.lastReadMs
  }

  get missingBytes(): number {
    return this.#partial.missingBytes
  }

  stopReading(): void {
    this.#pause(PAUSE.memory)
  }

  readOn(): void {
    this.#resume(PAUSE.memory)
  }

  onRead(byteCount: number): void {
    const { context } = this.#shared
    context.counters.add('received_bytes', byteCount)
    this.#pace.onRead(byteCount, context.clock.monotonicMs())
    this.#hasRead = true
    this.#line.onRead()
    if (this.#isClosed || this.#isRefused) return
    if (this.#isBusy || this.#partial.isShort(byteCount)) {
      if (this.#partial.add(byteCount) === 'kept') this.#countHeld()
      else this.#outOfMemory()
      return
    }
    const bytes = this.#partial.join(byteCount)
    if (bytes === 'no_memory') this.#outOfMemory()
    else this.#process(bytes, bytes.length)
  }

  onEnd(): void {
    this.#isEnded = true
    this.#line.onEnd()
    this.#endWhenDone()
  }

  onClose(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    const { context } = this.#shared
    if (!this.#hasRead) context.counters.add('heartbeats', 1)
    context.counters.add('connections', -1)
    context.counters.add(`input_connections_closed_total/${this.#closeReason}`, 1)
    this.#line.close(this.#socket.writableLength)
    if (!this.#isBusy) this.#release()
    this.#shared.onClosed(this)
  }

  /** Ends the connection so that the sender sees an error. */
  reset(reason: CloseReason): void {
    if (this.#isClosed) return
    this.#closeReason = reason
    resetSocket(this.#socket)
  }

  /** Closed, and messages that were read still wait for room. */
  get isWaiting(): boolean {
    return this.#isClosed && this.#isBusy
  }

  /**
   * The end of the process while messages that were read wait for room. Senders that asked for acks send them again; what
   * the others sent is gone, and counted: the records of whole messages, or one where they cannot be told.
   */
  abandon(): void {
    if (!this.#isBusy) return
    const { counters, kernel } = this.#shared.context
    const bytes = this.#partial.bytes()
    let recordCount = this.#bodies.isEmpty || this.#hasAsked ? 0 : 1
    if (this.#json !== null) {
      recordCount += this.#hasAsked || bytes.length === 0 ? 0 : 1
    } else if (bytes.length > 0) {
      kernel.scan(bytes, new ScanProgress())
      for (let index = 0; index < kernel.unitCount; index++) {
        recordCount += unconfirmedCount(kernel.unit(index))
      }
    }
    counters.add('input_rejected_records_total/stopped', recordCount)
    this.#release()
  }

  /** Once a second: timeouts of messages, age of the connection. */
  check(nowMs: number, ageMsMax: number): void {
    if (this.#isClosed || this.#pauses !== 0) return
    const { frame_timeout, idle_timeout } = this.#shared.options
    if (this.#isRefused) this.reset('protocol')
    // The peer saw the end a second ago; one that goes on sending would wait for an ack for ever.
    else if (this.#isClosing) resetSocket(this.#socket)
    else if (this.#partial.byteCount > 0) {
      if (this.#pace.isTooSlow(nowMs, frame_timeout)) this.reset('frame_timeout')
    } else {
      this.#pace.restart(nowMs)
      const isIdle = idle_timeout > 0 && nowMs - this.lastReadMs >= idle_timeout
      const isOld = ageMsMax > 0 && this.#hasAsked && nowMs - this.#openedMs >= ageMsMax
      if (this.isQuiet && (isIdle || isOld)) this.close(isOld ? 'age' : 'idle')
    }
  }

  /** Ends a connection at a message boundary: senders that read acks see the end, others need an error. */
  close(reason: CloseReason): void {
    if (this.#isClosed || this.#isClosing) return
    this.#closeReason = reason
    this.#isClosing = true
    if (this.#hasAsked) this.#socket.end()
    else resetSocket(this.#socket)
  }

  /** Scans and stores; the first `firstBytes` alone, when they are a unit that waited for room. */
  #process(bytes: Buffer, firstBytes: number): void {
    if (this.#json !== null) {
      this.#processJson(bytes, this.#json)
      return
    }
    const { kernel } = this.#shared.context
    let rest = bytes
    let scanBytes = firstBytes
    for (;;) {
      const isPart = scanBytes < rest.length
      const status = kernel.scan(rest.subarray(0, scanBytes), this.#progress)
      const { consumedBytes, neededBytes } = kernel
      const takenBytes = this.#takeUnits(rest, consumedBytes)
      rest = rest.subarray(takenBytes)
      scanBytes = rest.length
      const isUnfinished =
        takenBytes < consumedBytes || status === 'full' || (status === 'done' && isPart)
      if (isUnfinished || this.#isBusy) {
        this.#startOver()
        if (rest.length > 0 && !this.#isBusy) continue
        this.#keep(rest, 0)
      } else if (status === 'done') {
        this.#keep(rest, neededBytes)
      } else if (status === 'json') {
        this.#json = new JsonStream(kernel)
        this.#processJson(rest, this.#json)
      } else {
        this.#keep(rest.subarray(0, 0), 0)
        this.#refuseStream(status, rest)
      }
      return
    }
  }

  /** The same with JSON text. A message that finds no room is converted anew when it is offered again. */
  #processJson(bytes: Buffer, json: JsonStream): void {
    const { kernel } = this.#shared.context
    let rest = bytes
    while (rest.length > 0) {
      const next = json.next(rest)
      if (next.kind === 'more') break
      if (next.kind === 'failed') {
        this.#keep(rest.subarray(0, 0), 0)
        this.#refuseJson(next.reason, rest)
        return
      }
      const status = kernel.scan(next.block, new ScanProgress())
      const isMessage = status === 'done' && kernel.consumedBytes === next.block.length
      if (isMessage) this.#takeUnits(next.block, next.block.length)
      kernel.giveBack(next.block)
      if (!isMessage) {
        this.#keep(rest.subarray(0, 0), 0)
        this.#refuseJson('malformed', rest)
        return
      }
      // It is offered by its text, so its length as MessagePack says nothing.
      this.#waitingBytes = 0
      if (this.#isBusy) break
      rest = rest.subarray(next.textBytes)
    }
    this.#keep(rest, 0)
  }

  #refuseJson(reason: 'malformed' | 'message_too_large' | 'no_memory', rest: Buffer): void {
    if (reason === 'no_memory') this.#outOfMemory()
    else if (reason === 'message_too_large') this.#refuseLarge()
    else {
      this.#shared.context.counters.add('forward_protocol_mismatch_total/other', 1)
      const fields = { peer: this.#peer, reason, first_bytes: shownBytes(rest) }
      this.#shared.warn(fields, 'JSON on a Forward port that is no message')
      this.reset('protocol')
    }
  }

  #refuseLarge(): void {
    this.#shared.context.counters.add('oversize_frames', 1)
    this.#shared.warn({ peer: this.#peer }, 'a message is larger than the limit: connection reset')
    this.reset('oversize')
  }

  /** Something that was read waits for room or for its body; what comes behind it waits too. */
  get #isBusy(): boolean {
    return (this.#pauses & (PAUSE.room | PAUSE.inflate)) !== 0
  }

  /** The next scan begins with a new message. */
  #startOver(): void {
    this.#progress.scannedBytes = 0
    this.#progress.valuesLeft = 0
  }

  /** Takes the units of the last scan. Gives the byte up to which all is taken, or in the hands of this object. */
  #takeUnits(bytes: Buffer, consumedBytes: number): number {
    const { kernel } = this.#shared.context
    const { unitCount } = kernel
    for (let index = 0; index < unitCount; index++) {
      const unit = kernel.unit(index)
      const { startByte, endByte } = unit
      if (unit.ackCount > 0) this.#hasAsked = true
      const tag = this.#tagOf(unit, bytes)
      if (unit.kind === 'gzip' || unit.kind === 'zstd') {
        const outcome = this.#bodies.open(unit, bytes, tag)
        if (outcome === 'full') this.#waitForRoom(0)
        else if (outcome === 'inflating') this.#pause(PAUSE.inflate)
        return endByte
      }
      if (!this.#take(unit, bytes, tag)) {
        this.#waitForRoom(endByte - startByte)
        return startByte
      }
    }
    return consumedBytes
  }

  #tagOf(unit: ScanUnit, bytes: Buffer): Buffer {
    const start = unit.tagStartByte
    return this.#tags.of(bytes.subarray(start, start + unit.tagByteCount))
  }

  #take(unit: ScanUnit, bytes: Buffer, tag: Buffer): boolean {
    if (this.#isSentAgain(unit.ackCount)) return true
    const { counters } = this.#shared.context
    const mode = unit.kind === 'messages' ? 'message' : 'batch'
    if (!this.#store.take(unit, bytes, tag)) return false
    counters.add(`input_received_messages_total/${mode}`, unit.messageCount)
    return true
  }

  /** The sender is gone and waited for an ack, so it sends again; what has begun goes on. */
  #isSentAgain(ackCount: number): boolean {
    return this.#isClosed && ackCount > 0 && !this.#store.isStarted
  }

  #waitForRoom(unitBytes: number): void {
    this.#waitingBytes = unitBytes
    this.#pause(PAUSE.room)
    this.#shared.context.appender.onRoom(() => this.#onRoom())
  }

  #onRoom(): void {
    if (this.#bodies.retry()) this.#goOn(PAUSE.room)
    else this.#shared.context.appender.onRoom(() => this.#onRoom())
  }

  /** Goes on with what is kept, and reads again if nothing else holds it. */
  #goOn(reason: Pause): void {
    if ((this.#pauses & PAUSE.room) !== 0 && reason !== PAUSE.room) {
      // The body found no room: the connection stays paused for that reason.
      this.#pauses &= ~reason
      return
    }
    const unitBytes = this.#waitingBytes
    this.#waitingBytes = 0
    this.#pauses &= ~reason
    const bytes = this.#partial.bytes()
    this.#startOver()
    if (bytes.length > 0) this.#process(bytes, unitBytes > 0 ? unitBytes : bytes.length)
    if (this.#isClosed) {
      if (this.#isBusy) return
      this.#release()
      this.#shared.onReleased(this)
      return
    }
    if (this.#pauses === 0) this.#socket.resume()
    this.#endWhenDone()
  }

  #keep(rest: Buffer, neededBytes: number): void {
    if (this.#partial.keep(rest, neededBytes) === 'no_memory') this.#outOfMemory()
    else this.#countHeld()
  }

  #countHeld(): void {
    this.#shared.context.held.set(this, this.#partial.heldBytes)
  }

  #release(): void {
    this.#partial.release()
    this.#shared.context.held.remove(this)
  }

  #outOfMemory(): void {
    this.#shared.warn({ peer: this.#peer }, 'no memory for an unfinished message: connection reset')
    this.reset('memory')
  }

  #pause(reason: Pause): void {
    if (this.#pauses === 0) this.#socket.pause()
    if ((this.#pauses & reason) === 0 && reason !== PAUSE.inflate) {
      this.#shared.context.counters.add(`input_paused_total/${PAUSE_NAMES[reason]}`, 1)
    }
    this.#pauses |= reason
  }

  #resume(reason: Pause): void {
    if ((this.#pauses & reason) === 0) return
    this.#pauses &= ~reason
    if (this.#pauses === 0 && !this.#isClosed) this.#socket.resume()
  }

  #writeAcks(bytes: Buffer, ackCount: number): void {
    this.#shared.context.counters.add('acks', ackCount)
    this.#socket.write(this.#json === null ? bytes : jsonAcks(bytes))
    if (this.#socket.writableLength <= UNREAD_ACK_BYTES_MAX) return
    this.#pause(PAUSE.acks)
    this.#socket.once('drain', () => this.#resume(PAUSE.acks))
  }

  /** After the end of the peer: what it waits for goes out first. */
  #endWhenDone(): void {
    if (!this.#isEnded || this.#isClosed) return
    if (this.#line.isEmpty && !this.#isBusy) this.#socket.end()
  }

  #refuseStream(status: 'error' | WrongProtocol, rest: Buffer): void {
    const { context } = this.#shared
    const { errorReason } = context.kernel
    if (errorReason === 'message_too_large') {
      this.#refuseLarge()
      return
    }
    const protocol = status === 'error' ? 'other' : status
    context.counters.add(`forward_protocol_mismatch_total/${protocol}`, 1)
    this.#shared.warn(
      { peer: this.#peer, reason: errorReason ?? status, first_bytes: shownBytes(rest) },
      HINTS[protocol]
    )
    if (protocol !== 'http') {
      this.reset('protocol')
      return
    }
    this.#closeReason = 'protocol'
    this.#isRefused = true
    this.#socket.end(HTTP_ANSWER)
  }
}

/** Records of a unit that nobody sends again. */
function unconfirmedCount(unit: ScanUnit): number {
  const { ackCount, kind, recordCount } = unit
  if (kind === 'messages') return Math.max(0, recordCount - ackCount)
  if (ackCount > 0) return 0
  return kind === 'gzip' || kind === 'zstd' ? 1 : recordCount
}
