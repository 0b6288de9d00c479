// Step 7. Runs on: any.
// From a plan to the words of the kernel. Boolean rules become jumps with short circuit in the order written; assignments
// of one `set` are put together at its end, so that all of them read the record before it.

import { invariant, unreachable } from '../core/invariant.ts'
import * as codes from '../kernel/codes.ts'
import {
  type FieldRef,
  type KeyId,
  type Label,
  type ParseOptions,
  ProgramWriter
} from '../kernel/program.ts'
import type { RenderSpec } from '../plugin/output.ts'
import type { MetadataMode } from '../plugin/record-mapping.ts'
import type {
  Condition,
  FieldTest,
  FieldType,
  JsonValue,
  OnFailure,
  ParseOperation,
  Relation,
  ScriptStep,
  StepOperation,
  SyslogFormat
} from '../plugin/step.ts'
import type { LoweredProgram } from './destination.ts'
import { JOIN_FIELD_NAMES } from './docker-partial.ts'
import type { StepPlan } from './plan.ts'

const OUTPUT_STEP = '0:output'
const JOIN_STEP = '0:docker_partial'
/** Field that metadata stands under with `metadata: nest`. */
const METADATA_KEY = '_meta'
/** Field that `on_failure: tag` sets. */
const TAG_KEY = 'parse_error'
const ACCESS_FIELDS = [
  'remote',
  'host',
  'user',
  'time',
  'method',
  'path',
  'code',
  'size',
  'referer',
  'agent',
  'rest'
] as const

const FAILURES: Readonly<Record<OnFailure, number>> = {
  keep: codes.FAILURE_KEEP,
  dead_letter: codes.FAILURE_DEAD_LETTER,
  drop: codes.FAILURE_DROP,
  tag: codes.FAILURE_TAG
}
const TYPES: Readonly<Record<FieldType, number>> = {
  string: codes.CONVERT_TEXT,
  integer: codes.CONVERT_INTEGER,
  float: codes.CONVERT_FLOAT,
  boolean: codes.CONVERT_BOOLEAN
}
const RELATIONS: Readonly<Record<Relation, number>> = {
  gte: codes.COMPARE_GREATER_EQUAL,
  gt: codes.COMPARE_GREATER,
  lte: codes.COMPARE_LESS_EQUAL,
  lt: codes.COMPARE_LESS
}
const MATCHES = {
  equal: codes.MATCH_EQUAL,
  prefix: codes.MATCH_PREFIX,
  contains: codes.MATCH_CONTAINS
} as const

/** `scripts` are the loaded modules of the plan's `js` steps, in order. */
export function lowerPlan(
  plan: StepPlan,
  scripts: readonly ScriptStep[],
  render: RenderSpec
): LoweredProgram {
  const writer = new ProgramWriter()
  const stepNames = [OUTPUT_STEP]
  if (plan.join !== null) {
    writer.step = stepNames.push(JOIN_STEP) - 1
    writeJoin(writer)
  }
  let stage = 0
  for (const { input, name, operation } of plan.steps) {
    writer.step = stepNames.push(name) - 1
    const others = writer.label()
    if (input !== undefined) writer.fromInput(input, others, false)
    if (operation.kind === 'js') {
      const script = scripts[stage]
      invariant(script !== undefined, `no module was loaded for ${name}`)
      const fields = script.reads === '*' ? null : script.reads.map((key) => writer.key(key))
      writer.leaveJs(stage++, fields, failureOptions(writer, name, operation.onFailure))
    } else writeOperation(writer, name, operation)
    writer.place(others)
  }
  return { bytes: writer.finish(render), stepNames, join: plan.join }
}

function writeJoin(writer: ProgramWriter): void {
  writer.join({
    present: writer.key('partial_message'),
    text: writer.key('log'),
    clear: [writer.key('partial_message'), writer.key('partial_last')],
    clearComplete: [writer.key('partial_id'), writer.key('partial_ordinal')],
    incomplete: writer.key('partial_incomplete'),
    fields: JOIN_FIELD_NAMES.map((name) => writer.key(name))
  })
}

function writeOperation(
  writer: ProgramWriter,
  name: string,
  operation: Exclude<StepOperation, { kind: 'js' }>
): void {
  switch (operation.kind) {
    case 'parse':
      writeParse(writer, name, operation)
      return
    case 'grep': {
      const kept = writer.label()
      const dropped = writer.label()
      writeCondition(writer, operation.condition, kept, dropped, 'kept')
      writer.place(dropped)
      writer.drop()
      writer.place(kept)
      return
    }
    case 'set':
      writeSet(writer, operation)
      return
    case 'remove': {
      const { keys, prefixes } = operation.patterns
      if (prefixes.length > 0) writer.filterKeys(writer.keySet({ exact: keys, prefixes }), false)
      else if (keys.length > 0) writer.remove(keys.map((key) => writer.key(key)))
      return
    }
    case 'rename': {
      const pairs = operation.pairs.map(
        ({ from, to }) => [writer.key(from), writer.key(to)] as const
      )
      if (pairs.length > 0) writer.rename(pairs, operation.onConflict === 'keep')
      return
    }
    case 'input_fields':
      writeInputFields(writer, operation)
      return
    default:
      unreachable(operation)
  }
}

