// Steps over plain objects: one naive function per step that knows the configuration's operations and nothing of the
// kernel's words. The oracle of the compiler and of the kernel.

import type { EventTime } from '../../src/core/event-time.ts'
import { type TemplateValues, templateEvaluator } from '../../src/core/template.ts'
import type {
  Condition,
  FieldPath,
  FieldTest,
  FieldType,
  JsonValue,
  ParseOperation,
  StepOperation
} from '../../src/plugin/step.ts'
import { Json, mapToJson, Text, toJson, type Value } from './msgpack-objects.ts'

export interface ObjectRecord {
  fields: Map<string, Value>
  time: EventTime
  readonly tag: string
  readonly sourceAddress: string
  /** Empty: the entry has none. */
  readonly meta: ReadonlyMap<string, Value>
  readonly positionId: string
}

export type StepFate = 'on' | 'drop' | { readonly dead: string }

export type ObjectOperation = Exclude<StepOperation, { kind: 'js' }>

export function runOperation(
  operation: ObjectOperation,
  name: string,
  record: ObjectRecord
): StepFate {
  switch (operation.kind) {
    case 'grep':
      return holds(operation.condition, record.fields) ? 'on' : 'drop'
    case 'set': {
      const before = new Map(record.fields)
      for (const { key, value } of operation.assignments) {
        if (operation.isOnlyMissing && before.has(key)) continue
        if (value.kind === 'constant') {
          record.fields.set(key, constantOf(value.value))
          continue
        }
        const [only, more] = value.template.parts
        if (only?.kind === 'record' && more === undefined) {
          const found = lookUp(before, only.path)
          record.fields.set(key, found === undefined ? new Text(only.fallback ?? '') : found)
          continue
        }
        const values = valuesOf({ ...record, fields: before })
        record.fields.set(key, new Text(templateEvaluator(value.template)(values).text))
      }
      return 'on'
    }
    case 'remove':
      for (const key of [...record.fields.keys()]) {
        const { keys, prefixes } = operation.patterns
        if (keys.includes(key) || prefixes.some((prefix) => key.startsWith(prefix))) {
          record.fields.delete(key)
        }
      }
      return 'on'
    case 'rename':
      record.fields = renamed(record.fields, operation)
      return 'on'
    case 'parse':
      return parse(operation, name, record)
    case 'input_fields':
      addInputFields(operation, record)
      return 'on'
    default:
      return operation
  }
}

/** What the server knows wins over the metadata, and over the record when it is to be replaced. */
function addInputFields(
  { assignments, metadata, overwrites }: Extract<StepOperation, { kind: 'input_fields' }>,
  record: ObjectRecord
): void {
  const known = assignments.map(({ key, template }): [string, Value] => {
    return [key, new Text(templateEvaluator(template)(valuesOf(record)).text)]
  })
  const told: [string, Value][] = metadata === 'merge' ? [...record.meta] : []
  if (metadata === 'nest' && record.meta.size > 0) told.push(['_meta', new Map(record.meta)])
  const filled = known.filter(([, value]) => textOf(value) !== '')
  for (const [key, value] of overwrites ? [...told, ...filled] : [...filled, ...told]) {
    if (overwrites || !record.fields.has(key)) record.fields.set(key, value)
  }
}

/** Renamed fields keep their place; a field that is replaced goes. */
function renamed(
  fields: Map<string, Value>,
  operation: Extract<StepOperation, { kind: 'rename' }>
): Map<string, Value> {
  const sources = operation.pairs.filter(({ from, to }) => {
    if (!fields.has(from)) return false
    const isTaken = fields.has(to) && !operation.pairs.some((pair) => pair.from === to)
    return operation.onConflict === 'replace' || !isTaken
  })
  const toOf = new Map(sources.map(({ from, to }) => [from, to]))
  const replaced = new Set(sources.map(({ to }) => to))
  const result = new Map<string, Value>()
  for (const [key, value] of fields) {
    const to = toOf.get(key)
    if (to !== undefined) result.set(to, value)
    else if (!replaced.has(key)) result.set(key, value)
  }
  return result
}

export function holds(condition: Condition, fields: ReadonlyMap<string, Value>): boolean {
  switch (condition.kind) {
    case 'all':
      return condition.of.every((part) => holds(part, fields))
    case 'any':
      return condition.of.some((part) => holds(part, fields))
    case 'not':
      return !holds(condition.of, fields)
    case 'field':
      return passes(lookUp(fields, condition.path), condition.test)
  }
}

function passes(value: Value | undefined, test: FieldTest): boolean {
  const text = value === undefined ? null : textOf(value)
  if (test.kind !== 'exists' && text === null) return false
  switch (test.kind) {
    case 'exists':
      return value !== undefined
    case 'equal':
      return text === test.text
    case 'prefix':
      return text?.startsWith(test.text) ?? false
    case 'contains':
      return text?.includes(test.text) ?? false
    case 'regex':
      return new RegExp(test.pattern.source, test.pattern.flags).test(text ?? '')
    case 'compare': {
      if (!/^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(text ?? '')) return false
      const number = Number(text)
      if (test.relation === 'gte') return number >= test.value
      if (test.relation === 'gt') return number > test.value
      return test.relation === 'lte' ? number <= test.value : number < test.value
    }
  }
}

