// Steps 1 and 2. Runs on: main.
// JSON, NDJSON and MessagePack by HTTP POST, by the conventions of Fluentd's in_http.

import { errorText } from '../../../src/core/errors.ts'
import { parseListenAddress } from '../../../src/net/listen-address.ts'
import { type ConfigFinding, defineInput } from '../../../src/plugin/define.ts'
import { config } from './config.ts'

export default defineInput({
  type: 'http',
  stability: 'beta',
  summary: 'Takes records by HTTP and answers when they are durable; the path is the tag.',
  config,
  inputModule: new URL('./input.ts', import.meta.url),
  check: (options) => options.listen.flatMap(checkAddress),
  listens: (options) => options.listen
})

function checkAddress(text: string, index: number): ConfigFinding[] {
  try {
    const address = parseListenAddress(text)
    if (address.kind === 'unix' || !address.isTls) return []
    const message = `${text}: TLS is not supported by this input`
    return [{ path: ['listen', index], message, hint: 'put a TLS proxy in front of it' }]
  } catch (error) {
    return [{ path: ['listen', index], message: errorText(error) }]
  }
}
