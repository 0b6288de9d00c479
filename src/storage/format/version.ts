// Runs on: any.
// Whether this release reads what a file says it is. A later major or a feature that this release does not know: refuse,
// say what can read it, touch nothing. A greater minor is read: it may add only what an older reader can pass over.

import { MillraceError } from '../../core/errors.ts'
import { FORMAT_MAJOR } from './layout.ts'

export interface FileFormat {
  readonly major: number
  readonly incompatible: number
}

/** Throws MR_STORE_FORMAT. `known`: bits that are understood in this kind of file. */
export function checkFormat(path: string, format: FileFormat, known: number): void {
  const { incompatible, major } = format
  const unknown = incompatible & ~known
  if (major === FORMAT_MAJOR && unknown === 0) return
  const what =
    major === FORMAT_MAJOR
      ? `uses features of the format that this release does not know (bits 0x${unknown.toString(16)})`
      : `has format ${major}, and this release reads format ${FORMAT_MAJOR}`
  const who = major < FORMAT_MAJOR ? 'an earlier release' : 'a later release'
  throw new MillraceError(
    'MR_STORE_FORMAT',
    `${path} ${what}: ${who} wrote it. Start that release, or drain the queue with it first. Nothing was changed`,
    { details: { path, major, incompatible } }
  )
}
