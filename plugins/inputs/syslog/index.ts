// Steps 1 to 4. Runs on: main.
// Syslog by UDP, TCP, TLS and Unix stream sockets. The message is stored as it came, and parsed behind the queue.

import { defineInput } from '../../../src/plugin/define.ts'
import { checkListening } from '../../../src/plugin/listening-check.ts'
import { config } from './config.ts'

export default defineInput({
  type: 'syslog',
  stability: 'beta',
  summary: 'Takes syslog messages of RFC 3164 and RFC 5424 by UDP, TCP, TLS and Unix sockets.',
  config,
  inputModule: new URL('./input.ts', import.meta.url),
  check: (options) => checkListening({ ...options, takesDatagrams: true }),
  listens: (options) => options.listen,
  parser: () => ({ type: 'syslog', key: 'message' })
})
