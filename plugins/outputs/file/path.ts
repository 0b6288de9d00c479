// Runs on: any.
// From the path option to the files below its literal directory. What comes from records can neither leave that
// directory nor name a hidden file: each component keeps only `[A-Za-z0-9._-]`, has no leading dot and at most 200 bytes.

import { createHash } from 'node:crypto'
import type { Template, TemplatePart } from '../../../src/core/template.ts'

/** Bytes of one component before its hash; file systems allow 255. */
const COMPONENT_BYTES_MAX = 200
/** Stands for the slashes that the operator wrote, so that a slash within a value is no separator. */
const SEPARATOR = '\u0000'

export interface FilePath {
  /** Ends with a slash; '' when the path has no directory of its own. */
  readonly directory: string
  /** Rest of the path, evaluated per record. */
  readonly rest: Template
}

/** Cuts a path behind the last slash that stands before the first `${...}`. */
export function splitPath(path: Template): FilePath {
  const first = path.parts[0]
  const literal = first?.kind === 'text' ? first.text : ''
  const cut = literal.lastIndexOf('/') + 1
  const rest = path.parts.flatMap((part, index): TemplatePart[] => {
    if (part.kind === 'text') {
      const text = index === 0 ? part.text.slice(cut) : part.text
      return text === '' ? [] : [{ kind: 'text', text: text.replaceAll('/', SEPARATOR) }]
    }
    return part.kind === 'record' || part.kind === 'meta'
      ? [{ ...part, fallback: part.fallback ?? 'unknown' }]
      : [part]
  })
  return { directory: literal.slice(0, cut), rest: { source: path.source, parts: rest } }
}

/** Path below the directory, with slashes, for a target as the kernel evaluated it. */
export function relativePath(target: string): string {
  return target.split(SEPARATOR).map(sanitiseComponent).join('/')
}

function sanitiseComponent(raw: string): string {
  const clean = raw.replace(/[^A-Za-z0-9._-]/g, '_').replace(/^\.+/, '')
  if (clean === '') return '_'
  if (clean.length <= COMPONENT_BYTES_MAX) return clean
  // Names that differ behind the cut stay different.
  const hash = createHash('sha256').update(raw).digest('hex').slice(0, 16)
  return `${clean.slice(0, COMPONENT_BYTES_MAX)}-${hash}`
}
