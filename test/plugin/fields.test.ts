import t from 'tap'
import { type Static, Type } from 'typebox'
import { BlockChecker } from '../../src/config/block.ts'
import { placeTree } from '../../src/config/places.ts'
import {
  bytes,
  clientTls,
  duration,
  listen,
  listenerTls,
  retry,
  secret,
  stringList,
  template
} from '../../src/plugin/fields.ts'

const nowhere = { file: 'm', line: 1, column: 1 }

function checked(schema: object, value: unknown): { value: unknown; faults: string[] } {
  const faults: string[] = []
  const block = new BlockChecker().check(
    schema,
    value,
    [],
    placeTree(nowhere, nowhere),
    (code, path, message) => faults.push(`${path.join('.')} ${code} ${message}`)
  )
  return { value: block.value, faults }
}

const schema = Type.Object(
  {
    size: bytes({ default: '1MiB', min: '1KiB', max: '1GiB', description: '.' }),
    wait: duration({ default: '5s', max: '1h', description: '.' }),
    at: listen({ default: '127.0.0.1:1', description: '.' }),
    names: stringList({ default: [], description: '.' }),
    index: template({ default: '${tag}', description: '.' }),
    key: Type.Optional(secret({ description: '.' })),
    tls: Type.Optional(clientTls()),
    server: Type.Optional(listenerTls()),
    retry: retry()
  },
  { additionalProperties: false }
)

t.test('defaults are written as a user would write them, and seen as numbers and lists', (t) => {
  const { value, faults } = checked(schema, {})
  t.same(faults, [])
  // What the code sees has the static type of the schema.
  const config = value as Static<typeof schema>
  t.same(config, {
    size: 1_048_576,
    wait: 5000,
    at: ['tcp://127.0.0.1:1'],
    names: [],
    index: '${tag}',
    retry: { base: 1000, cap: 60_000 }
  })
  t.end()
})

t.test('bounds hold after the conversion', (t) => {
  const { faults } = checked(schema, { size: 100, wait: '2h', retry: { base: '1ms' } })
  t.same(faults, [
    'size MR_CONFIG_INVALID 100B is below the minimum 1KiB',
    'wait MR_CONFIG_INVALID 2h exceeds the maximum 1h',
    'retry.base MR_CONFIG_INVALID 1ms is below the minimum 10ms'
  ])
  t.end()
})

t.test('what has no unit, no scheme or no text is a fault at its place', (t) => {
  const { faults } = checked(schema, {
    size: '8 apples',
    wait: -1,
    at: ['a:1', 'nowhere'],
    names: ['a', ''],
    index: '${nope}',
    key: 5,
    tls: { verify: 'no', min_version: '1.1' },
    server: { client_auth: 'maybe', ca: 'x' }
  })
  t.same(faults.map((fault) => fault.slice(0, fault.indexOf(' '))).toSorted(), [
    'at.1',
    'index',
    'key',
    'names.1',
    'server.ca',
    'server.client_auth',
    'size',
    'tls.min_version',
    'tls.verify',
    'wait'
  ])
  t.end()
})

t.test('one text is a list of one, and its fault stands at the option', (t) => {
  t.match(checked(schema, { names: 'a' }).value, { names: ['a'] })
  t.match(checked(schema, { at: 'unix:///a' }).value, { at: ['unix:///a'] })
  t.match(checked(schema, { at: 'nowhere' }).faults, [/^at MR_CONFIG_INVALID/])
  t.end()
})
