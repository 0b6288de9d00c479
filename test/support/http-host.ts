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
  time_keys: ['time', 'date', '@timestamp'],
  keep_time_key: false,
  time_unit_guess: true,
  add_http_headers: false,
  add_remote_addr: false,
  trusted_proxies: [],
  add_query_params: false,
  auth: { users: [], bearer_tokens: [] },
  elasticsearch: { enabled: false, version: '8.0.0', tag: null },
  otlp: {
    enabled: true,
    tag: 'otlp.${record.resource.attributes["service.name"]:-unknown_service}'
  },
  response_code: 200,
  use_204_response: false,
  respond_with_empty_img: false,
  max_body_bytes: 32 * 1024 * 1024,
  max_decompressed_bytes: 256 * 1024 * 1024,
  max_connections: 1000,
  keepalive_timeout: 10_000,
  header_timeout: 10_000,
  min_body_rate: 1024,
  cors_allow_origins: [],
  cors_allow_credentials: false
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
