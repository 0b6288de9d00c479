// Runs on: any (types only).
// Options of the http input as its code sees them: config.ts without its schema library.

import type { ListeningOptions } from '../../../src/plugin/listening.ts'

export interface HttpOptions extends ListeningOptions {
  readonly listen: readonly string[]
  readonly add_tag_prefix: string | null
  readonly default_tag: string
  readonly tag_header: string | null
  readonly time_key: string | null
  readonly response_code: 200 | 201 | 204
  readonly max_body_bytes: number
  readonly max_decompressed_bytes: number
  readonly keepalive_timeout: number
  readonly request_timeout: number
  readonly cors_allow_origins: readonly string[]
}
