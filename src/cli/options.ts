// Runs on: main.
// Options that several commands share. Each has a variable `MILLRACE_...` in the environment.

import { type Command, InvalidArgumentError, Option } from 'commander'

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

/** Adds the options that say where the running server answers. */
export function withAdminOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--admin <address>', 'address of the admin server: host:port or unix:///path')
        .default('127.0.0.1:9480')
        .env('MILLRACE_ADMIN')
    )
    .addOption(
      new Option('--token <token>', 'bearer token of the admin server').env('MILLRACE_ADMIN_TOKEN')
    )
}

/** For options that take a whole number from 1. */
export function wholeNumber(text: string): number {
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw new InvalidArgumentError('write a whole number from 1')
  return Number(text)
}