/** What the server knows goes before what a sender says of itself: last where the later wins, else first. */
function writeInputFields(
  writer: ProgramWriter,
  operation: Extract<StepOperation, { kind: 'input_fields' }>
): void {
  const { assignments, metadata, overwrites } = operation
  const flags = overwrites ? 0 : codes.SET_IF_MISSING
  if (overwrites) writeMetadata(writer, metadata, flags)
  for (const { key, template } of assignments) {
    writer.setText(writer.key(key), template.parts, flags | codes.SET_UNLESS_EMPTY)
  }
  if (!overwrites) writeMetadata(writer, metadata, flags)
}

function writeMetadata(writer: ProgramWriter, mode: MetadataMode, flags: number): void {
  if (mode === 'nest') writer.copy(writer.key(METADATA_KEY), writer.meta([]), flags)
  if (mode === 'merge') writer.merge(writer.meta([]), flags)
}

function writeSet(writer: ProgramWriter, operation: Extract<StepOperation, { kind: 'set' }>): void {
  const flags = codes.SET_DEFER | (operation.isOnlyMissing ? codes.SET_IF_MISSING : 0)
  for (const { key, value } of operation.assignments) {
    const id = writer.key(key)
    if (value.kind === 'constant') writer.setJson(id, jsonOf(value.value), flags)
    else if (value.template.parts.length === 0) writer.setJson(id, '""', flags)
    else writer.setTemplate(id, value.template, flags)
  }
  writer.commit()
}

/**
 * Jumps when the outcome is `jumpTo`, and falls through otherwise. Both labels are where the record goes with that
 * outcome, so parts may jump to either; the caller places the one that is not `jumpTo` right behind.
 */
function writeCondition(
  writer: ProgramWriter,
  condition: Condition,
  yes: Label,
  no: Label,
  jumpTo: 'kept' | 'dropped'
): void {
  switch (condition.kind) {
    case 'field': {
      const label = jumpTo === 'kept' ? yes : no
      writeTest(writer, writer.field(condition.path), condition.test, label, jumpTo === 'kept')
      return
    }
    case 'not':
      writeCondition(writer, condition.of, no, yes, jumpTo === 'kept' ? 'dropped' : 'kept')
      return
    case 'all':
    case 'any':
      writeList(writer, condition, yes, no, jumpTo)
      return
    default:
      unreachable(condition)
  }
}

/** All but the last decide early; the last decides as the list is asked to. */
function writeList(
  writer: ProgramWriter,
  condition: Extract<Condition, { kind: 'all' | 'any' }>,
  yes: Label,
  no: Label,
  jumpTo: 'kept' | 'dropped'
): void {
  const early = condition.kind === 'all' ? 'dropped' : 'kept'
  const last = condition.of.length - 1
  // An empty list holds for `all` and fails for `any`, and then the code has to go somewhere.
  if (last < 0) {
    const outcome = condition.kind === 'all' ? 'kept' : 'dropped'
    if (outcome === jumpTo) writer.jump(jumpTo === 'kept' ? yes : no)
    return
  }
  for (const [index, part] of condition.of.entries()) {
    const next = writer.label()
    if (index === last) writeCondition(writer, part, yes, no, jumpTo)
    else if (early === 'dropped') writeCondition(writer, part, next, no, early)
    else writeCondition(writer, part, yes, next, early)
    writer.place(next)
  }
}

/** Jumps to the label when the outcome of the test is `when`. */
function writeTest(
  writer: ProgramWriter,
  field: FieldRef,
  test: FieldTest,
  label: Label,
  when: boolean
): void {
  switch (test.kind) {
    case 'equal':
    case 'prefix':
    case 'contains':
      writer.match(field, MATCHES[test.kind], test.text, label, when)
      return
    case 'regex': {
      const { source, flags } = test.pattern
      writer.regex(field, writer.pattern(source, flags), label, when)
      return
    }
    case 'compare':
      writer.compare(field, RELATIONS[test.relation], test.value, label, when)
      return
    case 'exists':
      writer.exists(field, label, when)
      return
    default:
      unreachable(test)
  }
}

