// Runs on: any (types only).
// Options of the http input as its code sees them: config.ts without its schema library.

import type { ListeningOptions } from '../../../src/plugin/listening.ts'

export interface AuthOptions {
  readonly users: readonly { readonly username: string; readonly password: string }[]
  readonly bearer_tokens: readonly string[]
}

export interface ElasticsearchOptions {
  readonly enabled: boolean
  readonly version: string
  readonly tag: string | null
}

export interface OtlpOptions {
  readonly enabled: boolean
  readonly tag: string
}

export interface HttpOptions extends ListeningOptions {
  readonly listen: readonly string[]
  readonly add_tag_prefix: string | null
  readonly default_tag: string
  readonly tag_header: string | null
  readonly time_keys: readonly string[]
  readonly keep_time_key: boolean
  readonly time_unit_guess: boolean
  readonly add_http_headers: boolean
  readonly add_remote_addr: boolean
  readonly trusted_proxies: readonly string[]
  readonly add_query_params: boolean
  readonly auth: AuthOptions
  readonly elasticsearch: ElasticsearchOptions
  readonly otlp: OtlpOptions
  readonly response_code: 200 | 201 | 204
  readonly use_204_response: boolean
  readonly respond_with_empty_img: boolean
  readonly max_body_bytes: number
  readonly max_decompressed_bytes: number
  readonly max_connections: number
  readonly keepalive_timeout: number
  readonly header_timeout: number
  readonly min_body_rate: number
  readonly cors_allow_origins: readonly string[]
  readonly cors_allow_credentials: boolean
}
