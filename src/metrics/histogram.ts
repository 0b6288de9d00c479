// Runs on: any.
// A histogram with the fixed buckets of the catalog: one add per observation, no allocation.

import { SECONDS_BUCKETS } from './catalog.ts'

/** Buckets, then the bucket above all, the sum of seconds and the count. */
export const HISTOGRAM_CELLS = SECONDS_BUCKETS.length + 3

export class Histogram {
  readonly cells: Float64Array

  /** `cells` may lie in shared memory; one writer. */
  constructor(cells: Float64Array = new Float64Array(HISTOGRAM_CELLS)) {
    this.cells = cells
  }

  observe(seconds: number): void {
    let bucket = 0
    while (bucket < SECONDS_BUCKETS.length && seconds > (SECONDS_BUCKETS[bucket] ?? 0)) bucket++
    this.#add(bucket, 1)
    this.#add(HISTOGRAM_CELLS - 2, seconds)
    this.#add(HISTOGRAM_CELLS - 1, 1)
  }

  #add(cell: number, value: number): void {
    this.cells[cell] = (this.cells[cell] ?? 0) + value
  }
}
