// Runs on: any.
// Sizes and durations as people write them. The code sees bytes and milliseconds; configuration converts once.

const BYTE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 2 ** 10,
  kb: 2 ** 10,
  kib: 2 ** 10,
  m: 2 ** 20,
  mb: 2 ** 20,
  mib: 2 ** 20,
  g: 2 ** 30,
  gb: 2 ** 30,
  gib: 2 ** 30,
  t: 2 ** 40,
  tb: 2 ** 40,
  tib: 2 ** 40
}

/** Largest first, for printing. */
const BYTE_NAMES = [
  [2 ** 40, 'TiB'],
  [2 ** 30, 'GiB'],
  [2 ** 20, 'MiB'],
  [2 ** 10, 'KiB']
] as const

const DURATION_UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000
}

const DURATION_NAMES = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'm'],
  [1_000, 's'],
  [1, 'ms']
] as const

/** A number, optional fraction, optional unit: what schemas and `parseBytes` accept. */
export const BYTES_PATTERN = '^[0-9]+(\\.[0-9]+)?\\s*([kKmMgGtT]([iI]?[bB])?|[bB])?$'

/** `5s`, `1h30m`, `250ms`, or a plain number of seconds. */
export const DURATION_PATTERN = '^([0-9]+(\\.[0-9]+)?|([0-9]+(\\.[0-9]+)?(ms|s|m|h|d))+)$'

const BYTES = new RegExp(BYTES_PATTERN)
const DURATION = new RegExp(DURATION_PATTERN)

/**
 * `512KiB`, `64M`, `1g`, `9.5MiB` or a plain number as whole bytes; units are binary, as in Fluentd. `null`: not a size,
 * or above what a double counts exactly.
 */
export function parseBytes(value: string | number): number | null {
  const text = String(value).trim()
  if (!BYTES.test(text)) return null
  const digits = /^[0-9.]+/.exec(text)?.[0] ?? ''
  const factor = BYTE_UNITS[text.slice(digits.length).trim().toLowerCase()]
  if (factor === undefined) return null
  const byteCount = Math.round(Number(digits) * factor)
  return Number.isSafeInteger(byteCount) ? byteCount : null
}

/** `250ms`, `5s`, `1h30m`, `30d` or a plain number of seconds as whole milliseconds. `null`: not a duration. */
export function parseDuration(value: string | number): number | null {
  const text = String(value).trim()
  if (!DURATION.test(text)) return null
  let totalMs = 0
  for (const [, digits, unit] of text.matchAll(/([0-9.]+)(ms|s|m|h|d|$)/g)) {
    const factor = DURATION_UNITS[unit === '' ? 's' : String(unit)]
    if (factor === undefined) return null
    totalMs += Number(digits) * factor
  }
  const delayMs = Math.round(totalMs)
  return Number.isSafeInteger(delayMs) ? delayMs : null
}

/** The largest unit that gives a whole number, else two decimals: `8MiB`, `9.5MiB`, `1023B`. `parseBytes` reads it back. */
export function formatBytes(byteCount: number): string {
  for (const [factor, name] of BYTE_NAMES) {
    if (byteCount < factor) continue
    return `${Number((byteCount / factor).toFixed(2))}${name}`
  }
  return `${byteCount}B`
}

/** `1h30m`, `5s`, `250ms`; `0s` for none. `parseDuration` reads it back. */
export function formatDuration(durationMs: number): string {
  let restMs = Math.round(durationMs)
  let text = ''
  for (const [factor, name] of DURATION_NAMES) {
    const count = Math.floor(restMs / factor)
    if (count === 0) continue
    text += `${count}${name}`
    restMs -= count * factor
  }
  return text === '' ? '0s' : text
}
