// Runs on: main.
// The parts of a route that name other things: inputs and outputs by id, steps by the name of their plugin.

import type { Registry } from '../plugin/registry.ts'
import type { Report } from './convert.ts'
import { wordsHint } from './explain.ts'
import type { ConfigPath } from './findings.ts'
import { type BlockScope, reportRules } from './plugin-blocks.ts'
import type { DestinationConfig, StepItem } from './schema.ts'
import { isBlock } from './schema-node.ts'
import { DESTINATION_DEFAULTS, type ShellDestination } from './shell.ts'

export interface RouteNames {
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
}

export interface RouteScope extends BlockScope {
  readonly names: RouteNames
}

export function checkNames(
  used: readonly string[],
  known: readonly string[],
  what: 'input' | 'output',
  path: ConfigPath,
  report: Report
): void {
  for (const [index, name] of used.entries()) {
    if (known.includes(name)) continue
    const message = `there is no ${what} "${name}"`
    report('MR_CONFIG_REFERENCE', [...path, index], message, wordsHint(name, known))
  }
}

export function destinationsOf(
  to: unknown,
  path: ConfigPath,
  scope: RouteScope
): DestinationConfig[] {
  const items = Array.isArray(to) ? to : [to]
  const destinations = items.map((item) => destinationOf(item))
  const outputs = destinations.map((each) => each.output)
  checkNames(outputs, scope.names.outputs, 'output', path, scope.report)
  for (const [index, { output }] of destinations.entries()) {
    if (outputs.indexOf(output) < index) {
      const message = `the route names "${output}" twice`
      scope.report('MR_CONFIG_DUPLICATE', [...path, index], message, null)
    }
  }
  for (const [index, { isRequired, lagBytesMax }] of destinations.entries()) {
    if (isRequired && lagBytesMax !== null) {
      const message = 'a required destination is never left behind, so "max_lag_bytes" says nothing'
      const at = [...path, index, 'max_lag_bytes']
      scope.report('MR_CONFIG_INVALID', at, message, 'add required: false, or remove it')
    }
  }
  return destinations
}

/** Items were checked and converted with the route. */
function destinationOf(item: unknown): DestinationConfig {
  if (!isBlock(item)) return { output: String(item), ...DESTINATION_DEFAULTS }
  // Converted by the schema that the type was made from; with faults, only good for finding more of them.
  const block = item as unknown as ShellDestination
  return {
    output: String(block.output),
    isRequired: block.required !== false,
    startAt: block.start_at,
    lagBytesMax: block.max_lag_bytes ?? null,
    parkAfterMs: block.park_after,
    drainOrder: block.drain_order,
    lagThresholdMs: block.lag_threshold,
    backfillShare: block.backfill_share
  }
}

/** Options of each step by the schema of its plugin, then the rules of the whole list. */
export function stepsOf(
  steps: readonly unknown[],
  path: ConfigPath,
  scope: RouteScope
): StepItem[] {
  const faulty = new Set<number>()
  const checked = steps.map((item, index) => {
    if (!isBlock(item)) return {}
    const [name, ...more] = Object.keys(item)
    if (name === undefined || more.length > 0) return item
    const options = item[name]
    const definition = definitionOf(name, options, scope.registry)
    if (definition === undefined) return item
    const at = [...path, index, name]
    const block = scope.checker.check(definition.config, options, at, scope.places, scope.report)
    if (!block.isValid) {
      faulty.add(index)
      return item
    }
    const { value } = block
    if (isBlock(value)) reportRules(definition.check?.(value) ?? [], at, scope.report)
    return { [name]: value }
  })
  // What the schema has found in a step is not said again in other words.
  const findings = scope
    .checkSteps(checked)
    .filter(({ path: [index] }) => typeof index !== 'number' || !faulty.has(index))
  reportRules(findings, path, scope.report)
  return checked
}

function definitionOf(name: string, options: unknown, registry: Registry) {
  if (name !== 'parse') return registry.filter(name)
  const type = isBlock(options) ? options['type'] : undefined
  return typeof type === 'string' ? registry.parser(type) : undefined
}
