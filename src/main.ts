#!/usr/bin/env node
// Runs on: main.
// Process entry: the environment of the process, then the command line. The exit code is set and the process ends when
// nothing is left to do.

import './start-environment.ts'
import { runCommandLine } from './cli/program.ts'
import { processEnvironment } from './config/load.ts'

process.exitCode = await runCommandLine(
  process.argv.slice(2),
  {
    environment: processEnvironment(),
    workingDirectory: process.cwd(),
    out: (text) => process.stdout.write(text),
    error: (text) => process.stderr.write(text)
  },
  () => Promise.reject(new Error('the server is not wired yet'))
)
