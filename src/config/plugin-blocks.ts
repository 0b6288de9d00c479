// Runs on: main.
// Second pass: the blocks of inputs and outputs by the schema and the rules of their plugins.

import { createHash } from 'node:crypto'
import type { AnyDefinition, ConfigFinding, InputDefinition } from '../plugin/define.ts'
import type { Registry } from '../plugin/registry.ts'
import type { BlockChecker } from './block.ts'
import type { Report } from './convert.ts'
import { wordsHint } from './explain.ts'
import type { ConfigPath } from './findings.ts'
import type { PlaceTree } from './places.ts'
import type { PluginConfig } from './schema.ts'
import { isBlock, type SchemaNode, schemaBelow, schemaNode } from './schema-node.ts'

type Blocks = Readonly<Record<string, Record<string, unknown>>>

/** A listen address and who wants it. */
export interface Listener {
  readonly address: string
  readonly path: ConfigPath
}

export interface CheckedPlugins {
  readonly inputs: Readonly<Record<string, PluginConfig>>
  readonly outputs: Readonly<Record<string, PluginConfig>>
  readonly listeners: readonly Listener[]
  /** `inputs` and `outputs` as written, defaults filled in, secrets masked. */
  readonly shown: Readonly<Record<string, unknown>>
}

/** What both passes over blocks need. */
export interface BlockScope {
  readonly checkSteps: (steps: readonly unknown[]) => readonly ConfigFinding[]
  readonly registry: Registry
  readonly checker: BlockChecker
  readonly places: PlaceTree
  readonly report: Report
}

export function checkPlugins(
  blocks: { readonly inputs: Blocks; readonly outputs: Blocks },
  scope: BlockScope
): CheckedPlugins {
  const inputs = checkKind('inputs', blocks.inputs, scope)
  const outputs = checkKind('outputs', blocks.outputs, scope)
  return {
    inputs: inputs.configs,
    outputs: outputs.configs,
    listeners: inputs.listeners,
    shown: { inputs: inputs.shown, outputs: outputs.shown }
  }
}

function checkKind(kind: 'inputs' | 'outputs', blocks: Blocks, scope: BlockScope) {
  const configs: Record<string, PluginConfig> = {}
  const shown: Record<string, unknown> = {}
  const listeners: Listener[] = []
  for (const [id, block] of Object.entries(blocks)) {
    const { type, parser, ...rest } = block
    // `parser` belongs to every input, so it is no option of a plugin.
    const options = kind === 'inputs' || parser === undefined ? rest : { parser, ...rest }
    if (typeof type !== 'string') continue
    const path = [kind, id]
    const definition = definitionOf(kind, type, path, scope)
    if (definition === undefined) continue
    const { config: schema } = definition
    const checked = scope.checker.check(schema, options, path, scope.places, scope.report)
    shown[id] = { type, ...blockOf(masked(schemaNode(schema), checked.shown)) }
    const { value } = checked
    if (!checked.isValid || !isBlock(value)) continue
    reportRules(rulesOf(definition, value), path, scope.report)
    if (definition.kind !== 'input') {
      configs[id] = { type, config: value }
      continue
    }
    const parse = parser ?? definition.parser?.(value) ?? null
    const checkedParser = parse === null ? null : checkParser(parse, [...path, 'parser'], scope)
    configs[id] = {
      type,
      config: value,
      ...(checkedParser === null ? {} : { parser: checkedParser }),
      ...mappingPart(definition, value)
    }
    if (parser !== undefined) shown[id] = { ...blockOf(shown[id]), parser: checkedParser ?? parser }
    for (const address of definition.listens(value)) listeners.push({ address, path })
  }
  return { configs, shown, listeners }
}

function mappingPart(
  definition: InputDefinition,
  value: Record<string, unknown>
): Pick<PluginConfig, 'mapping'> {
  const mapping = definition.mapping?.(value) ?? null
  return mapping === null ? {} : { mapping }
}

function definitionOf(
  kind: 'inputs' | 'outputs',
  type: string,
  path: ConfigPath,
  { registry, report }: BlockScope
) {
  const definition = kind === 'inputs' ? registry.input(type) : registry.output(type)
  if (definition === undefined) {
    const known = registry.types(kind === 'inputs' ? 'input' : 'output')
    const message = `"${type}" is no type of ${kind}`
    report('MR_CONFIG_REFERENCE', [...path, 'type'], message, wordsHint(type, known))
  }
  return definition
}

/** A parser's name, or its options with `type`; null: it has faults, and they were reported. */
function checkParser(
  given: unknown,
  path: ConfigPath,
  scope: BlockScope
): Record<string, unknown> | null {
  const options = typeof given === 'string' ? { type: given } : given
  const type = isBlock(options) ? options['type'] : undefined
  const definition = typeof type === 'string' ? scope.registry.parser(type) : undefined
  if (definition === undefined) {
    const known = scope.registry.types('parser')
    const message = typeof type === 'string' ? `no parser "${type}"` : 'a parser needs a type'
    scope.report('MR_CONFIG_REFERENCE', path, message, wordsHint(String(type ?? ''), known))
    return null
  }
  const block = scope.checker.check(definition.config, options, path, scope.places, scope.report)
  const { value } = block
  if (!block.isValid || !isBlock(value)) return null
  const findings = scope.checkSteps([{ parse: value }])
  // Paths of a list with one step: number, name, then the option.
  reportRules(
    findings.map((finding) => ({ ...finding, path: finding.path.slice(2) })),
    path,
    scope.report
  )
  return findings.length === 0 ? value : null
}

function rulesOf(
  definition: AnyDefinition,
  value: Record<string, unknown>
): readonly ConfigFinding[] {
  return definition.check?.(value) ?? []
}

/** Faults that a plugin found, at their place in the file. */
export function reportRules(
  findings: readonly ConfigFinding[],
  path: ConfigPath,
  report: Report
): void {
  for (const finding of findings) {
    report('MR_CONFIG_INVALID', [...path, ...finding.path], finding.message, finding.hint ?? null)
  }
}

/** A copy without secrets: `***` and the last two characters of a SHA-256, so that two can be told apart. */
export function masked(schema: SchemaNode | undefined, value: unknown): unknown {
  if (schema === undefined) return value
  if (schema['x-secret'] === true && typeof value === 'string') {
    return `***${createHash('sha256').update(value).digest('hex').slice(-2)}`
  }
  if (Array.isArray(value)) return value.map((item) => masked(schema.items, item))
  if (!isBlock(value)) return value
  const entries = Object.entries(value).map(([key, item]) => [
    key,
    masked(schemaBelow(schema, key), item)
  ])
  return Object.fromEntries(entries)
}

const blockOf = (value: unknown): Record<string, unknown> => (isBlock(value) ? value : {})
