// Step 7. Runs on: main.
// Reads syslog messages of RFC 3164 (BSD), as senders write them.

import { Type } from 'typebox'
import { defineParser } from '../../../src/plugin/define.ts'
import { parserOptions } from '../../../src/plugin/parser-options.ts'
import { numbers, utcOffset } from '../../../src/plugin/syslog-options.ts'

const config = Type.Object(
  {
    type: Type.Literal('syslog_rfc3164', { description: 'This parser.' }),
    numbers: numbers(),
    utc_offset: utcOffset(),
    ...parserOptions
  },
  { additionalProperties: false }
)

export default defineParser({
  type: 'syslog_rfc3164',
  stability: 'beta',
  summary: 'Reads syslog messages of RFC 3164 (BSD), as senders write them.',
  config
})