/** Text that patterns and tests see; null for maps and arrays. */
export function textOf(value: Value): string | null {
  if (value instanceof Text) return value.text
  if (Array.isArray(value) || value instanceof Map) return null
  if (value instanceof Json) {
    const parsed: unknown = JSON.parse(value.text)
    if (typeof parsed === 'string') return parsed
    return typeof parsed === 'object' && parsed !== null ? null : value.text
  }
  return toJson(value)
}

function lookUp(fields: ReadonlyMap<string, Value>, path: FieldPath): Value | undefined {
  let value: Value | undefined = fields.get(String(path[0]))
  for (const part of path.slice(1)) {
    if (value instanceof Json) value = fromJson(JSON.parse(value.text))
    if (typeof part === 'number') value = Array.isArray(value) ? value[part] : undefined
    else value = value instanceof Map ? value.get(part) : undefined
  }
  return value
}

function fromJson(value: unknown): Value {
  if (typeof value === 'string') return new Text(value)
  if (Array.isArray(value)) return value.map(fromJson)
  if (typeof value === 'object' && value !== null) {
    return new Map(Object.entries(value).map(([key, member]) => [key, fromJson(member)]))
  }
  return new Json(JSON.stringify(value))
}

function constantOf(value: JsonValue): Value {
  if (typeof value === 'string') return new Text(value)
  return new Json(
    JSON.stringify(value, (_key, member) => (typeof member === 'bigint' ? Number(member) : member))
  )
}

export function valuesOf(record: ObjectRecord): TemplateValues {
  return {
    tag: record.tag,
    time: record.time,
    sourceAddress: record.sourceAddress,
    positionId: record.positionId,
    record(path) {
      const value = lookUp(record.fields, path)
      if (value === undefined) return undefined
      if (value === null) return ''
      const text = textOf(value)
      if (value instanceof Json && value.text === 'null') return ''
      return text ?? toJson(value)
    },
    meta: () => undefined
  }
}

// Parsers.

function parse(operation: ParseOperation, name: string, record: ObjectRecord): StepFate {
  const path = operation.path ?? [record.fields.has('log') ? 'log' : 'message']
  const source = lookUp(record.fields, path)
  if (source === undefined) {
    return operation.isMissingFailure ? fail(operation, name, 'missing_field', record) : 'on'
  }
  const text = textOf(source)
  if (text === null || source === null || toJson(source) === 'null') {
    return fail(operation, name, 'not_text', record)
  }
  const found = read(operation, text)
  if (typeof found === 'string') return fail(operation, name, found, record)
  const results = new Map<string, Value>()
  for (const [key, value] of found) {
    results.set(operation.prefix + key, typed(value, operation.types[key]))
  }
  if (operation.into !== null) {
    const whole = new Json(mapToJson(results))
    results.clear()
    results.set(operation.into, whole)
  }
  merge(operation, record, path, results)
  return 'on'
}

function merge(
  operation: ParseOperation,
  record: ObjectRecord,
  path: FieldPath,
  results: ReadonlyMap<string, Value>
): void {
  if (!operation.keepOthers) {
    for (const key of [...record.fields.keys()]) {
      if (!(operation.keepOriginal && key === path[0])) record.fields.delete(key)
    }
  } else if (!operation.keepOriginal && path.length === 1) record.fields.delete(String(path[0]))
  for (const [key, value] of results) {
    const existing = record.fields.get(key)
    if (existing !== undefined && operation.onConflict === 'keep') continue
    if (existing !== undefined && operation.onConflict === 'rename') {
      const aside = { from: key, to: `${key}_orig` }
      record.fields = renamed(record.fields, {
        kind: 'rename',
        pairs: [aside],
        onConflict: 'replace'
      })
    }
    record.fields.set(key, value)
  }
}

function read(operation: ParseOperation, text: string): Map<string, Value> | string {
  const { format } = operation
  if (format.kind === 'json') {
    let parsed: unknown
    try {
      parsed = JSON.parse(text.replace(/^\uFEFF/, ''))
    } catch {
      return 'bad_json'
    }
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return 'not_object'
    return new Map(
      Object.entries(parsed).map(([key, value]) => [key, new Json(JSON.stringify(value))])
    )
  }
  if (format.kind === 'nginx' || format.kind === 'syslog') {
    throw new Error('tests of their own compare the text parsers')
  }
  const match = new RegExp(format.pattern.source, format.pattern.flags).exec(text)
  if (match === null) return 'no_match'
  const fields = new Map<string, Value>()
  for (const [index, group] of format.groups.entries()) {
    const capture = match[index + 1]
    if (group !== '' && capture !== undefined) fields.set(group, new Text(capture))
  }
  return fields
}

function typed(value: Value, type: FieldType | undefined): Value {
  if (type === undefined || !(value instanceof Text)) return value
  const { text } = value
  if (type === 'integer' && /^[+-]?\d{1,18}$/.test(text)) return BigInt(text.replace('+', ''))
  if (type === 'float' && /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(text)) {
    return new Json(text)
  }
  if (type === 'boolean' && /^(true|yes|on|1)$/i.test(text)) return true
  if (type === 'boolean' && /^(false|no|off|0)$/i.test(text)) return false
  return value
}

function fail(
  operation: { readonly onFailure: ParseOperation['onFailure'] },
  name: string,
  reason: string,
  record: ObjectRecord
): StepFate {
  switch (operation.onFailure) {
    case 'keep':
      return 'on'
    case 'drop':
      return 'drop'
    case 'dead_letter':
      return { dead: reason }
    case 'tag':
      record.fields.set('parse_error', new Text(`${name}:${reason}`))
      return 'on'
  }
}
