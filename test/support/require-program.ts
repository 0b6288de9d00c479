// Tests with programs that are no part of the project: skipped with one line where the program is absent, a failure in CI.

import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Test } from 'tap'

const isCi = process.env['CI'] === 'true'

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Path of a program: from the environment variable, else by its name from PATH. */
export function findProgram(variable: string, name: string): string | null {
  const fromEnv = process.env[variable]
  if (fromEnv !== undefined && fromEnv !== '') return fromEnv
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  return folders.map((folder) => join(folder, name)).find(isExecutable) ?? null
}

/** Runs the tests when there is nothing to complain about; `reason` says what is absent and how to get it. */
export function requireAll(
  t: Test,
  needs: readonly (readonly [unknown, string])[],
  run: () => void
) {
  const absent = needs.filter(([found]) => !found).map(([, what]) => what)
  if (absent.length === 0) return run()
  const line = `needs ${absent.join(', ')}; .ci/run installs it`
  if (isCi) t.fail(line)
  else t.pass(line, { skip: line })
}
