// Step 7. Runs on: main.
// Reads syslog messages of RFC 3164 and RFC 5424, whichever each one is.

import { Type } from 'typebox'
import { defineParser } from '../../../src/plugin/define.ts'
import { parserOptions } from '../../../src/plugin/parser-options.ts'
import { numbers, structuredData, utcOffset } from '../../../src/plugin/syslog-options.ts'

const config = Type.Object(
  {
    type: Type.Literal('syslog', { description: 'This parser.' }),
    numbers: numbers(),
    structured_data: structuredData(),
    utc_offset: utcOffset(),
    ...parserOptions
  },
  { additionalProperties: false }
)

export default defineParser({
  type: 'syslog',
  stability: 'beta',
  summary: 'Reads syslog messages of RFC 3164 and RFC 5424, whichever each one is.',
  config
})
