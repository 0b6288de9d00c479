// Runs on: any.
// Filters of commands: `reason=mapping and tag=app.**`. Comparisons joined by `and`, `or`, `not` and parentheses; `and`
// binds closer than `or`. Every fault names its column.
//
// Kinds of fields: text (`=`, `!=`; `*` stands for any characters), tag (the same, with the patterns of routes), number
// (also `<`, `<=`, `>`, `>=`; `none` for no value), time (points of core/time-point.ts). Values with blanks or
// parentheses stand in quotes.

import { MillraceError } from './errors.ts'
import { unreachable } from './invariant.ts'
import { WHERE_CHARS_MAX, WHERE_NESTING_MAX } from './limits.ts'
import { nearestName } from './names.ts'
import { compileTagMatch } from './tag.ts'
import { accepts, automatonOf } from './tag-automaton.ts'
import { parseTimePoint, TIME_POINT_FORMS } from './time-point.ts'

export type FieldKind = 'text' | 'tag' | 'number' | 'time'

/** Value of a field of what is judged: text for text and tag, number or null for number and time. */
export type FieldValue = (field: string) => string | number | null

export type Where = (value: FieldValue) => boolean

type Operator = '=' | '!=' | '<' | '<=' | '>' | '>='

interface Token {
  readonly kind: 'word' | 'quoted' | 'operator' | 'open' | 'close' | 'end'
  readonly text: string
  /** Counted from 1. */
  readonly column: number
}

const EVERYTHING: Where = () => true

/** Throws MR_USAGE with the column of the first fault. An empty text takes everything. */
export function compileWhere(
  text: string,
  fields: Readonly<Record<string, FieldKind>>,
  nowMs: number
): Where {
  if (text.trim() === '') return EVERYTHING
  if (text.length > WHERE_CHARS_MAX) {
    throw new MillraceError(
      'MR_USAGE',
      `the filter has ${text.length} characters; the limit is ${WHERE_CHARS_MAX}`
    )
  }
  return new Compiler(tokens(text), fields, nowMs).compile()
}

class Compiler {
  readonly #tokens: readonly Token[]
  readonly #fields: Readonly<Record<string, FieldKind>>
  readonly #nowMs: number
  #at = 0
  #nesting = 0

  constructor(list: readonly Token[], fields: Readonly<Record<string, FieldKind>>, nowMs: number) {
    this.#tokens = list
    this.#fields = fields
    this.#nowMs = nowMs
  }

  compile(): Where {
    const where = this.#or()
    const rest = this.#peek()
    if (rest.kind !== 'end') {
      throw fault(rest.column, `"${rest.text}" where "and", "or" or the end should stand`)
    }
    return where
  }

  #or(): Where {
    let left = this.#and()
    while (this.#takeWord('or')) {
      const one = left
      const other = this.#and()
      left = (value) => one(value) || other(value)
    }
    return left
  }

  #and(): Where {
    let left = this.#not()
    while (this.#takeWord('and')) {
      const one = left
      const other = this.#not()
      left = (value) => one(value) && other(value)
    }
    return left
  }

  #not(): Where {
    const { column } = this.#peek()
    this.#nesting++
    if (this.#nesting > WHERE_NESTING_MAX) {
      throw fault(column, `more than ${WHERE_NESTING_MAX} levels of parentheses and "not"`)
    }
    try {
      if (this.#takeWord('not')) {
        const inner = this.#not()
        return (value) => !inner(value)
      }
      return this.#peek().kind === 'open' ? this.#group() : this.#comparison()
    } finally {
      this.#nesting--
    }
  }

  #group(): Where {
    const open = this.#take()
    const inner = this.#or()
    const close = this.#take()
    if (close.kind !== 'close') {
      throw fault(close.column, `no ")" for the "(" in column ${open.column}`)
    }
    return inner
  }

  #comparison(): Where {
    const name = this.#take()
    const kind = name.kind === 'word' ? this.#fields[name.text] : undefined
    if (kind === undefined || !Object.hasOwn(this.#fields, name.text)) throw this.#noField(name)
    const operator = this.#take()
    if (operator.kind !== 'operator') {
      throw fault(operator.column, `no operator after "${name.text}"; write = != < <= > or >=`)
    }
    const value = this.#take()
    if (value.kind !== 'word' && value.kind !== 'quoted') {
      throw fault(value.column, `no value after "${name.text}${operator.text}"`)
    }
    return this.#compare(name.text, kind, operator, value)
  }

  #compare(field: string, kind: FieldKind, operator: Token, value: Token): Where {
    const sign = operator.text as Operator // the tokenizer makes no other
    switch (kind) {
      case 'text':
      case 'tag': {
        if (sign !== '=' && sign !== '!=') {
          throw fault(operator.column, `"${field}" is text: compare it with = or !=`)
        }
        const matches = textTest(kind, value)
        return (of) => matches(String(of(field) ?? '')) === (sign === '=')
      }
      case 'number':
        return numberTest(field, sign, operator, value)
      case 'time': {
        const wanted = parseTimePoint(value.text, this.#nowMs)
        if (wanted === null) {
          throw fault(value.column, `"${value.text}" is no time; write ${TIME_POINT_FORMS}`)
        }
        return (of) => compareNumbers(of(field), sign, wanted)
      }
      default:
        return unreachable(kind)
    }
  }

  #noField({ column, kind, text }: Token): MillraceError {
    const names = Object.keys(this.#fields)
    const known = `fields are ${names.join(', ')}`
    if (kind !== 'word') return fault(column, `a field has to stand here; ${known}`)
    const near = nearestName(text, names)
    const hint = near === null ? '' : `; did you mean "${near}"?`
    return fault(column, `no field "${text}"; ${known}${hint}`)
  }

  #peek(): Token {
    return this.#tokens[this.#at] ?? { kind: 'end', text: 'end', column: 1 }
  }

  #take(): Token {
    const token = this.#peek()
    if (token.kind !== 'end') this.#at++
    return token
  }

  #takeWord(word: string): boolean {
    const { kind, text } = this.#peek()
    if (kind !== 'word' || text.toLowerCase() !== word) return false
    this.#at++
    return true
  }
}

