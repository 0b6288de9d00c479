// Runs on: main.
// Options of the output `opensearch`.

import { Type } from 'typebox'
import type { ConfigFinding } from '../../../src/plugin/define.ts'
import {
  bytes,
  clientTls,
  duration,
  retry,
  secret,
  stringList,
  template
} from '../../../src/plugin/fields.ts'
import { indexNameFault } from './index-name.ts'
import type { OpenSearchOptions } from './options.ts'

const target = {
  endpoints: stringList({
    default: ['http://127.0.0.1:9200'],
    description: 'URLs of the nodes. Requests go to the one with the fewest in flight.',
    'x-alias': ['hosts']
  }),
  path: Type.String({
    default: '',
    pattern: '^(/[\\x21-\\x7e]*)?$',
    description: 'Path that stands before `/_bulk`, for servers behind a proxy.'
  }),
  index: template({
    default: 'millrace-${time:%Y.%m.%d}',
    description:
      'Index, alias or data stream of a record. A placeholder without a value becomes `unknown`.'
  }),
  index_sanitize: Type.Boolean({
    default: true,
    description:
      'Lower-case index names and replace characters that the server refuses; off: such records go to the dead letters.'
  }),
  id: Type.Enum(['position', 'none'], {
    default: 'position',
    description:
      '`position`: each record has an id of its own, so that a repeated request stores it once. `none`: the server makes ids, and repeats are stored twice; time-series collections need it.'
  }),
  pipeline: Type.Optional(
    Type.String({ minLength: 1, description: 'Ingest pipeline that every record passes.' })
  ),
  require_alias: Type.Boolean({
    default: false,
    description: 'Write to aliases only: a missing alias is not made an index.'
  })
}

const document = {
  time_key: Type.String({
    default: '@timestamp',
    description: 'Field for the time of the record, RFC 3339 in UTC. Empty: no field.'
  }),
  time_precision: Type.Enum([0, 3, 6, 9], {
    default: 3,
    description: 'Digits of the second. More than 3 need a `date_nanos` mapping to sort by them.'
  }),
  time_key_conflict: Type.Enum(['keep', 'overwrite', 'rename'], {
    default: 'keep',
    description:
      'The record has a field of that name: `keep` it, `overwrite` it, or `rename` it to `<time_key>_original`.'
  }),
  include_tag_key: Type.Boolean({ default: false, description: 'Add the tag to each record.' }),
  tag_key: Type.String({ default: 'tag', minLength: 1, description: 'Field for the tag.' })
}

const flow = {
  bulk_bytes: bytes({
    default: '4MiB',
    min: '64KiB',
    max: '64MiB',
    description:
      'Largest request before compression, and longest record: a longer one goes to the dead letters as `too_large`.'
  }),
  flush_interval: duration({
    default: '1s',
    max: '1m',
    description: 'How long records may wait for more to fill a request.'
  }),
  inflight_max: Type.Integer({
    default: 8,
    minimum: 1,
    maximum: 64,
    description: 'Requests in flight at most.'
  }),
  compress: Type.Optional(
    Type.Enum(['off', 'gzip'], {
      description: 'Compression of requests. Default: `off` when every endpoint is on loopback.'
    })
  ),
  server_timeout: duration({
    default: '45s',
    min: '1s',
    description:
      'How long the server may wait for shards; below what proxies in between allow, so that a verdict comes back.'
  }),
  connect_timeout: duration({ default: '5s', min: '10ms', description: 'Deadline to connect.' }),
  request_timeout: duration({
    default: '75s',
    min: '10ms',
    description: 'Deadline of a whole request, answer included.'
  }),
  max_response_bytes: bytes({
    default: '64MiB',
    min: '1MiB',
    description: 'Longest answer that is read; beyond it the request is repeated in halves.',
    'x-alias': ['buffer_size']
  }),
  retry: retry()
}

const access = {
  user: Type.Optional(
    Type.String({
      minLength: 1,
      description: 'User of basic authentication.',
      'x-alias': ['username', 'http_user']
    })
  ),
  password: Type.Optional(
    secret({ description: 'Password of that user.', 'x-alias': ['http_passwd'] })
  ),
  api_key: Type.Optional(
    secret({ description: 'Sent as `Authorization: ApiKey ...`.', 'x-alias': ['http_api_key'] })
  ),
  headers: Type.Optional(
    Type.Record(Type.String(), Type.String(), { description: 'Headers added to each request.' })
  ),
  tls: Type.Optional(clientTls())
}

export const config = Type.Object(
  { ...target, ...document, ...flow, ...access },
  { additionalProperties: false }
)

/** Rules between options. */
export function check(options: OpenSearchOptions): ConfigFinding[] {
  const findings = options.endpoints.flatMap((endpoint, index) => {
    const fault = endpointFault(endpoint)
    return fault === null ? [] : [{ path: ['endpoints', index], ...fault }]
  })
  const add = (path: string[], message: string, hint: string) =>
    findings.push({ path, message, hint })
  if ((options.user === undefined) !== (options.password === undefined)) {
    add(['user'], '`user` and `password` need each other', 'give both')
  }
  if (options.api_key !== undefined && options.user !== undefined) {
    add(['api_key'], '`api_key` and `user` exclude each other', 'keep one')
  }
  if (options.server_timeout >= options.request_timeout) {
    add(
      ['server_timeout'],
      `server_timeout of ${options.server_timeout} ms is not below request_timeout of ${options.request_timeout} ms`,
      'the server has to answer before the request is given up'
    )
  }
  const nameFault = options.index.includes('${') ? null : indexNameFault(options.index)
  if (nameFault !== null && !options.index_sanitize) {
    add(['index'], `index "${options.index}" ${nameFault}`, 'choose another name')
  }
  if (options.index.startsWith('.ds-')) {
    add(['index'], 'a backing index of a data stream takes no writes', 'name the data stream')
  }
  return findings
}

function endpointFault(endpoint: string): { message: string; hint: string } | null {
  const hint = 'write http://host:9200 or https://host'
  const url = URL.parse(endpoint)
  if (url === null) return { message: `endpoint "${endpoint}" is no URL`, hint }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    return { message: `endpoint speaks "${url.protocol}"`, hint }
  }
  return url.search === '' && url.hash === ''
    ? null
    : { message: 'an endpoint has no query', hint: 'remove what follows "?" or "#"' }
}
