// Step 7. Runs on: pool.
// JavaScript steps: the record crosses as JSON text of the declared fields. What the module throws, returns by promise or
// cannot put into JSON is a failure of the step, never of the thread.

import { MillraceError } from '../core/errors.ts'
import type { JsAnswer } from '../kernel/render-face.ts'
import type { ScriptContext, ScriptStep } from '../plugin/step.ts'

/** A step module as a destination runs it. */
export interface ScriptStage {
  readonly step: ScriptStep
  readonly context: ScriptContext
}

const UNCHANGED: JsAnswer = { kind: 'unchanged' }
const DROP: JsAnswer = { kind: 'drop' }
const FAILED: JsAnswer = { kind: 'failed' }

/** Integers that a double may not hold have at least so many digits. */
const LONG_NUMBER = /\d{16}/
const INTEGER = /^-?\d+$/

export function runScript(stage: ScriptStage, json: string): JsAnswer {
  const { step, context } = stage
  try {
    const answer = step.run(parseRecord(json, step.bigints === true), context)
    if (answer === undefined) return UNCHANGED
    if (answer === null || answer === false) return DROP
    if (typeof answer !== 'object' || Array.isArray(answer) || 'then' in answer) return FAILED
    if (!isAllowed(answer, step.writes)) return FAILED
    const text = JSON.stringify(answer, writeBigint)
    if (text === undefined || !text.startsWith('{')) return FAILED
    return { kind: step.reads === '*' ? 'replace' : 'changes', json: text }
  } catch {
    // Whatever the module threw, the record takes the step's on_failure and is counted.
    return FAILED
  }
}

/** The default export of a step module; throws MR_TASK for anything else. */
export function asScriptStep(exported: unknown, url: string): ScriptStep {
  if (isScriptStep(exported)) return exported
  throw new MillraceError(
    'MR_TASK',
    `${url} has no step as its default export; write export default definePlugin({kind: 'step', ...})`
  )
}

function isScriptStep(value: unknown): value is ScriptStep {
  return (
    typeof value === 'object' &&
    value !== null &&
    'kind' in value &&
    value.kind === 'step' &&
    'run' in value &&
    typeof value.run === 'function' &&
    'reads' in value &&
    isNames(value.reads) &&
    'writes' in value &&
    isNames(value.writes)
  )
}

function isNames(value: unknown): boolean {
  return value === '*' || (Array.isArray(value) && value.every((name) => typeof name === 'string'))
}

function isAllowed(answer: object, writes: ScriptStep['writes']): boolean {
  return writes === '*' || Object.keys(answer).every((key) => writes.includes(key))
}

type SourceReviver = (key: string, value: unknown, context: { source?: string }) => unknown
/** lib.es2024 does not know the third argument of revivers nor `JSON.rawJSON`; Node 24 has both. */
const parseWithSource = JSON.parse as (
  text: string,
  reviver: SourceReviver
) => Record<string, unknown>
const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown }

function parseRecord(json: string, isBigint: boolean): Record<string, unknown> {
  if (!LONG_NUMBER.test(json)) return JSON.parse(json)
  return parseWithSource(json, (_key, value, { source }) => {
    if (typeof value !== 'number' || source === undefined || Number.isSafeInteger(value))
      return value
    if (!INTEGER.test(source)) return value
    return isBigint ? BigInt(source) : source
  })
}

function writeBigint(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? rawJSON(String(value)) : value
}
