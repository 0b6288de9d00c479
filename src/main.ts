#!/usr/bin/env -S node --max-semi-space-size=2
// Runs on: main.
// Process entry: the environment of the process, then the command line. The exit code is set and the process ends when
// nothing is left to do.

import './start-environment.ts'
import { runCommandLine } from './cli/program.ts'
import { processEnvironment } from './config/load.ts'
import { EXIT, errnoOf } from './core/errors.ts'

const words = process.argv.slice(2)

// Who reads our output may leave (`millrace schema | head`, a log shipper that died), or its disk may be full. No router
// ends for that; a command whose result is lost says so with its exit code.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error) => {
    if (words[0] !== 'run' && errnoOf(error) !== 'EPIPE') process.exitCode = EXIT.io
  })
}

const io = {
  environment: processEnvironment(),
  workingDirectory: process.cwd(),
  isTerminal: process.stderr.isTTY === true,
  out: (text: string) => void process.stdout.write(text),
  error: (text: string) => void process.stderr.write(text),
  write: (piece: string | Uint8Array) =>
    new Promise<boolean>((resolve) => {
      process.stdout.write(piece, (error) => resolve(error === null || error === undefined))
    })
}

const exitCode = await runCommandLine(words, io, async (config, options) => {
  // Only `run` loads the server.
  const { runServer } = await import('./server/run-server.ts')
  return await runServer(io)(config, options)
})
if (exitCode !== EXIT.ok) process.exitCode = exitCode
