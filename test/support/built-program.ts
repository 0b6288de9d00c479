// The program as the image and the package have it. A process starts from it with two thirds of the CPU time that it
// takes from the sources, which counts where a test starts hundreds.

import { execFileSync } from 'node:child_process'
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'

const PROJECT = join(import.meta.dirname, '../..')

/** Builds into the fixture folder of the test, which lies in the project: packages are found from there. */
export function buildProgram(t: Test): readonly string[] {
  const folder = join(t.testdir({ dist: {} }), 'dist')
  const tsc = join(PROJECT, 'node_modules/typescript/bin/tsc')
  // Types are checked by `npm run check`; here only the JavaScript is wanted.
  const options = ['--noCheck', '--declaration', 'false', '--sourceMap', 'false']
  const project = ['-p', join(PROJECT, 'tsconfig.build.json'), '--outDir', folder]
  // The test runner hands its loader to every child by NODE_OPTIONS, and the compiler does not start under it.
  const compile = [process.execPath, tsc, ...project, ...options]
  execFileSync('env', ['-u', 'NODE_OPTIONS', ...compile])
  const kernel = 'src/kernel/kernel.wasm'
  copyFileSync(join(PROJECT, kernel), join(folder, kernel))
  return ['--max-semi-space-size=2', join(folder, 'src/main.js')]
}
