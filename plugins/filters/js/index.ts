// Step 7. Runs on: main.
// Options of steps that are written in JavaScript or TypeScript.

import { Type } from 'typebox'
import { defineFilter } from '../../../src/plugin/define.ts'

const config = Type.Object(
  {
    module: Type.String({
      minLength: 1,
      description:
        'File of the module, relative to the configuration. Its default export is a step.'
    }),
    options: Type.Optional(
      Type.Unknown({ description: 'Handed to the step as `context.options`.' })
    ),
    on_failure: Type.Enum(['keep', 'dead_letter', 'drop', 'tag'], {
      default: 'keep',
      description: 'What happens to a record on which the step throws.'
    })
  },
  { additionalProperties: false }
)

export default defineFilter({
  type: 'js',
  stability: 'beta',
  summary: 'Runs a function of yours on each record; 1 to 3 CPU seconds per million records.',
  config
})
