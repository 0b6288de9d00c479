// Runs on: main.
// What commands see of the world, so that tests run them without a process. Results go to stdout, all else to stderr.

import type { Environment } from '../config/load.ts'

export interface CliIo {
  readonly environment: Environment
  readonly workingDirectory: string
  out(text: string): void
  error(text: string): void
  /** Whether a person reads what goes to stderr: progress is shown to people only. */
  readonly isTerminal?: boolean
  /** A piece of a long result; settles when more may come. False: whoever reads it has left. */
  write(piece: string | Uint8Array): Promise<boolean>
}

/** Ends a command: what it was asked for is done, and this is the exit code. */
export class Exit extends Error {
  override readonly name = 'Exit'
  readonly exitCode: number

  constructor(exitCode: number) {
    super(`exit ${exitCode}`)
    this.exitCode = exitCode
  }
}

/** Ends a command with a code that something else decided; 0 lets it end by itself. */
export function exitWith(exitCode: number): void {
  if (exitCode !== 0) throw new Exit(exitCode)
}
