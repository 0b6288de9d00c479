// Runs a command line in this process and keeps what it wrote.

import { runCommandLine } from '../../src/cli/program.ts'
import type { RunServer } from '../../src/cli/run.ts'

export interface CommandResult {
  readonly exitCode: number
  readonly out: string
  readonly error: string
}

export interface CommandWorld {
  readonly workingDirectory?: string
  readonly environment?: Readonly<Record<string, string>>
  readonly runServer?: RunServer
}

export async function command(
  words: readonly string[],
  { workingDirectory = '/nowhere', environment = {}, runServer }: CommandWorld = {}
): Promise<CommandResult> {
  let out = ''
  let error = ''
  const io = {
    environment,
    workingDirectory,
    out: (text: string) => {
      out += text
    },
    error: (text: string) => {
      error += text
    },
    write: async (piece: string | Uint8Array) => {
      out += typeof piece === 'string' ? piece : Buffer.from(piece).toString('latin1')
      return true
    }
  }
  const noServer: RunServer = () => Promise.reject(new Error('no server was to be started'))
  const exitCode = await runCommandLine(words, io, runServer ?? noServer)
  return { exitCode, out, error }
}
