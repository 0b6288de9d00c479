// Runs on: any.
// From the options that every parser has to the parse operation.

import { compileTimeFormat } from '../kernel/time-format.ts'
import { parseFieldPath } from './field-path.ts'
import type {
  FieldType,
  OnConflict,
  OnFailure,
  ParseFormat,
  ParseOperation,
  StepContext
} from './step.ts'

export interface ParserConfig {
  readonly key?: string
  readonly keep_original?: boolean
  readonly keep_others?: boolean
  readonly into?: string
  readonly prefix?: string
  readonly on_conflict?: OnConflict
  readonly types?: Readonly<Record<string, FieldType>>
  readonly time_key?: string
  readonly time_format?: string
  readonly keep_time?: boolean
  readonly on_failure?: OnFailure
  readonly on_missing?: 'keep' | 'fail'
}

/** What a format does where the options say nothing. */
export interface ParserDefaults {
  readonly types: Readonly<Record<string, FieldType>>
  readonly time: { readonly key: string; readonly format: string } | null
}

export function parseOperation(
  config: ParserConfig,
  format: ParseFormat,
  defaults: ParserDefaults,
  context: StepContext
): ParseOperation {
  const path = config.key === undefined ? null : parseFieldPath(config.key)
  if (config.key !== undefined && path === null) {
    context.fault(['key'], `'${config.key}' is not a path of fields`, 'write a.b or ["x.y"]')
  }
  return {
    kind: 'parse',
    format,
    path,
    keepOriginal: config.keep_original ?? false,
    keepOthers: config.keep_others ?? true,
    into: config.into ?? null,
    prefix: config.prefix ?? '',
    onConflict: config.on_conflict ?? 'replace',
    types: { ...defaults.types, ...config.types },
    time: timeOf(config, defaults, context),
    onFailure: config.on_failure ?? 'keep',
    isMissingFailure: config.on_missing === 'fail'
  }
}

function timeOf(
  config: ParserConfig,
  defaults: ParserDefaults,
  context: StepContext
): ParseOperation['time'] {
  const key = config.time_key ?? defaults.time?.key
  const format = config.time_format ?? defaults.time?.format
  if (key === undefined) {
    if (config.time_format !== undefined) {
      context.fault(
        ['time_format'],
        'time_format needs time_key',
        'name the field that holds the time'
      )
    }
    return null
  }
  if (format === undefined) {
    context.fault(
      ['time_key'],
      'time_key needs time_format',
      "for example time_format: '%Y-%m-%dT%H:%M:%S%z'"
    )
    return null
  }
  const fault = timeFormatFault(format)
  if (fault !== null) context.fault(['time_format'], fault)
  return { key, format, isKept: config.keep_time ?? false }
}

/** Null: a format that the kernel can read. */
export function timeFormatFault(format: string): string | null {
  const compiled = compileTimeFormat(format)
  if (compiled.kind === 'unknown')
    return `time_format has ${compiled.directive}, which is not known`
  // Named formats and directives leave a byte above ASCII's printable range; plain text does not.
  return compiled.bytes.some((byte) => byte >= 0x80)
    ? null
    : `time_format '${format}' reads nothing`
}
