// Step 7. Runs on: main.
// Access logs of nginx in the combined format (Apache's is the same).

import { Type } from 'typebox'
import { defineParser } from '../../../src/plugin/define.ts'
import { parserOptions } from '../../../src/plugin/parser-options.ts'

const config = Type.Object(
  {
    type: Type.Literal('nginx', { description: 'This parser.' }),
    ...parserOptions
  },
  { additionalProperties: false }
)

export default defineParser({
  type: 'nginx',
  stability: 'stable',
  summary: 'Reads access logs in the combined format into fields, with integers and the time.',
  config
})
