// Step 8. Runs on: main.
// Which records of a lane are out of reach at this moment: their request is on the wire, or what became of them is being
// settled. Everything else may be dropped to make room; dropped all the same, a record would arrive and be counted twice.

import type { BodyFlight } from './body-flight.ts'

type Offsets = readonly [first: number, end: number]

export class InFlight {
  readonly #flights = new Set<BodyFlight>()
  /** Offsets whose dead letters are being written. */
  readonly #settling = new Set<Offsets>()

  /** Sorted parts of [first, end); they may overlap. */
  within(first: number, end: number): Offsets[] {
    const busy = [...this.#settling]
    for (const flight of this.#flights) {
      const offsets = flight.busyOffsets
      if (offsets !== null) busy.push(offsets)
    }
    return busy
      .filter(([busyFirst, busyEnd]) => busyFirst < end && busyEnd > first)
      .sort((one, other) => one[0] - other[0])
  }

  async run(flight: BodyFlight): Promise<void> {
    this.#flights.add(flight)
    await flight.run().finally(() => this.#flights.delete(flight))
  }

  async whileSettling(offsets: readonly number[], settle: () => Promise<void>): Promise<void> {
    if (offsets.length === 0) return await settle()
    const first = offsets.reduce((least, offset) => Math.min(least, offset), Infinity)
    const last = offsets.reduce((most, offset) => Math.max(most, offset), -1)
    const range: Offsets = [first, last + 1]
    this.#settling.add(range)
    try {
      await settle()
    } finally {
      this.#settling.delete(range)
    }
  }
}
