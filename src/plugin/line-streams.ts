// Step 1. Runs on: ingest.
// Listeners of an input that takes text by TCP, TLS and Unix sockets, and the life of its connections.

import type { ScanKernel } from '../kernel/scan-kernel.ts'
import type { ListenAddress } from '../net/listen-address.ts'
import { type Listener, readInto } from '../net/listener.ts'
import { type AttachReader, attachData, attachOnread, canAttach } from '../net/read-into.ts'
import type { InputContext } from './input.ts'
import { type Framing, LineConnection, type LineShared } from './line-connection.ts'
import { LineStore } from './line-store.ts'
import { type ListeningOptions, openListener } from './listening.ts'
import { ReadArea } from './partial-bytes.ts'
import type { SenderWarnings } from './sender-warnings.ts'

export interface TextOptions {
  readonly listen: readonly string[]
  readonly tag: string
  readonly max_line_bytes: number
  readonly keep_empty: boolean
  readonly source_key: string | null
  readonly source_address: boolean
}

export interface LineStreamOptions extends ListeningOptions, TextOptions {
  readonly max_connections: number
  readonly keepalive_probe: number
  readonly idle_timeout: number
}

const CHECK_MS = 1000
/** A stop waits until nothing came for this long, and at most for the other. */
const QUIET_MS = 200
const DRAIN_MS_MAX = 5000
const STOP_STEP_MS = 50

export class LineStreams {
  readonly #options: LineStreamOptions
  readonly #context: InputContext<ScanKernel>
  readonly #warnings: SenderWarnings
  readonly #shared: LineShared
  readonly #connections = new Set<LineConnection>()
  /** Closed by their senders, with text that waits for room. */
  readonly #waiting = new Set<LineConnection>()
  readonly #listeners: Listener[] = []
  #attach: AttachReader | null = null
  #cancelCheck = () => {}
  #isStopping = false

  /** `key`: field with the text. */
  constructor(
    options: LineStreamOptions,
    context: InputContext<ScanKernel>,
    warnings: SenderWarnings,
    { framing, key }: { readonly framing: Framing; readonly key: string }
  ) {
    this.#options = options
    this.#context = context
    this.#warnings = warnings
    const { keep_empty: keepsEmpty, max_line_bytes: lineBytesMax } = options
    const store = { key, keepsEmpty, lineBytesMax }
    this.#shared = {
      context,
      area: new ReadArea(context.kernel),
      lines: new LineStore(context, { ...store, format: 'plain' }),
      frames: new LineStore(context, { ...store, format: 'counted' }),
      framing,
      tag: Buffer.from(options.tag),
      lineBytesMax,
      sourceKey: options.source_key,
      hasSource: options.source_address,
      warn: (fields, message) => warnings.warn(fields, message),
      onClosed: (connection) => {
        this.#connections.delete(connection)
        if (connection.isWaiting) this.#waiting.add(connection)
      },
      onReleased: (connection) => this.#waiting.delete(connection)
    }
  }

  /** The address as bound. */
  async listen(address: ListenAddress): Promise<string> {
    const { clock, log, thread } = this.#context
    if (this.#attach === null) {
      const isOnread = await canAttach(attachOnread, clock)
      if (!isOnread) {
        log.warn({}, 'sockets cannot read into one buffer on this version of Node: slower reads')
      }
      this.#attach = isOnread ? attachOnread : attachData
      this.#scheduleCheck()
    }
    const connectionsMax = Math.ceil(this.#options.max_connections / thread.count)
    const listener = await openListener(address, {
      context: this.#context,
      options: this.#options,
      warnings: this.#warnings,
      keepaliveMs: this.#options.keepalive_probe,
      hasRoom: (waitingCount) => this.#connections.size + waitingCount < connectionsMax,
      take: readInto(this.#shared.area.readBuffer, this.#attach, (socket, peer) => {
        const connection = new LineConnection(this.#shared, socket, peer)
        this.#connections.add(connection)
        return connection
      })
    })
    this.#listeners.push(listener)
    return listener.address
  }

  /** Reads on until senders are silent, then stores what has no line end yet. */
  async stop(signal: AbortSignal): Promise<void> {
    if (this.#isStopping) return
    this.#isStopping = true
    this.#cancelCheck()
    await Promise.all(this.#listeners.map((each) => each.close()))
    const { clock } = this.#context
    const endMs = clock.monotonicMs() + DRAIN_MS_MAX
    while (this.#connections.size + this.#waiting.size > 0) {
      const nowMs = clock.monotonicMs()
      const isLate = nowMs >= endMs || signal.aborted
      for (const connection of this.#connections) {
        const isSilent = !connection.isHeld && nowMs - connection.lastReadMs >= QUIET_MS
        if (isLate || isSilent) connection.close('stop')
      }
      if (isLate) break
      await clock.sleep(STOP_STEP_MS)
    }
    for (const connection of [...this.#connections, ...this.#waiting]) connection.abandon()
  }

  #scheduleCheck(): void {
    this.#cancelCheck = this.#context.clock.after(CHECK_MS, () => {
      const { idle_timeout } = this.#options
      const nowMs = this.#context.clock.monotonicMs()
      for (const connection of this.#connections) {
        const isIdle = idle_timeout > 0 && nowMs - connection.lastReadMs >= idle_timeout
        if (isIdle && !connection.isHeld) connection.close('idle')
      }
      this.#scheduleCheck()
    })
  }
}
