// Runs on: main.
// Options of the http input. Fluentd's and Fluent Bit's names are aliases where they mean the same.

import { Type } from 'typebox'
import {
  bytes,
  duration,
  listen,
  listenerTls,
  proxyProtocol,
  stringList
} from '../../../src/plugin/fields.ts'

const nullable = (description: string, value: string | null = null) =>
  Type.Unsafe<string | null>({ type: ['string', 'null'], default: value, description })

const id = (description: string) =>
  Type.Unsafe<number | null>({ type: ['integer', 'null'], minimum: 0, default: null, description })

export const config = Type.Object(
  {
    listen: listen({
      default: '127.0.0.1:9880',
      description:
        'Addresses to listen on: `tcp://host:port`, `host:port`, `tls://host:port` or `unix:///path`, one or a list.'
    }),
    mode: Type.String({
      pattern: '^0?[0-7]{3}$',
      default: '0660',
      description: 'Permissions of Unix sockets, in octal.'
    }),
    uid: id('Owner of Unix sockets; null: the user of the process.'),
    gid: id('Group of Unix sockets; null: the group of the process.'),
    backlog: Type.Integer({
      minimum: 1,
      maximum: 65535,
      default: 1024,
      description: 'Connections that the system holds until they are accepted.'
    }),
    tls: Type.Optional(listenerTls()),
    ...proxyProtocol(),
    add_tag_prefix: nullable('Put in front of every tag, joined by a dot.'),
    default_tag: Type.String({
      minLength: 1,
      default: 'untagged',
      description: 'Tag of requests to the path `/`.'
    }),
    tag_header: nullable('Header that holds the tag; it wins over the path.'),
    time_key: nullable(
      'Field of a record that holds its time in seconds; it is taken out. null: records bear the time of arrival.',
      'time'
    ),
    response_code: Type.Enum([200, 201, 204], {
      default: 200,
      description: 'Status of the answer when the records are durable.',
      'x-alias': ['successful_response_code']
    }),
    max_body_bytes: bytes({
      default: '32MiB',
      min: '1KiB',
      max: '64MiB',
      description: 'Longest body of a request; a longer one is answered 413.',
      'x-alias': ['body_size_limit', 'buffer_max_size']
    }),
    max_decompressed_bytes: bytes({
      default: '64MiB',
      min: '1KiB',
      max: '64MiB',
      description: 'Longest body after decompression; a longer one is answered 413.'
    }),
    keepalive_timeout: duration({
      default: '10s',
      description: 'Silence after which an idle connection is closed.'
    }),
    request_timeout: duration({
      default: '60s',
      min: '1s',
      description: 'Time in which a request has to arrive whole.'
    }),
    cors_allow_origins: stringList({
      default: [],
      description:
        'Origins whose pages may send: exact, with one `*` inside, or `*`. Empty: requests with an Origin header are refused.'
    })
  },
  { additionalProperties: false }
)
