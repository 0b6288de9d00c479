// Step 7. Runs on: any. From a list of names to the fields that go.

import type { StepContext, StepOperation } from '../../../src/plugin/step.ts'

export type RemoveConfig = string | readonly string[]

export default function compileRemove(config: RemoveConfig, context: StepContext): StepOperation {
  const names = typeof config === 'string' ? [config] : config
  const keys: string[] = []
  const prefixes: string[] = []
  if (names.length === 0) context.fault([], 'remove names no field')
  for (const [index, name] of names.entries()) {
    const at = typeof config === 'string' ? [] : [index]
    if (name === '*') {
      context.fault(at, "'*' would remove every field", 'use grep to remove the record')
    } else if (name.slice(0, -1).includes('*')) {
      context.fault(at, `'${name}' has a * that is not at its end`, 'only name* is a pattern')
    } else if (name.endsWith('*')) prefixes.push(name.slice(0, -1))
    else keys.push(name)
  }
  return { kind: 'remove', patterns: { keys, prefixes } }
}
