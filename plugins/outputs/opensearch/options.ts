// Runs on: any.
// The options as the code sees them, and what follows from them for both halves.

export interface OpenSearchOptions {
  readonly endpoints: readonly string[]
  readonly path: string
  readonly index: string
  readonly index_sanitize: boolean
  readonly id: 'position' | 'none'
  readonly pipeline?: string
  readonly require_alias: boolean
  readonly time_key: string
  readonly time_precision: 0 | 3 | 6 | 9
  readonly time_key_conflict: 'keep' | 'overwrite' | 'rename'
  readonly include_tag_key: boolean
  readonly tag_key: string
  readonly bulk_bytes: number
  readonly flush_interval: number
  readonly inflight_max: number
  readonly compress?: 'off' | 'gzip'
  readonly server_timeout: number
  readonly connect_timeout: number
  readonly request_timeout: number
  readonly max_response_bytes: number
  readonly retry: { readonly base: number; readonly cap: number }
  readonly user?: string
  readonly password?: string
  readonly api_key?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly tls?: TlsOptions
}

export interface TlsOptions {
  readonly ca_file?: string
  readonly cert_file?: string
  readonly key_file?: string
  readonly key_passphrase?: string
  readonly verify: boolean
  readonly server_name?: string
  readonly min_version: '1.2' | '1.3'
}

/** gzip costs 2.2 cpu-ms per MB, ten times what it saves on loopback and worth it on any wire. */
export function isCompressed(options: OpenSearchOptions): boolean {
  return options.compress === undefined
    ? !options.endpoints.every(isLoopback)
    : options.compress === 'gzip'
}

function isLoopback(endpoint: string): boolean {
  const host = URL.parse(endpoint)?.hostname ?? ''
  return host === 'localhost' || host === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(host)
}
