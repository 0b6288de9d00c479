// Verdicts of a task's entries, as runs. 16 bytes: first offset u64, count u32, verdict | step << 4 | reason << 16.

import { VERDICT_RUNS_MAX, verdictRuns } from './areas'

export let verdictRunCount: u32 = 0
let lastWord: u32 = 0
let nextOffset: u64 = 0

export function resetVerdicts(): void {
  verdictRunCount = 0
}

@inline
export function hasVerdictRoom(): bool {
  return verdictRunCount < VERDICT_RUNS_MAX
}

@inline
export function addVerdict(offset: u64, verdict: u32, step: u32, reason: u32): void {
  const word = verdict | (step << 4) | (reason << 16)
  const run = verdictRuns + (<usize>verdictRunCount << 4) - 16
  if (verdictRunCount && word == lastWord && offset == nextOffset) {
    store<u32>(run, load<u32>(run, 8) + 1, 8)
  } else {
    store<u64>(run + 16, offset)
    store<u32>(run + 16, 1, 8)
    store<u32>(run + 16, word, 12)
    verdictRunCount++
    lastWord = word
  }
  nextOffset = offset + 1
}
