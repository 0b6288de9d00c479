// Runs on: main.
// `millrace config`: the merged configuration as YAML, defaults filled in, secrets masked.

import type { Command } from 'commander'
import { DEFAULT_CONFIG_NAME, DEFAULT_CONFIG_TEXT } from '../config/default-config.ts'
import { EXIT } from '../core/errors.ts'
import { type CliIo, Exit } from './io.ts'
import { type ConfigOptions, withConfigOptions } from './options.ts'

interface ShowOptions extends ConfigOptions {
  readonly full?: boolean
}

export function addConfig(program: Command, io: CliIo): void {
  withConfigOptions(program.command('config'))
    .description('print the merged configuration, secrets masked; without a file the built-in one')
    .argument('[files...]', 'configuration files, read as one')
    .option('--full', 'fill in the defaults of the built-in configuration too')
    .action((files: string[], options: ShowOptions) => show(files, options, io))
}

async function show(files: readonly string[], options: ShowOptions, io: CliIo): Promise<void> {
  const { findingLines, readConfig } = await import('./config-source.ts')
  const { config, findings, shown, files: read } = readConfig(files, options, io)
  io.error(findingLines(findings))
  if (config === null) throw new Exit(EXIT.config)
  // The built-in one is printed as it is written: a file to start from.
  if (read[0] === DEFAULT_CONFIG_NAME && options.full !== true) io.out(DEFAULT_CONFIG_TEXT)
  else {
    const { stringify } = await import('yaml')
    io.out(stringify(shown, { lineWidth: 100 }))
  }
}
