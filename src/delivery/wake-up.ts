// Runs on: main.
// A bell that is remembered: ringing while nobody waits lets the next wait return at once.

export class WakeUp {
  #isRung = false
  #resolve: (() => void) | null = null

  ring(): void {
    this.#isRung = true
    this.#resolve?.()
  }

  /** Settles at the next ring, or when the signal aborts. One waiter. */
  async wait(signal: AbortSignal): Promise<void> {
    if (!this.#isRung && !signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>()
      const wake = () => resolve()
      this.#resolve = wake
      signal.addEventListener('abort', wake, { once: true })
      await promise
      signal.removeEventListener('abort', wake)
      this.#resolve = null
    }
    this.#isRung = false
  }
}
