// A task runner over frames in memory, with the kernel or its object twin.

import stepCompilers from '../../plugins/steps.ts'
import { compileTemplate } from '../../src/core/template.ts'
import { sharedMemory } from '../../src/kernel/memory-copy.ts'
import type { RenderImports } from '../../src/kernel/render-face.ts'
import { RenderKernel } from '../../src/kernel/render-kernel.ts'
import { finishPerTarget, PLAIN } from '../../src/plugin/finish-bodies.ts'
import type { RenderHalf, RenderSpec } from '../../src/plugin/output.ts'
import type { ScriptStep } from '../../src/plugin/step.ts'
import { compileSteps, type InputSteps } from '../../src/steps/compile.ts'
import type { Destination } from '../../src/steps/destination.ts'
import { lowerPlan } from '../../src/steps/lower.ts'
import { compileEnvironment } from '../../src/steps/pool-runner.ts'
import { boundPatternTime } from '../../src/steps/regex-fallback.ts'
import { createTaskRunner, type TaskKernel, type TaskRunner } from '../../src/steps/run-task.ts'
import { KEYLESS_DECODER } from '../../src/storage/format/payload-decoder.ts'
import type { TaskRequest, TaskResult } from '../../src/threads/messages.ts'
import { FrameStore } from './frame-store.ts'
import { type Plain, packEntry } from './msgpack-objects.ts'
import { ObjectKernel } from './object-kernel.ts'
import { xxh64 } from './xxh64.ts'

boundPatternTime()

export const CONSTANTS = { hostname: 'host-1', uuid: 'u-1', dataDir: '/data' }
export const SLOT_BYTES = 16_000_000

export const SPEC: RenderSpec = {
  framing: 'ndjson',
  target: compileTemplate('logs', CONSTANTS),
  timeField: { key: '@timestamp', precision: 9 },
  timeConflict: 'keep',
  tagField: null,
  hasId: true,
  messageField: null,
  recordBytesMax: 2_000_000
}

export interface HarnessOptions {
  readonly steps?: readonly unknown[]
  readonly inputSteps?: readonly InputSteps[]
  readonly spec?: Partial<RenderSpec>
  readonly renderHalf?: Partial<RenderHalf>
  readonly scripts?: readonly ScriptStep[]
  /** The compiled kernel, or its object twin. */
  readonly kernel?: 'compiled' | 'objects'
}

export interface Harness {
  readonly runner: TaskRunner
  readonly slot: Buffer
  readonly kernels: ObjectKernel[]
  run(part?: Partial<TaskRequest>): TaskResult
  /** Text of every body. */
  bodies(result: TaskResult): string[]
  /** Documents without their action lines, in the order of the rows. */
  documents(result: TaskResult): Record<string, unknown>[]
  /** Ids of the rows. */
  ids(result: TaskResult): string[]
}

export const environment = compileEnvironment(stepCompilers, CONSTANTS, 'file:///config/')

export function harness(store: FrameStore, options: HarnessOptions = {}): Harness {
  const { plan, findings } = compileSteps(options.steps ?? [], environment, options.inputSteps)
  if (findings.length > 0) throw new Error(JSON.stringify(findings))
  const spec = { ...SPEC, ...options.spec }
  const scripts = options.scripts ?? []
  const lowered = lowerPlan(plan, scripts, spec)
  const renderHalf: RenderHalf = {
    spec,
    targetText: (target) => ({
      kind: 'ok',
      prefix: Buffer.from(`{"create":{"_index":"${target}","_id":"`),
      afterId: Buffer.from('"}}\n')
    }),
    finish: (area) => finishPerTarget(area, PLAIN),
    ...options.renderHalf
  }
  const slotMemory = sharedMemory(SLOT_BYTES)
  const destination: Destination = {
    key: 'route/output',
    route: 'route',
    lowered,
    renderHalf,
    scripts: scripts.map((step) => ({ step, context: { options: null, state: {} } })),
    slotMemory
  }
  const kernels: ObjectKernel[] = []
  const plans = new Map([[lowered.bytes, { plan, spec }]])
  const createKernel = (imports: RenderImports): TaskKernel => {
    if (options.kernel !== 'objects') {
      const face = new RenderKernel({ imports })
      return { face, hash: face.hash }
    }
    const face = new ObjectKernel(imports, plans)
    kernels.push(face)
    return { face, hash: xxh64 }
  }
  const runner = createTaskRunner({
    createKernel,
    destination: () => destination,
    files: store,
    decoder: KEYLESS_DECODER,
    clockMs: () => 0,
    deadlineMs: null
  })
  const slot = Buffer.from(slotMemory.buffer)
  const rowsOf = (result: TaskResult): string[][] => {
    const rows: string[][] = []
    for (let row = 0; row < result.rowCount; row++) {
      const at = result.rowIndexStartByte + row * 12
      const startByte = slot.readUInt32LE(at + 4)
      const text = slot.toString('utf8', startByte, startByte + slot.readUInt32LE(at + 8))
      rows.push(text.trimEnd().split('\n'))
    }
    return rows
  }
  return {
    runner,
    slot,
    kernels,
    run: (part) =>
      runner.run(store.task({ slot: { startByte: 0, byteCount: SLOT_BYTES }, ...part })),
    bodies: (result) =>
      result.bodies.map(({ startByte, byteCount }) =>
        slot.toString('utf8', startByte, startByte + byteCount)
      ),
    documents: (result) => rowsOf(result).map(([, document]) => JSON.parse(document ?? '')),
    ids: (result) => rowsOf(result).map(([action]) => JSON.parse(action ?? '').create._id)
  }
}

export interface StepsOutcome {
  /** What is left of the records, without the output's own time field. */
  readonly documents: Record<string, unknown>[]
  readonly result: TaskResult
}

/** Runs records through a list of steps. */
export function runSteps(
  steps: readonly unknown[],
  records: readonly { [key: string]: Plain }[],
  options: Omit<HarnessOptions, 'steps'> = {}
): StepsOutcome {
  const store = new FrameStore()
  store.append([{ entries: records.map((record) => packEntry(record)) }], 1_700_000_000_000)
  const one = harness(store, { ...options, steps, spec: { timeField: null, ...options.spec } })
  const result = one.run()
  return { documents: one.documents(result), result }
}
