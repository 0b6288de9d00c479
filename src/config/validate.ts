// Runs on: main.
// From the merged file to the configuration that the server runs on. Two passes: the shell, then each plugin's block by
// its own schema and rules; then what only shows between blocks. All findings come at once, and nothing is opened,
// bound or touched.

import { resolve } from 'node:path'
import type { ErrorCode } from '../core/errors.ts'
import type { ConfigFinding } from '../plugin/define.ts'
import type { Registry } from '../plugin/registry.ts'
import { BlockChecker } from './block.ts'
import type { Report } from './convert.ts'
import { applyDefaults } from './defaults.ts'
import { encryptionOf } from './encryption.ts'
import { type Finding, formatPath, sortFindings } from './findings.ts'
import type { LoadedConfig } from './load.ts'
import { treeAt } from './places.ts'
import { checkPlugins, masked } from './plugin-blocks.ts'
import type { RouteNames } from './route-parts.ts'
import { checkRoutes } from './routes.ts'
import type { MillraceConfig } from './schema.ts'
import { isBlock, schemaNode } from './schema-node.ts'
import { type Shell, shellSchema } from './shell.ts'
import { adminOf, queueOf, threadsOf } from './shell-values.ts'
import {
  checkAddresses,
  checkAdmin,
  checkDrainOrder,
  checkOwnLog,
  checkShards,
  checkSlots,
  checkUnused
} from './whole.ts'

export interface ValidationEnvironment {
  readonly registry: Registry
  /** Faults in a route's steps beyond the schemas of the steps; paths begin with the index of the step. */
  readonly checkSteps: (steps: readonly unknown[]) => readonly ConfigFinding[]
  /** Cores that the process may use. */
  readonly coreCount: number
  /** Relative directories are below it. */
  readonly workingDirectory: string
}

export interface ValidatedConfig {
  /** Null when there are errors. */
  readonly config: MillraceConfig | null
  /** In the order of the files; warnings among them. */
  readonly findings: readonly Finding[]
  /** As written, with defaults filled in and secrets masked. */
  readonly shown: Readonly<Record<string, unknown>>
}

/** Checks a loaded configuration. Never throws for what a user wrote. */
export function validateConfig(
  loaded: LoadedConfig,
  environment: ValidationEnvironment
): ValidatedConfig {
  const findings = [...loaded.findings]
  const report = reporter(loaded, findings)
  const isReadable = !loaded.findings.some(isFatal)
  if (!isReadable || !isBlock(loaded.data)) {
    if (isReadable)
      report('MR_CONFIG_SYNTAX', [], 'the file holds no keys', 'start with version: 1')
    return { config: null, findings: sortFindings(findings), shown: {} }
  }
  const data = applyDefaults(loaded.data, loaded.places)
  const checker = new BlockChecker()
  const shell = checker.check(shellSchema, data, [], loaded.places, report)
  // A block of the wrong shape was reported by the shell; the passes below see it as empty.
  const blocks = {
    inputs: blocksOf(data['inputs']),
    outputs: blocksOf(data['outputs']),
    routes: blocksOf(data['routes'])
  }
  const names: RouteNames = {
    inputs: Object.keys(blocks.inputs),
    outputs: Object.keys(blocks.outputs)
  }
  const { registry, checkSteps } = environment
  const scope = { registry, checker, checkSteps, places: loaded.places, report }
  const plugins = checkPlugins(blocks, scope)
  const { routes, shown: shownRoutes } = checkRoutes(blocks.routes, { ...scope, names })
  // Converted by the schema that the type was made from.
  const values = shell.value as Shell
  const listen = shell.hasFault('admin') ? [] : values.admin.listen
  checkAdmin(listen, report)
  const keys = shell.hasFault('queue') ? null : encryptionOf(values.queue.encryption, report)
  checkAddresses(plugins.listeners, listen, report)
  // With a faulty route it is not known what is used.
  if (routes.length > 0 && routes.length === Object.keys(blocks.routes).length) {
    checkUnused(routes, names, report)
  }
  const shown = shownConfig(shell.shown, shownRoutes, plugins.shown)
  const config =
    !shell.isValid || findings.some((finding) => finding.level === 'error')
      ? null
      : {
          dataDir: resolve(environment.workingDirectory, values.data_dir),
          baseDir: loaded.baseDir,
          threads: threadsOf(values.threads, environment.coreCount),
          admin: adminOf(values.admin),
          queue: queueOf(values.queue, keys),
          drainTimeoutMs: values.drain_timeout,
          inputs: plugins.inputs,
          routes,
          outputs: plugins.outputs
        }
  if (config !== null) {
    checkShards(config, report)
    checkOwnLog(config, registry, report)
    checkDrainOrder(config, registry, report)
    checkSlots(config, registry, report)
  }
  return finished(config, findings, shown)
}

