// Runs on: main.
// Pieces of plugin schemas that mean the same everywhere: sizes, durations, addresses, templates, secrets, TLS.
// A field says what a user writes (JSON Schema) and what the code sees (static type); config/convert.ts turns one into
// the other, driven by the annotations, and checks the bounds after the conversion.
//
//   x-unit      bytes | duration | listen | list: written with units or as one of many, seen as number or list
//   x-min x-max bounds of the number that the code sees
//   x-template  name | text: placeholders of records are allowed, and checked
//   x-secret    masked wherever configuration is shown
//   x-alias     other spellings of an option; the first found is taken, with a note
//   x-since     version that brought the option

import { Type } from 'typebox'
import { BYTES_PATTERN, DURATION_PATTERN } from '../core/units.ts'

export type Unit = 'bytes' | 'duration' | 'listen' | 'list'

/** Keywords of ours that Ajv has to know. */
export const ANNOTATIONS = [
  'x-unit',
  'x-min',
  'x-max',
  'x-template',
  'x-secret',
  'x-alias',
  'x-since'
] as const

interface FieldOptions<T> {
  /** One or more sentences for the documentation. */
  readonly description: string
  /** As a user would write it. */
  readonly default?: T
  readonly 'x-alias'?: readonly string[]
  readonly 'x-since'?: string
}

interface BoundedOptions<T> extends FieldOptions<T> {
  /** Bounds as a user would write them. */
  readonly min?: T
  readonly max?: T
}

/** `2MiB`, `64M` or a plain number of bytes. The code sees bytes. */
export const bytes = ({ min, max, ...options }: BoundedOptions<string | number>) =>
  Type.Unsafe<number>({
    type: ['string', 'integer'],
    pattern: BYTES_PATTERN,
    minimum: 0,
    'x-unit': 'bytes',
    ...bounds(min, max),
    ...options
  })

/** `250ms`, `1h30m` or a plain number of seconds. The code sees milliseconds. */
export const duration = ({ min, max, ...options }: BoundedOptions<string | number>) =>
  Type.Unsafe<number>({
    type: ['string', 'number'],
    pattern: DURATION_PATTERN,
    minimum: 0,
    'x-unit': 'duration',
    ...bounds(min, max),
    ...options
  })

/** One listen address or a list: `tcp://host:port`, `host:port`, `tls://host:port`, `unix:///path`. */
export const listen = (options: FieldOptions<string | readonly string[]>) =>
  Type.Unsafe<readonly string[]>({
    type: ['string', 'array'],
    items: { type: 'string' },
    minItems: 1,
    'x-unit': 'listen',
    ...options
  })

/** One text or a list of them. The code sees a list. */
export const stringList = (options: FieldOptions<string | readonly string[]>) =>
  Type.Unsafe<readonly string[]>({
    type: ['string', 'array'],
    items: { type: 'string', minLength: 1 },
    minLength: 1,
    'x-unit': 'list',
    ...options
  })

/** Text with `${...}` placeholders. It stays text: pool threads compile it through their context. */
export const template = ({
  use = 'name',
  ...options
}: FieldOptions<string> & { readonly use?: 'name' | 'text' }) =>
  Type.Unsafe<string>({ type: 'string', minLength: 1, 'x-template': use, ...options })

/** Text that is masked wherever configuration is shown. Better given as `${file:...}` or `${NAME}` than in the file. */
export const secret = (options: FieldOptions<string>) =>
  Type.Unsafe<string>({ type: 'string', minLength: 1, 'x-secret': true, ...options })

const TLS_VERSIONS = ['1.2', '1.3'] as const

const tlsFiles = {
  cert_file: Type.Optional(
    Type.String({ minLength: 1, description: 'PEM file with the certificate and its chain.' })
  ),
  key_file: Type.Optional(
    Type.String({ minLength: 1, description: 'PEM file with the private key.' })
  ),
  key_passphrase: Type.Optional(secret({ description: 'Passphrase of the private key.' })),
  ca_file: Type.Optional(
    Type.String({
      minLength: 1,
      description:
        'PEM file with the authorities that certificates of the peer are checked against.'
    })
  ),
  min_version: Type.Enum(TLS_VERSIONS, {
    default: '1.2',
    description: 'Oldest version of TLS that is spoken.'
  })
}

/** `tls` of an input: addresses that start with `tls://` use it. */
export const listenerTls = () =>
  Type.Object(
    {
      ...tlsFiles,
      client_auth: Type.Enum(['none', 'optional', 'required'], {
        default: 'none',
        description: 'Whether clients have to show a certificate.'
      })
    },
    { additionalProperties: false, description: 'Certificate of `tls://` addresses.' }
  )

/** `proxy_protocol` and `proxy_protocol_from` of an input. */
export const proxyProtocol = () => ({
  proxy_protocol: Type.Enum(['off', 'optional', 'required'], {
    default: 'off',
    description:
      'Whether TCP connections begin with a header of the PROXY protocol, version 1 or 2, that names the sender: never, some do, or all do. It comes before TLS.'
  }),
  proxy_protocol_from: stringList({
    default: [],
    description:
      'Balancers whose headers are believed: addresses and networks, `10.0.0.0/8`. Needed unless `proxy_protocol` is off. Other peers are refused with `required`, and taken as they are with `optional`.'
  })
})

/** `tls` of an output. */
export const clientTls = () =>
  Type.Object(
    {
      ...tlsFiles,
      verify: Type.Boolean({
        default: true,
        description: "Whether the server's certificate is checked. Turn it off in tests only."
      }),
      server_name: Type.Optional(
        Type.String({ minLength: 1, description: 'Name to expect in the certificate.' })
      )
    },
    { additionalProperties: false, description: 'How connections are encrypted and checked.' }
  )

/** `retry` of an output. Retries never end by count; retention of the queue ends them. */
export const retry = () =>
  Type.Object(
    {
      base: duration({
        default: '1s',
        min: '10ms',
        description:
          'Ceiling of the wait after the first failure; it doubles with each further one.'
      }),
      cap: duration({ default: '60s', min: '10ms', description: 'Ceiling of every wait.' })
    },
    {
      additionalProperties: false,
      default: {},
      description: 'Waits between tries: exponential with full jitter.'
    }
  )

function bounds(min: unknown, max: unknown): object {
  return {
    ...(min === undefined ? {} : { 'x-min': min }),
    ...(max === undefined ? {} : { 'x-max': max })
  }
}
