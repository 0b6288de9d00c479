// Runs on: any.
// Paths to fields as configuration writes them: `a`, `a.b.c`, `a["x.y"]`, `a[0]`, with an optional leading `$.`.

import type { FieldPath } from './step.ts'

const PART = /\.?([^.[\]"\s\d][^.[\]"\s]*)|\[(\d{1,6})\]|\["((?:[^"\\]|\\["\\])+)"\]/y

/** Null: not a path. */
export function parseFieldPath(text: string): FieldPath | null {
  const path: (string | number)[] = []
  PART.lastIndex = text.startsWith('$.') ? 2 : text.startsWith('$[') ? 1 : 0
  if (text[PART.lastIndex] === '.') return null
  while (PART.lastIndex < text.length) {
    const startIndex = PART.lastIndex
    const match = PART.exec(text)
    if (match === null) return null
    const [part, name, index, quoted] = match
    // A name after the first part needs its dot.
    if (name !== undefined && startIndex > 0 && path.length > 0 && !part.startsWith('.'))
      return null
    if (name !== undefined) path.push(name)
    else if (index !== undefined) path.push(Number(index))
    else if (quoted !== undefined) path.push(quoted.replace(/\\(["\\])/g, '$1'))
  }
  return path.length > 0 && typeof path[0] === 'string' ? path : null
}
