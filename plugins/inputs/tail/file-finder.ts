// Step 1. Runs on: ingest.
// Which paths there are now. Directories are read in the thread pool, so that a large tree does not hold up the thread.

import fs from 'node:fs'
import path from 'node:path'

export interface FileFinderOptions {
  readonly paths: readonly string[]
  readonly exclude: readonly string[]
}

const GLOB_CHARACTERS = /[*?[\]{}()!]/

export class FileFinder {
  readonly #options: FileFinderOptions
  /** Directories that have to be readable for each pattern to find anything. */
  readonly directories: readonly string[]

  constructor(options: FileFinderOptions) {
    this.#options = options
    const patterns = options.paths.filter((pattern) => GLOB_CHARACTERS.test(pattern))
    this.directories = [...new Set(patterns.map(literalDirectory))]
  }

  /** In the order of the names. */
  async find(): Promise<string[]> {
    const found = new Set<string>()
    for (const pattern of this.#options.paths) {
      if (GLOB_CHARACTERS.test(pattern)) {
        for await (const name of fs.promises.glob(pattern)) found.add(name)
      } else {
        found.add(pattern)
      }
    }
    return [...found].filter((name) => !this.#isExcluded(name)).sort()
  }

  #isExcluded(name: string): boolean {
    return this.#options.exclude.some((pattern) =>
      path.matchesGlob(pattern.includes('/') ? name : path.basename(name), pattern)
    )
  }
}

/** The part of a pattern that stands for itself. */
function literalDirectory(pattern: string): string {
  const parts = pattern.split('/')
  const place = parts.findIndex((part) => GLOB_CHARACTERS.test(part))
  return parts.slice(0, place).join('/') || '/'
}
