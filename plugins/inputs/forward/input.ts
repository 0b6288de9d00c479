// Steps 1 and 2. Runs on: ingest.
// The Forward input of one ingest thread: its listeners, its connections, what happens once a second, and how it stops.
// TCP addresses are bound on every thread; a Unix socket and the heartbeat port on one, chosen by the input's ordinal.

import type net from 'node:net'
import { systemRandom } from '../../../src/core/clock.ts'
import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'
import type { AcceptOptions } from '../../../src/net/accept.ts'
import type { DatagramSocket } from '../../../src/net/datagram-socket.ts'
import {
  formatListenAddress,
  type ListenAddress,
  parseListenAddress
} from '../../../src/net/listen-address.ts'
import { type Listener, readInto } from '../../../src/net/listener.ts'
import type { Peer } from '../../../src/net/peer.ts'
import {
  type AttachReader,
  attachData,
  attachOnread,
  canAttach
} from '../../../src/net/read-into.ts'
import { resetSocket } from '../../../src/net/reset-socket.ts'
import { connectionsMaxOf } from '../../../src/plugin/connection-cap.ts'
import type { CreateInput, Input, InputAddresses, InputContext } from '../../../src/plugin/input.ts'
import { isListenedHere, openListener, peerFields } from '../../../src/plugin/listening.ts'
import { ReadArea } from '../../../src/plugin/partial-bytes.ts'
import { SenderWarnings } from '../../../src/plugin/sender-warnings.ts'
import { ForwardConnection } from './connection.ts'
import type { Source } from './handshake-rules.ts'
import { openHeartbeats } from './heartbeat.ts'
import type { ForwardOptions } from './options.ts'
import { Security } from './security.ts'

const CHECK_MS = 1000
/** Ages of connections are spread by this share, so that those opened together do not end together. */
const AGE_JITTER = 0.2
/** A stop waits until a connection was silent for this long between two messages. */
const QUIET_MS = 200
const STOP_STEP_MS = 50
/** Then senders that read acks have this long to see the end. */
const LINGER_MS = 1000

const createInput: CreateInput<ForwardOptions, ScanKernel> = (options, context) =>
  new ForwardInput(options, context)

export default createInput

class ForwardInput implements Input {
  readonly #options: ForwardOptions
  readonly #context: InputContext<ScanKernel>
  readonly #area: ReadArea
  readonly #warnings: SenderWarnings
  readonly #security: Security
  readonly #connections = new Set<ForwardConnection>()
  /** Closed by their senders, with messages that wait for room. */
  readonly #waiting = new Set<ForwardConnection>()
  readonly #listeners: Listener[] = []
  readonly #heartbeats: DatagramSocket[] = []
  readonly #ages = new WeakMap<ForwardConnection, number>()
  #cancelCheck = () => {}
  #isStopping = false
  #connectionsMax = 0

  constructor(options: ForwardOptions, context: InputContext<ScanKernel>) {
    this.#options = options
    this.#context = context
    this.#area = new ReadArea(context.kernel)
    this.#warnings = new SenderWarnings(context)
    this.#security = new Security(options.security, context)
  }

