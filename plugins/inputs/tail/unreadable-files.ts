// Step 1. Runs on: ingest.
// Paths that are wanted and cannot be read: a gauge, and one line in the log for each of them and reason, with the remedy.
// Limit: LOGGED_MAX paths are named; the gauge has all of them.

import { errorText } from '../../../src/core/errors.ts'
import type { InputCounters } from '../../../src/plugin/input.ts'
import type { OutputLog } from '../../../src/plugin/output.ts'

const LOGGED_MAX = 1000

const REMEDIES: Readonly<Record<string, string>> = {
  EACCES: 'give the user of the server the right to read it, and to search its directories',
  EPERM: 'give the user of the server the right to read it',
  EMFILE: 'raise the limit of open files (LimitNOFILE, ulimit -n), or set ignore_older',
  ENFILE: 'raise the limit of open files of the system (fs.file-max), or set ignore_older',
  ELOOP: 'its symbolic links lead in a circle'
}

export class UnreadableFiles {
  readonly #log: OutputLog
  readonly #counters: InputCounters
  readonly #paths = new Set<string>()
  readonly #logged = new Set<string>()

  constructor({ log, counters }: { readonly log: OutputLog; readonly counters: InputCounters }) {
    this.#log = log
    this.#counters = counters
  }

  /** What is not there is nothing to read, and no trouble. */
  add(path: string, error: unknown): void {
    const code = String(Object(error).code)
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      this.remove(path)
      return
    }
    if (!this.#paths.has(path)) {
      this.#paths.add(path)
      this.#counters.add('files_unreadable', 1)
    }
    const key = `${code} ${path}`
    if (this.#logged.has(key) || this.#logged.size >= LOGGED_MAX) return
    this.#logged.add(key)
    const hint = REMEDIES[code] ?? 'it is tried again'
    this.#log.warn(
      { event: 'tail.unreadable', path, error: errorText(error), hint },
      'a file cannot be read'
    )
  }

  has(path: string): boolean {
    return this.#paths.has(path)
  }

  remove(path: string): void {
    if (!this.#paths.delete(path)) return
    this.#counters.add('files_unreadable', -1)
  }

  /** Those that are not looked for any more. */
  retain(wanted: ReadonlySet<string>): void {
    for (const path of this.#paths) if (!wanted.has(path)) this.remove(path)
  }
}
