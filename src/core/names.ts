// Runs on: any.
// Rules of names that people choose, and the nearest known name for the one they mistyped.

/** Ids of inputs, routes and outputs: they become directory names, metric labels and keys of addresses. */
export const COMPONENT_ID_PATTERN = '^[a-z][a-z0-9_-]{0,62}$'

const COMPONENT_ID = new RegExp(COMPONENT_ID_PATTERN)

export const isComponentId = (text: string): boolean => COMPONENT_ID.test(text)

/** Names longer than this are not compared: the work grows with the product of the lengths. */
const COMPARED_CHARACTERS_MAX = 64

/** Edits (insert, remove, replace, swap of neighbours) between two words; `limit + 1` when there are more than `limit`. */
export function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit) return limit + 1
  let before = new Array<number>(b.length + 1).fill(0)
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1
      let best = Math.min(
        (previous[j] ?? 0) + 1,
        (row[j - 1] ?? 0) + 1,
        (previous[j - 1] ?? 0) + cost
      )
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      if (isSwap) best = Math.min(best, (before[j - 2] ?? 0) + 1)
      row.push(best)
    }
    before = previous
    previous = row
  }
  return Math.min(previous[b.length] ?? 0, limit + 1)
}

/** The known name that is probably meant, or null. Of three letters one may be wrong; case and `-` for `_` are free. */
export function nearestName(word: string, known: readonly string[]): string | null {
  if (word.length > COMPARED_CHARACTERS_MAX) return null
  const plain = (text: string) => text.toLowerCase().replaceAll('-', '_')
  const limit = Math.floor(word.length / 3)
  let best: string | null = null
  let bestDistance = limit + 1
  for (const name of known) {
    const distance = editDistance(plain(word), plain(name), limit)
    if (distance < bestDistance) {
      best = name
      bestDistance = distance
    }
  }
  return best
}