function writeParse(writer: ProgramWriter, name: string, operation: ParseOperation): void {
  const options = parseOptions(writer, name, operation)
  if (operation.path !== null) {
    writeFormat(writer, operation, writer.field(operation.path), options)
    return
  }
  // Without a key: `log`, else `message`.
  const log = writer.key('log')
  const useMessage = writer.label()
  const end = writer.label()
  writer.exists(log, useMessage, false)
  writeFormat(writer, operation, log, options)
  writer.jump(end)
  writer.place(useMessage)
  writeFormat(writer, operation, writer.key('message'), options)
  writer.place(end)
}

function writeFormat(
  writer: ProgramWriter,
  operation: ParseOperation,
  field: FieldRef,
  options: ParseOptions
): void {
  const { format, prefix } = operation
  const id = (key: string): KeyId => writer.key(prefix + key)
  switch (format.kind) {
    case 'json':
      writer.parseJson(field, options)
      return
    case 'nginx':
      writer.parseAccess(field, options, ACCESS_FIELDS.map(id))
      return
    case 'syslog':
      writeSyslog(writer, format, field, options, id)
      return
    case 'regexp': {
      const pattern = writer.pattern(format.pattern.source, format.pattern.flags)
      const groups = format.groups.map((group) => (group === '' ? 0 : id(group)))
      writer.parseRegex(field, options, pattern, groups)
      return
    }
    default:
      unreachable(format)
  }
}

const DIALECTS = {
  rfc3164: codes.SYSLOG_OLD,
  rfc5424: codes.SYSLOG_NEW,
  auto: codes.SYSLOG_OLD | codes.SYSLOG_NEW
} as const
const STRUCTURED_DATA = { nested: 0, flat: codes.SYSLOG_FLAT, text: codes.SYSLOG_TEXT } as const
/** With an optional fraction each. */
const SYSLOG_TIMES = ['iso8601', '%b %e %H:%M:%S\x03', '%b %e %Y %H:%M:%S\x03'] as const
const SYSLOG_FIELDS = ['facility', 'severity', 'host', 'ident', 'pid', 'msgid', 'message'] as const

function writeSyslog(
  writer: ProgramWriter,
  format: SyslogFormat,
  field: FieldRef,
  options: ParseOptions,
  id: (key: string) => KeyId
): void {
  const { dialect, hasNumbers, isTimeKept, structuredData, zoneSeconds } = format
  const numbers = hasNumbers ? codes.SYSLOG_NUMBERS : 0
  const rules = {
    mode: DIALECTS[dialect],
    flags: numbers | STRUCTURED_DATA[structuredData],
    zoneSeconds,
    formats: SYSLOG_TIMES
  }
  const time = isTimeKept ? id('time') : 0
  writer.parseSyslog(field, options, rules, [...SYSLOG_FIELDS.map(id), time, id('structured_data')])
}

function parseOptions(
  writer: ProgramWriter,
  name: string,
  operation: ParseOperation
): ParseOptions {
  const { prefix, into, time, types } = operation
  const key = (field: string): KeyId => writer.key(prefix + field)
  return {
    ...failureOptions(writer, name, operation.onFailure),
    flags: parseFlags(operation),
    prefix,
    types: Object.entries(types).map(([field, type]) => ({ key: key(field), type: TYPES[type] })),
    ...(into === null ? {} : { into: writer.key(into) }),
    ...(time === null ? {} : { time: { key: key(time.key), format: time.format } })
  }
}

function parseFlags(operation: ParseOperation): number {
  return (
    (operation.keepOriginal ? codes.PARSE_KEEP_ORIGINAL : 0) |
    (operation.keepOthers ? 0 : codes.PARSE_DROP_OTHERS) |
    (operation.isMissingFailure ? codes.PARSE_MISSING_FAILS : 0) |
    (operation.time?.isKept === true ? codes.PARSE_KEEP_TIME : 0) |
    (operation.onConflict === 'keep' ? codes.PARSE_CONFLICT_KEEP : 0) |
    (operation.onConflict === 'rename' ? codes.PARSE_CONFLICT_RENAME : 0)
  )
}

function failureOptions(writer: ProgramWriter, name: string, onFailure: OnFailure): ParseOptions {
  if (onFailure !== 'tag') return { failure: FAILURES[onFailure] }
  return { failure: FAILURES.tag, tag: { key: writer.key(TAG_KEY), text: name } }
}

/** JSON on one line; integers of any width keep their digits. */
function jsonOf(value: JsonValue): string {
  if (typeof value === 'bigint') return String(value)
  if (Array.isArray(value)) return `[${value.map(jsonOf).join(',')}]`
  if (isMap(value)) {
    const members = Object.keys(value).map(
      (key) => `${JSON.stringify(key)}:${jsonOf(value[key] ?? null)}`
    )
    return `{${members.join(',')}}`
  }
  return JSON.stringify(value)
}

function isMap(value: JsonValue): value is { readonly [key: string]: JsonValue } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
