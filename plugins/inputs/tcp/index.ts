// Steps 1 to 4. Runs on: main.
// Lines of text by TCP, TLS and Unix sockets.

import { defineInput } from '../../../src/plugin/define.ts'
import { checkListening } from '../../../src/plugin/listening-check.ts'
import { config } from './config.ts'

export default defineInput({
  type: 'tcp',
  stability: 'beta',
  summary: 'Takes lines of text from connections, one record each.',
  config,
  inputModule: new URL('./input.ts', import.meta.url),
  check: checkListening,
  listens: (options) => options.listen
})
