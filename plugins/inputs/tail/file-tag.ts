// Step 2. Runs on: ingest.
// The tag of a file: `*` in the option stands for its path with dots for slashes, as in Fluentd and Fluent Bit.

import { TAG_BYTES_MAX } from '../../../src/core/limits.ts'

export function tagOf(option: string, path: string): Buffer {
  const name = path.replace(/^\/+/, '').replaceAll(/\/+/g, '.')
  const bytes = Buffer.from(option.replaceAll('*', () => name))
  return bytes.length > TAG_BYTES_MAX ? bytes.subarray(0, TAG_BYTES_MAX) : bytes
}
