// Runs on: main.
// Options of the syslog parsers, beside those of all parsers.

import { Type } from 'typebox'

export const numbers = () =>
  Type.Boolean({
    default: false,
    description: 'Whether `facility` and `severity` are numbers instead of names.'
  })

export const structuredData = () =>
  Type.Enum(['nested', 'flat', 'text'], {
    default: 'nested',
    description:
      'Structured data as a map of maps under `structured_data`, as fields `<id>.<name>`, or as the text that came, under `structured_data`.'
  })

export const utcOffset = () =>
  Type.String({
    pattern: '^[+-](?:0\\d|1[0-4]):[0-5]\\d$',
    default: '+00:00',
    description: 'Zone of times that name none, as all of RFC 3164 do: `+09:00`.'
  })
