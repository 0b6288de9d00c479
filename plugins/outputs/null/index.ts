// Step 8. Runs on: main.
// Accepts every batch and forgets it: `to: [trash]` for what nobody wants, and the floor of measurements.

import { Type } from 'typebox'
import { linkAbort } from '../../../src/core/abort.ts'
import type { Clock } from '../../../src/core/clock.ts'
import { defineOutput } from '../../../src/plugin/define.ts'
import { duration } from '../../../src/plugin/fields.ts'
import type { FlushOutcome, Output } from '../../../src/plugin/output.ts'

const BODY_BYTES_MAX = 4 * 1024 * 1024

const config = Type.Object(
  { delay: duration({ default: '0s', description: 'Time that each flush takes.' }) },
  { additionalProperties: false }
)

class NullOutput implements Output {
  readonly #clock: Clock
  readonly #delayMs: number
  #stopped = new AbortController()

  constructor(delayMs: number, clock: Clock) {
    this.#delayMs = delayMs
    this.#clock = clock
  }

  start(): Promise<void> {
    this.#stopped = new AbortController()
    return Promise.resolve()
  }

  async flush(_batch: unknown, signal: AbortSignal): Promise<FlushOutcome> {
    const aborted = linkAbort(signal, this.#stopped.signal)
    try {
      if (this.#delayMs > 0) await this.#clock.sleep(this.#delayMs, aborted.signal)
      aborted.signal.throwIfAborted()
      return { kind: 'all', verdict: { kind: 'stored' } }
    } catch {
      return { kind: 'all', verdict: { kind: 'retry', reason: 'aborted' } }
    } finally {
      aborted.release()
    }
  }

  stop(): Promise<void> {
    this.#stopped.abort()
    return Promise.resolve()
  }
}

export default defineOutput({
  type: 'null',
  stability: 'stable',
  summary: 'Accepts every batch and forgets it.',
  config,
  renderModule: new URL('./render.ts', import.meta.url),
  sizes: (options) => ({
    bodyBytesMax: BODY_BYTES_MAX,
    requestsMax: 4,
    lingerMs: 1000,
    flushTimeoutMs: options.delay + 10_000,
    isOrderedPerTarget: false,
    slotExtraBytes: 0
  }),
  create: (options, context) => new NullOutput(options.delay, context.clock)
})
