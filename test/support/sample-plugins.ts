// Plugins with every kind of option, for tests of configuration that must not change with the real ones.

import { Type } from 'typebox'
import { defineFilter, defineInput, defineOutput, defineParser } from '../../src/plugin/define.ts'
import {
  bytes,
  duration,
  listen,
  listenerTls,
  secret,
  stringList,
  template
} from '../../src/plugin/fields.ts'
import { createRegistry } from '../../src/plugin/registry.ts'

const here = new URL(import.meta.url)

export const socketInput = defineInput({
  type: 'socket',
  stability: 'stable',
  summary: 'Takes records from sockets.',
  config: Type.Object(
    {
      listen: listen({ description: 'Addresses.' }),
      idle_timeout: duration({ default: '0s', max: '1d', description: 'Silence until the close.' }),
      backlog: Type.Integer({ default: 1024, minimum: 1, description: 'Waiting connections.' }),
      udp: Type.Boolean({ default: true, description: 'Whether UDP is answered.' }),
      tls: Type.Optional(listenerTls()),
      shared_key: Type.Optional(secret({ description: 'Key that clients know.' }))
    },
    { additionalProperties: false }
  ),
  inputModule: here,
  listens: (config) => config.listen
})

const noOutput = {
  stability: 'stable',
  renderModule: here,
  sizes: () => ({
    bodyBytesMax: 1,
    requestsMax: 1,
    lingerMs: 1,
    flushTimeoutMs: 1,
    isOrderedPerTarget: false,
    slotExtraBytes: 0
  }),
  create: () => {
    throw new Error('not for use')
  }
} as const

export const searchOutput = defineOutput({
  ...noOutput,
  type: 'search',
  summary: 'Indexes records.',
  config: Type.Object(
    {
      endpoints: stringList({ description: 'URLs.' }),
      index: template({ default: 'logs-${time:%Y.%m.%d}', description: 'Index.' }),
      bulk_bytes: bytes({
        default: '4MiB',
        min: '1KiB',
        max: '64MiB',
        description: 'Largest request.',
        'x-alias': ['buffer_size']
      }),
      operation: Type.Enum(['create', 'index'], { default: 'create', description: 'Operation.' }),
      user: Type.Optional(Type.String({ description: 'User.' })),
      password: Type.Optional(secret({ description: 'Password.' }))
    },
    { additionalProperties: false }
  ),
  check: (config) =>
    config.user !== undefined && config.password === undefined
      ? [{ path: ['user'], message: 'a user needs a password', hint: 'add password' }]
      : []
})

export const nullOutput = defineOutput({
  ...noOutput,
  type: 'null',
  summary: 'Forgets records.',
  config: Type.Object({}, { additionalProperties: false })
})

export const jsonParser = defineParser({
  type: 'json',
  stability: 'stable',
  summary: 'Reads JSON.',
  config: Type.Object(
    {
      type: Type.Literal('json', { description: 'This parser.' }),
      key: Type.String({ default: 'log', description: 'Field.' })
    },
    { additionalProperties: false }
  )
})

export const cutFilter = defineFilter({
  type: 'cut',
  stability: 'stable',
  summary: 'Shortens fields.',
  config: Type.Object(
    { at: bytes({ default: '1KiB', description: 'Where.' }) },
    { additionalProperties: false }
  )
})

export const sampleRegistry = createRegistry([
  socketInput,
  searchOutput,
  nullOutput,
  jsonParser,
  cutFilter
])
