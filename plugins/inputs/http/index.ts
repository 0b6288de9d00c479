// Steps 1 and 2. Runs on: main.
// JSON, NDJSON and MessagePack by HTTP POST, by the conventions of Fluentd's in_http; `_bulk` and OTLP beside them.

import { errorText } from '../../../src/core/errors.ts'
import { AddressSet } from '../../../src/net/address-set.ts'
import { type ConfigFinding, defineInput } from '../../../src/plugin/define.ts'
import { checkListening } from '../../../src/plugin/listening-check.ts'
import { config } from './config.ts'
import { faultOfTag } from './otlp-tag.ts'

export default defineInput({
  type: 'http',
  stability: 'beta',
  summary: 'Takes records by HTTP and answers when they are durable; the path is the tag.',
  config,
  inputModule: new URL('./input.ts', import.meta.url),
  check: (options) => [
    ...checkListening(options),
    ...options.trusted_proxies.flatMap(checkNetwork),
    ...checkCredentials(options),
    ...checkTag(options.otlp.tag)
  ],
  listens: (options) => options.listen
})

function checkNetwork(text: string, index: number): ConfigFinding[] {
  try {
    new AddressSet([text])
    return []
  } catch (error) {
    return [{ path: ['trusted_proxies', index], message: errorText(error) }]
  }
}

/** Browsers take no `*` with credentials, and neither should any page's reader get them. */
function checkCredentials(options: {
  readonly cors_allow_origins: readonly string[]
  readonly cors_allow_credentials: boolean
}): ConfigFinding[] {
  const isOpen = options.cors_allow_credentials && options.cors_allow_origins.includes('*')
  if (!isOpen) return []
  const message = 'cors_allow_credentials needs origins by name'
  return [{ path: ['cors_allow_origins'], message, hint: 'name the origins instead of "*"' }]
}

function checkTag(template: string): ConfigFinding[] {
  const fault = faultOfTag(template)
  if (fault === null) return []
  const message = `a tag cannot hold ${fault}: it is that of all records of a resource and scope`
  const hint = 'write ${record.resource.attributes["service.name"]} or ${record.scope.name}'
  return [{ path: ['otlp', 'tag'], message, hint }]
}
