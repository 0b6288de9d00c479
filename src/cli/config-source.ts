// Runs on: main.
// Reads and checks the configuration for every command that needs it. Loads all plugins, so commands import it when they
// run and not when the program is put together.

import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { BUILT_INS } from '../../plugins/index.ts'
import stepCompilers from '../../plugins/steps.ts'
import { type Finding, formatFinding } from '../config/findings.ts'
import { loadConfig } from '../config/load.ts'
import type { MillraceConfig } from '../config/schema.ts'
import { type ValidatedConfig, validateConfig } from '../config/validate.ts'
import { EXIT } from '../core/errors.ts'
import { compileTemplate } from '../core/template.ts'
import { createRegistry } from '../plugin/registry.ts'
import { checkSteps } from '../steps/compile.ts'
import { type CliIo, Exit } from './io.ts'
import type { ConfigOptions } from './options.ts'

export interface ReadConfig extends ValidatedConfig {
  /** Files that were read, as the user named them. */
  readonly files: readonly string[]
}

/** Values that templates of steps are checked with; the real ones are known when the server starts. */
const ANY_CONSTANTS = { hostname: 'host', uuid: 'uuid', dataDir: '/data' }

/** Reads and checks the configuration. Opens no socket and no queue. */
export function readConfig(
  files: readonly string[],
  options: ConfigOptions,
  io: CliIo
): ReadConfig {
  const loaded = loadConfig({
    files: [...options.config, ...files],
    directory: options.configDir ?? null,
    environment: io.environment,
    workingDirectory: io.workingDirectory
  })
  const resolveModule = (path: string) => pathToFileURL(resolve(loaded.baseDir, path)).href
  const validated = validateConfig(loaded, {
    registry: createRegistry(BUILT_INS),
    checkSteps: (steps) =>
      checkSteps(steps, {
        compilers: stepCompilers,
        compileTemplate: (source) => compileTemplate(source, ANY_CONSTANTS, 'text'),
        resolveModule
      }),
    coreCount: availableParallelism(),
    workingDirectory: io.workingDirectory
  })
  return { ...validated, files: loaded.files }
}

/** The configuration, or its findings on stderr and exit 78. Warnings are shown in any case. */
export function requireConfig(
  files: readonly string[],
  options: ConfigOptions,
  io: CliIo
): { config: MillraceConfig; files: readonly string[] } {
  const { config, findings, files: read } = readConfig(files, options, io)
  io.error(findingLines(findings))
  if (config === null) throw new Exit(EXIT.config)
  return { config, files: read }
}

export const findingLines = (findings: readonly Finding[]): string =>
  findings.map((finding) => `${formatFinding(finding)}\n`).join('')
