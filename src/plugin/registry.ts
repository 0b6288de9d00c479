// Runs on: main.
// Which plugin a `type:` names. Built once from the list of built-ins; two plugins of one name are a programming error.

import { invariant } from '../core/invariant.ts'
import type { AnyDefinition, InputDefinition, OutputDefinition, StepDefinition } from './define.ts'

export interface Registry {
  input(type: string): InputDefinition | undefined
  output(type: string): OutputDefinition | undefined
  /** A `type` of the step `parse`. */
  parser(type: string): StepDefinition | undefined
  /** A step of its own name. */
  filter(name: string): StepDefinition | undefined
  /** In documentation order. */
  readonly all: readonly AnyDefinition[]
  types(kind: AnyDefinition['kind']): readonly string[]
}

export function createRegistry(definitions: readonly AnyDefinition[]): Registry {
  const byKey = new Map<string, AnyDefinition>()
  for (const definition of definitions) {
    const key = `${definition.kind} ${definition.type}`
    invariant(!byKey.has(key), `two plugins are the ${key}`)
    byKey.set(key, definition)
  }
  const find = (kind: AnyDefinition['kind'], type: string) => byKey.get(`${kind} ${type}`)
  return {
    input(type) {
      const definition = find('input', type)
      return definition?.kind === 'input' ? definition : undefined
    },
    output(type) {
      const definition = find('output', type)
      return definition?.kind === 'output' ? definition : undefined
    },
    parser(type) {
      const definition = find('parser', type)
      return definition?.kind === 'parser' ? definition : undefined
    },
    filter(name) {
      const definition = find('filter', name)
      return definition?.kind === 'filter' ? definition : undefined
    },
    all: definitions,
    types: (kind) => definitions.filter((each) => each.kind === kind).map((each) => each.type)
  }
}
