// Step 2. Runs on: ingest.
// The long message of one connection, from when it shows how long it is until it is stored: its bytes to a spool file, then
// to the queue. One at a time; the connection is not read while it is stored, or while the volume has no room for its spool.

import { errorText, MillraceError } from '../../../src/core/errors.ts'
import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'
import type { InputContext } from '../../../src/plugin/input.ts'
import { type Arrived, LongArrival } from './long-arrival.ts'
import type { LongStore } from './long-store.ts'
import type { MessageHead } from './message-walk.ts'
import type { ForwardOptions } from './options.ts'

export interface LongHost {
  hold(reason: 'long' | 'spool'): void
  /** Goes on with what was kept behind it. */
  unhold(reason: 'long' | 'spool'): void
  reset(reason: 'protocol' | 'rejected' | 'memory' | 'spool'): void
  warn(fields: object, message: string): void
}

const NOTHING = Buffer.alloc(0)

export class LongMessages {
  /** A header of the message that is cut; what comes next belongs behind it. */
  carry: Buffer = NOTHING
  readonly #context: InputContext<ScanKernel>
  readonly #options: ForwardOptions
  readonly #store: LongStore
  readonly #host: LongHost
  #arrival: LongArrival | null = null
  #isStoring = false

  constructor(
    context: InputContext<ScanKernel>,
    options: ForwardOptions,
    store: LongStore,
    host: LongHost
  ) {
    this.#context = context
    this.#options = options
    this.#store = store
    this.#host = host
  }

  /** It arrives, or is stored. */
  get isOpen(): boolean {
    return this.#arrival !== null
  }

  get isArriving(): boolean {
    return this.#arrival !== null && !this.#isStoring
  }

  /** Gives the bytes behind the head; null: no spool file could be made, and the connection is reset. */
  begin(head: MessageHead, bytes: Buffer, isPassedOver: boolean): Buffer | null {
    const { kernel, spools } = this.#context
    try {
      this.#arrival = isPassedOver
        ? LongArrival.toNowhere(kernel, head)
        : LongArrival.toSpool(kernel, head, this.#options.max_frame_bytes, spools)
      this.#arrival.begin(bytes)
    } catch (error) {
      this.fail(error)
      return null
    }
    return bytes.subarray(this.#arrival.byteCount)
  }

  /** Takes the bytes that came; gives those behind the message. */
  take(bytes: Buffer): Buffer | 'too_large' {
    const arrival = this.#arrival
    if (arrival === null) return bytes
    try {
      const { arrived, takenBytes } = arrival.take(bytes)
      const rest = bytes.subarray(takenBytes)
      if (arrived === 'too_large') return this.#outgrown(arrival, rest)
      this.carry = NOTHING
      if (arrived === 'complete') {
        this.#storeNow(arrival)
        return rest
      }
      if (arrived === 'wait') {
        this.#wait(arrival)
        return rest
      }
      this.carry = Buffer.from(rest)
      return NOTHING
    } catch (error) {
      this.fail(error)
      return NOTHING
    }
  }

  /** A disk that fails, or no memory: the sender has to send again. */
  fail(error: unknown): void {
    const isDisk = error instanceof MillraceError && error.code === 'MR_STORE_IO'
    this.#host.warn({ error: errorText(error) }, 'a long message cannot be kept: connection reset')
    this.#host.reset(isDisk ? 'spool' : 'memory')
    this.#end()
  }

  /** The connection is gone and nothing is to be stored. */
  close(): void {
    this.#store.cancel()
    this.#end()
  }

  /** It shows only now that it is longer than allowed. */
  #outgrown(arrival: LongArrival, rest: Buffer): Buffer | 'too_large' {
    this.#end()
    const isDropped = this.#options.on_oversize === 'drop_and_ack' && !arrival.isPassedOver
    if (!isDropped) return 'too_large'
    this.#arrival = arrival.passedOver()
    return this.take(rest)
  }

  #wait(arrival: LongArrival): void {
    this.#host.hold('spool')
    this.#context.appender.onRoom(() => this.#onRoom(arrival))
  }

  #onRoom(arrival: LongArrival): void {
    if (this.#arrival !== arrival) return
    let arrived: Arrived
    try {
      arrived = arrival.retry()
    } catch (error) {
      this.fail(error)
      return
    }
    if (arrived === 'wait') this.#context.appender.onRoom(() => this.#onRoom(arrival))
    else {
      if (arrived === 'complete') this.#storeNow(arrival)
      this.#host.unhold('spool')
    }
  }

  #storeNow(arrival: LongArrival): void {
    this.#isStoring = true
    this.#host.hold('long')
    this.#store.store(arrival).then(
      (outcome) => {
        if (outcome !== 'stored') {
          const fields = { tag: arrival.head.tag.toString(), bytes: arrival.byteCount }
          this.#host.warn(fields, 'a long message is not stored: connection reset')
          this.#host.reset(outcome === 'broken' ? 'protocol' : 'rejected')
        }
        this.#end()
        this.#host.unhold('long')
      },
      (error: unknown) => {
        this.fail(error)
        this.#host.unhold('long')
      }
    )
  }

  #end(): void {
    this.#arrival?.close()
    this.#arrival = null
    this.#isStoring = false
    this.carry = NOTHING
  }
}
