// Steps 1 and 2. Runs on: ingest.
// One Forward connection: its life, when its socket is read, and the acks back; what comes is read by MessageReader.
// Invariants: every message that asks for an ack gets it or sees the connection end; nothing of one connection touches
// another. Limit: acks that the sender does not read up to UNREAD_ACK_BYTES_MAX.

import type net from 'node:net'
import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'
import type { BytesHolder } from '../../../src/net/held-bytes.ts'
import type { Peer } from '../../../src/net/peer.ts'
import type { StreamReader } from '../../../src/net/read-into.ts'
import { resetSocket } from '../../../src/net/reset-socket.ts'
import type { InputContext } from '../../../src/plugin/input.ts'
import { AckLine } from './ack-line.ts'
import { jsonAcks } from './json-stream.ts'
import { MessagePace } from './message-pace.ts'
import { MessageReader } from './message-reader.ts'
import type { ForwardOptions } from './options.ts'
import type { ReadArea } from './partial-bytes.ts'
import { PeerWarnings } from './peer-warnings.ts'
import { HTTP_ANSWER, type WrongProtocol } from './wrong-protocol.ts'

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
const PAUSE = { room: 1, memory: 2, acks: 4, inflate: 8, long: 16, spool: 32 } as const
/** Those that are counted. */
const PAUSE_NAMES = new Map<number, string>([
  [PAUSE.room, 'room'],
  [PAUSE.memory, 'memory'],
  [PAUSE.acks, 'acks'],
  [PAUSE.spool, 'spool']
])
type Pause = (typeof PAUSE)[keyof typeof PAUSE]

const UNREAD_ACK_BYTES_MAX = 1024 * 1024

export type CloseReason =
  | 'protocol'
  | 'frame_timeout'
  | 'oversize'
  | 'rejected'
  | 'memory'
  | 'spool'
  | 'age'
  | 'idle'
  | 'stop'

export class ForwardConnection implements StreamReader, BytesHolder {
  readonly #shared: ConnectionShared
  readonly #socket: net.Socket
  readonly #line: AckLine
  readonly #reader: MessageReader
  readonly #peer: string
  readonly #openedMs: number
  #pauses = 0
  readonly #pace: MessagePace
  #hasRead = false
  #isEnded = false
  /** It spoke another protocol and was answered; what else it sends is nobody's. */
  #isRefused = false
  /** The end was sent. */
  #isClosing = false
  #isClosed = false
  #closeReason: CloseReason | 'peer' = 'peer'

  constructor(shared: ConnectionShared, socket: net.Socket, peer: Peer) {
    const { context, options } = shared
    this.#shared = shared
    this.#socket = socket
    this.#peer = peer.address
    this.#openedMs = context.clock.monotonicMs()
    this.#pace = new MessagePace(this.#openedMs)
    this.#line = new AckLine({
      clock: context.clock,
      resends: context.resends,
      dedupe: options.dedupe,
      write: (bytes, ackCount) => this.#writeAcks(bytes, ackCount),
      reset: () => this.reset('rejected'),
      onDrained: () => this.#endWhenDone()
    })
    this.#reader = this.#createReader()
    context.counters.add('connections', 1)
    context.counters.add('connections_total', 1)
  }

  #createReader(): MessageReader {
    const { area, context, options, warn } = this.#shared
    const connection = this
    const warnings = new PeerWarnings(context.clock, warn)
    return new MessageReader({
      context,
      options,
      area,
      line: this.#line,
      peer: this.#peer,
      host: {
        get isClosed() {
          return connection.#isClosed
        },
        hold: (reason) => this.#pause(PAUSE[reason]),
        unhold: (reason) => this.#resume(PAUSE[reason]),
        onProgress: () => this.#onProgress(),
        reset: (reason) => this.reset(reason),
        refuse: (protocol) => this.#refuse(protocol),
        warn: (fields, text) => warnings.warn({ peer: this.#peer, ...fields }, text)
      },
      setHeld: (byteCount) => context.held.set(this, byteCount)
    })
  }

  /** Stands between two messages with nothing to store and nothing to answer. */
  get isQuiet(): boolean {
    return this.#reader.isEmpty && this.#line.isEmpty
  }

  get lastReadMs(): number {
    return this.#pace.lastReadMs
  }

  get missingBytes(): number {
    return this.#reader.missingBytes
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
    if (!this.#isClosed && !this.#isRefused) this.#reader.read(byteCount)
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
    if (!this.#reader.isBusy) this.#release()
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
    return this.#isClosed && this.#reader.isBusy
  }

  /**
   * The end of the process while messages that were read wait for room. Senders that asked for acks send them again; what
   * the others sent is gone, and counted.
   */
  abandon(): void {
    if (!this.#reader.isBusy) return
    const recordCount = this.#reader.unconfirmedRecords()
    this.#shared.context.counters.add('input_rejected_records_total/stopped', recordCount)
    this.#release()
  }

  /** Once a second: timeouts of messages, age of the connection. */
  check(nowMs: number, ageMsMax: number): void {
    if (this.#isClosed || this.#pauses !== 0) return
    const { frame_timeout, idle_timeout } = this.#shared.options
    if (this.#isRefused) this.reset('protocol')
    // The peer saw the end a second ago; one that goes on sending would wait for an ack for ever.
    else if (this.#isClosing) resetSocket(this.#socket)
    else if (this.#reader.hasBytes) {
      if (this.#pace.isTooSlow(nowMs, frame_timeout)) this.reset('frame_timeout')
    } else {
      this.#pace.restart(nowMs)
      const isIdle = idle_timeout > 0 && nowMs - this.lastReadMs >= idle_timeout
      const isOld = ageMsMax > 0 && this.#reader.hasAsked && nowMs - this.#openedMs >= ageMsMax
      if (this.isQuiet && (isIdle || isOld)) this.close(isOld ? 'age' : 'idle')
    }
  }

  /** Ends a connection at a message boundary: senders that read acks see the end, others need an error. */
  close(reason: CloseReason): void {
    if (this.#isClosed || this.#isClosing) return
    this.#closeReason = reason
    this.#isClosing = true
    if (this.#reader.hasAsked) this.#socket.end()
    else resetSocket(this.#socket)
  }

  #onProgress(): void {
    if (!this.#isClosed) this.#endWhenDone()
    else if (!this.#reader.isBusy) {
      this.#release()
      this.#shared.onReleased(this)
    }
  }

  #release(): void {
    this.#reader.release()
    this.#shared.context.held.remove(this)
  }

  #pause(reason: Pause): void {
    if (this.#pauses === 0) this.#socket.pause()
    const name = PAUSE_NAMES.get(reason)
    if ((this.#pauses & reason) === 0 && name !== undefined) {
      this.#shared.context.counters.add(`input_paused_total/${name}`, 1)
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
    this.#socket.write(this.#reader.isJson ? jsonAcks(bytes) : bytes)
    if (this.#socket.writableLength <= UNREAD_ACK_BYTES_MAX) return
    this.#pause(PAUSE.acks)
    this.#socket.once('drain', () => this.#resume(PAUSE.acks))
  }

  /** After the end of the peer: what it waits for goes out first. */
  #endWhenDone(): void {
    if (!this.#isEnded || this.#isClosed) return
    if (this.#line.isEmpty && !this.#reader.isBusy) this.#socket.end()
  }

  #refuse(protocol: WrongProtocol): void {
    if (protocol !== 'http') {
      this.reset('protocol')
      return
    }
    this.#closeReason = 'protocol'
    this.#isRefused = true
    this.#socket.end(HTTP_ANSWER)
  }
}
