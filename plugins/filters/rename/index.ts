// Step 7. Runs on: main.
// Gives fields other names.

import { Type } from 'typebox'
import { defineFilter } from '../../../src/plugin/define.ts'

const config = Type.Object(
  {
    on_conflict: Type.Optional(
      Type.Enum(['replace', 'keep'], {
        description: 'A field has the new name already: `replace` it, or `keep` both as they are.'
      })
    )
  },
  {
    additionalProperties: Type.String({ minLength: 1 }),
    description: 'Each other name is a field; its value is the new name.'
  }
)

export default defineFilter({
  type: 'rename',
  stability: 'stable',
  summary: 'Gives fields other names; all pairs act at once.',
  config
})
