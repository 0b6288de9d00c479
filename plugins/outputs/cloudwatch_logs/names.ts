// Runs on: any.
// Names of groups and streams as the service takes them. Names that come from records stay within what is allowed.

import { createHash } from 'node:crypto'
import { type CloudWatchOptions, NAME_CHARS_MAX, parseTarget, TARGET_SEPARATOR } from './options.ts'

/** Kept of a name that is too long; `-` and 16 digits of a hash follow. */
const KEPT_CHARS = 495
const GROUP_FORBIDDEN = /[^A-Za-z0-9._/#-]/g
const STREAM_FORBIDDEN = /[:*]/g
const EMPTY = 'unknown'

/** From the text that the kernel evaluated to the target that is sent to. */
export function createTargetNames(options: CloudWatchOptions): (target: string) => string {
  const allowed = (options.allowed_log_groups ?? []).map(compileGlob)
  return (target) => {
    const raw = parseTarget(target)
    const named = sanitiseGroup(raw.group, options.sanitize_char)
    const isAllowed = allowed.length === 0 || allowed.some((glob) => glob.test(named))
    const group = isAllowed ? named : options.default_log_group_name
    return `${group}${TARGET_SEPARATOR}${sanitiseStream(raw.stream, options.sanitize_char)}`
  }
}

export function sanitiseGroup(raw: string, replacement: string): string {
  const clean = raw.replace(GROUP_FORBIDDEN, replacement).replace(/^aws\//, '_aws/')
  return shorten(clean === '' ? EMPTY : clean, raw)
}

export function sanitiseStream(raw: string, replacement: string): string {
  const clean = raw.toWellFormed().replace(STREAM_FORBIDDEN, replacement)
  return shorten(clean === '' ? EMPTY : clean, raw)
}

function shorten(name: string, raw: string): string {
  if (name.length <= NAME_CHARS_MAX) return name
  const hash = createHash('sha256').update(raw).digest('hex').slice(0, 16)
  // Half a surrogate pair at the cut is dropped with its other half.
  const kept = name.slice(0, KEPT_CHARS).replace(/[\ud800-\udbff]$/, '')
  return `${kept}-${hash}`
}

/** `*` any characters, everything else itself. */
function compileGlob(glob: string): RegExp {
  const pattern = glob
    .split('*')
    .map((part) => part.replace(/[.\\+^$()[\]{}|?/-]/g, '\\$&'))
    .join('.*')
  return new RegExp(`^${pattern}$`)
}
