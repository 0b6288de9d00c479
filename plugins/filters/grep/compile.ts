// Step 7. Runs on: any. From the options of grep to one condition that a record must meet to stay.

import { isSlashed, parsePattern } from '../../../src/core/pattern.ts'
import { parseFieldPath } from '../../../src/plugin/field-path.ts'
import type {
  Condition,
  FieldPath,
  FieldTest,
  Relation,
  StepContext,
  StepOperation
} from '../../../src/plugin/step.ts'

export type GrepScalar = string | number | boolean

export interface GrepTests {
  readonly equal?: GrepScalar
  readonly prefix?: string
  readonly contains?: string
  readonly regex?: string
  readonly gte?: number
  readonly gt?: number
  readonly lte?: number
  readonly lt?: number
  readonly exists?: boolean
}

export type GrepValue = GrepScalar | GrepTests | readonly GrepScalar[]
export type GrepBlock = Readonly<Record<string, GrepValue>>

export interface GrepConfig {
  readonly include?: GrepBlock
  readonly exclude?: GrepBlock
  readonly any?: readonly GrepBlock[]
  readonly all?: readonly GrepBlock[]
}

const RELATIONS: readonly Relation[] = ['gte', 'gt', 'lte', 'lt']

export default function compileGrep(config: GrepConfig, context: StepContext): StepOperation {
  const of: Condition[] = []
  if (config.include !== undefined) of.push(blockOf(config.include, ['include'], context))
  for (const [index, block] of (config.all ?? []).entries()) {
    of.push(blockOf(block, ['all', index], context))
  }
  if (config.any !== undefined) {
    const blocks = config.any.map((block, index) => blockOf(block, ['any', index], context))
    of.push({ kind: 'any', of: blocks })
  }
  if (config.exclude !== undefined) {
    of.push({ kind: 'not', of: blockOf(config.exclude, ['exclude'], context) })
  }
  if (of.length === 0) {
    context.fault([], 'grep has no rule', 'give include, exclude, any or all')
  }
  return { kind: 'grep', condition: { kind: 'all', of } }
}

/** All fields of a block must hold. */
function blockOf(block: GrepBlock, at: FieldPath, context: StepContext): Condition {
  const of: Condition[] = []
  const keys = Object.keys(block)
  if (keys.length === 0) context.fault(at, 'the block names no field')
  for (const key of keys) {
    const value = block[key]
    const path = parseFieldPath(key)
    if (path === null) {
      context.fault([...at, key], `'${key}' is not a path of fields`, 'write a.b or ["x.y"]')
    } else if (value !== undefined) {
      of.push(conditionOf(path, value, [...at, key], context))
    }
  }
  return { kind: 'all', of }
}

function conditionOf(
  path: FieldPath,
  value: GrepValue,
  at: FieldPath,
  context: StepContext
): Condition {
  if (isList(value)) {
    if (value.length === 0) context.fault(at, 'the list is empty, so nothing would match')
    return {
      kind: 'any',
      of: value.map((one, index) => field(path, scalarTest(one, [...at, index], context)))
    }
  }
  if (typeof value !== 'object') return field(path, scalarTest(value, at, context))
  return testsOf(path, value, at, context)
}

function testsOf(
  path: FieldPath,
  tests: GrepTests,
  at: FieldPath,
  context: StepContext
): Condition {
  const of: Condition[] = []
  if (tests.equal !== undefined) of.push(field(path, { kind: 'equal', text: String(tests.equal) }))
  if (tests.prefix !== undefined) of.push(field(path, { kind: 'prefix', text: tests.prefix }))
  if (tests.contains !== undefined) of.push(field(path, { kind: 'contains', text: tests.contains }))
  if (tests.regex !== undefined) {
    of.push(field(path, regexTest(tests.regex, [...at, 'regex'], context)))
  }
  for (const relation of RELATIONS) {
    const value = tests[relation]
    if (value !== undefined) of.push(field(path, { kind: 'compare', relation, value }))
  }
  if (tests.exists !== undefined) {
    const exists = field(path, { kind: 'exists' })
    of.push(tests.exists ? exists : { kind: 'not', of: exists })
  }
  if (of.length === 0) context.fault(at, 'the field has no test')
  return { kind: 'all', of }
}

function scalarTest(value: GrepScalar, at: FieldPath, context: StepContext): FieldTest {
  if (typeof value === 'string' && isSlashed(value)) return regexTest(value, at, context)
  return { kind: 'equal', text: String(value) }
}

function regexTest(text: string, at: FieldPath, context: StepContext): FieldTest {
  const pattern = parsePattern(text)
  if ('fault' in pattern) {
    context.fault(at, pattern.fault)
    return { kind: 'exists' }
  }
  return { kind: 'regex', pattern }
}

function field(path: FieldPath, test: FieldTest): Condition {
  return { kind: 'field', path, test }
}

function isList(value: GrepValue): value is readonly GrepScalar[] {
  return Array.isArray(value)
}
