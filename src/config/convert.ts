// Runs on: main.
// From what a user wrote to what the code sees, driven by the annotations of the schema: sizes to bytes, durations to
// milliseconds, one to a list, `$${` to `${`. Templates are checked and stay text.

import { type ErrorCode, MillraceError } from '../core/errors.ts'
import { compileTemplate } from '../core/template.ts'
import { formatBytes, formatDuration, parseBytes, parseDuration } from '../core/units.ts'
import { formatListenAddress, parseAnyAddress } from '../net/listen-address.ts'
import { show } from './explain.ts'
import type { ConfigPath } from './findings.ts'
import { isBlock, type SchemaNode, schemaBelow, typesOf } from './schema-node.ts'

export type Report = (
  code: ErrorCode,
  path: ConfigPath,
  message: string,
  hint: string | null
) => void

/** Values that templates are checked with; the real ones are known when the server starts. */
const ANY_CONSTANTS = { hostname: 'host', uuid: 'uuid', dataDir: '/data' }

/** Converted copy of a valid value. Faults go to `report`, and the value then stands for nothing. */
export function convert(
  schema: SchemaNode | undefined,
  value: unknown,
  path: ConfigPath,
  report: Report
): unknown {
  if (schema === undefined) return value
  switch (schema['x-unit']) {
    case 'bytes':
      return number(schema, value, path, report, parseBytes, formatBytes)
    case 'duration':
      return number(schema, value, path, report, parseDuration, formatDuration)
    case 'listen':
      return asList(value).map((item, i) =>
        address(item, Array.isArray(value) ? [...path, i] : path, report)
      )
    case 'list':
      return asList(value).map((item, i) => {
        const at = Array.isArray(value) ? [...path, i] : path
        return text(schema, String(item), at, report)
      })
    default:
      return plain(schema, value, path, report)
  }
}

function plain(schema: SchemaNode, value: unknown, path: ConfigPath, report: Report): unknown {
  if (Array.isArray(value)) {
    return value.map((item, i) => convert(schema.items, item, [...path, i], report))
  }
  if (isBlock(value)) {
    const entries = Object.entries(value).map(([key, item]) => [
      key,
      convert(schemaBelow(schema, key), item, [...path, key], report)
    ])
    return Object.fromEntries(entries)
  }
  if (typeof value !== 'string' || !typesOf(schema).includes('string')) return value
  return text(schema, value, path, report)
}

const asList = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [value])

/** Texts that are no templates: an escaped brace becomes a brace, a placeholder is a fault. */
function text(schema: SchemaNode, value: string, path: ConfigPath, report: Report): string {
  const use = schema['x-template']
  if (use !== undefined) {
    checkTemplate(value, use, path, report)
    return value
  }
  if (/(?<!\$)\$\{/.test(value)) {
    const message = `${show(value, schema)} holds a placeholder, and nothing is put in here`
    report('MR_CONFIG_TEMPLATE', path, message, 'a literal "${" is written "$${"')
  }
  return value.replaceAll('$${', () => '${')
}

function checkTemplate(value: string, use: 'name' | 'text', path: ConfigPath, report: Report) {
  try {
    compileTemplate(value, ANY_CONSTANTS, use)
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error
    const hint = error.details['hint']
    report(error.code, path, error.message, typeof hint === 'string' ? hint : null)
  }
}

function number(
  schema: SchemaNode,
  value: unknown,
  path: ConfigPath,
  report: Report,
  parse: (value: string | number) => number | null,
  format: (value: number) => string
): number {
  const isWritten = typeof value === 'string' || typeof value === 'number'
  const parsed = isWritten ? parse(value) : null
  if (parsed === null) {
    report('MR_CONFIG_INVALID', path, `${show(value, schema)} is too large`, null)
    return 0
  }
  const min = schema['x-min'] === undefined ? null : parse(schema['x-min'])
  const max = schema['x-max'] === undefined ? null : parse(schema['x-max'])
  if (min !== null && parsed < min) {
    report('MR_CONFIG_INVALID', path, `${format(parsed)} is below the minimum ${format(min)}`, null)
  }
  if (max !== null && parsed > max) {
    report('MR_CONFIG_INVALID', path, `${format(parsed)} exceeds the maximum ${format(max)}`, null)
  }
  return parsed
}

function address(item: unknown, path: ConfigPath, report: Report): string {
  try {
    return formatListenAddress(parseAnyAddress(String(item)))
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error
    report(error.code, path, error.message, null)
    return String(item)
  }
}
