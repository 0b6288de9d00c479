// Step 7. Runs on: main.
// Named groups of a regular expression become fields.

import { Type } from 'typebox'
import { defineParser } from '../../../src/plugin/define.ts'
import { parserOptions } from '../../../src/plugin/parser-options.ts'

const config = Type.Object(
  {
    type: Type.Literal('regexp', { description: 'This parser.' }),
    expression: Type.String({
      minLength: 1,
      description:
        'Pattern, plain or as `/.../flags` with the flags i, m, s. Named groups become fields.'
    }),
    ...parserOptions
  },
  { additionalProperties: false }
)

export default defineParser({
  type: 'regexp',
  stability: 'stable',
  summary: 'Named groups of a regular expression become fields.',
  config
})
