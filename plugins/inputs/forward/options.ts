// Runs on: any (types only).
// Options of the forward input as its code sees them: config.ts without its schema library.

import type { ListeningOptions } from '../../../src/plugin/listening.ts'
import type { MappingOptions } from '../../../src/plugin/record-mapping.ts'

export interface UserOptions {
  readonly name: string
  readonly password: string
}

/** One of `host`, `network` and `unix` says whom the rule is about. */
export interface ClientOptions {
  readonly host?: string
  readonly network?: string
  readonly unix: boolean
  readonly shared_key?: string
  readonly users: readonly string[]
}

export interface SecurityOptions {
  readonly shared_key?: string
  readonly empty_shared_key: boolean
  readonly self_hostname?: string
  readonly user_auth: boolean
  readonly users: readonly UserOptions[]
  readonly clients: readonly ClientOptions[]
  readonly allow_anonymous_source: boolean
  readonly deny: readonly string[]
}

export interface ForwardOptions extends ListeningOptions, MappingOptions {
  readonly listen: readonly string[]
  readonly udp_heartbeat: boolean
  readonly tag: string | null
  readonly add_tag_prefix: string | null
  readonly tag_prefix_raw: string | null
  readonly default_tag: string
  readonly source_address: boolean
  readonly dedupe: 'unconfirmed' | 'window' | 'off'
  readonly on_undecodable: 'dead_letter' | 'reject'
  readonly on_oversize: 'reject' | 'drop_and_ack'
  readonly max_frame_bytes: number
  readonly max_decompressed_bytes: number
  readonly max_connections: number
  readonly max_connection_age: number
  readonly security: SecurityOptions
  readonly keepalive_probe: number
  readonly idle_timeout: number
  readonly frame_timeout: number
  readonly handshake_timeout: number
  readonly drain_timeout: number
}
