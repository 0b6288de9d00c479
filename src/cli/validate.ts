// Runs on: main.
// `millrace validate`: every finding at once, exit 78 when there is an error. Opens nothing.

import type { Command } from 'commander'
import { EXIT } from '../core/errors.ts'
import { type CliIo, Exit } from './io.ts'
import { type ConfigOptions, withConfigOptions } from './options.ts'

interface ValidateOptions extends ConfigOptions {
  readonly denyWarnings?: boolean
  readonly json?: boolean
}

export function addValidate(program: Command, io: CliIo): void {
  withConfigOptions(program.command('validate'))
    .description('check a configuration and show all findings')
    .argument('[files...]', 'configuration files, each a configuration of its own')
    .option('--deny-warnings', 'fail on warnings too')
    .option('--json', 'findings as JSON on stdout')
    .action((files: string[], options: ValidateOptions) => validate(files, options, io))
}

/** Files on the line are looked at one by one; `-c` files are one configuration. */
async function validate(
  files: readonly string[],
  options: ValidateOptions,
  io: CliIo
): Promise<void> {
  const { findingLines, readConfig } = await import('./config-source.ts')
  const single = { config: [] }
  const read =
    files.length === 0
      ? [readConfig([], options, io)]
      : files.map((file) => readConfig([file], single, io))
  const reports = read.map(({ config, findings, files }) => ({
    valid: config !== null && !(options.denyWarnings === true && findings.length > 0),
    files,
    findings
  }))
  if (options.json === true) {
    io.out(`${JSON.stringify({ valid: reports.every(({ valid }) => valid), reports }, null, 2)}\n`)
  } else {
    for (const { valid, files, findings } of reports) {
      io.error(findingLines(findings))
      if (valid) io.out(`${files.join(', ')}: valid\n`)
    }
  }
  if (!reports.every(({ valid }) => valid)) throw new Exit(EXIT.config)
}
