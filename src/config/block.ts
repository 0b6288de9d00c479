// Runs on: main.
// One block of the configuration against its schema: aliases, types of substituted values, defaults, every fault as a
// finding, conversion of units. The same for the shell and for each plugin.

import { Ajv, type ErrorObject } from 'ajv'
import { ANNOTATIONS } from '../plugin/fields.ts'
import { convert, type Report } from './convert.ts'
import { explain } from './explain.ts'
import { type ConfigPath, formatPath } from './findings.ts'
import { type PlaceTree, treeAt } from './places.ts'
import { isBlock, type SchemaNode, schemaBelow, schemaNode, typesOf } from './schema-node.ts'

export interface CheckedBlock {
  /** Converted as far as it could be; with faults, only good for finding more of them. */
  readonly value: unknown
  readonly isValid: boolean
  /** As written, with aliases resolved and defaults filled in: what `millrace config` shows. */
  readonly shown: unknown
  /** Whether there is a fault at a key of the block or below it. */
  hasFault(key: string): boolean
}

/** Checks blocks; compiles each schema once. */
export class BlockChecker {
  readonly #ajv: Ajv

  constructor() {
    // removeAdditional and coerceTypes stay off: they would swallow a typo.
    this.#ajv = new Ajv({
      strict: true,
      strictTypes: true,
      strictRequired: false,
      allowUnionTypes: true,
      allErrors: true,
      useDefaults: true,
      verbose: true
    })
    this.#ajv.addVocabulary([...ANNOTATIONS])
  }

  check(
    schema: object,
    written: unknown,
    path: ConfigPath,
    places: PlaceTree,
    report: Report
  ): CheckedBlock {
    const node = schemaNode(schema)
    const faults = new Set<string>()
    // The first fault at a place says it best: a value of the wrong type cannot be converted either.
    const first: Report = (code, at, message, hint) => {
      const place = formatPath(at)
      if (code !== 'MR_CONFIG_ALIAS' && faults.has(place)) return
      if (code !== 'MR_CONFIG_ALIAS') faults.add(place)
      report(code, at, message, hint)
    }
    const prepared = prepare(node, written, path, treeAt(places, path), first)
    const validate = this.#ajv.compile(schema)
    if (!validate(prepared)) this.#explainAll(validate.errors ?? [], path, first)
    const value = convert(node, prepared, path, first)
    return {
      value,
      isValid: faults.size === 0,
      shown: prepared,
      hasFault(key) {
        const place = formatPath([...path, key])
        return [...faults].some((fault) => fault === place || /^[.[]/.test(rest(fault, place)))
      }
    }
  }

  #explainAll(errors: readonly ErrorObject[], path: ConfigPath, report: Report): void {
    for (const error of withoutBranches(errors)) {
      const explained = explain(error)
      if (explained === null) continue
      const at = [...path, ...pointerKeys(error.instancePath)]
      if (explained.key !== null) at.push(explained.key)
      report(explained.code, at, explained.message, explained.hint)
    }
  }
}

/**
 * Where one of several forms is allowed, the checker reports the faults of every form. Only the form that was probably
 * meant is worth showing: the one that looked deeper into the value than at its type. Else: that none fits.
 */
function withoutBranches(errors: readonly ErrorObject[]): ErrorObject[] {
  let kept = [...errors]
  const choices = errors.filter(({ keyword }) => CHOICES.has(keyword))
  for (const choice of choices.toSorted((a, b) => a.schemaPath.length - b.schemaPath.length)) {
    if (!kept.includes(choice)) continue
    const branches = kept.filter((each) => isBelow(each, choice))
    const deeper = branches.filter(
      (each) =>
        each.instancePath !== choice.instancePath ||
        (each.keyword !== 'type' && !CHOICES.has(each.keyword))
    )
    const dropped = new Set(deeper.length > 0 ? [choice, ...branches] : branches)
    kept = kept.filter((each) => !dropped.has(each) || deeper.includes(each))
  }
  return kept
}

const CHOICES: ReadonlySet<string> = new Set(['anyOf', 'oneOf'])

/** Values under one schema share its path, so both paths have to lie below. */
function isBelow(error: ErrorObject, choice: ErrorObject): boolean {
  const { instancePath: place } = error
  const isThere = place === choice.instancePath || place.startsWith(`${choice.instancePath}/`)
  return isThere && error.schemaPath.startsWith(`${choice.schemaPath}/`)
}

/** What a path has below another one; '' when it does not lie there. */
const rest = (path: string, above: string): string =>
  path.startsWith(above) ? path.slice(above.length) : ''

/** Keys of a JSON pointer; digits are taken for indices of lists. */
function pointerKeys(pointer: string): (string | number)[] {
  return pointer
    .split('/')
    .slice(1)
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'))
    .map((key) => (/^\d+$/.test(key) ? Number(key) : key))
}

/** A copy of the written block with aliases renamed, and texts from outside in the type that the schema asks for. */
function prepare(
  schema: SchemaNode | undefined,
  value: unknown,
  path: ConfigPath,
  places: PlaceTree,
  report: Report
): unknown {
  if (Array.isArray(value)) {
    return value.map((item, index) => {
      const below = treeAt(places, [index])
      return prepare(schema?.items, item, [...path, index], below, report)
    })
  }
  if (isBlock(value)) {
    const entries = Object.entries(value).map(([key, item]) => {
      const name = schema === undefined ? key : realName(schema, key, value, path, places, report)
      const below = places.children.get(key) ?? places
      const at = [...path, name]
      const node = schema === undefined ? undefined : schemaBelow(schema, name)
      return [name, prepare(node, item, at, below, report)]
    })
    return Object.fromEntries(entries)
  }
  if (typeof value === 'string' && places.isSubstituted && schema !== undefined) {
    return typed(value, schema)
  }
  return value
}

function realName(
  schema: SchemaNode,
  key: string,
  block: Readonly<Record<string, unknown>>,
  path: ConfigPath,
  places: PlaceTree,
  report: Report
): string {
  const properties = schema.properties ?? {}
  if (Object.hasOwn(properties, key)) return key
  for (const [name, property] of Object.entries(properties)) {
    if (property['x-alias']?.includes(key) !== true) continue
    if (Object.hasOwn(block, name)) {
      report('MR_CONFIG_DUPLICATE', [...path, key], `"${key}" and "${name}" are one option`, null)
      return key
    }
    const place = places.children.get(key)
    if (place !== undefined) places.children.set(name, place)
    report('MR_CONFIG_ALIAS', [...path, key], `"${key}" is read as "${name}"`, null)
    return name
  }
  return key
}

/** A text from the environment has no type: `"8"` is the number 8 where a number is wanted. */
function typed(value: string, schema: SchemaNode): unknown {
  const types = typesOf(schema)
  if (types.includes('string')) return value
  if (types.includes('integer') || types.includes('number')) {
    return /^-?\d+(\.\d+)?$/.test(value.trim()) ? Number(value) : value
  }
  if (types.includes('boolean') && (value === 'true' || value === 'false')) return value === 'true'
  return value
}
