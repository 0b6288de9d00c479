// Steps 1 and 2. Runs on: ingest.
// One Forward connection: its life, when its socket is read, and the acks back; what comes is read by MessageReader.
// Invariants: every message that asks for an ack gets it or sees the connection end; nothing of one connection touches
// another. Limit: acks that the sender does not read up to UNREAD_ACK_BYTES_MAX, for frame_timeout.

import type net from 'node:net'
import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'
import type { BytesHolder } from '../../../src/net/held-bytes.ts'
import type { Peer } from '../../../src/net/peer.ts'
import type { StreamReader } from '../../../src/net/read-into.ts'
import { resetSocket } from '../../../src/net/reset-socket.ts'
import type { InputContext } from '../../../src/plugin/input.ts'
import { peerFields } from '../../../src/plugin/listening.ts'
import type { ReadArea } from '../../../src/plugin/partial-bytes.ts'
import { type SenderWarnings, shownBytes } from '../../../src/plugin/sender-warnings.ts'
import { AckLine } from './ack-line.ts'
import type { Handshake, HandshakeStep } from './handshake.ts'
import { jsonAcks } from './json-stream.ts'
import { MessagePace } from './message-pace.ts'
import { MessageReader } from './message-reader.ts'
import type { ForwardOptions } from './options.ts'
import { PeerWarnings } from './peer-warnings.ts'
import {
  HTTP_ANSWER,
  REFUSAL_HINTS,
  SILENT_HINT,
  TIMEOUT_HINT,
  type WrongProtocol
} from './wrong-protocol.ts'

export interface ConnectionShared {
  readonly context: InputContext<ScanKernel>
  readonly options: ForwardOptions
  readonly area: ReadArea
  readonly warnings: SenderWarnings
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

/** A client that leaves after this much silence may have waited for a server that speaks first. */
const SILENT_MS = 30_000

const LATE = 'a message did not come whole in time: connection reset'
const UNREAD_ACKS = 'a sender does not read its acknowledgements: connection reset'

export type CloseReason =
  | 'protocol'
  | 'frame_timeout'
  | 'unread_acks'
  | 'oversize'
  | 'rejected'
  | 'memory'
  | 'spool'
  | 'age'
  | 'idle'
  | 'auth'
  | 'handshake_timeout'
  | 'stop'

/** What is known when a connection begins. */
export interface Arrival {
  readonly peer: Peer
  /** Address that it came to. */
  readonly listen: string
  /** null: none is asked for. */
  readonly handshake: Handshake | null
}

export class ForwardConnection implements StreamReader, BytesHolder {
  readonly #shared: ConnectionShared
  readonly #socket: net.Socket
  readonly #line: AckLine
  readonly #reader: MessageReader
  readonly #peer: string
  /** Peer and listener of log lines. */
  readonly #fields: object
  /** Not null: the client has not proved itself yet. */
  #handshake: Handshake | null
  readonly #hasHandshake: boolean
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

  constructor(shared: ConnectionShared, socket: net.Socket, { handshake, listen, peer }: Arrival) {
    const { context, options } = shared
    this.#shared = shared
    this.#socket = socket
    this.#peer = peer.address
    this.#fields = { ...peerFields(peer), listen }
    this.#handshake = handshake
    this.#hasHandshake = handshake !== null
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
    // In one write: clients read it by one read.
    if (handshake !== null) socket.write(handshake.helo)
  }

