// Runs on: main.
// The whole configuration file as one JSON Schema (draft 2020-12): the shell, and for each `type` the plugin's options.

import type { AnyDefinition } from '../plugin/define.ts'
import type { Registry } from '../plugin/registry.ts'
import { isBlock, type SchemaNode, schemaNode } from './schema-node.ts'
import { routeSchema, shellSchema } from './shell.ts'

export function jsonSchema(registry: Registry): Record<string, unknown> {
  const shell = published(schemaNode(shellSchema))
  const properties = isBlock(shell['properties']) ? shell['properties'] : {}
  const route = published(schemaNode(routeSchema))
  const routeProperties = isBlock(route['properties']) ? route['properties'] : {}
  const steps = {
    ...(isBlock(routeProperties['steps']) ? routeProperties['steps'] : {}),
    items: { oneOf: stepsOf(registry) }
  }
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Configuration of Millrace',
    ...shell,
    properties: {
      ...properties,
      inputs: blocks(properties['inputs'], instancesOf(registry, 'input')),
      routes: blocks(properties['routes'], {
        ...route,
        properties: { ...routeProperties, steps }
      }),
      outputs: blocks(properties['outputs'], instancesOf(registry, 'output'))
    },
    required: ['version', 'routes', 'outputs']
  }
}

function blocks(map: unknown, item: unknown): Record<string, unknown> {
  return { ...(isBlock(map) ? map : {}), additionalProperties: item }
}

function instancesOf(registry: Registry, kind: 'input' | 'output'): Record<string, unknown> {
  const definitions = registry.all.filter((each) => each.kind === kind)
  return { oneOf: definitions.map((definition) => instanceOf(definition)) }
}

/** Every input has it; the options are those of the step `parse`. */
const PARSER_SCHEMA = {
  type: ['string', 'object'],
  description:
    'Parser that records of this input go through before the steps of a route: its name, or the options of a parse step.'
}

function instanceOf(definition: AnyDefinition): Record<string, unknown> {
  const schema = published(schemaNode(definition.config))
  const properties = isBlock(schema['properties']) ? schema['properties'] : {}
  const required = Array.isArray(schema['required']) ? schema['required'] : []
  // YAML reads `type: null` as nothing, which names the output `null`.
  const names = definition.type === 'null' ? ['null', null] : [definition.type]
  return {
    ...schema,
    title: definition.type,
    description: definition.summary,
    properties: {
      type: { enum: names, description: definition.summary },
      ...(definition.kind === 'input' ? { parser: PARSER_SCHEMA } : {}),
      ...properties
    },
    required: ['type', ...required]
  }
}

function stepsOf(registry: Registry): Record<string, unknown>[] {
  const parsers = registry.all.filter((each) => each.kind === 'parser')
  const filters = registry.all.filter((each) => each.kind === 'filter')
  const step = (name: string, options: unknown) => ({
    type: 'object',
    properties: { [name]: options },
    required: [name],
    additionalProperties: false
  })
  return [
    step('parse', { oneOf: parsers.map((each) => published(schemaNode(each.config))) }),
    ...filters.map((each) => step(each.type, published(schemaNode(each.config))))
  ]
}

/** A copy for editors: what has a default is not required, and our annotations of conversion are left out. */
function published(schema: SchemaNode): Record<string, unknown> {
  const copy: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(schema)) {
    if (key === 'required') continue
    if (key.startsWith('x-') && key !== 'x-since') continue
    if (key === 'properties' && isBlock(value)) {
      const properties = Object.entries(value).map(([name, node]) => [
        name,
        isBlock(node) ? published(schemaNode(node)) : node
      ])
      copy[key] = Object.fromEntries(properties)
    } else if ((key === 'items' || key === 'additionalProperties') && isBlock(value)) {
      copy[key] = published(schemaNode(value))
    } else copy[key] = value
  }
  const required = (schema.required ?? []).filter(
    (name) => schema.properties?.[name]?.default === undefined
  )
  if (required.length > 0) copy['required'] = required
  return copy
}
