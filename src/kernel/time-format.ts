// Step 7. Runs on: any.
// Compiles a strftime format to the bytes that the kernel reads and writes times by: 0x80 | letter for a directive,
// other bytes for themselves, 0 at the end. One program serves both ways; some directives only read.

import {
  TIME_DATE_AND_CLOCK,
  TIME_FRACTION_DIGITS,
  TIME_FRACTION_OPTIONAL,
  TIME_LITERAL
} from './codes.ts'

/** Directives the kernel knows; `:z` is read as `z`. `Q`: milliseconds since 1970, `q`: nanoseconds, `v`: seconds as decimal. */
const DIRECTIVES = 'YymdebBhaAjuwVGHkIlMpPSLNfzZsQqv'
/** Directives that stand for others. */
const COMPOSED: Readonly<Record<string, string>> = {
  T: '%H:%M:%S',
  F: '%Y-%m-%d',
  D: '%m/%d/%y',
  R: '%H:%M',
  r: '%I:%M:%S %p',
  c: '%a %b %e %H:%M:%S %Y'
}
/** Formats by name. A `\x04` is date and clock, a `\x03` an optional fraction. */
const NAMED: Readonly<Record<string, string>> = {
  iso8601: '\x04\x03%z',
  rfc3339: '\x04\x03%z',
  rfc2822: '%a, %d %b %Y %H:%M:%S %z',
  epoch: '%s',
  unixtime: '%s',
  epoch_ms: '%Q',
  epoch_ns: '%q',
  float: '%v'
}

export type TimeFormat =
  | { readonly kind: 'ok'; readonly bytes: Uint8Array }
  | { readonly kind: 'unknown'; readonly directive: string }

/** Compiles a format as written (`%d/%b/%Y:%H:%M:%S %z`) or by name (`iso8601`). */
export function compileTimeFormat(format: string): TimeFormat {
  const source = expand(NAMED[format] ?? format)
  const out: number[] = []
  for (const text of source.match(/%(?:[369]N|:z|[\s\S])?|[^%]/gu) ?? []) {
    if (text === '\x03') out.push(TIME_FRACTION_OPTIONAL)
    else if (text === '\x04') out.push(TIME_DATE_AND_CLOCK)
    else if (!text.startsWith('%')) pushLiteral(out, text)
    else if (!pushDirective(out, text)) return { kind: 'unknown', directive: text }
  }
  out.push(0)
  return { kind: 'ok', bytes: Uint8Array.from(out) }
}

function expand(format: string): string {
  return format.replace(/%([\s\S])/g, (whole, letter: string) => COMPOSED[letter] ?? whole)
}

function pushDirective(out: number[], text: string): boolean {
  if (text === '%%') {
    out.push(0x25)
    return true
  }
  const letter = text.at(-1) ?? ''
  if (text.length < 2 || !DIRECTIVES.includes(letter)) return false
  if (text.length === 3 && letter === 'N') out.push(TIME_FRACTION_DIGITS, Number(text[1]))
  out.push(0x80 | letter.charCodeAt(0))
  return true
}

function pushLiteral(out: number[], character: string): void {
  for (const byte of Buffer.from(character, 'utf8')) {
    if (byte < 0x20 || byte >= 0x80) out.push(TIME_LITERAL)
    out.push(byte)
  }
}
