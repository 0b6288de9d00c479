// Runs on: main.
// Turns what the schema checker says into sentences: the fact, the value, what to write instead.

import type { ErrorObject } from 'ajv'
import type { ErrorCode } from '../core/errors.ts'
import { nearestName } from '../core/names.ts'
import { isBlock, type SchemaNode, schemaNode } from './schema-node.ts'

export interface Explained {
  readonly code: ErrorCode
  /** Key below the place of the error that the finding is about; null: the place itself. */
  readonly key: string | null
  readonly message: string
  readonly hint: string | null
}

/** Longest list of allowed words that a hint spells out. */
const LISTED_MAX = 16
/** Longest value that a message repeats. */
const SHOWN_CHARACTERS_MAX = 60

/** One error of the schema checker in words; null: another error says the same better. */
export function explain(error: ErrorObject): Explained | null {
  const schema = schemaNode(isBlock(error.parentSchema) ? error.parentSchema : {})
  switch (error.keyword) {
    case 'additionalProperties':
      return unknownKey(String(error.params['additionalProperty']), schema)
    case 'required':
      return missingKey(String(error.params['missingProperty']), schema)
    case 'type':
      return invalid(`is ${kindOf(error.data)}, expected ${expectedKinds(error, schema)}`)
    case 'enum':
      return notAllowed(error, schema)
    case 'const':
      return invalid(`is ${show(error.data, schema)}, expected ${String(schema.const)}`)
    case 'pattern':
      return patternFault(error, schema)
    case 'propertyNames':
    case 'if':
      return null
    case 'anyOf':
    case 'oneOf':
      return invalid(`is ${kindOf(error.data)}, which is none of the forms that are allowed here`)
    case 'minLength':
      return invalid('is empty')
    case 'minItems':
      return invalid('is an empty list')
    case 'minimum':
    case 'exclusiveMinimum':
      return invalid(`${show(error.data, schema)} is below the minimum ${error.params['limit']}`)
    case 'maximum':
    case 'exclusiveMaximum':
      return invalid(`${show(error.data, schema)} exceeds the maximum ${error.params['limit']}`)
    default:
      return invalid(error.message ?? `breaks the rule ${error.keyword}`)
  }
}

function invalid(message: string, hint: string | null = null): Explained {
  return { code: 'MR_CONFIG_INVALID', key: null, message, hint }
}

function unknownKey(key: string, schema: SchemaNode): Explained {
  const known = Object.keys(schema.properties ?? {})
  return {
    code: 'MR_CONFIG_UNKNOWN_KEY',
    key,
    message: `unknown key "${key}"`,
    hint: wordsHint(key, known)
  }
}

function missingKey(key: string, schema: SchemaNode): Explained {
  const description = schema.properties?.[key]?.description
  return {
    code: 'MR_CONFIG_MISSING',
    key,
    message: `"${key}" is missing`,
    hint: description === undefined ? null : firstSentence(description)
  }
}

function notAllowed(error: ErrorObject, schema: SchemaNode): Explained {
  const allowed = (schema.enum ?? []).map(String)
  const message = `${show(error.data, schema)} is none of ${allowed.join(', ')}`
  const near = typeof error.data === 'string' ? nearestName(error.data, allowed) : null
  return invalid(message, near === null ? null : `did you mean ${near}?`)
}

function patternFault(error: ErrorObject, schema: SchemaNode): Explained {
  if (error.propertyName !== undefined) {
    const message = `"${error.propertyName}" is no id`
    const hint = 'ids are lower case letters, digits, _ and -, and start with a letter'
    return { code: 'MR_CONFIG_INVALID', key: error.propertyName, message, hint }
  }
  const shown = show(error.data, schema)
  if (schema['x-unit'] === 'bytes') return invalid(`${shown} is no size`, 'write 512KiB or 8MiB')
  if (schema['x-unit'] === 'duration') {
    return invalid(`${shown} is no duration`, 'write 250ms, 5s or 1h30m')
  }
  const description = schema.description === undefined ? null : firstSentence(schema.description)
  return invalid(`${shown} is not of the form that is expected here`, description)
}

/** "did you mean", or the list of what there is when it is short. */
export function wordsHint(word: string, known: readonly string[]): string | null {
  const near = nearestName(word, known)
  if (near !== null) return `did you mean ${near}?`
  if (known.length === 0 || known.length > LISTED_MAX) return null
  return `known: ${known.join(', ')}`
}

/** A value as a message repeats it; secrets never. */
export function show(value: unknown, schema: SchemaNode = {}): string {
  if (schema['x-secret'] === true) return 'the value'
  const text = typeof value === 'string' ? `"${value}"` : String(value)
  return text.length > SHOWN_CHARACTERS_MAX ? `${text.slice(0, SHOWN_CHARACTERS_MAX)}..."` : text
}

const KINDS: Readonly<Record<string, string>> = {
  string: 'text',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a block of keys',
  null: 'nothing'
}

function expectedKinds(error: ErrorObject, schema: SchemaNode): string {
  if (schema['x-unit'] === 'bytes') return 'a size like 8MiB'
  if (schema['x-unit'] === 'duration') return 'a duration like 5s'
  const types = String(error.params['type']).split(',')
  return types.map((type) => KINDS[type] ?? type).join(' or ')
}

function kindOf(value: unknown): string {
  if (value === null) return 'empty'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a block of keys'
  if (typeof value === 'string') return 'text'
  return String(value)
}

const firstSentence = (text: string): string => {
  const end = text.indexOf('. ')
  return (end === -1 ? text : text.slice(0, end)).replace(/\.$/, '')
}
