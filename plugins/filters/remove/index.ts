// Step 7. Runs on: main.
// Removes fields by name or by the beginning of their name.

import { Type } from 'typebox'
import { defineFilter } from '../../../src/plugin/define.ts'

/** The step is written as a list, `remove: [a, "b_*"]`; the schema holds it as `fields`. */
const config = Type.Object(
  {
    fields: Type.Array(Type.String({ minLength: 1 }), {
      minItems: 1,
      description: 'Names of top-level fields; `name*` stands for all that begin so.'
    })
  },
  { additionalProperties: false }
)

export default defineFilter({
  type: 'remove',
  stability: 'stable',
  summary: 'Removes fields by name or by the beginning of their name.',
  config
})
