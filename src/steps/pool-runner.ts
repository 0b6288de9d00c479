// Step 7. Runs on: pool.
// From plain data, as it crosses to a pool thread, to the runner of its tasks: loads render halves and step modules by
// URL, compiles steps, lowers them. A plain function, so that tests call it on main.

import { MillraceError } from '../core/errors.ts'
import { compileTemplate, type TemplateConstants } from '../core/template.ts'
import type { RenderImports } from '../kernel/render-face.ts'
import type { CreateRender, RenderHalf } from '../plugin/output.ts'
import type { CompileStep, ScriptStep } from '../plugin/step.ts'
import { PayloadDecoder } from '../storage/format/payload-decoder.ts'
import type { StoreIdentity } from '../storage/format/store-keys.ts'
import { type CompileEnvironment, compileSteps, type InputSteps } from './compile.ts'
import type { Destination } from './destination.ts'
import { lowerPlan } from './lower.ts'
import { boundPatternTime } from './regex-fallback.ts'
import { createTaskRunner, type TaskKernel, type TaskRunner } from './run-task.ts'
import { asScriptStep, type ScriptStage } from './scripts.ts'
import type { SegmentReader } from './segment-files.ts'

/** A destination as main describes it. */
export interface DestinationSpec {
  readonly key: string
  readonly route: string
  /** The route's list, as the configuration holds it. */
  readonly steps: readonly unknown[]
  /** Of the inputs that the route takes. */
  readonly inputSteps: readonly InputSteps[]
  /** URL of the output's render half, and the output's options. */
  readonly renderModule: string
  readonly outputConfig: unknown
  readonly slotMemory: WebAssembly.Memory
}

/** Everything of one generation of the configuration. */
export interface PoolSpec {
  readonly generation: number
  readonly constants: TemplateConstants
  /** Directory URL that step modules are relative to, with a slash at its end. */
  readonly moduleBase: string
  /** URL of the list of built-in steps (plugins/steps.ts). */
  readonly stepsModule: string
  readonly destinations: readonly DestinationSpec[]
  /** What encrypted frames are read with. */
  readonly store: Pick<StoreIdentity, 'uuid' | 'keys'>
}

export interface PoolEnvironment {
  importModule(url: string): Promise<{ readonly default?: unknown }>
  createKernel(imports: RenderImports): TaskKernel
  readonly files: SegmentReader
  clockMs(): number
  readonly deadlineMs: number | null
}

/** Runs the tasks of one generation. Rejects with MR_TASK when a module cannot be loaded or a step is wrong. */
export async function createPoolRunner(
  spec: PoolSpec,
  environment: PoolEnvironment
): Promise<TaskRunner> {
  boundPatternTime()
  const destinations = new Map<string, Destination>()
  const compilers = await loadCompilers(spec, environment)
  for (const each of spec.destinations) {
    destinations.set(each.key, await loadDestination(each, spec, environment, compilers))
  }
  return createTaskRunner({
    createKernel: environment.createKernel,
    files: environment.files,
    decoder: new PayloadDecoder(spec.store),
    clockMs: environment.clockMs,
    deadlineMs: environment.deadlineMs,
    destination(key, generation) {
      const found = generation === spec.generation ? destinations.get(key) : undefined
      if (found !== undefined) return found
      throw new MillraceError('MR_TASK', `no destination '${key}' in generation ${generation}`)
    }
  })
}

/** What steps are compiled with; main uses it to check a configuration. */
export function compileEnvironment(
  compilers: ReadonlyMap<string, CompileStep<never>>,
  constants: TemplateConstants,
  moduleBase: string
): CompileEnvironment {
  return {
    compilers,
    compileTemplate: (source) => compileTemplate(source, constants, 'text'),
    resolveModule: (path) => new URL(path, moduleBase).href
  }
}

async function loadCompilers(
  spec: PoolSpec,
  environment: PoolEnvironment
): Promise<CompileEnvironment> {
  const module = await environment.importModule(spec.stepsModule)
  const compilers = module.default
  if (!(compilers instanceof Map)) {
    throw new MillraceError('MR_TASK', `${spec.stepsModule} exports no list of steps`)
  }
  return compileEnvironment(compilers, spec.constants, spec.moduleBase)
}

async function loadDestination(
  each: DestinationSpec,
  spec: PoolSpec,
  environment: PoolEnvironment,
  compilers: CompileEnvironment
): Promise<Destination> {
  const { plan, findings } = compileSteps(each.steps, compilers, each.inputSteps)
  const fault = findings[0]
  if (fault !== undefined) {
    const place = fault.path.join('.')
    throw new MillraceError('MR_TASK', `steps of ${each.route}: ${place}: ${fault.message}`)
  }
  const steps: ScriptStep[] = []
  const scripts: ScriptStage[] = []
  for (const { operation } of plan.steps) {
    if (operation.kind !== 'js') continue
    const module = await environment.importModule(operation.module)
    const step = asScriptStep(module.default, operation.module)
    steps.push(step)
    scripts.push({ step, context: { options: operation.options, state: {} } })
  }
  const renderHalf = await loadRenderHalf(each, spec, environment)
  return {
    key: each.key,
    route: each.route,
    lowered: lowerPlan(plan, steps, renderHalf.spec),
    renderHalf,
    scripts,
    slotMemory: each.slotMemory
  }
}

async function loadRenderHalf(
  each: DestinationSpec,
  spec: PoolSpec,
  environment: PoolEnvironment
): Promise<RenderHalf> {
  const module = await environment.importModule(each.renderModule)
  if (typeof module.default !== 'function') {
    throw new MillraceError(
      'MR_TASK',
      `${each.renderModule} has no render half as its default export`
    )
  }
  // The module is the one that the output's definition names; its options passed that definition's schema.
  const createRender = module.default as CreateRender<unknown>
  return createRender(each.outputConfig, {
    hostname: spec.constants.hostname,
    template: (text) => compileTemplate(text, spec.constants)
  })
}
