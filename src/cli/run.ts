// Runs on: main.
// `millrace run`: reads and checks the configuration, then hands over to the server. With a fault in the configuration
// no socket is opened and no queue is touched.

import type { Command } from 'commander'
import type { MillraceConfig } from '../config/schema.ts'
import { type CliIo, exitWith } from './io.ts'
import { type ConfigOptions, VariableOption, withConfigOptions } from './options.ts'

export interface RunOptions extends ConfigOptions {
  readonly drainOnly?: boolean
  readonly skipLocked?: boolean
  readonly dryRun?: boolean
  readonly logLevel: string
  readonly logFormat: 'json' | 'pretty'
}

/** What the server is told besides the configuration. */
export interface ServerOptions {
  /** No listeners: deliver what is stored, then end. */
  readonly isDrainOnly: boolean
  /** Start although keys of encrypted segments are missing; what they hold stays pending. */
  readonly isLockedSkipped: boolean
  readonly logLevel: string
  readonly logFormat: 'json' | 'pretty'
  /** Names of the files that were read; the built-in configuration has one too. */
  readonly configFiles: readonly string[]
}

/** Runs a server until it stops by itself or by a signal; settles with the exit code. */
export type RunServer = (config: MillraceConfig, options: ServerOptions) => Promise<number>

export function addRun(program: Command, io: CliIo, runServer: RunServer): void {
  withConfigOptions(program.command('run'))
    .description('run the server')
    .argument('[files...]', 'configuration files, read as one')
    .option(
      '--drain-only',
      'open no listener; exit 0 when all queues are empty, 75 when time is up'
    )
    .option(
      '--skip-locked',
      'start without the keys of some encrypted segments; what they hold stays stored and pending'
    )
    .option('--dry-run', 'check the configuration and exit')
    .addOption(
      new VariableOption('--log-level <level>', 'least level that is logged', 'MILLRACE_LOG_LEVEL')
        .choices(['debug', 'info', 'warn', 'error'])
        .default('info')
    )
    .addOption(
      new VariableOption(
        '--log-format <format>',
        'format of the log: json, or pretty for people',
        'MILLRACE_LOG_FORMAT'
      )
        .choices(['json', 'pretty'])
        .default('json')
    )
    .action((files: string[], options: RunOptions) => run(files, options, io, runServer))
}

async function run(
  files: readonly string[],
  options: RunOptions,
  io: CliIo,
  runServer: RunServer
): Promise<void> {
  const { requireConfig } = await import('./config-source.ts')
  const { config, files: configFiles } = requireConfig(files, options, io)
  if (options.dryRun === true) {
    io.out(`${configFiles.join(', ')}: valid\n`)
    return
  }
  exitWith(
    await runServer(config, {
      isDrainOnly: options.drainOnly === true,
      isLockedSkipped: options.skipLocked === true,
      logLevel: options.logLevel,
      logFormat: options.logFormat,
      configFiles
    })
  )
}
