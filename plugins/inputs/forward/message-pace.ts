// Step 1. Runs on: ingest.
// How long a sender may take for a message: frame_timeout without a byte, or less than SLOW_BYTES_MIN in a
// window. Silence between messages is no fault.

/** Slowest sender within a message: this many bytes per window. */
const SLOW_BYTES_MIN = 1024
const SLOW_WINDOW_MS = 60_000

export class MessagePace {
  lastReadMs: number
  #windowMs: number
  #windowBytes = 0

  constructor(nowMs: number) {
    this.lastReadMs = nowMs
    this.#windowMs = nowMs
  }

  onRead(byteCount: number, nowMs: number): void {
    this.lastReadMs = nowMs
    this.#windowBytes += byteCount
  }

  /** Asked once a second while a message is open. */
  isTooSlow(nowMs: number, silenceMsMax: number): boolean {
    if (nowMs - this.lastReadMs >= silenceMsMax) return true
    if (nowMs - this.#windowMs < SLOW_WINDOW_MS) return false
    const isSlow = this.#windowBytes < SLOW_BYTES_MIN
    this.restart(nowMs)
    return isSlow
  }

  /** No message is open. */
  restart(nowMs: number): void {
    this.#windowMs = nowMs
    this.#windowBytes = 0
  }
}
