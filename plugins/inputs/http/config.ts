// Runs on: main.
// Options of the http input. Fluentd's and Fluent Bit's names are aliases where they mean the same.

import { Type } from 'typebox'
import {
  bytes,
  duration,
  listen,
  listenerTls,
  proxyProtocol,
  secret,
  stringList,
  template
} from '../../../src/plugin/fields.ts'

const OTLP_TAG = 'otlp.${record.resource.attributes["service.name"]:-unknown_service}'

const nullable = (description: string, value: string | null = null) =>
  Type.Unsafe<string | null>({ type: ['string', 'null'], default: value, description })

const id = (description: string) =>
  Type.Unsafe<number | null>({ type: ['integer', 'null'], minimum: 0, default: null, description })

const auth = Type.Object(
  {
    users: Type.Array(
      Type.Object(
        {
          username: Type.String({ minLength: 1, pattern: '^[^:]+$', description: 'Name.' }),
          password: secret({ description: 'Password.' })
        },
        { additionalProperties: false }
      ),
      { default: [], description: 'Who may send by basic authentication.' }
    ),
    bearer_tokens: Type.Array(secret({ description: 'A token.' }), {
      default: [],
      description: 'Tokens of which one has to stand in `Authorization: Bearer ...`.'
    })
  },
  {
    additionalProperties: false,
    default: {},
    description: 'Who may send. Without users and tokens: everybody.'
  }
)

const elasticsearch = Type.Object(
  {
    enabled: Type.Boolean({
      default: false,
      description:
        'Whether `_bulk` and what shippers ask for at their start are answered as Elasticsearch does.'
    }),
    version: Type.String({
      pattern: '^\\d+\\.\\d+\\.\\d+$',
      default: '8.0.0',
      description: 'Version that clients are told.'
    }),
    tag: nullable('Tag of all records; null: the name of their index.')
  },
  {
    additionalProperties: false,
    default: {},
    description: 'For shippers that speak to Elasticsearch or OpenSearch.'
  }
)

const otlp = Type.Object(
  {
    enabled: Type.Boolean({
      default: true,
      description: 'Whether `/v1/logs` takes logs by OTLP/HTTP, in protobuf and JSON.'
    }),
    tag: template({
      default: OTLP_TAG,
      description:
        'Tag of the records: text and `${record...}` of `resource` and `scope`, as they stand in the record.'
    })
  },
  { additionalProperties: false, default: {}, description: 'Logs by OpenTelemetry.' }
)

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
    time_keys: stringList({
      default: ['time', 'date', '@timestamp'],
      description:
        'Fields that hold the time of a record: a number in seconds since 1970 or a text in ISO 8601. The first of them in a record that holds one counts, and is taken out. `[]`: records bear the time of arrival.',
      'x-alias': ['time_key']
    }),
    keep_time_key: Type.Boolean({
      default: false,
      description: 'Whether the field of the time stays in the record.'
    }),
    time_unit_guess: Type.Boolean({
      default: true,
      description: 'Whether times of 1e11 and above are taken for milli-, micro- or nanoseconds.'
    }),
    add_http_headers: Type.Boolean({
      default: false,
      description:
        'Whether each record gets the headers of its request as `HTTP_<NAME>`, without `Authorization` and `Cookie`.'
    }),
    add_remote_addr: Type.Boolean({
      default: false,
      description:
        'Whether each record gets the address of its sender as `REMOTE_ADDR`; the first address of `X-Forwarded-For` where a peer of `trusted_proxies` sends it.'
    }),
    trusted_proxies: stringList({
      default: [],
      description: 'Addresses and networks of proxies whose `X-Forwarded-For` is believed.'
    }),
    add_query_params: Type.Boolean({
      default: false,
      description: 'Whether each record gets the parameters of the query as `QUERY_<NAME>`.'
    }),
    auth,
    elasticsearch,
    otlp,
    response_code: Type.Enum([200, 201, 204], {
      default: 200,
      description: 'Status of the answer when the records are durable.',
      'x-alias': ['successful_response_code']
    }),
    use_204_response: Type.Boolean({
      default: false,
      description: 'Whether the status is 204, as Fluentd has it; the same as `response_code: 204`.'
    }),
    respond_with_empty_img: Type.Boolean({
      default: false,
      description: 'Whether the answer is a transparent GIF of one pixel, for beacons in pages.'
    }),
    max_body_bytes: bytes({
      default: '32MiB',
      min: '1KiB',
      max: '64MiB',
      description: 'Longest body of a request as it is sent; a longer one is answered 413.',
      'x-alias': ['body_size_limit', 'buffer_max_size']
    }),
    max_decompressed_bytes: bytes({
      default: '256MiB',
      min: '1KiB',
      max: '1GiB',
      description:
        'Longest body after decompression; a longer one is answered 413. Forms, `_bulk` and OTLP, which are read whole: 64 MiB at most.'
    }),
    max_connections: Type.Integer({
      minimum: 1,
      maximum: 1_000_000,
      default: 20_000,
      description:
        'Connections at a time; further ones are closed at once. Never more than the limit of open files less 1,000; the log says at the start when that is fewer.'
    }),
    keepalive_timeout: duration({
      default: '10s',
      min: '1s',
      description: 'Silence after which an idle connection is closed.'
    }),
    header_timeout: duration({
      default: '10s',
      min: '1s',
      description: 'Time in which the header of a request has to arrive whole.'
    }),
    min_body_rate: bytes({
      default: '1KiB',
      min: 1,
      description:
        'Bytes per second that a body has to arrive with, on average and after the first ten seconds; a slower one is answered 408.'
    }),
    cors_allow_origins: stringList({
      default: [],
      description:
        'Origins whose pages may send: exact, with one `*` inside, or `*`. Empty: requests with an Origin header are refused.'
    }),
    cors_allow_credentials: Type.Boolean({
      default: false,
      description: 'Whether pages may send with credentials; `*` is then no origin.'
    })
  },
  { additionalProperties: false }
)
