// Runs on: main.
// Makes the parts of the documentation that follow from the code: options, metrics, the command line. `npm run docs`
// writes them, test/docs.test.ts compares them, so the pages cannot lie.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { BUILT_INS } from '../plugins/index.ts'
import { createProgram } from '../src/cli/program.ts'
import { jsonSchema } from '../src/config/json-schema.ts'
import { type SchemaNode, schemaNode, typesOf } from '../src/config/schema-node.ts'
import { routeSchema, shellSchema } from '../src/config/shell.ts'
import { METRICS } from '../src/metrics/catalog.ts'
import type { AnyDefinition } from '../src/plugin/define.ts'
import { createRegistry } from '../src/plugin/registry.ts'

const ROOT = join(import.meta.dirname, '..')
const START = '<!-- options: made by npm run docs -->'
const END = '<!-- /options -->'
const NOTE = '<!-- Made by npm run docs; changes here are lost. -->'

/** Folder of a plugin below plugins/. */
export const folderOf = ({ kind, type }: AnyDefinition): string => `plugins/${kind}s/${type}`

/** Every generated file: path from the root, and what it should hold. */
export function generatedFiles(): ReadonlyMap<string, string> {
  const files = new Map<string, string>()
  files.set('docs/reference/options.md', optionsPage())
  files.set('docs/reference/metrics.md', metricsPage())
  files.set('docs/reference/cli.md', cliPage())
  files.set('docs/reference/config.schema.json', schemaText())
  for (const definition of BUILT_INS) {
    const path = `${folderOf(definition)}/README.md`
    files.set(path, readmeWith(path, definition))
  }
  return files
}

function optionsPage(): string {
  const shell = schemaNode(shellSchema)
  const lines = [
    '# Options',
    NOTE,
    '',
    'One YAML file. Sizes are written `512KiB`, `8MiB`, `1g` or as bytes; durations `250ms`, `5s`, `1h30m` or as seconds.',
    'Values may hold `${NAME}`, `${NAME:-default}`, `${NAME:?message}` (environment) and `${file:/path}` (content of a',
    'file). `millrace validate` shows all mistakes at once. [config.schema.json](config.schema.json) is the JSON Schema for',
    'editors; `millrace schema` prints it.',
    '',
    '## The file',
    '',
    ...tableOf(shell),
    '',
    '## A route',
    '',
    'At most one of `match`, `match_glob` and `match_regex`.',
    '',
    ...tableOf(schemaNode(routeSchema)),
    ''
  ]
  for (const [kind, title] of KINDS) {
    lines.push(`## ${title}`, '', '| Type | Stability | Summary |', '|---|---|---|')
    for (const each of BUILT_INS.filter((definition) => definition.kind === kind)) {
      const link = `[\`${each.type}\`](../../${folderOf(each)}/README.md)`
      lines.push(`| ${link} | ${each.stability} | ${each.summary} |`)
    }
    lines.push('')
    if (kind === 'input') lines.push(INPUT_PARSER, '')
  }
  return lines.join('\n')
}

const INPUT_PARSER =
  'Every input takes `parser`, the name of a parser or the options of a `parse` step: its records go through it in every route, before the steps of the route. It runs behind the queue, so an acknowledgement never waits for it.'

const KINDS = [
  ['input', 'Inputs'],
  ['parser', 'Parsers (`type` of the step `parse`)'],
  ['filter', 'Other steps'],
  ['output', 'Outputs']
] as const

/** Rows for the options of a schema and of the blocks below it. */
function tableOf(schema: SchemaNode): string[] {
  const rows = rowsOf(schema, '')
  if (rows.length === 0 && schema['x-unit'] === 'list') return [`A list. ${schema.description}`]
  if (rows.length === 0) return [schema.description ?? 'No options.']
  return ['| Option | Value | Default | Meaning |', '|---|---|---|---|', ...rows]
}

function rowsOf(schema: SchemaNode, prefix: string): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, node]) => {
    const isRequired =
      schema.required?.includes(name) === true && node.default === undefined ? 'required' : ''
    const cells = [
      `\`${prefix}${name}\``,
      kindOf(node),
      isRequired || defaultOf(node),
      meaningOf(node)
    ]
    return [`| ${cells.map(cell).join(' | ')} |`, ...rowsOf(node, `${prefix}${name}.`)]
  })
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ')

function kindOf(node: SchemaNode): string {
  if (node.enum !== undefined) return node.enum.map((value) => `\`${String(value)}\``).join(', ')
  if (node.const !== undefined) return `\`${String(node.const)}\``
  const range = rangeOf(node)
  switch (node['x-unit']) {
    case 'bytes':
      return `size${range}`
    case 'duration':
      return `duration${range}`
    case 'listen':
      return 'address or list'
    case 'list':
      return 'text or list'
    default:
  }
  if (node['x-template'] !== undefined) return 'template'
  if (node['x-secret'] === true) return 'secret'
  const types = typesOf(node).map((type) => TYPE_NAMES[type] ?? type)
  return types.length === 0 ? 'any' : `${types.join(' or ')}${range}`
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  string: 'text',
  integer: 'number',
  number: 'number',
  boolean: '`true`, `false`',
  array: 'list',
  object: 'block',
  null: 'nothing'
}