/** Whether reading failed in a way that makes everything after it a guess. */
const isFatal = (finding: Finding): boolean =>
  finding.level === 'error' &&
  (finding.code === 'MR_CONFIG_SYNTAX' ||
    finding.code === 'MR_CONFIG_DUPLICATE' ||
    (finding.code === 'MR_CONFIG_READ' && finding.path === ''))

function finished(
  config: MillraceConfig | null,
  findings: readonly Finding[],
  shown: Readonly<Record<string, unknown>>
): ValidatedConfig {
  const hasError = findings.some((finding) => finding.level === 'error')
  return {
    config: hasError ? null : config,
    findings: sortFindings(withoutEchoes(findings)),
    shown
  }
}

/** A value that is missing in the environment is empty, and nothing else is worth saying about it. */
function withoutEchoes(findings: readonly Finding[]): Finding[] {
  const missing = new Set(
    findings
      .filter(
        ({ code, path }) => path !== '' && (code === 'MR_CONFIG_ENV' || code === 'MR_CONFIG_READ')
      )
      .map(({ path }) => path)
  )
  return findings.filter(
    ({ code, path }) => code === 'MR_CONFIG_ENV' || code === 'MR_CONFIG_READ' || !missing.has(path)
  )
}

const WARNINGS: ReadonlySet<ErrorCode> = new Set(['MR_CONFIG_UNUSED', 'MR_CONFIG_ALIAS'])
/** Findings about a key; the others are about its value. A missing key is reported at the block that lacks it. */
const ABOUT_KEYS: ReadonlySet<ErrorCode> = new Set([
  'MR_CONFIG_UNKNOWN_KEY',
  'MR_CONFIG_ALIAS',
  'MR_CONFIG_DUPLICATE',
  'MR_CONFIG_MISSING',
  'MR_CONFIG_NO_ROUTES',
  'MR_CONFIG_UNREACHABLE',
  'MR_CONFIG_UNUSED'
])

function reporter(loaded: LoadedConfig, findings: Finding[]): Report {
  return (code, path, message, hint) => {
    const tree = treeAt(loaded.places, path)
    const place = ABOUT_KEYS.has(code) ? tree.key : tree.value
    findings.push({
      level: WARNINGS.has(code) ? 'warning' : 'error',
      code,
      place,
      path: formatPath(path),
      message,
      hint
    })
  }
}

function blocksOf(value: unknown): Readonly<Record<string, Record<string, unknown>>> {
  if (!isBlock(value)) return {}
  const blocks: [string, Record<string, unknown>][] = []
  for (const [id, block] of Object.entries(value)) if (isBlock(block)) blocks.push([id, block])
  return Object.fromEntries(blocks)
}

function shownConfig(
  shell: unknown,
  routes: Readonly<Record<string, unknown>>,
  plugins: Readonly<Record<string, unknown>>
): Record<string, unknown> {
  const schema = schemaNode(shellSchema)
  const { defaults: _, ...rest } = blockOf(masked(schema, shell))
  const all: Record<string, unknown> = { ...rest, ...plugins, routes }
  const order = Object.keys(schema.properties ?? {}).filter((key) => Object.hasOwn(all, key))
  return Object.fromEntries(order.map((key) => [key, all[key]]))
}

const blockOf = (value: unknown): Record<string, unknown> => (isBlock(value) ? value : {})
