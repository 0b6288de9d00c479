// Counters of steps: 32 numbers of 64 bits for each. What a record added is written down until it has its verdict,
// because a record that meets the end of the dictionary begins again.

import { COUNTERS_PER_STEP } from '../codes'
import { counters } from './areas'

const JOURNAL_MAX: u32 = 2048
const JOURNAL = memory.data(2048 * 4, 16)
let journalCount: u32 = 0

@inline
export function beginCounting(): void {
  journalCount = 0
}

@inline
export function count(step: u32, counter: u32): void {
  const place = counters + (<usize>(step * COUNTERS_PER_STEP + counter) << 3)
  store<u64>(place, load<u64>(place) + 1)
  if (journalCount < JOURNAL_MAX) store<u32>(JOURNAL + (journalCount++ << 2), <u32>place)
}

/** Takes back what the record added. */
export function uncount(): void {
  while (journalCount) {
    const place = <usize>load<u32>(JOURNAL + (--journalCount << 2))
    store<u64>(place, load<u64>(place) - 1)
  }
}
