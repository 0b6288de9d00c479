// Step 7. Runs on: pool.
// From what the kernel and the render half left to what main is told: the index of the rows in the slot, and ranges and
// dead letters from the verdicts. The loops over rows are bench/micro/steps/run-task.bench.ts's.

import type { KernelRows, StepCount, VerdictRun } from '../kernel/render-face.ts'
import type { FinishedBodies } from '../plugin/output.ts'
import type { OffsetRange, StepDeadLetter } from '../threads/messages.ts'

/** Words of a row in the index: offset less the task's first, start byte in the slot, byte count. */
export const INDEX_WORDS = 3
export const INDEX_ROW_BYTES = INDEX_WORDS * 4

/** Writes the index in the order of the bodies. Offsets are signed: a joined record may begin before the task. */
export function writeRowIndex(
  words: Int32Array,
  rows: KernelRows,
  finished: FinishedBodies,
  fromOffset: number
): void {
  const { order, places, bodies } = finished
  let at = 0
  let row = 0
  for (const body of bodies) {
    let startByte = body.startByte
    const endRow = body.rowStart + body.rowCount
    for (; row < endRow; row++) {
      const source = order === null ? row : (order[row] ?? 0)
      const byteCount = places === null ? rows.byteCount(source) : (places[row * 2 + 1] ?? 0)
      words[at] = rows.offset(source) - fromOffset
      words[at + 1] = places === null ? startByte : (places[row * 2] ?? 0)
      words[at + 2] = byteCount
      startByte += byteCount
      at += INDEX_WORDS
    }
  }
}

/** Sorts the kernel's verdicts into ranges that were dropped and entries for the dead letters. */
export function takeVerdicts(
  verdicts: readonly VerdictRun[],
  stepNames: readonly string[],
  dropped: OffsetRange[],
  deadLetters: StepDeadLetter[]
): void {
  for (const { firstOffset, count, fate, step, reason } of verdicts) {
    const name = stepNames[step] ?? `${step}:?`
    if (fate === 'dropped')
      dropped.push({ first: firstOffset, end: firstOffset + count, reason: name })
    else if (fate === 'dead_letter') {
      for (let offset = firstOffset; offset < firstOffset + count; offset++) {
        deadLetters.push({ offset, members: null, step: name, reason })
      }
    }
  }
}

/** What a step did, by the name of the kernel's counter; every other counter is a reason of a failure. */
const RESULTS = new Set(['in', 'dropped', 'changed', 'dead_letter'])

/** Adds the kernel's counters under `step_records_total|route|step|result|reason`. */
export function addStepCounters(
  counters: Record<string, number>,
  counts: readonly StepCount[],
  stepNames: readonly string[],
  route: string
): void {
  for (const { step, counter, count } of counts) {
    if (count === 0) continue
    const [result, reason] = RESULTS.has(counter) ? [counter, ''] : ['failed', counter]
    const key = `step_records_total|${route}|${stepNames[step] ?? step}|${result}|${reason}`
    counters[key] = (counters[key] ?? 0) + count
  }
}
