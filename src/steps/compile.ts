// Step 7. Runs on: any.
// From the list of steps in a route's configuration to a plan. Faults are findings with the path below the list; all of
// them at once. Docker's partial messages are joined first in every route unless the list begins with
// `docker_partial: {mode: pass}`.

import { errorText, MillraceError } from '../core/errors.ts'
import { DOCKER_PARTIAL_BYTES_MAX, JOIN_FLUSH_AFTER_MS, JOIN_STREAMS_MAX } from '../core/limits.ts'
import type { Template } from '../core/template.ts'
import type { ConfigFinding } from '../plugin/define.ts'
import type { RecordMapping } from '../plugin/record-mapping.ts'
import type {
  CompileStep,
  FieldPath,
  OnFailure,
  StepContext,
  StepOperation
} from '../plugin/step.ts'
import type { JoinOptions, PlannedStep, StepPlan } from './plan.ts'

/** What compilation needs from outside; the same on main and on pool threads. */
export interface CompileEnvironment {
  /** Modules of built-in steps: filters by name, parsers as `parse.<type>`. */
  readonly compilers: ReadonlyMap<string, CompileStep<never>>
  /** Compiles `${...}`; throws with the fault as its message. */
  compileTemplate(source: string): Template
  /** URL of a step module as the configuration names it. */
  resolveModule(path: string): string
}

export interface CompiledSteps {
  readonly plan: StepPlan
  readonly findings: readonly ConfigFinding[]
}

const DEFAULT_JOIN: JoinOptions = {
  flushAfterMs: JOIN_FLUSH_AFTER_MS,
  bytesMax: DOCKER_PARTIAL_BYTES_MAX,
  streamsMax: JOIN_STREAMS_MAX
}
const FAILURES: readonly OnFailure[] = ['keep', 'dead_letter', 'drop', 'tag']

/** Steps before a route's own, for the records of one input that it takes. */
export interface InputSteps {
  readonly input: string
  /** Options of `parse`; absent: none. */
  readonly parser?: unknown
  /** What the input adds, after its parser. */
  readonly mapping?: RecordMapping
}

/** Findings alone, for `validate`. */
export function checkSteps(
  steps: readonly unknown[],
  environment: CompileEnvironment
): readonly ConfigFinding[] {
  return compileSteps(steps, environment).findings
}

export function compileSteps(
  steps: readonly unknown[],
  environment: CompileEnvironment,
  inputSteps: readonly InputSteps[] = []
): CompiledSteps {
  const findings: ConfigFinding[] = []
  const planned: PlannedStep[] = []
  for (const { input, mapping, parser } of inputSteps) {
    const context = contextOf(0, environment, findings)
    if (parser !== undefined) {
      const operation = operationOf('parse', parser, environment, nested(context, 'parse'))
      if (operation !== null) planned.push({ name: `${input}:parse`, operation, input })
    }
    if (mapping === undefined) continue
    planned.push({ name: `${input}:fields`, operation: fieldsOf(mapping, context), input })
  }
  let join: JoinOptions | null = DEFAULT_JOIN
  for (const [index, item] of steps.entries()) {
    const context = contextOf(index, environment, findings)
    const name = isBlock(item) && Object.keys(item).length === 1 ? Object.keys(item)[0] : undefined
    if (!isBlock(item) || name === undefined) {
      context.fault([], 'a step is one key, the name of the step', 'write - grep: {...}')
      continue
    }
    const below = nested(context, name)
    const options = item[name]
    if (name === 'docker_partial') {
      if (index > 0) below.fault([], 'docker_partial stands first in the list', 'move it up')
      join = joinOf(options, below)
      continue
    }
    const operation = operationOf(name, options, environment, below)
    if (operation !== null) planned.push({ name: `${index + 1}:${name}`, operation })
  }
  return { plan: { join, steps: planned }, findings }
}

function fieldsOf(
  { fields, metadata, overwrite }: RecordMapping,
  context: StepContext
): StepOperation {
  const assignments = fields.flatMap(({ key, template: source }) => {
    const template = context.template(source, [key])
    return template === null ? [] : [{ key, template }]
  })
  return { kind: 'input_fields', metadata, assignments, overwrites: overwrite }
}

