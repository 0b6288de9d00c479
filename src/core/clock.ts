// Runs on: any.
// The only place with a timer. Core logic takes a Clock and a Random, so tests replay it exactly.

/** Cancels a timer; calling it late or twice does nothing. */
export type CancelTimer = () => void

export interface Clock {
  /** Wall clock, milliseconds since 1970. May step. */
  nowMs(): number
  /** Monotonic, milliseconds from an arbitrary start. */
  monotonicMs(): number
  /** Calls back once after `delayMs`. The timer does not keep the process alive. */
  after(delayMs: number, callback: () => void): CancelTimer
  /** Settles after `delayMs`; rejects with the signal's reason when it aborts first. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>
}

/** Uniform in [0, 1). */
export type Random = () => number

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs)
    timer.unref()
    return () => clearTimeout(timer)
  },
  sleep(delayMs, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const onAbort = () => {
        clearTimeout(timer)
        reject(signal?.reason)
      }
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      }, delayMs)
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }
}

export const systemRandom: Random = () => Math.random()
