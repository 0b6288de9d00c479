// An ingest host with one http input on a free loopback port.

import type { Test } from 'tap'
import type { HttpOptions } from '../../plugins/inputs/http/options.ts'
import { type HostOptions, IngestHost } from './ingest-host.ts'

const HTTP_DEFAULTS: HttpOptions = {
  listen: ['tcp://127.0.0.1:0'],
  mode: '0660',
  uid: null,
  gid: null,
  backlog: 128,
  proxy_protocol: 'off',
  proxy_protocol_from: [],
  add_tag_prefix: null,
  default_tag: 'untagged',
  tag_header: null,
  time_key: 'time',
  response_code: 200,
  max_body_bytes: 32 * 1024 * 1024,
  max_decompressed_bytes: 64 * 1024 * 1024,
  keepalive_timeout: 10_000,
  request_timeout: 60_000,
  cors_allow_origins: []
}

export interface HttpHost {
  readonly host: IngestHost
  /** `http://127.0.0.1:1234` */
  readonly url: string
}

export async function httpHost(
  t: Test,
  options: Partial<HttpOptions> = {},
  hostOptions: Partial<HostOptions> = {}
): Promise<HttpHost> {
  const host = new IngestHost({
    inputs: { web: { type: 'http', config: { ...HTTP_DEFAULTS, ...options } } },
    inputModules: { http: new URL('../../plugins/inputs/http/input.ts', import.meta.url).href },
    ...hostOptions,
    // A second call would empty the directory of the first.
    directory: hostOptions.directory ?? t.testdir()
  })
  const [address = ''] = await host.start(t)
  return { host, url: address.replace('tcp:', 'http:') }
}
