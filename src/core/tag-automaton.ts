// Runs on: any.
// The automaton of one tag pattern: built from Fluentd's or Fluent Bit's notation, walked in one pass over the tag, and
// compared with others to find routes that nothing can reach. Walking costs at most (tag length x states).

import { MillraceError } from './errors.ts'
import { unreachable } from './invariant.ts'

/** States of the automaton of one pattern; guards the checks that compare routes. */
const STATES_MAX = 4096
/** Pairs of state sets looked at when routes are compared; beyond, the answer is "not known". */
const COMPARED_SETS_MAX = 20_000

/** One state: what it needs to be left, and where it leads. Guards look at the neighbours and consume nothing. */
type State =
  | { readonly kind: 'char'; readonly char: string; next: number }
  | { readonly kind: 'not_dot'; next: number }
  | { readonly kind: 'any'; next: number }
  | { readonly kind: 'split'; nexts: number[] }
  /** Passes at the end of the tag or before a dot: what `.**` leaves behind. */
  | { readonly kind: 'before_dot'; next: number }
  /** Passes at the start of the tag: what `**.` may be. */
  | { readonly kind: 'at_start'; next: number }
  | { readonly kind: 'accept' }

export interface Automaton {
  readonly states: readonly State[]
  readonly start: number
}

/** Builds an automaton back to front: each piece knows the state that follows it. */
class Builder {
  readonly states: State[] = [{ kind: 'accept' }]
  readonly #pattern: string

  constructor(pattern: string) {
    this.#pattern = pattern
  }

  add(state: State): number {
    if (this.states.length >= STATES_MAX) {
      throw new MillraceError(
        'MR_CONFIG_PATTERN',
        `pattern ${this.#pattern} is longer than ${STATES_MAX} pieces`
      )
    }
    return this.states.push(state) - 1
  }

  /** Any number of `kind`, then `next`. */
  loop(kind: 'any' | 'not_dot', next: number): number {
    const nexts = [next]
    const split = this.add({ kind: 'split', nexts })
    nexts.push(this.add({ kind, next: split }))
    return split
  }
}

/** A piece of a pattern; alternatives are sequences of their own. */
type Piece =
  | { readonly kind: 'char'; readonly char: string }
  | { readonly kind: 'star' | 'deep' | 'before_dot' | 'deep_dot' }
  | { readonly kind: 'either'; readonly options: readonly (readonly Piece[])[] }

export function automatonOf(kind: 'parts' | 'glob', pattern: string): Automaton {
  const pieces = kind === 'glob' ? globPieces(pattern) : new PatternReader(pattern).read()
  const builder = new Builder(pattern)
  const start = link(builder, pieces, 0)
  return { states: builder.states, start }
}

function globPieces(pattern: string): Piece[] {
  return Array.from(pattern, (char) => (char === '*' ? { kind: 'deep' } : { kind: 'char', char }))
}

function link(builder: Builder, pieces: readonly Piece[], end: number): number {
  let next = end
  for (const piece of pieces.toReversed()) next = linkPiece(builder, piece, next)
  return next
}

function linkPiece(builder: Builder, piece: Piece, next: number): number {
  switch (piece.kind) {
    case 'char': {
      let first = next
      for (let i = piece.char.length - 1; i >= 0; i--) {
        first = builder.add({ kind: 'char', char: piece.char.charAt(i), next: first })
      }
      return first
    }
    case 'star':
      return builder.loop('not_dot', next)
    case 'deep':
      return builder.loop('any', next)
    case 'before_dot':
      return builder.add({ kind: 'before_dot', next })
    case 'deep_dot': {
      const dot = builder.add({ kind: 'char', char: '.', next })
      const atStart = builder.add({ kind: 'at_start', next })
      return builder.add({ kind: 'split', nexts: [builder.loop('any', dot), atStart] })
    }
    case 'either':
      return builder.add({
        kind: 'split',
        nexts: piece.options.map((option) => link(builder, option, next))
      })
    default:
      return unreachable(piece)
  }
}

/** Reads a Fluentd pattern. The rules of dots next to `**` are those of Fluentd's match directive. */
class PatternReader {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  read(): Piece[] {
    const pieces = this.#sequence(0)
    if (this.#at < this.#text.length) this.#fail('a "}" without "{"')
    return pieces
  }

  #sequence(depth: number): Piece[] {
    const pieces: Piece[] = []
    while (this.#at < this.#text.length) {
      const char = this.#text.charAt(this.#at)
      if (char === '}' && depth === 0) break
      if (depth > 0 && (char === '}' || char === ',')) break
      pieces.push(this.#piece(char, depth))
    }
    return pieces
  }

