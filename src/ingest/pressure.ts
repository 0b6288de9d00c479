// Steps 2 to 4. Runs on: ingest.
// Who waits for room. An input whose message found none keeps it, pauses its connection and leaves a callback here. Room
// comes from events only: a commit that ended, space that main made, a shard that recovered. All callbacks run once each;
// who finds no room again comes back. Limit: one callback per paused connection.

export class RoomWaiters {
  readonly #schedule: (wake: () => void) => void
  #callbacks: (() => void)[] = []
  #isScheduled = false

  /** `schedule` runs a function in a later turn, so that one event wakes everybody once. */
  constructor(schedule: (wake: () => void) => void = setImmediate) {
    this.#schedule = schedule
  }

  get count(): number {
    return this.#callbacks.length
  }

  add(callback: () => void): void {
    this.#callbacks.push(callback)
  }

  /** Something freed room. Cheap when nobody waits. */
  wake(): void {
    if (this.#isScheduled || this.#callbacks.length === 0) return
    this.#isScheduled = true
    this.#schedule(() => {
      this.#isScheduled = false
      const callbacks = this.#callbacks
      this.#callbacks = []
      for (const callback of callbacks) callback()
    })
  }
}
