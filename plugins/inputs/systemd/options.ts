// Runs on: any (types only).
// Options of the systemd input as its code sees them: config.ts without its schema library.

export interface SystemdOptions {
  readonly command: string
  /** Null: the journal of this machine. */
  readonly directory: string | null
  readonly units: readonly string[]
  readonly start_at: 'beginning' | 'end'
  readonly tag: string
  readonly key: string
  /** `*` alone: all. */
  readonly fields: readonly string[]
}
