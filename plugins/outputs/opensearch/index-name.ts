// Runs on: any.
// Names of indices as the server takes them: lower case, none of `\ / * ? " < > | , # :` or blanks, not beginning with
// `_`, `-` or `+`, not `.` or `..`, at most 255 bytes. Names that come out equal share an index.

import { createHash } from 'node:crypto'

/** Bytes of UTF-8 that the server allows. */
const NAME_BYTES_MAX = 255
/** What is kept of a longer name; `-` and eight digits of a hash follow. */
const KEPT_BYTES = 230

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what has to go.
const FORBIDDEN = /[\\/*?"<>|,#:\s\u0000-\u001f\u007f]/g

/**
 * Makes a name out of any text; null when nothing is left of it. Names with a leading dot are the server's own (`.kibana`,
 * `.opendistro_security`): only where the operator wrote the dot it may stay.
 */
export function sanitiseIndexName(raw: string, mayBeHidden: boolean): string | null {
  const clean = raw
    .toWellFormed()
    .toLowerCase()
    .replace(FORBIDDEN, '_')
    .replace(mayBeHidden ? /^[_\-+]+/ : /^[._\-+]+/, '')
  if (/^\.*$/.test(clean)) return null
  return Buffer.byteLength(clean) <= NAME_BYTES_MAX ? clean : shorten(clean, raw)
}

/** Why the server would refuse a name; null: it would not. */
export function indexNameFault(name: string): string | null {
  if (name === '') return 'is empty'
  if (name === '.' || name === '..') return 'is a directory'
  if (/^[_\-+]/.test(name)) return `begins with "${name.charAt(0)}"`
  if (name !== name.toLowerCase()) return 'has upper-case letters'
  const found = name.match(FORBIDDEN)?.[0]
  if (found !== undefined) return `has the character ${JSON.stringify(found)}`
  const byteCount = Buffer.byteLength(name)
  return byteCount > NAME_BYTES_MAX ? `has ${byteCount} bytes, at most ${NAME_BYTES_MAX}` : null
}

function shorten(name: string, raw: string): string {
  const bytes = Buffer.from(name)
  let end = KEPT_BYTES
  // Continuation bytes begin with 10: step back to the first byte of the character.
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end--
  const hash = createHash('sha256').update(raw).digest('hex').slice(0, 8)
  return `${bytes.toString('utf8', 0, end)}-${hash}`
}
