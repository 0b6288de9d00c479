// Runs on: any.
// Which offsets are finished: everything below a low mark, and ranges above it. Exact: tells how many offsets each
// addition newly finished, so that nothing is counted twice.

import { CURSOR_RANGES_MAX } from '../../core/limits.ts'

export class FinishedRanges {
  #low: number
  /** Sorted, not touching each other, above `low`. */
  readonly #ranges: [number, number][]

  constructor(low: number, ranges: readonly (readonly [number, number])[] = []) {
    this.#low = low
    this.#ranges = ranges.map(([first, end]) => [first, end])
  }

  get low(): number {
    return this.#low
  }

  /** Offset after the highest finished one. */
  get high(): number {
    return this.#ranges.at(-1)?.[1] ?? this.#low
  }

  get ranges(): readonly (readonly [number, number])[] {
    return this.#ranges
  }

  /** Whether a range at any place can still be added. */
  get hasRoom(): boolean {
    return this.#ranges.length < CURSOR_RANGES_MAX
  }

  /** Finished offsets above the low mark. */
  get countAboveLow(): number {
    let count = 0
    for (const [first, end] of this.#ranges) count += end - first
    return count
  }

  has(offset: number): boolean {
    if (offset < this.#low) return true
    const range = this.#ranges[this.#indexAfter(offset) - 1]
    return range !== undefined && offset < range[1]
  }

  /** Offsets of [first, end) that are not finished, as ranges. */
  missing(first: number, end: number): [number, number][] {
    const missing: [number, number][] = []
    let at = Math.max(first, this.#low)
    for (let index = Math.max(0, this.#indexAfter(at) - 1); at < end; index++) {
      const range = this.#ranges[index]
      if (range === undefined || range[0] >= end) {
        missing.push([at, end])
        break
      }
      if (range[0] > at) missing.push([at, range[0]])
      at = Math.max(at, range[1])
    }
    return missing
  }

  /** Whether `add` of the range would stay within the ceiling of ranges. */
  canAdd(first: number, end: number): boolean {
    if (this.hasRoom || first <= this.#low) return true
    // Touching a range on either side grows it.
    return this.#ranges.some(([rangeFirst, rangeEnd]) => first <= rangeEnd && end >= rangeFirst)
  }

  /** Finishes [first, end). Returns how many offsets were not finished before. */
  add(first: number, end: number): number {
    const from = Math.max(first, this.#low)
    if (end <= from) return 0
    const ranges = this.#ranges
    // First range that touches [from, end), and the first one beyond it.
    let start = this.#indexAfter(from)
    const previous = ranges[start - 1]
    if (previous !== undefined && previous[1] >= from) start--
    let stop = start
    let count = end - from
    let mergedFirst = from
    let mergedEnd = end
    for (let range = ranges[stop]; range !== undefined && range[0] <= end; range = ranges[++stop]) {
      count -= Math.max(0, Math.min(end, range[1]) - Math.max(from, range[0]))
      mergedFirst = Math.min(mergedFirst, range[0])
      mergedEnd = Math.max(mergedEnd, range[1])
    }
    if (mergedFirst > this.#low) {
      ranges.splice(start, stop - start, [mergedFirst, mergedEnd])
    } else {
      ranges.splice(start, stop - start)
      this.#low = mergedEnd
    }
    return count
  }

  /** Index of the first range that begins behind `offset`. */
  #indexAfter(offset: number): number {
    let low = 0
    let high = this.#ranges.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const range = this.#ranges[middle]
      if (range !== undefined && range[0] <= offset) low = middle + 1
      else high = middle
    }
    return low
  }
}
