// Runs on: main.
// Options that several commands share, and options that a variable of the environment may set.

import { type Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import type { Environment } from '../config/load.ts'

export interface ConfigOptions {
  /** `-c`, in order. */
  readonly config: readonly string[]
  readonly configDir?: string
}

export interface AdminOptions {
  /** `http://host:port`, `host:port` or `unix:///path`. */
  readonly admin: string
  readonly token?: string
}

/** Adds the options that say where the configuration is; MILLRACE_CONFIG is read with the files. */
export function withConfigOptions(command: Command): Command {
  return command
    .option('-c, --config <file>', 'configuration file; may be repeated', collect, [])
    .option('--config-dir <directory>', 'directory of *.yaml, *.yml and *.json files')
}

const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value]

/** An option that `variable` sets where the command line does not. */
export class VariableOption extends Option {
  readonly variable: string

  constructor(flags: string, description: string, variable: string) {
    super(flags, `${description} (${variable})`)
    this.variable = variable
  }
}

/** Takes variables for the options that the command line left open, by the same rules as words of the command line. */
export function applyVariables(command: Command, environment: Environment): void {
  for (const option of command.options) {
    if (!(option instanceof VariableOption)) continue
    const text = environment[option.variable]
    const name = option.attributeName()
    const source = command.getOptionValueSource(name)
    if (text === undefined || text === '' || (source !== undefined && source !== 'default'))
      continue
    try {
      const value: unknown = option.parseArg?.(text, undefined) ?? text
      command.setOptionValueWithSource(name, value, 'env')
    } catch (error) {
      if (!(error instanceof CommanderError)) throw error
      command.error(`error: ${option.variable}=${text} is invalid. ${error.message}`)
    }
  }
}

/** Adds the options that say where the running server answers. */
export function withAdminOptions(command: Command): Command {
  const address = 'address of the admin server: host:port or unix:///path'
  const token = 'bearer token of the admin server'
  return command
    .addOption(
      new VariableOption('--admin <address>', address, 'MILLRACE_ADMIN').default('127.0.0.1:9480')
    )
    .addOption(new VariableOption('--token <token>', token, 'MILLRACE_ADMIN_TOKEN'))
}

/** Where a command finds the files of a queue. */
export interface DirectoryOptions extends AdminOptions, ConfigOptions {
  readonly dataDir?: string
}

/** Adds the options that say which data directory is meant. */
export function withDirectoryOptions(command: Command): Command {
  const directory =
    'data directory, or a copy of one; default: that of the configuration or of the running server'
  return withConfigOptions(withAdminOptions(command)).addOption(
    new VariableOption('--data-dir <directory>', directory, 'MILLRACE_DATA_DIR')
  )
}

/** For options that take a whole number from 1. */
export function wholeNumber(text: string): number {
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw new InvalidArgumentError('write a whole number from 1')
  return Number(text)
}
