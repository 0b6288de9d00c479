// Runs on: any.
// Which tags a route takes. Fluentd patterns and Fluent Bit globs become small automata that are walked in one pass, so
// a hostile tag costs (length x states) and never more; regular expressions are V8's. A router asks once per new tag.
//
// Fluentd pattern: `*` any characters but the dot, `**` any characters, `.**` also nothing, `**.` also nothing at the
// start, `{a,b}` either, `\x` the character itself; patterns separated by blanks; `/regex/` over the whole tag.
// Fluent Bit glob: `*` any characters, the dot included. `match_regex`: found anywhere in the tag.

import { MillraceError } from './errors.ts'
import { unreachable } from './invariant.ts'
import { TAG_BYTES_MAX } from './limits.ts'
import { parsePattern } from './pattern.ts'
import { type Automaton, accepts, automatonOf, isIncluded } from './tag-automaton.ts'

/** Patterns of one route, as data that crosses to the ingest threads. */
export type TagMatch =
  | { readonly kind: 'all' }
  | { readonly kind: 'parts'; readonly patterns: readonly string[] }
  | { readonly kind: 'glob'; readonly patterns: readonly string[] }
  | { readonly kind: 'regex'; readonly patterns: readonly string[] }

export type MatchesTag = (tag: string) => boolean

/** Compiles the patterns of one route. Throws MR_CONFIG_PATTERN; `validate` has reported the same before. */
export function compileTagMatch(match: TagMatch): MatchesTag {
  switch (match.kind) {
    case 'all':
      return () => true
    case 'regex': {
      const expressions = match.patterns.map((pattern) => parseRegex(pattern, false))
      return (tag) => expressions.some((expression) => expression.test(tag))
    }
    case 'parts':
    case 'glob': {
      const tests = splitPatterns(match).map((pattern) => compileOne(match.kind, pattern))
      return (tag) => tests.some((test) => test(tag))
    }
    default:
      return unreachable(match)
  }
}

function compileOne(kind: 'parts' | 'glob', pattern: string): MatchesTag {
  if (pattern === '**' || (kind === 'glob' && pattern === '*')) return () => true
  if (isRegexPart(kind, pattern)) {
    if (!/^\/.*\/[a-z]*$/s.test(pattern)) {
      throw new MillraceError(
        'MR_CONFIG_PATTERN',
        `pattern ${pattern} starts with "/" and is no /regex/`,
        {
          details: { hint: 'tags are separated by dots; a regular expression ends with "/"' }
        }
      )
    }
    const expression = parseRegex(pattern, true)
    return (tag) => expression.test(tag)
  }
  const automaton = automatonOf(kind, pattern)
  return (tag) => accepts(automaton, tag)
}

/** Fluentd writes several patterns into one string, separated by blanks. A regex keeps its blanks. */
function splitPatterns(match: { kind: 'parts' | 'glob'; patterns: readonly string[] }): string[] {
  if (match.kind === 'glob') return [...match.patterns]
  return match.patterns.flatMap((pattern) =>
    pattern.startsWith('/') ? [pattern] : pattern.split(/\s+/).filter((part) => part !== '')
  )
}

function parseRegex(text: string, isWhole: boolean): RegExp {
  const pattern = parsePattern(text)
  if ('fault' in pattern) {
    throw new MillraceError('MR_CONFIG_PATTERN', `regular expression ${text}: ${pattern.fault}`)
  }
  return new RegExp(isWhole ? `^(?:${pattern.source})$` : pattern.source, pattern.flags)
}

/**
 * Whether every tag that `later` takes was taken by one of `earlier`: the route can never be reached. Exact for patterns
 * and globs; regular expressions are compared by their text. `false` also means "not known".
 */
export function isCovered(later: TagMatch, earlier: readonly TagMatch[]): boolean {
  if (earlier.some((match) => match.kind === 'all')) return true
  const known = earlier.flatMap((match) => automataOf(match))
  if (isIncluded(automatonOf('glob', '*'), known)) return true
  switch (later.kind) {
    case 'all':
      return false
    case 'regex':
      return later.patterns.every((pattern) => isSameRegex(pattern, earlier))
    case 'parts':
    case 'glob':
      return splitPatterns(later).every((pattern) =>
        isRegexPart(later.kind, pattern)
          ? earlier.some(
              (match) => match.kind === 'parts' && splitPatterns(match).includes(pattern)
            )
          : isIncluded(automatonOf(later.kind, pattern), known)
      )
    default:
      return unreachable(later)
  }
}

const isRegexPart = (kind: TagMatch['kind'], pattern: string): boolean =>
  kind === 'parts' && pattern.startsWith('/')

function isSameRegex(pattern: string, earlier: readonly TagMatch[]): boolean {
  return earlier.some((match) => match.kind === 'regex' && match.patterns.includes(pattern))
}

function automataOf(match: TagMatch): Automaton[] {
  if (match.kind !== 'parts' && match.kind !== 'glob') return []
  return splitPatterns(match)
    .filter((pattern) => !isRegexPart(match.kind, pattern))
    .map((pattern) => automatonOf(match.kind, pattern))
}

/** What is wrong with the patterns of a route, in words with the remedy; null: nothing. */
export interface TagMatchFinding {
  /** Index into the patterns. */
  readonly index: number
  readonly message: string
  readonly hint?: string
}

/** Reports what `compileTagMatch` would throw, for each pattern, and patterns that no tag can fit. */
export function checkTagMatch(match: TagMatch): TagMatchFinding[] {
  if (match.kind === 'all') return []
  return match.patterns.flatMap((pattern, index) => {
    if (pattern.trim() === '') return [{ index, message: 'an empty pattern takes no tag' }]
    if (literalLength(pattern) > TAG_BYTES_MAX && match.kind !== 'regex') {
      const message = `pattern can never match: tags are cut to ${TAG_BYTES_MAX} bytes`
      return [{ index, message }]
    }
    try {
      compileTagMatch({ kind: match.kind, patterns: [pattern] })
    } catch (error) {
      return [patternFault(error, index)]
    }
    return []
  })
}

/** Characters that every tag of the pattern has to hold, when it has no alternatives. */
const literalLength = (pattern: string): number =>
  pattern.includes('{') ? 0 : pattern.replaceAll('*', '').length

function patternFault(error: unknown, index: number): TagMatchFinding {
  if (!(error instanceof MillraceError)) throw error
  const hint = error.details['hint']
  const { message } = error
  return typeof hint === 'string' ? { index, message, hint } : { index, message }
}
