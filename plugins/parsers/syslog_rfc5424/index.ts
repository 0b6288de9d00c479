// Step 7. Runs on: main.
// Reads syslog messages of RFC 5424, with structured data.

import { Type } from 'typebox'
import { defineParser } from '../../../src/plugin/define.ts'
import { parserOptions } from '../../../src/plugin/parser-options.ts'
import { numbers, structuredData } from '../../../src/plugin/syslog-options.ts'

const config = Type.Object(
  {
    type: Type.Literal('syslog_rfc5424', { description: 'This parser.' }),
    numbers: numbers(),
    structured_data: structuredData(),
    ...parserOptions
  },
  { additionalProperties: false }
)

export default defineParser({
  type: 'syslog_rfc5424',
  stability: 'beta',
  summary: 'Reads syslog messages of RFC 5424, with structured data.',
  config
})
