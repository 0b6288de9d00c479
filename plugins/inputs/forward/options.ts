// Runs on: any (types only).
// Options of the forward input as its code sees them: config.ts without its schema library.

import type { ListeningOptions } from '../../../src/plugin/listening.ts'

export interface ForwardOptions extends ListeningOptions {
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
  readonly keepalive_probe: number
  readonly idle_timeout: number
  readonly frame_timeout: number
  readonly drain_timeout: number
}
