// Step 7. Runs on: main.
// The text of a field is a JSON object; its members become fields.

import { Type } from 'typebox'
import { defineParser } from '../../../src/plugin/define.ts'
import { parserOptions } from '../../../src/plugin/parser-options.ts'

const config = Type.Object(
  {
    type: Type.Literal('json', { description: 'This parser.' }),
    ...parserOptions
  },
  { additionalProperties: false }
)

export default defineParser({
  type: 'json',
  stability: 'stable',
  summary: 'Splices the members of a JSON object into the record.',
  config
})