  async start(): Promise<InputAddresses> {
    const { clock, log } = this.#context
    const isOnread = await canAttach(attachOnread, clock)
    if (!isOnread) {
      log.warn({}, 'sockets cannot read into one buffer on this version of Node: slower reads')
    }
    this.#connectionsMax = connectionsMaxOf(this.#options, this.#context)
    await this.#security.start()
    for (const text of this.#options.listen) {
      const address = parseListenAddress(text)
      if (!isListenedHere(address, this.#context)) continue
      await this.#listen(address, isOnread ? attachOnread : attachData)
    }
    this.#scheduleCheck()
    return this.#listeners.map(({ address }) => address)
  }

  async stop(signal: AbortSignal): Promise<void> {
    if (this.#isStopping) return
    this.#isStopping = true
    await Promise.all([...this.#heartbeats, ...this.#listeners].map((each) => each.close()))
    const { clock } = this.#context
    const endMs = clock.monotonicMs() + this.#options.drain_timeout
    while (this.#connections.size > 0) {
      const nowMs = clock.monotonicMs()
      const isLate = nowMs >= endMs || signal.aborted
      for (const connection of this.#connections) {
        const isSilent = nowMs - connection.lastReadMs >= QUIET_MS
        if (isLate || (isSilent && connection.isQuiet)) connection.close('stop')
      }
      if (isLate) break
      await clock.sleep(STOP_STEP_MS)
    }
    for (let waited = 0; this.#connections.size > 0 && waited < LINGER_MS; waited += STOP_STEP_MS) {
      await clock.sleep(STOP_STEP_MS)
    }
    for (const connection of [...this.#connections, ...this.#waiting]) connection.abandon()
    for (const connection of this.#connections) connection.reset('stop')
    this.#cancelCheck()
    this.#security.close()
  }

  async #listen(address: ListenAddress, attach: AttachReader): Promise<void> {
    const options = this.#options
    const { counters, thread, ordinal } = this.#context
    const listener = await openListener(address, {
      context: this.#context,
      options,
      warnings: this.#warnings,
      keepaliveMs: options.keepalive_probe,
      hasRoom: (waitingCount) => this.#connections.size + waitingCount < this.#connectionsMax,
      take: this.#taker(formatListenAddress(address), address.kind === 'unix', attach)
    })
    this.#listeners.push(listener)
    if (address.kind !== 'tcp' || !options.udp_heartbeat) return
    if (ordinal % thread.count !== thread.index) return
    const bound = parseListenAddress(listener.address)
    if (bound.kind !== 'tcp') return
    const onHeartbeats = (count: number) => counters.add('heartbeats', count)
    this.#heartbeats.push(await openHeartbeats(bound.host, bound.port, onHeartbeats))
  }

  #taker(listen: string, isUnix: boolean, attach: AttachReader): AcceptOptions['take'] {
    const shared = this.#shared
    const sourceOf = ({ address }: Peer): Source => ({ address, isUnix })
    const take = readInto(this.#area.readBuffer, attach, (socket, peer) => {
      const handshake = this.#security.handshake(sourceOf(peer))
      return this.#open(new ForwardConnection(shared, socket, { peer, listen, handshake }))
    })
    return (socket, peer) => {
      if (this.#security.isDenied(sourceOf(peer))) this.#deny(socket, peer, listen)
      else take(socket, peer)
    }
  }

  #deny(socket: net.Socket, peer: Peer, listen: string): void {
    resetSocket(socket)
    this.#context.counters.add('input_connections_closed_total/denied', 1)
    this.#warnings.warn({ ...peerFields(peer), listen }, 'connection reset: security.deny names it')
  }

  get #shared() {
    return {
      context: this.#context,
      options: this.#options,
      area: this.#area,
      warnings: this.#warnings,
      onClosed: (connection: ForwardConnection) => {
        this.#connections.delete(connection)
        if (connection.isWaiting) this.#waiting.add(connection)
      },
      onReleased: (connection: ForwardConnection) => this.#waiting.delete(connection)
    }
  }

  #open(connection: ForwardConnection): ForwardConnection {
    const spread = 1 + AGE_JITTER * (2 * systemRandom() - 1)
    this.#ages.set(connection, this.#options.max_connection_age * spread)
    this.#connections.add(connection)
    return connection
  }

  #scheduleCheck(): void {
    this.#cancelCheck = this.#context.clock.after(CHECK_MS, () => {
      const nowMs = this.#context.clock.monotonicMs()
      for (const connection of this.#connections) {
        connection.check(nowMs, this.#ages.get(connection) ?? 0)
      }
      if (!this.#isStopping) this.#scheduleCheck()
    })
  }
}
