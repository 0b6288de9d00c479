// Runs on: main.
// The command line as a whole: subcommands, texts, and which failure gives which exit code. Commands load what they need
// when they run, so that `healthcheck` starts fast.

import { Command, CommanderError } from 'commander'
import { type ErrorCode, EXIT, MillraceError } from '../core/errors.ts'
import { addConfig } from './config.ts'
import { addDlq } from './dlq.ts'
import { addHealthcheck } from './healthcheck.ts'
import { type CliIo, Exit } from './io.ts'
import { addJobs } from './jobs.ts'
import { applyVariables } from './options.ts'
import { packageVersion } from './package-version.ts'
import { addQueue } from './queue.ts'
import { addRun, type RunServer } from './run.ts'
import { addSchema } from './schema.ts'
import { addValidate } from './validate.ts'

/** Runs one command line (without the names of node and script); settles with the exit code. */
export async function runCommandLine(
  words: readonly string[],
  io: CliIo,
  runServer: RunServer
): Promise<number> {
  const program = createProgram(io, runServer)
  try {
    await program.parseAsync(words, { from: 'user' })
    return EXIT.ok
  } catch (error) {
    if (error instanceof Exit) return error.exitCode
    // Help and version end this way too, with 0; commander has written the text.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
    if (!(error instanceof MillraceError)) throw error
    io.error(`${error.code} ${error.message}\n`)
    return exitCodeOf(error.code)
  }
}

/** All commands, without running any. */
export function createProgram(io: CliIo, runServer: RunServer): Command {
  const program = new Command('millrace')
    .description('Central log router: no acknowledged record is ever lost.')
    .version(packageVersion(), '-V, --version')
    .exitOverride()
    .configureOutput({ writeOut: (text) => io.out(text), writeErr: (text) => io.error(text) })
    .showSuggestionAfterError()
    .helpCommand(false)
    .hook('preAction', (_, command) => applyVariables(command, io.environment))
  addRun(program, io, runServer)
  addValidate(program, io)
  addConfig(program, io)
  addSchema(program, io)
  addHealthcheck(program, io)
  addQueue(program, io)
  addDlq(program, io)
  addJobs(program, io)
  for (const command of program.commands) inherit(command)
  return program
}

/** Commander copies its settings to subcommands only when they are made through the parent; nested ones need it too. */
function inherit(command: Command): void {
  command.exitOverride()
  for (const child of command.commands) inherit(child)
}

/** Exit code by the reason why a command ends (sysexits). */
export function exitCodeOf(code: ErrorCode): number {
  if (code.startsWith('MR_CONFIG_')) return EXIT.config
  switch (code) {
    case 'MR_USAGE':
      return EXIT.usage
    case 'MR_LISTEN':
      return EXIT.unavailable
    case 'MR_STORE_LOCKED':
      return EXIT.temporary
    case 'MR_STORE_LOCK':
    case 'MR_STORE_META':
    case 'MR_STORE_VOLUME':
    case 'MR_STORE_FORMAT':
    case 'MR_STORE_KEY':
    case 'MR_STORE_IO':
    case 'MR_STORE_FULL':
      return EXIT.io
    default:
      return EXIT.failure
  }
}