function rangeOf(node: SchemaNode): string {
  const min = node['x-min'] ?? (node['x-unit'] === undefined ? node.minimum : undefined)
  const max = node['x-max'] ?? node.maximum
  if (min !== undefined && max !== undefined) return `, ${min} to ${max}`
  if (min !== undefined) return `, from ${min}`
  return max === undefined ? '' : `, to ${max}`
}

function defaultOf(node: SchemaNode): string {
  const value = node.default
  if (value === undefined || value === null) return ''
  if (typeof value === 'object') {
    const text = JSON.stringify(value)
    return text === '{}' || text === '[]' ? '' : `\`${text}\``
  }
  return value === '' ? '`""`' : `\`${String(value)}\``
}

function meaningOf(node: SchemaNode): string {
  const aliases = node['x-alias'] ?? []
  if (aliases.length === 0) return node.description ?? ''
  const names = aliases.map((alias) => `\`${alias}\``).join(', ')
  return `${node.description ?? ''} Also read as ${names}.`
}

/** The page of a plugin with its option table put between the markers; a page without markers gets them at its end. */
function readmeWith(path: string, definition: AnyDefinition): string {
  const schema = schemaNode(definition.config)
  const table = [START, '', ...tableOf(schema), '', END].join('\n')
  const file = join(ROOT, path)
  const title = `# ${definition.type}\n\n${definition.summary}\n`
  const text = existsSync(file) ? readFileSync(file, 'utf8') : title
  const from = text.indexOf(START)
  const to = text.indexOf(END)
  if (from === -1 || to === -1) return `${text.trimEnd()}\n\n## Options\n\n${table}\n`
  return `${text.slice(0, from)}${table}${text.slice(to + END.length)}`
}

/** For editors: `# yaml-language-server: $schema=<path or URL of this file>`. */
const schemaText = (): string =>
  `${JSON.stringify(jsonSchema(createRegistry(BUILT_INS)), null, 2)}\n`

function metricsPage(): string {
  const lines = [
    '# Metrics',
    NOTE,
    '',
    '`GET /metrics` of the admin server. Every name starts with `millrace_`. Label values are bounded by the configuration:',
    'tags, indices, groups and clients never become labels.',
    '',
    '| Name | Kind | Labels | Meaning |',
    '|---|---|---|---|'
  ]
  for (const { name, kind, labels, help } of METRICS) {
    const shown = labels.map((label) => `\`${label}\``).join(', ')
    lines.push(`| ${[`\`${name}\``, kind, shown, help].map(cell).join(' | ')} |`)
  }
  return `${lines.join('\n')}\n`
}

function cliPage(): string {
  const io = {
    environment: {},
    workingDirectory: '/',
    out: () => {},
    error: () => {},
    write: async () => true
  }
  const program = createProgram(io, () => Promise.resolve(0))
  const lines = [
    '# Command line',
    NOTE,
    '',
    'Exit codes: 0 done, 1 ran with a negative result, 64 usage, 69 a listener is not to be had, 74 the data directory is',
    'unusable, 75 try again later (locked, or `--drain-only` ran out of time), 78 configuration invalid. A name in capitals',
    'is the variable of the environment that sets the option where the command line does not.',
    ''
  ]
  for (const command of program.commands) lines.push(...commandLines(command, 'millrace'))
  return `${lines.join('\n').trimEnd()}\n`
}

function commandLines(command: Command, parent: string): string[] {
  const name = `${parent} ${command.name()}`
  if (command.commands.length > 0) {
    return command.commands
      .filter((child) => child.name() !== 'help')
      .flatMap((child) => commandLines(child, name))
  }
  const lines = [`## ${name}`, '', sentence(command.description()), '']
  lines.push('```', `${name} ${command.usage()}`.trim(), '```', '')
  const rows = command.options.map((option) => {
    const value: unknown = option.defaultValue
    const isShown = value !== undefined && !Array.isArray(value)
    const shown = isShown ? `\`${String(value)}\`` : ''
    return `| ${[`\`${option.flags}\``, shown, sentence(option.description)].map(cell).join(' | ')} |`
  })
  if (rows.length > 0) {
    lines.push('| Option | Default | Meaning |', '|---|---|---|', ...rows, '')
  }
  return lines
}

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`

if (import.meta.main) {
  for (const [path, text] of generatedFiles()) writeFileSync(join(ROOT, path), text)
}
