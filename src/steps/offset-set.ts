// Step 7. Runs on: any.
// Finished offsets of a task as ascending ranges [first, end).

export type Range = readonly [number, number]

/** Ranges and single offsets as ascending ranges without overlap. */
export function mergeRanges(ranges: readonly Range[], offsets: Iterable<number>): readonly Range[] {
  const all: Range[] = [...ranges]
  for (const offset of offsets) all.push([offset, offset + 1])
  all.sort((a, b) => a[0] - b[0])
  const merged: [number, number][] = []
  for (const [first, end] of all) {
    const last = merged.at(-1)
    if (last !== undefined && first <= last[1]) last[1] = Math.max(last[1], end)
    else merged.push([first, end])
  }
  return merged
}

/** Whether one range holds all of [first, end). */
export function covers(ranges: readonly Range[], first: number, end: number): boolean {
  return ranges.some(([rangeFirst, rangeEnd]) => rangeFirst <= first && end <= rangeEnd)
}
