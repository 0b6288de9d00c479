// Runs on: any (types only).
// Options of the tail input as its code sees them: config.ts without its schema library.

import type { LineFormat } from '../../../src/kernel/line-converter.ts'

export interface TailOptions {
  readonly paths: readonly string[]
  readonly exclude: readonly string[]
  readonly tag: string
  readonly format: LineFormat
  readonly key: string
  readonly path_key: string | null
  readonly start_at: 'beginning' | 'end'
  readonly refresh_interval: number
  readonly rotate_wait: number
  /** Milliseconds; without it: files of any age. */
  readonly ignore_older?: number
  readonly max_line_bytes: number
  readonly keep_empty_lines: boolean
}
