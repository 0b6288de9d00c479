// Runs on: main.
// One YAML 1.2 (or JSON) text to plain data and the place of every key and value. Placeholders of the environment are
// replaced on the way. Other products' files are recognised and named.

import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument
} from 'yaml'
import type { ErrorCode } from '../core/errors.ts'
import { type ConfigPath, type Finding, formatPath, type Place } from './findings.ts'
import { type PlaceTree, placeTree } from './places.ts'
import { type SubstitutionSource, substitute } from './substitute.ts'

/** Nodes of one file after aliases are followed; stops files that double themselves with each alias. */
const NODES_MAX = 100_000
const DEPTH_MAX = 64

export interface ReadText {
  /** Plain data: maps, lists, text, numbers, booleans, null; integers beyond 2^53 are bigint. */
  readonly data: unknown
  readonly places: PlaceTree
  readonly findings: readonly Finding[]
}

const FOREIGN = [
  { form: /^\s*<(source|match|system|filter|label)\b/m, product: 'Fluentd' },
  { form: /^\s*\[(INPUT|SERVICE|OUTPUT|FILTER)\]/im, product: 'Fluent Bit (classic)' },
  { form: /^pipeline:/m, product: 'Fluent Bit (YAML)' }
] as const

/** Reads one text. With syntax errors `data` is what could be read, and must not be used. */
export function readConfigText(file: string, text: string, source: SubstitutionSource): ReadText {
  const top = { file, line: 1, column: 1 }
  const foreign = FOREIGN.find(({ form }) => form.test(text))
  if (foreign !== undefined) {
    const message = `this is a configuration of ${foreign.product}, Millrace reads its own YAML`
    const hint = 'millrace config prints a complete file to start from'
    const finding = findingOf('MR_CONFIG_SYNTAX', top, [], message, hint)
    return { data: null, places: placeTree(top, top), findings: [finding] }
  }
  const lines = new LineCounter()
  const document = parseDocument(text, {
    lineCounter: lines,
    version: '1.2',
    prettyErrors: false,
    intAsBigInt: true,
    logLevel: 'silent'
  })
  const reader = new Reader(file, lines, document, source)
  for (const error of [...document.errors, ...document.warnings]) {
    const place = reader.placeOf(error.pos[0])
    reader.findings.push(findingOf('MR_CONFIG_SYNTAX', place, [], oneLine(error.message)))
  }
  const places = placeTree(top, top)
  const data = reader.read(document.contents, [], places)
  return { data, places, findings: reader.findings }
}

class Reader {
  readonly findings: Finding[] = []
  readonly #file: string
  readonly #lines: LineCounter
  readonly #document: Document
  readonly #source: SubstitutionSource
  #nodeCount = 0

  constructor(file: string, lines: LineCounter, document: Document, source: SubstitutionSource) {
    this.#file = file
    this.#lines = lines
    this.#document = document
    this.#source = source
  }

  placeOf(byte: number | undefined): Place {
    const { line, col } = this.#lines.linePos(byte ?? 0)
    return { file: this.#file, line: Math.max(1, line), column: Math.max(1, col) }
  }

  /** Plain value of a node; fills `tree` with the places below it. */
  read(node: unknown, path: ConfigPath, tree: PlaceTree): unknown {
    this.#nodeCount++
    if (this.#nodeCount > NODES_MAX || path.length > DEPTH_MAX) {
      if (this.#nodeCount <= NODES_MAX + 1 || path.length > DEPTH_MAX) {
        const message = `more than ${NODES_MAX} values or ${DEPTH_MAX} levels`
        this.#add('MR_CONFIG_SYNTAX', tree.value, path, message)
      }
      return null
    }
    if (isAlias(node)) return this.read(node.resolve(this.#document), path, tree)
    if (isMap(node)) {
      const entries: [string, unknown][] = []
      for (const { key, value } of node.items) {
        const name = isScalar(key) ? String(key.value) : String(key)
        const child = this.#child(tree, name, nodeOf(key), nodeOf(value) ?? nodeOf(key))
        entries.push([name, this.read(value, [...path, name], child)])
      }
      return Object.fromEntries(entries)
    }
    if (isSeq(node)) {
      return node.items.map((item, index) => {
        const child = this.#child(tree, index, nodeOf(item), nodeOf(item))
        return this.read(item, [...path, index], child)
      })
    }
    return isScalar(node) ? this.#scalar(node.value, path, tree) : null
  }

  #scalar(value: unknown, path: ConfigPath, tree: PlaceTree): unknown {
    if (typeof value === 'bigint') {
      return Number.isSafeInteger(Number(value)) ? Number(value) : value
    }
    if (typeof value !== 'string') return value
    const { text, faults, isSubstituted } = substitute(value, this.#source)
    tree.isSubstituted = isSubstituted
    for (const { code, message, hint } of faults) this.#add(code, tree.value, path, message, hint)
    return text
  }

  #child(
    tree: PlaceTree,
    key: string | number,
    keyNode: Node | null,
    valueNode: Node | null
  ): PlaceTree {
    const keyPlace = keyNode === null ? tree.key : this.placeOf(keyNode.range?.[0])
    const valuePlace = valueNode === null ? keyPlace : this.placeOf(valueNode.range?.[0])
    const child = placeTree(keyPlace, valuePlace)
    tree.children.set(key, child)
    return child
  }

  #add(code: ErrorCode, place: Place, path: ConfigPath, message: string, hint?: string | null) {
    this.findings.push(findingOf(code, place, path, message, hint))
  }
}

function nodeOf(value: unknown): Node | null {
  return isMap(value) || isSeq(value) || isScalar(value) || isAlias(value) ? value : null
}

const oneLine = (text: string): string => text.split('\n')[0] ?? text

function findingOf(
  code: ErrorCode,
  place: Place,
  path: ConfigPath,
  message: string,
  hint: string | null = null
): Finding {
  return { level: 'error', code, place, path: formatPath(path), message, hint }
}
