// Steps 2 and 3. Runs on: ingest.
// Messages with compressed bodies: inflated, scanned and stored, one at a time per connection. A body that finds no room
// stays here, plain; one that cannot be inflated becomes a dead letter, because its sender would repeat it for ever.

import type { Compression } from '../../../src/codec/inflate.ts'
import { bytesFrom } from '../../../src/codec/zstd-frames.ts'
import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'
import type { ScanUnit } from '../../../src/kernel/scan-unit.ts'
import type { InputContext } from '../../../src/plugin/input.ts'
import { type Body, type InflateFailure, inflateNow } from './body-inflater.ts'
import type { LongStore } from './long-store.ts'
import type { ForwardOptions } from './options.ts'
import { idsOf, type UnitStore } from './unit-store.ts'
import { shownBytes } from './wrong-protocol.ts'

/** What the connection does for its bodies. */
export interface BodyHost {
  /** The sender is gone and sends a message again that has not begun to be stored. */
  isSentAgain(ackCount: number): boolean
  reset(reason: 'memory' | 'rejected'): void
  warn(fields: object, message: string): void
  /** A body that was inflated in steps is stored, or waits for room. */
  onInflated(isStored: boolean): void
  /** What kept it from being stored. */
  onTrouble(error: unknown): void
}

/** `inflating`: `onInflated` follows. */
export type BodyOutcome = 'stored' | 'full' | 'inflating'

interface Waiting {
  readonly body: Body
  readonly tag: Buffer
  readonly ids: readonly Buffer[]
  /** As received, where it cannot be inflated. */
  readonly compressed: Buffer
}

const NOTHING = Buffer.alloc(0)

export class BodyStore {
  readonly #context: InputContext<ScanKernel>
  readonly #options: ForwardOptions
  readonly #store: UnitStore
  readonly #long: LongStore
  readonly #host: BodyHost
  #waiting: Waiting | null = null

  constructor(
    context: InputContext<ScanKernel>,
    options: ForwardOptions,
    store: UnitStore,
    long: LongStore,
    host: BodyHost
  ) {
    this.#context = context
    this.#options = options
    this.#store = store
    this.#long = long
    this.#host = host
  }

  get isEmpty(): boolean {
    return this.#waiting === null
  }

  /** Takes the message of a unit whose places lie in `bytes`. */
  open(unit: ScanUnit, bytes: Buffer, tag: Buffer): BodyOutcome {
    const { counters, kernel } = this.#context
    const compression = unit.kind === 'gzip' ? 'gzip' : 'zstd'
    // Copies: the scan of the body ends the life of the unit.
    const ids = idsOf(unit, bytes).map((id) => Buffer.from(id))
    counters.add(`input_received_messages_total/${compression}`, 1)
    if (unit.isCompressionMismatch) counters.add('compression_mismatch', 1)
    if (this.#host.isSentAgain(ids.length)) return 'stored'
    const compressed = bytes.subarray(unit.bodyStartByte, unit.bodyEndByte)
    const { max_decompressed_bytes } = this.#options
    const body = inflateNow(kernel, compression, compressed, max_decompressed_bytes)
    if (body !== null) {
      return this.#offer({ body, tag, ids, compressed }) ? 'stored' : 'full'
    }
    void this.#inflate(compression, { tag, ids, compressed: Buffer.from(compressed) })
    return 'inflating'
  }

  /** In steps. The connection rests meanwhile. */
  async #inflate(compression: Compression, message: Omit<Waiting, 'body'>): Promise<void> {
    const { compressed, ids, tag } = message
    let isStored = true
    const onSmall = (body: Body) => {
      isStored = this.#offer({ ...message, body })
    }
    try {
      const source = bytesFrom(compressed)
      const outcome = await this.#long.storeCompressed(compression, source, tag, ids, onSmall)
      if (outcome !== 'stored') this.#host.reset('rejected')
      this.#host.onInflated(isStored)
    } catch (error) {
      this.#host.onTrouble(error)
    }
  }

  /** Offers what waits for room. False: there is none. */
  retry(): boolean {
    return this.#waiting === null || this.#offer(this.#waiting)
  }

  #offer(message: Waiting): boolean {
    const { body } = message
    const isStored =
      body.kind === 'body'
        ? this.#take(message, body.block, body.byteCount)
        : this.#refuse(message, body.reason)
    if (isStored) {
      this.#waiting = null
    } else if (this.#waiting === null) {
      const isRefused = message.body.kind === 'failed'
      const compressed = isRefused ? Buffer.from(message.compressed) : NOTHING
      this.#waiting = { ...message, compressed }
    }
    return isStored
  }

  #take({ tag, ids }: Waiting, block: Buffer, byteCount: number): boolean {
    const { counters, kernel } = this.#context
    if (!this.#host.isSentAgain(ids.length)) {
      const bytes = block.subarray(0, byteCount)
      kernel.scanBody(bytes)
      if (!this.#store.take(kernel.unit(0), bytes, tag, ids)) return false
      counters.add('decompressed_bytes', byteCount)
    }
    kernel.giveBack(block)
    return true
  }

  #refuse({ tag, ids, compressed }: Waiting, reason: InflateFailure): boolean {
    if (reason === 'no_memory' || this.#options.on_undecodable === 'reject') {
      this.#host.reset(reason === 'no_memory' ? 'memory' : 'rejected')
      return true
    }
    if (!this.#store.refuse({ reason, tag, bytes: compressed }, tag, ids)) return false
    this.#context.counters.add(`input_rejected_records_total/${reason}`, 1)
    this.#host.warn(
      { reason, first_bytes: shownBytes(compressed) },
      'the body of a message cannot be decompressed: it is in the dead letters'
    )
    return true
  }
}
