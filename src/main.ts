#!/usr/bin/env -S node --max-semi-space-size=2
// Runs on: main.
// Process entry: the environment of the process, then the command line. The exit code is set and the process ends when
// nothing is left to do.

import './start-environment.ts'
import { runCommandLine } from './cli/program.ts'
import { processEnvironment } from './config/load.ts'

const io = {
  environment: processEnvironment(),
  workingDirectory: process.cwd(),
  out: (text: string) => void process.stdout.write(text),
  error: (text: string) => void process.stderr.write(text)
}

process.exitCode = await runCommandLine(process.argv.slice(2), io, async (config, options) => {
  // Only `run` loads the server.
  const { runServer } = await import('./server/run-server.ts')
  return await runServer(io)(config, options)
})
