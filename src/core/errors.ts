// Runs on: any.
// Every error that a user can meet has a code from this list and a paragraph in docs/reference/errors.md.

export const ERROR_CODES = [
  'MR_CONFIG_READ',
  'MR_CONFIG_SYNTAX',
  'MR_CONFIG_UNKNOWN_KEY',
  'MR_CONFIG_INVALID',
  'MR_CONFIG_MISSING',
  'MR_CONFIG_ENV',
  'MR_CONFIG_TEMPLATE',
  'MR_CONFIG_PATTERN',
  'MR_CONFIG_REFERENCE',
  'MR_CONFIG_DUPLICATE',
  'MR_CONFIG_NO_ROUTES',
  'MR_CONFIG_UNREACHABLE',
  'MR_CONFIG_UNUSED',
  'MR_CONFIG_ALIAS',
  'MR_CONFIG_TLS',
  'MR_LISTEN',
  'MR_STORE_LOCKED',
  'MR_STORE_LOCK',
  'MR_STORE_META',
  'MR_STORE_FORMAT',
  'MR_STORE_KEY',
  'MR_STORE_IO',
  'MR_STORE_FULL',
  'MR_STORE_VOLUME',
  'MR_INPUT_MESSAGE',
  'MR_OUTPUT_START',
  'MR_TASK',
  'MR_TASK_LATE',
  'MR_EXPORT',
  'MR_ADMIN',
  'MR_USAGE'
] as const

export type ErrorCode = (typeof ERROR_CODES)[number]

/** Exit codes (sysexits), by the reason why the process ends. */
export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 64,
  unavailable: 69,
  internal: 70,
  io: 74,
  temporary: 75,
  config: 78
} as const

export interface MillraceErrorOptions {
  cause?: unknown
  details?: Record<string, unknown>
}

/** Message = fact + value + limit or remedy. */
export class MillraceError extends Error {
  override readonly name = 'MillraceError'
  readonly code: ErrorCode
  readonly details: Record<string, unknown>

  constructor(code: ErrorCode, message: string, options: MillraceErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.details = options.details ?? {}
  }
}

/** Errors of Linux that Node has no name for; it says `Unknown system error -122`. */
const UNNAMED_ERRNOS: ReadonlyMap<string, string> = new Map([
  ['116', 'ESTALE'],
  ['117', 'EUCLEAN'],
  ['121', 'EREMOTEIO'],
  ['122', 'EDQUOT'],
  ['123', 'ENOMEDIUM']
])
const UNNAMED = /Unknown system error -(\d+)(: Unknown system error -\d+)?/

const nameUnnamed = (text: string): string =>
  text.replace(UNNAMED, (whole, number: string) => UNNAMED_ERRNOS.get(number) ?? whole)

/** Text of a value that was thrown, whatever it is. */
export function errorText(error: unknown): string {
  return nameUnnamed(error instanceof Error ? error.message : String(error))
}

/** `ENOSPC`, `EIO`, `ECONNREFUSED`...: the system's name for an error, or ''. */
export function errnoOf(error: unknown): string {
  const hasCode = error instanceof Error && 'code' in error && typeof error.code === 'string'
  return hasCode ? nameUnnamed(String(error.code)) : ''
}
