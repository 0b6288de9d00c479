// Step 7. Runs on: any. From the options of set to its assignments.

import { parseFieldPath } from '../../../src/plugin/field-path.ts'
import type { JsonValue, SetValue, StepContext, StepOperation } from '../../../src/plugin/step.ts'

/** `if_missing` is the one name that is an option; all others are fields. */
export type SetConfig = Readonly<Record<string, JsonValue>>

export default function compileSet(config: SetConfig, context: StepContext): StepOperation {
  const assignments: { key: string; value: SetValue }[] = []
  for (const name of Object.keys(config)) {
    const value = config[name]
    if (name === 'if_missing' || value === undefined) continue
    const path = parseFieldPath(name)
    const key = path?.[0]
    if (path === null || path.length !== 1 || typeof key !== 'string') {
      context.fault(
        [name],
        `'${name}' is not the name of a top-level field`,
        `for a name with a dot write '["${name}"]'`
      )
      continue
    }
    assignments.push({ key, value: assignedValue(name, value, context) })
  }
  if (Object.keys(config).every((name) => name === 'if_missing')) {
    context.fault([], 'set assigns nothing', 'write field: value')
  }
  return { kind: 'set', assignments, isOnlyMissing: config['if_missing'] === true }
}

function assignedValue(name: string, value: JsonValue, context: StepContext): SetValue {
  if (typeof value !== 'string' || !value.includes('$')) return { kind: 'constant', value }
  const template = context.template(value, [name])
  if (template === null) return { kind: 'constant', value }
  return { kind: 'template', template }
}
