// An ingest host with one forward input on a free loopback port.

import type { Test } from 'tap'
import type { ForwardOptions, SecurityOptions } from '../../plugins/inputs/forward/options.ts'
import { type HostOptions, IngestHost } from './ingest-host.ts'

export const NO_SECURITY: SecurityOptions = {
  empty_shared_key: false,
  user_auth: false,
  users: [],
  clients: [],
  allow_anonymous_source: true,
  deny: []
}

export const FORWARD_DEFAULTS: ForwardOptions = {
  listen: ['tcp://127.0.0.1:0'],
  mode: '0660',
  uid: null,
  gid: null,
  backlog: 128,
  proxy_protocol: 'off',
  proxy_protocol_from: [],
  udp_heartbeat: false,
  tag: null,
  add_tag_prefix: null,
  tag_prefix_raw: null,
  default_tag: 'untagged',
  source_address: false,
  source_address_key: null,
  tag_key: null,
  metadata: 'drop',
  overwrite: false,
  dedupe: 'unconfirmed',
  on_undecodable: 'dead_letter',
  on_oversize: 'reject',
  max_frame_bytes: 272 * 1024 * 1024,
  max_decompressed_bytes: 256 * 1024 * 1024,
  max_connections: 1000,
  max_connection_age: 0,
  security: NO_SECURITY,
  keepalive_probe: 60_000,
  idle_timeout: 0,
  frame_timeout: 60_000,
  handshake_timeout: 10_000,
  drain_timeout: 5000
}

export const FORWARD_MODULE = new URL('../../plugins/inputs/forward/input.ts', import.meta.url).href

export function forwardInput(
  options: Partial<ForwardOptions> = {}
): Pick<HostOptions, 'inputs' | 'inputModules'> {
  return {
    inputs: { fwd: { type: 'forward', config: { ...FORWARD_DEFAULTS, ...options } } },
    inputModules: { forward: FORWARD_MODULE }
  }
}

export interface ForwardHost {
  readonly host: IngestHost
  readonly address: string
}

export async function forwardHost(
  t: Test,
  options: Partial<ForwardOptions> = {},
  hostOptions: Partial<HostOptions> = {}
): Promise<ForwardHost> {
  const host = new IngestHost({
    ...forwardInput(options),
    ...hostOptions,
    // A second call would empty the directory of the first.
    directory: hostOptions.directory ?? t.testdir()
  })
  const [address = ''] = await host.start(t)
  return { host, address }
}
