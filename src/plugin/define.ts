// Runs on: main.
// How plugins declare themselves. One schema object per plugin feeds types, validation, `millrace schema` and the docs.

import type { Static, TObject, TSchema } from 'typebox'
import type { Output, OutputContext, OutputSizes } from './output.ts'
import type { RecordMapping } from './record-mapping.ts'

export type Stability = 'stable' | 'beta' | 'experimental'

export interface PluginInfo<S extends TSchema> {
  /** The `type:` in configuration; equals the folder name. */
  readonly type: string
  readonly stability: Stability
  /** One sentence for lists. */
  readonly summary: string
  /** Options; every property has a `description`. `additionalProperties: false`. */
  readonly config: S
}

/** One thing that is wrong in a configuration block beyond the schema. */
export interface ConfigFinding {
  /** Path of keys below the block: `['endpoints', 0]`. */
  readonly path: readonly (string | number)[]
  readonly message: string
  readonly hint?: string
}

export interface OutputDefinition<S extends TObject = TObject> extends PluginInfo<S> {
  readonly kind: 'output'
  /** Module of the pool half; its default export is a `CreateRender`. */
  readonly renderModule: URL
  /** Rules between options. */
  check?(config: Static<S>): readonly ConfigFinding[]
  sizes(config: Static<S>): OutputSizes
  /** Synchronous, no I/O. */
  create(config: Static<S>, context: OutputContext): Output
}

export interface InputDefinition<S extends TObject = TObject> extends PluginInfo<S> {
  readonly kind: 'input'
  /** Module that ingest threads load; its default export is a `CreateInput`. */
  readonly inputModule: URL
  check?(config: Static<S>): readonly ConfigFinding[]
  /** Options of `parse` for records of this input where the configuration has no `parser`. */
  parser?(config: Static<S>): Readonly<Record<string, unknown>> | null
  /** What is added to records of this input in every route; null: nothing. */
  mapping?(config: Static<S>): RecordMapping | null
  /** Least level of the log of the process that it takes as records. One input of a configuration may. */
  ownLogLevel?(config: Static<S>): string
  /** Listen addresses as written; `validate` finds two listeners on one address with it. */
  listens(config: Static<S>): readonly string[]
}

/** Options of a step are a block, or a list where that says all (`remove`). */
export interface StepDefinition<S extends TSchema = TSchema> extends PluginInfo<S> {
  /** `parser`: a `type` of the step `parse`. `filter`: a step of its own name. */
  readonly kind: 'parser' | 'filter'
  check?(config: Static<S>): readonly ConfigFinding[]
}

/** A plugin of any options, as lists hold it. */
export type AnyDefinition = OutputDefinition | InputDefinition | StepDefinition

/** Modules are named as sources; what is compiled ends in .js, which the compiler does not see in a URL. */
function asRun(module: URL): URL {
  if (import.meta.url.endsWith('.ts')) return module
  return new URL(module.href.replace(/\.ts$/, '.js'))
}

export const defineOutput = <S extends TObject>(
  definition: Omit<OutputDefinition<S>, 'kind'>
): OutputDefinition<S> => ({
  kind: 'output',
  ...definition,
  renderModule: asRun(definition.renderModule)
})

export const defineInput = <S extends TObject>(
  definition: Omit<InputDefinition<S>, 'kind'>
): InputDefinition<S> => ({
  kind: 'input',
  ...definition,
  inputModule: asRun(definition.inputModule)
})

export const defineParser = <S extends TSchema>(
  definition: Omit<StepDefinition<S>, 'kind'>
): StepDefinition<S> => ({ kind: 'parser', ...definition })

export const defineFilter = <S extends TSchema>(
  definition: Omit<StepDefinition<S>, 'kind'>
): StepDefinition<S> => ({ kind: 'filter', ...definition })