function operationOf(
  name: string,
  options: unknown,
  environment: CompileEnvironment,
  context: StepContext
): StepOperation | null {
  if (name === 'js') return scriptOf(options, environment, context)
  let module = name
  if (name === 'parse') {
    const type = isBlock(options) ? options['type'] : undefined
    if (typeof type !== 'string') {
      context.fault([], 'parse needs a type', `known: ${parserTypes(environment)}`)
      return null
    }
    module = `parse.${type}`
    if (!environment.compilers.has(module)) {
      context.fault(['type'], `no parser '${type}'`, `known: ${parserTypes(environment)}`)
      return null
    }
  }
  const compile = environment.compilers.get(module)
  if (compile === undefined || module.startsWith('parse.') !== (name === 'parse')) {
    const known = [...environment.compilers.keys()].filter((key) => !key.startsWith('parse.'))
    context.fault(
      [],
      `no step '${name}'`,
      `known: ${['docker_partial', 'js', 'parse', ...known].sort().join(', ')}`
    )
    return null
  }
  if (options === null || typeof options !== 'object') {
    if (!(name === 'remove' && typeof options === 'string')) {
      context.fault([], `the options of ${name} are missing`)
      return null
    }
  }
  try {
    // The options were checked against the schema of this very module, whose type the map cannot name.
    return compile(options as never, context)
  } catch (error) {
    context.fault([], errorText(error))
    return null
  }
}

function parserTypes(environment: CompileEnvironment): string {
  const types = [...environment.compilers.keys()].filter((key) => key.startsWith('parse.'))
  return types
    .map((key) => key.slice('parse.'.length))
    .sort()
    .join(', ')
}

function joinOf(options: unknown, context: StepContext): JoinOptions | null {
  if (!isBlock(options)) {
    context.fault([], 'docker_partial takes options', 'write docker_partial: {mode: pass}')
    return DEFAULT_JOIN
  }
  const mode = options['mode'] ?? 'join'
  if (mode !== 'join' && mode !== 'pass') {
    context.fault(['mode'], `mode '${String(mode)}' is neither join nor pass`)
  }
  if (mode === 'pass') return null
  return {
    flushAfterMs: numberOf(options, 'flush_after', DEFAULT_JOIN.flushAfterMs, context),
    bytesMax: Math.min(
      numberOf(options, 'max_bytes', DEFAULT_JOIN.bytesMax, context),
      DOCKER_PARTIAL_BYTES_MAX
    ),
    streamsMax: Math.min(
      numberOf(options, 'max_streams', DEFAULT_JOIN.streamsMax, context),
      JOIN_STREAMS_MAX
    )
  }
}

/** Durations and sizes are numbers (milliseconds, bytes) by the time they come here. */
function numberOf(
  options: Readonly<Record<string, unknown>>,
  key: string,
  fallback: number,
  context: StepContext
): number {
  const value = options[key] ?? fallback
  if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value
  context.fault([key], `${key} is no positive whole number`)
  return fallback
}

function scriptOf(
  options: unknown,
  environment: CompileEnvironment,
  context: StepContext
): StepOperation | null {
  const block = typeof options === 'string' ? { module: options } : options
  const path = isBlock(block) ? block['module'] : undefined
  if (!isBlock(block) || typeof path !== 'string' || path === '') {
    context.fault([], 'js needs a module', 'write js: {module: ./my-step.ts}')
    return null
  }
  const onFailure = FAILURES.find((failure) => failure === (block['on_failure'] ?? 'keep'))
  if (onFailure === undefined) {
    context.fault(['on_failure'], `on_failure is one of ${FAILURES.join(', ')}`)
    return null
  }
  // Options of a step module come from YAML: plain values.
  const values = (block['options'] ?? null) as Extract<StepOperation, { kind: 'js' }>['options']
  return { kind: 'js', module: environment.resolveModule(path), options: values, onFailure }
}

function contextOf(
  index: number,
  environment: CompileEnvironment,
  findings: ConfigFinding[]
): StepContext {
  const fault = (path: FieldPath, message: string, hint?: string): void => {
    findings.push({ path: [index, ...path], message, ...(hint === undefined ? {} : { hint }) })
  }
  return {
    fault,
    template(source, path) {
      try {
        return environment.compileTemplate(source)
      } catch (error) {
        const hint = error instanceof MillraceError ? error.details['hint'] : undefined
        fault(path, errorText(error), typeof hint === 'string' ? hint : undefined)
        return null
      }
    }
  }
}

/** The same context one key further down. */
function nested(context: StepContext, name: string): StepContext {
  return {
    fault: (path, message, hint) => context.fault([name, ...path], message, hint),
    template: (source, path) => context.template(source, [name, ...path])
  }
}

function isBlock(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
