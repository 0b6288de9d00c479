// Steps 1 to 5. Runs on: ingest.
// Counters in shared memory, as an input adds to them. One writer per word: this thread.

import { invariant } from '../core/invariant.ts'
import { ingestCounterBase, ingestCounterPlace } from '../metrics/ingest-counters.ts'
import type { InputCounters } from '../plugin/input.ts'

export class SharedCounters implements InputCounters {
  readonly #cells: Float64Array
  readonly #base: number

  constructor(cells: Float64Array, inputOrdinal: number) {
    this.#cells = cells
    this.#base = ingestCounterBase(inputOrdinal)
  }

  add(key: string, value: number): void {
    const place = ingestCounterPlace(key)
    invariant(place !== undefined, `counter ${key} is not in INGEST_COUNTERS`)
    const cell = this.#base + place
    this.#cells[cell] = (this.#cells[cell] ?? 0) + value
  }
}