  #piece(char: string, depth: number): Piece {
    if (this.#text.startsWith('.**', this.#at)) {
      // The dot goes with what follows it: `a.**` takes `a` too, and not `ab`.
      this.#at++
      return { kind: 'before_dot' }
    }
    if (this.#takes('**.')) return { kind: 'deep_dot' }
    if (this.#takes('**')) return { kind: 'deep' }
    this.#at++
    if (char === '*') return { kind: 'star' }
    if (char === '{') return this.#either(depth)
    if (char !== '\\') return { kind: 'char', char }
    if (this.#at >= this.#text.length) this.#fail('nothing after the last "\\"')
    return { kind: 'char', char: this.#text.charAt(this.#at++) }
  }

  #either(depth: number): Piece {
    const options: Piece[][] = []
    do {
      options.push(this.#sequence(depth + 1))
    } while (this.#takes(','))
    if (!this.#takes('}')) this.#fail('a "{" without "}"')
    return { kind: 'either', options }
  }

  #takes(text: string): boolean {
    if (!this.#text.startsWith(text, this.#at)) return false
    this.#at += text.length
    return true
  }

  #fail(what: string): never {
    throw new MillraceError('MR_CONFIG_PATTERN', `pattern ${this.#text} has ${what}`)
  }
}

/** What stands to the right of a place in a tag: a character, or nothing. */
const END = ''

/** States that need a character, and whether the tag may end here; guards are decided by the neighbours. */
function settle(
  automaton: Automaton,
  from: readonly number[],
  isAtStart: boolean,
  nextChar: string
): number[] {
  const seen = new Set<number>()
  const open = [...from]
  const settled: number[] = []
  for (let index = open.pop(); index !== undefined; index = open.pop()) {
    if (seen.has(index)) continue
    seen.add(index)
    const state = automaton.states[index]
    if (state === undefined) continue
    if (state.kind === 'split') open.push(...state.nexts)
    else if (state.kind === 'at_start') {
      if (isAtStart) open.push(state.next)
    } else if (state.kind === 'before_dot') {
      if (nextChar === END || nextChar === '.') open.push(state.next)
    } else settled.push(index)
  }
  return settled
}

/** States after one character. `other` stands for every character that no pattern names. */
function advance(automaton: Automaton, settled: readonly number[], char: string): number[] {
  const next: number[] = []
  for (const index of settled) {
    const state = automaton.states[index]
    if (state?.kind === 'any') next.push(state.next)
    else if (state?.kind === 'not_dot' && char !== '.') next.push(state.next)
    else if (state?.kind === 'char' && state.char === char) next.push(state.next)
  }
  return next
}

const isAccepting = (settled: readonly number[]): boolean => settled.includes(0)

export function accepts(automaton: Automaton, tag: string): boolean {
  let current = [automaton.start]
  for (let i = 0; i < tag.length && current.length > 0; i++) {
    const char = tag.charAt(i)
    current = advance(automaton, settle(automaton, current, i === 0, char), char)
  }
  return isAccepting(settle(automaton, current, tag === '', END))
}

/**
 * Whether every tag of `inner` is one of some `outer`. Walks all of them side by side over every character that matters
 * and looks for a tag that only `inner` takes. `false` also means: too many states to know.
 */
export function isIncluded(inner: Automaton, outer: readonly Automaton[]): boolean {
  const alphabet = alphabetOf([inner, ...outer])
  const all = [inner, ...outer]
  const first = all.map((automaton) => [automaton.start])
  const open: { sets: number[][]; isAtStart: boolean }[] = [{ sets: first, isAtStart: true }]
  const seen = new Set<string>()
  for (let place = open.pop(); place !== undefined; place = open.pop()) {
    if (seen.size > COMPARED_SETS_MAX) return false
    const { sets, isAtStart } = place
    for (const char of [END, ...alphabet]) {
      const settled = all.map((automaton, i) => settle(automaton, sets[i] ?? [], isAtStart, char))
      const [innerSet = [], ...outerSets] = settled
      if (char === END) {
        if (isAccepting(innerSet) && !outerSets.some(isAccepting)) return false
        continue
      }
      const next = all.map((automaton, i) => advance(automaton, settled[i] ?? [], char))
      if (next[0]?.length === 0) continue
      const key = next.map((set) => set.toSorted((a, b) => a - b).join(',')).join('|')
      if (seen.has(key)) continue
      seen.add(key)
      open.push({ sets: next, isAtStart: false })
    }
  }
  return true
}

/** Characters that some pattern names, the dot, and one that none names. */
function alphabetOf(automata: readonly Automaton[]): string[] {
  const chars = new Set(['.'])
  for (const automaton of automata) {
    for (const state of automaton.states) if (state.kind === 'char') chars.add(state.char)
  }
  let other = 0
  while (chars.has(String.fromCharCode(other))) other++
  return [...chars, String.fromCharCode(other)]
}