  #createReader(): MessageReader {
    const { area, context, options } = this.#shared
    const connection = this
    const warnings = new PeerWarnings(context.clock, (fields, text) =>
      this.#shared.warnings.warn(fields, text)
    )
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
        warn: (fields, text) => warnings.warn({ ...this.#fields, ...fields }, text)
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
    if (this.#isClosed) return
    if (this.#handshake !== null) this.#shake(this.#handshake, byteCount)
    else if (this.#isRefused) this.#countStray(byteCount)
    else this.#readMessages(byteCount)
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
    if (!this.#hasRead) this.#onSilentEnd()
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
    if (this.#isClosed) return
    const { frame_timeout, idle_timeout } = this.#shared.options
    if ((this.#pauses & PAUSE.acks) !== 0 && nowMs - this.lastReadMs >= frame_timeout) {
      this.#shared.warnings.warn({ ...this.#fields, reason: 'unread_acks' }, UNREAD_ACKS)
      this.reset('unread_acks')
    }
    if (this.#pauses !== 0) return
    if (this.#isRefused) resetSocket(this.#socket)
    else if (this.#handshake !== null) this.#checkHandshake(this.#handshake, nowMs)
    // The peer saw the end a second ago; one that goes on sending would wait for an ack for ever.
    else if (this.#isClosing) resetSocket(this.#socket)
    else if (this.#reader.hasBytes) {
      if (this.#pace.isTooSlow(nowMs, frame_timeout)) this.#resetLate()
    } else {
      this.#pace.restart(nowMs)
      const isIdle = idle_timeout > 0 && nowMs - this.lastReadMs >= idle_timeout
      const isOld = ageMsMax > 0 && this.#reader.hasAsked && nowMs - this.#openedMs >= ageMsMax
      if (this.isQuiet && (isIdle || isOld)) this.close(isOld ? 'age' : 'idle')
    }
  }

  #resetLate(): void {
    const fields = { reason: 'frame_timeout', first_bytes: this.#reader.shownBytes() }
    this.#shared.warnings.warn({ ...this.#fields, ...fields }, LATE)
    this.reset('frame_timeout')
  }

  /** Ends a connection at a message boundary: senders that read acks or PONG see the end, others need an error. */
  close(reason: CloseReason): void {
    if (this.#isClosed || this.#isClosing) return
    this.#closeReason = reason
    this.#isClosing = true
    if (this.#reader.hasAsked || this.#isProved) this.#socket.end()
    else resetSocket(this.#socket)
  }

  get #isProved(): boolean {
    return this.#hasHandshake && this.#handshake === null && !this.#isRefused
  }

  /** `byteCount` bytes lie in the read buffer. */
  #readMessages(byteCount: number): void {
    this.#hasRead = true
    this.#line.onRead()
    this.#reader.read(byteCount)
  }

  #shake(handshake: Handshake, byteCount: number): void {
    const { area, context } = this.#shared
    const bytes = area.readBuffer.subarray(0, byteCount)
    const step = handshake.read(bytes)
    if (step.kind === 'more') return
    this.#handshake = null
    if (step.kind === 'refused') {
      this.#refuseClient(step, handshake.firstBytes)
      return
    }
    context.counters.add('forward_handshakes_total/accepted', 1)
    this.#socket.write(step.pong)
    const restBytes = byteCount - step.takenBytes
    if (restBytes === 0) return
    area.readBuffer.copyWithin(0, step.takenBytes, byteCount)
    this.#readMessages(restBytes)
  }

  #refuseClient(step: HandshakeStep & { kind: 'refused' }, firstBytes: Buffer): void {
    const { context, warnings } = this.#shared
    const { fields, pong, reason, strayBytes } = step
    context.counters.add('forward_handshakes_total/refused', 1)
    context.counters.add(`input_auth_failures_total/${reason}`, 1)
    this.#hasRead = true
    this.#countStray(strayBytes)
    const shown = reason === 'malformed' ? { first_bytes: shownBytes(firstBytes) } : {}
    warnings.warn({ ...this.#fields, reason, ...fields, ...shown }, REFUSAL_HINTS[reason])
    this.#closeReason = 'auth'
    this.#isRefused = true
    this.#socket.end(pong)
  }

  #checkHandshake(handshake: Handshake, nowMs: number): void {
    const { context, options, warnings } = this.#shared
    if (nowMs - this.#openedMs < options.handshake_timeout) return
    context.counters.add('forward_handshakes_total/timeout', 1)
    this.#countStray(handshake.firstBytes.length)
    warnings.warn({ ...this.#fields, reason: 'timeout' }, TIMEOUT_HINT)
    this.reset('handshake_timeout')
  }

  #countStray(byteCount: number): void {
    if (!this.#hasHandshake) return
    this.#shared.context.counters.add('unauthenticated_bytes', byteCount)
  }

  #onSilentEnd(): void {
    const { context, warnings } = this.#shared
    context.counters.add('heartbeats', 1)
    if (this.#hasHandshake || this.#closeReason !== 'peer') return
    if (context.clock.monotonicMs() - this.#openedMs < SILENT_MS) return
    warnings.info(this.#fields, SILENT_HINT)
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
