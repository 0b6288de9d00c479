// Step 1. Runs on: ingest.
// Log lines about senders. Bad ones may be many and quick: so many lines a minute are written, the rest is counted.

import type { Clock } from '../core/clock.ts'
import type { OutputLog } from './output.ts'

/** Lines per minute, input and thread. */
const WARNINGS_PER_MINUTE = 30
const MINUTE_MS = 60_000
/** Bytes of a connection that a line shows at most. */
const SHOWN_BYTES_MAX = 64

export class SenderWarnings {
  readonly #log: OutputLog
  readonly #clock: Clock
  #count = 0
  #fromMs = 0

  constructor({ log, clock }: { readonly log: OutputLog; readonly clock: Clock }) {
    this.#log = log
    this.#clock = clock
  }

  warn(fields: object, message: string): void {
    if (this.#isTold()) this.#log.warn(fields, message)
  }

  info(fields: object, message: string): void {
    if (this.#isTold()) this.#log.info(fields, message)
  }

  #isTold(): boolean {
    const nowMs = this.#clock.monotonicMs()
    if (nowMs - this.#fromMs >= MINUTE_MS) {
      const leftOut = this.#count - WARNINGS_PER_MINUTE
      if (leftOut > 0) {
        this.#log.warn({ left_out: leftOut }, 'more warnings about senders were left out')
      }
      this.#fromMs = nowMs
      this.#count = 0
    }
    this.#count++
    return this.#count <= WARNINGS_PER_MINUTE
  }
}

/** The first bytes as hex. */
export function shownBytes(bytes: Uint8Array): string {
  return Buffer.from(bytes.subarray(0, SHOWN_BYTES_MAX)).toString('hex')
}
