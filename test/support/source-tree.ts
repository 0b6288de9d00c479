// The project's own files, for tests that hold rules over all of them.

import { globSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, posix, relative, sep } from 'node:path'

export const ROOT = join(import.meta.dirname, '../..')

export interface SourceFile {
  /** From the root, with forward slashes. */
  readonly path: string
  readonly text: string
  readonly lines: readonly string[]
}

export interface Import {
  /** Path from the root for our files, the specifier for packages and `node:` modules. */
  readonly target: string
  readonly isType: boolean
}

export function filesOf(...patterns: readonly string[]): SourceFile[] {
  const paths = globSync(patterns, { cwd: ROOT, exclude: (name) => name.includes('node_modules') })
  return paths
    .map((path) => path.split(sep).join(posix.sep))
    .toSorted()
    .filter((path) => statSync(join(ROOT, path)).isFile())
    .map((path) => {
      const text = readFileSync(join(ROOT, path), 'utf8')
      return { path, text, lines: text.split('\n') }
    })
}

/** Code that runs in production: no tests, no AssemblyScript. */
export const sourceFiles = (): SourceFile[] =>
  filesOf('src/**/*.ts', 'plugins/**/*.ts').filter(
    ({ path }) => !path.endsWith('.test.ts') && !path.startsWith('src/kernel/assembly/')
  )

/** `import`, `export from`, `import()` and `new URL(..., import.meta.url)` of a file. */
export function importsOf(file: SourceFile): Import[] {
  const code = withoutComments(file.text)
  const found: Import[] = []
  const add = (specifier: string, isType: boolean) => {
    const target = specifier.startsWith('.')
      ? relative(ROOT, join(ROOT, dirname(file.path), specifier))
          .split(sep)
          .join(posix.sep)
      : specifier
    found.push({ target, isType })
  }
  for (const match of code.matchAll(
    /^(?:import|export)\s+(type\s)?([^;'"]*?\sfrom\s+)?'([^']+)'/gm
  )) {
    add(match[3]!, match[1] !== undefined)
  }
  for (const match of code.matchAll(/\bimport\(\s*'([^']+)'\s*\)/g)) add(match[1]!, false)
  for (const match of code.matchAll(/new URL\(\s*['`]([^'`]+)['`]/g)) add(match[1]!, false)
  return found
}

/** The text without comments; strings that look like comments do not occur at the start of a line. */
export function withoutComments(text: string): string {
  return text.replaceAll(/^\s*\/\*[\s\S]*?\*\//gm, '').replaceAll(/^\s*\/\/.*$/gm, '')
}