function textTest(kind: 'text' | 'tag', value: Token): (text: string) => boolean {
  if (kind === 'tag') {
    try {
      return compileTagMatch({ kind: 'parts', patterns: [value.text] })
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error
      throw fault(value.column, error.message)
    }
  }
  if (!value.text.includes('*')) return (text) => text === value.text
  const automaton = automatonOf('glob', value.text)
  return (text) => accepts(automaton, text)
}

function numberTest(field: string, sign: Operator, operator: Token, value: Token): Where {
  if (value.text === 'none') {
    if (sign !== '=' && sign !== '!=') {
      throw fault(operator.column, `"none" is compared with = or !=`)
    }
    return (of) => (of(field) === null) === (sign === '=')
  }
  if (!/^-?\d+(\.\d+)?$/.test(value.text)) {
    throw fault(value.column, `"${value.text}" is no number; write one, or none`)
  }
  const wanted = Number(value.text)
  return (of) => compareNumbers(of(field), sign, wanted)
}

/** Something that has no value differs from every number. */
function compareNumbers(given: string | number | null, sign: Operator, wanted: number): boolean {
  if (typeof given !== 'number') return sign === '!='
  switch (sign) {
    case '=':
      return given === wanted
    case '!=':
      return given !== wanted
    case '<':
      return given < wanted
    case '<=':
      return given <= wanted
    case '>':
      return given > wanted
    case '>=':
      return given >= wanted
    default:
      return unreachable(sign)
  }
}

function fault(column: number, what: string): MillraceError {
  return new MillraceError('MR_USAGE', `filter, column ${column}: ${what}`, {
    details: { column }
  })
}

/** Blanks, parentheses, operators, quoted texts, words. Behind an operator a word goes on to the next blank or `)`. */
const TOKEN =
  /\s+|(\()|(\))|(!=|<=|>=|=|<|>)|"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^\s()=!<>"']+)/y
const VALUE = /\s*([^\s()"'][^\s)]*)/y

function tokens(text: string): Token[] {
  const list: Token[] = []
  let at = 0
  while (at < text.length) {
    const isValue = list.at(-1)?.kind === 'operator'
    const value = isValue ? matchAt(VALUE, text, at) : null
    if (value !== null) {
      const [whole, word = ''] = value
      list.push({ kind: 'word', text: word, column: at + whole.length - word.length + 1 })
      at += whole.length
      continue
    }
    const match = matchAt(TOKEN, text, at)
    if (match === null) throw fault(at + 1, unreadable(text[at] ?? ''))
    const token = tokenOf(match, at + 1)
    if (token !== null) list.push(token)
    at += match[0].length
  }
  list.push({ kind: 'end', text: 'the end', column: text.length + 1 })
  return list
}

function matchAt(expression: RegExp, text: string, at: number): RegExpExecArray | null {
  expression.lastIndex = at
  return expression.exec(text)
}

function tokenOf(match: RegExpExecArray, column: number): Token | null {
  const [, open, close, operator, double, single, word] = match
  if (open !== undefined) return { kind: 'open', text: open, column }
  if (close !== undefined) return { kind: 'close', text: close, column }
  if (operator !== undefined) return { kind: 'operator', text: operator, column }
  const quoted = double ?? single
  if (quoted !== undefined) {
    return { kind: 'quoted', text: quoted.replaceAll(/\\(.)/gs, '$1'), column }
  }
  return word === undefined ? null : { kind: 'word', text: word, column }
}

const unreadable = (character: string): string =>
  character === '"' || character === "'"
    ? `the quote ${character} is not closed`
    : `"${character}" cannot stand here`
