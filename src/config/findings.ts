// Runs on: main.
// What is wrong with a configuration, where it stands, and what to write instead. All findings of a run are shown at
// once: `file:line:column path CODE message (hint)`.

import type { ErrorCode } from '../core/errors.ts'

/** A place in a configuration file; line and column from 1. */
export interface Place {
  readonly file: string
  readonly line: number
  readonly column: number
}

export interface Finding {
  readonly level: 'error' | 'warning'
  readonly code: ErrorCode
  readonly place: Place
  /** Keys from the top of the file: `routes.web.to[0]`; '' for the file itself. */
  readonly path: string
  readonly message: string
  readonly hint: string | null
}

/** Keys and indices from the top of the file. */
export type ConfigPath = readonly (string | number)[]

/** `routes.web.to[0]`; keys that are no plain words are quoted. */
export function formatPath(path: ConfigPath): string {
  let text = ''
  for (const key of path) {
    if (typeof key === 'number') text += `[${key}]`
    else if (!/^[\w-]+$/.test(key)) text += `["${key}"]`
    else text += text === '' ? key : `.${key}`
  }
  return text
}

export function formatFinding(finding: Finding): string {
  const { file, line, column } = finding.place
  const path = finding.path === '' ? '' : ` ${finding.path}`
  const level = finding.level === 'warning' ? ' warning:' : ''
  const hint = finding.hint === null ? '' : ` (${finding.hint})`
  return `${file}:${line}:${column}${path} ${finding.code}${level} ${finding.message}${hint}`
}

/** In the order of the files, as a reader meets them; a place is reported once per message. */
export function sortFindings(findings: readonly Finding[]): Finding[] {
  const files = [...new Set(findings.map((finding) => finding.place.file))]
  const seen = new Set<string>()
  return findings
    .filter((finding) => {
      const key = formatFinding(finding)
      return !seen.has(key) && seen.add(key)
    })
    .toSorted(
      (a, b) =>
        files.indexOf(a.place.file) - files.indexOf(b.place.file) ||
        a.place.line - b.place.line ||
        a.place.column - b.place.column
    )
}
