// Steps 1 to 4. Runs on: main.
// The log of this process as records.

import { defineInput } from '../../../src/plugin/define.ts'
import { config } from './config.ts'

export default defineInput({
  type: 'internal',
  stability: 'beta',
  summary: 'Takes what this process logs about itself.',
  config,
  inputModule: new URL('./input.ts', import.meta.url),
  ownLogLevel: ({ level }) => level,
  listens: () => []
})
