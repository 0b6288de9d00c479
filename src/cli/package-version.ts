// Runs on: main.
// The version of this program, from its package file.

import { readFileSync } from 'node:fs'

/** The package file lies two levels above the sources and three above the compiled files. */
export function packageVersion(): string {
  for (const path of ['../../package.json', '../../../package.json']) {
    try {
      const content: unknown = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'))
      if (typeof content === 'object' && content !== null && 'version' in content) {
        return String(content.version)
      }
    } catch {
      // Not there: the other place.
    }
  }
  return 'unknown'
}
