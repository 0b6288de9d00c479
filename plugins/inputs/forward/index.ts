// Steps 1 and 2. Runs on: main.
// The Fluent forward protocol, as Docker, Fluent Bit, Fluentd and the fluent-logger libraries speak it.

import { defineInput } from '../../../src/plugin/define.ts'
import { checkListening } from '../../../src/plugin/listening-check.ts'
import { mappingOf } from '../../../src/plugin/record-mapping.ts'
import { config } from './config.ts'
import { checkSecurity } from './security-check.ts'

export default defineInput({
  type: 'forward',
  stability: 'beta',
  summary:
    'Takes records by the Fluent forward protocol and acknowledges them when they are durable.',
  config,
  inputModule: new URL('./input.ts', import.meta.url),
  mapping: mappingOf,
  check: (options) => [...checkListening(options), ...checkSecurity(options.security)],
  listens: (options) => options.listen
})
