// Step 8. Runs on: main.
// A configured output: its client, its slots and its counters, shared by every route that sends to it.

import type { Clock, Random } from '../core/clock.ts'
import { errorText } from '../core/errors.ts'
import { Histogram } from '../metrics/histogram.ts'
import type { Output, OutputLog, OutputSizes } from '../plugin/output.ts'
import type { FlushObserver } from './body-flight.ts'
import { Circuit } from './circuit.ts'
import { ROW_BYTES_MIN } from './lane.ts'
import { DEFAULT_RETRY, retryDelayMs } from './retry.ts'
import { ROW_INDEX_BYTES } from './row-index.ts'
import { Slots } from './slots.ts'

/** Room behind what is written 16 bytes at a time. */
const SLOT_TAIL_BYTES = 64
const SLOT_ALIGN_BYTES = 4096

/** Bytes of a slot: the body, what the output needs beside it, and the index of the rows. */
export function slotBytes(sizes: OutputSizes): number {
  const index = Math.floor(sizes.bodyBytesMax / ROW_BYTES_MIN) * ROW_INDEX_BYTES
  const bytes = sizes.bodyBytesMax + sizes.slotExtraBytes + index + SLOT_TAIL_BYTES
  return Math.ceil(bytes / SLOT_ALIGN_BYTES) * SLOT_ALIGN_BYTES
}

export class OutputInstance {
  readonly id: string
  readonly output: Output
  readonly sizes: OutputSizes
  readonly slots: Slots
  readonly circuit: Circuit
  readonly targetTails = new Map<string, Promise<void>>()
  readonly requestSeconds = new Histogram()
  readonly requests: Record<'stored' | 'partial' | 'failed', number> = {
    stored: 0,
    partial: 0,
    failed: 0
  }
  retryCount = 0
  throttledCount = 0
  sentBytes = 0
  /** Text of the last failure; null after a body was stored. */
  lastError: string | null = null
  readonly #clock: Clock
  readonly #random: Random
  readonly #log: OutputLog

  constructor(options: {
    id: string
    output: Output
    sizes: OutputSizes
    clock: Clock
    random: Random
    log: OutputLog
  }) {
    this.id = options.id
    this.output = options.output
    this.sizes = options.sizes
    this.#clock = options.clock
    this.#random = options.random
    this.#log = options.log
    this.circuit = new Circuit(options.clock, options.random, options.sizes.retry ?? DEFAULT_RETRY)
    this.slots = new Slots(options.sizes.requestsMax, slotBytes(options.sizes))
  }

  /** Starts the client, again and again until it works: a destination that is down delays no start of the router. */
  async start(signal: AbortSignal): Promise<void> {
    for (let attempt = 1; !signal.aborted; attempt++) {
      try {
        await this.output.start(signal)
        if (attempt > 1) this.#log.info({ destination: this.id }, 'output started')
        return
      } catch (error) {
        if (signal.aborted) return
        const delayMs = retryDelayMs(DEFAULT_RETRY, attempt, this.#random)
        this.lastError = errorText(error)
        this.#log.warn(
          { destination: this.id, error: this.lastError, attempt, delayMs: Math.round(delayMs) },
          'output does not start; trying again'
        )
        await this.#clock.sleep(delayMs, signal).catch(() => undefined)
      }
    }
  }

  /** Counts what flights report; one log line when the destination begins to fail, one when it is well again. */
  readonly observer: FlushObserver = {
    flushed: (outcome, seconds, bytes) => {
      this.requests[outcome]++
      this.requestSeconds.observe(seconds)
      this.sentBytes += bytes
      if (outcome !== 'failed' && this.lastError !== null) {
        this.lastError = null
        this.#log.info({ destination: this.id, event: 'output.recovered' }, 'output works again')
      }
    },
    retrying: (reason, attempt, delayMs) => {
      this.retryCount++
      if (/429|throttl/i.test(reason)) this.throttledCount++
      if (this.lastError === null) {
        this.#log.warn(
          {
            destination: this.id,
            event: 'output.failing',
            reason,
            attempt,
            delayMs: Math.round(delayMs)
          },
          'output fails; records stay in the queue and are sent again'
        )
      }
      this.lastError = reason
    }
  }
}
