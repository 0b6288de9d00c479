// Step 7. Runs on: main.
// Sets fields to constants or templates.

import { Type } from 'typebox'
import { defineFilter } from '../../../src/plugin/define.ts'

const config = Type.Object(
  {
    if_missing: Type.Optional(
      Type.Boolean({ description: 'Leave fields alone that exist. Default: false.' })
    )
  },
  {
    additionalProperties: Type.Unknown(),
    description: 'Each other name is a field; its value is a constant or a template.'
  }
)

export default defineFilter({
  type: 'set',
  stability: 'stable',
  summary: 'Sets fields to constants or templates.',
  config
})
