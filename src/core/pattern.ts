// Runs on: any.
// Regular expressions of configuration: `/source/flags` with the flags i, m, s, or a plain string.

import { errorText } from './errors.ts'

export interface Pattern {
  readonly source: string
  readonly flags: string
}

const SLASHED = /^\/(.*)\/([a-z]*)$/s

/** Whether a text is written as `/.../flags`. */
export function isSlashed(text: string): boolean {
  return text.length > 1 && SLASHED.test(text)
}

/** Reads and compiles; the text of the fault when it is none. */
export function parsePattern(text: string): Pattern | { readonly fault: string } {
  const match = SLASHED.exec(text)
  const source = match?.[1] ?? text
  const flags = match?.[2] ?? ''
  if (/[^ims]/.test(flags)) return { fault: `flags '${flags}' of a pattern may be i, m and s only` }
  try {
    new RegExp(source, flags)
  } catch (error) {
    return { fault: errorText(error) }
  }
  if (isUnprotected(source)) {
    return {
      fault: `pattern ${source} has a look-around or back-reference and repeats that may nest, so its time has no bound`
    }
  }
  return { source, flags }
}

const BOUNDLESS = /\(\?(?:[=!]|<[=!])|\\[1-9]|\\k</
const REPEATED_GROUP = /\)[*+]|\)\{\d*,\d*\}/

/**
 * V8 leaves backtracking for a linear engine after a bounded number of steps, except where a pattern has look-around or
 * back-references. Such a pattern with a repeated group may take exponential time.
 */
function isUnprotected(source: string): boolean {
  return BOUNDLESS.test(source) && REPEATED_GROUP.test(source)
}

/** Names of the capture groups in the order of their numbers; '' for a group without a name. */
export function captureNames(source: string): string[] {
  const names: string[] = []
  let isInClass = false
  for (let index = 0; index < source.length; index++) {
    const character = source[index]
    if (character === '\\') index++
    else if (character === '[') isInClass = true
    else if (character === ']') isInClass = false
    else if (character === '(' && !isInClass) {
      const name = /^\(\?<([A-Za-z_$][\w$]*)>/.exec(source.slice(index))
      if (name !== null) names.push(name[1] ?? '')
      else if (source[index + 1] !== '?') names.push('')
    }
  }
  return names
}
