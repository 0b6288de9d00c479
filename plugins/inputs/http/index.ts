// Steps 1 and 2. Runs on: main.
// JSON, NDJSON and MessagePack by HTTP POST, by the conventions of Fluentd's in_http.

import { defineInput } from '../../../src/plugin/define.ts'
import { checkListening } from '../../../src/plugin/listening-check.ts'
import { config } from './config.ts'

export default defineInput({
  type: 'http',
  stability: 'beta',
  summary: 'Takes records by HTTP and answers when they are durable; the path is the tag.',
  config,
  inputModule: new URL('./input.ts', import.meta.url),
  check: (options) => checkListening(options),
  listens: (options) => options.listen
})
