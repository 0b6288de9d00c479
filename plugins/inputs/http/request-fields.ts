// Step 2. Runs on: ingest.
// Fields that every record of a request gets from the request itself, under the names of Fluentd's in_http.

import type { IncomingMessage } from 'node:http'
import { encodeValue } from '../../../src/codec/msgpack-value.ts'
import type { ExtraPairs } from '../../../src/kernel/json-converter.ts'
import type { HttpOptions } from './options.ts'

/** Headers that hold secrets of the sender. */
const SECRET_HEADERS = ['authorization', 'proxy-authorization', 'cookie']

type FieldOptions = Pick<HttpOptions, 'add_http_headers' | 'add_remote_addr' | 'add_query_params'>

/** Pairs in MessagePack; undefined: none. `peer` is the sender's address, '' where it has none. */
export function requestFields(
  request: IncomingMessage,
  query: URLSearchParams,
  peer: string,
  options: FieldOptions
): ExtraPairs | undefined {
  const pairs: [string, string][] = []
  if (options.add_http_headers) {
    for (const [name, value] of Object.entries(request.headers)) {
      if (SECRET_HEADERS.includes(name) || value === undefined) continue
      pairs.push([`HTTP_${namePart(name)}`, String(value)])
    }
  }
  if (options.add_query_params) {
    for (const [name, value] of query) pairs.push([`QUERY_${namePart(name)}`, value])
  }
  if (options.add_remote_addr) pairs.push(['REMOTE_ADDR', peer])
  if (pairs.length === 0) return undefined
  const parts = pairs.flatMap(([name, value]) => [encodeValue(name), encodeValue(value)])
  return { bytes: Buffer.concat(parts), count: pairs.length }
}

const namePart = (name: string): string => name.toUpperCase().replaceAll('-', '_')
