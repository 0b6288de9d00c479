// Runs on: any.
// The contract of steps. A step's module turns its validated options into operations: plain data, compiled on main at
// load (so that every fault is a finding) and again on each pool thread, where steps/ lowers them to the kernel's words.
// Work on a record is bounded by the length of the list: there are no loops.

import type { Pattern } from '../core/pattern.ts'
import type { Template } from '../core/template.ts'
import type { MetadataMode } from './record-mapping.ts'

/** A place in a record: keys of maps and indices of arrays. One key alone names a top-level field. */
export type FieldPath = readonly (string | number)[]

/** A value of a configuration that ends up in a record. Integers keep 64 bits. */
export type JsonValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue }

/** What a field is asked. Missing fields, maps and arrays answer no to all but `exists`. */
export type FieldTest =
  | { readonly kind: 'equal' | 'prefix' | 'contains'; readonly text: string }
  | { readonly kind: 'regex'; readonly pattern: Pattern }
  | { readonly kind: 'compare'; readonly relation: Relation; readonly value: number }
  | { readonly kind: 'exists' }

export type Relation = 'gte' | 'gt' | 'lte' | 'lt'

export type Condition =
  | { readonly kind: 'all' | 'any'; readonly of: readonly Condition[] }
  | { readonly kind: 'not'; readonly of: Condition }
  | { readonly kind: 'field'; readonly path: FieldPath; readonly test: FieldTest }

export type FieldType = 'string' | 'integer' | 'float' | 'boolean'

export type ParseFormat =
  | { readonly kind: 'json' }
  | { readonly kind: 'nginx' }
  | SyslogFormat
  | { readonly kind: 'regexp'; readonly pattern: Pattern; readonly groups: readonly string[] }

export interface SyslogFormat {
  readonly kind: 'syslog'
  /** RFC 3164, RFC 5424, or the one that each message is of. */
  readonly dialect: 'rfc3164' | 'rfc5424' | 'auto'
  readonly hasNumbers: boolean
  readonly structuredData: 'nested' | 'flat' | 'text'
  /** East of UTC, of times that name no zone. */
  readonly zoneSeconds: number
  /** The text of the time stays as the field `time`. */
  readonly isTimeKept: boolean
}

/** What all parsers have in common (docs: plugins/parsers). */
export interface ParseOperation {
  readonly kind: 'parse'
  readonly format: ParseFormat
  /** Null: `log`, or `message` where there is no `log`. */
  readonly path: FieldPath | null
  readonly keepOriginal: boolean
  readonly keepOthers: boolean
  readonly into: string | null
  readonly prefix: string
  readonly onConflict: OnConflict
  readonly types: Readonly<Record<string, FieldType>>
  /** A parsed field that becomes the record's time; null: the record keeps its own. */
  readonly time: { readonly key: string; readonly format: string; readonly isKept: boolean } | null
  readonly onFailure: OnFailure
  readonly isMissingFailure: boolean
}

export type OnConflict = 'replace' | 'keep' | 'rename'
export type OnFailure = 'keep' | 'dead_letter' | 'drop' | 'tag'

/** Right side of an assignment: a constant, or a template (one placeholder alone copies the value with its type). */
export type SetValue =
  | { readonly kind: 'constant'; readonly value: JsonValue }
  | { readonly kind: 'template'; readonly template: Template }

/** A list of key names: exact ones and prefixes (written `name*`). Top level only. */
export interface KeyPatterns {
  readonly keys: readonly string[]
  readonly prefixes: readonly string[]
}

export type StepOperation =
  | ParseOperation
  /** Removes the record unless the condition holds. */
  | { readonly kind: 'grep'; readonly condition: Condition }
  /** All assignments read the record before the step. */
  | {
      readonly kind: 'set'
      readonly assignments: readonly { readonly key: string; readonly value: SetValue }[]
      readonly isOnlyMissing: boolean
    }
  | { readonly kind: 'remove'; readonly patterns: KeyPatterns }
  /** All pairs act at once. */
  | {
      readonly kind: 'rename'
      readonly pairs: readonly { readonly from: string; readonly to: string }[]
      readonly onConflict: 'replace' | 'keep'
    }
  /** What an input adds to its records; not to be had as a step of a route. */
  | {
      readonly kind: 'input_fields'
      readonly metadata: MetadataMode
      /** An empty text adds no field. */
      readonly assignments: readonly { readonly key: string; readonly template: Template }[]
      readonly overwrites: boolean
    }
  /** A module of the user's; `module` is the URL of a file. */
  | {
      readonly kind: 'js'
      readonly module: string
      readonly options: JsonValue
      readonly onFailure: OnFailure
    }

/** What a step's module gets besides its options. */
export interface StepContext {
  /** Compiles a template; a fault is a finding at `path` below the step, and null comes back. */
  template(source: string, path: FieldPath): Template | null
  /** Adds a fault. Compilation goes on, so that all findings come at once. */
  fault(path: FieldPath, message: string, hint?: string): void
}

/** Default export of a step's module. Options have passed the schema; null when there were faults. */
export type CompileStep<C> = (config: C, context: StepContext) => StepOperation | null

/** What a step module sees of a record: the declared fields that are there, or all of them. */
export type StepRecord = Record<string, unknown>

/**
 * `undefined`: nothing changes. An object: with declared fields the changes laid over the record, where null removes a
 * field; with `reads: '*'` the new record. `null` or `false`: the record is dropped. A throw is a failure of the step.
 */
export type StepAnswer = Readonly<Record<string, unknown>> | null | false | undefined

export interface ScriptContext {
  /** `options` of the step in the configuration. */
  readonly options: JsonValue
  /** Kept between records of this thread and lost at any time: for caches, never for decisions. */
  readonly state: Record<string, unknown>
}

/** A step written in JavaScript or TypeScript; the default export of its module. Synchronous: no I/O, no promises. */
export interface ScriptStep {
  readonly kind: 'step'
  /** Top-level fields that cross, or `*` for the whole record, which costs about twice as much. */
  readonly reads: readonly string[] | '*'
  /** Fields that the answer may change; `*`: any. */
  readonly writes: readonly string[] | '*'
  /** Integers beyond 2^53 arrive as BigInt; without it as their decimal text. Never rounded. */
  readonly bigints?: boolean
  run(record: StepRecord, context: ScriptContext): StepAnswer
}

/** Declares a step module; returns what it was given. */
export function definePlugin(step: ScriptStep): ScriptStep {
  return step
}
