// Step 7. Runs on: main.
// Removes fields by name or by the beginning of their name.

import { defineFilter } from '../../../src/plugin/define.ts'
import { stringList } from '../../../src/plugin/fields.ts'

const config = stringList({
  description: 'Names of top-level fields; `name*` stands for all that begin so.'
})

export default defineFilter({
  type: 'remove',
  stability: 'stable',
  summary: 'Removes fields by name or by the beginning of their name.',
  config
})
