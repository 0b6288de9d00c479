// Step 2. Runs on: ingest.
// Tag and time of a request: the path without its first slash, slashes as dots, not percent-decoded.

import { TAG_BYTES_MAX } from '../../../src/core/limits.ts'
import type { HttpOptions } from './options.ts'

export interface Target {
  readonly tag: Buffer
  /** Names and values behind the question mark. */
  readonly query: URLSearchParams
}

export function targetOf(
  url: string,
  headerTag: string | undefined,
  options: Pick<HttpOptions, 'add_tag_prefix' | 'default_tag'>
): Target {
  const mark = url.indexOf('?')
  const path = mark < 0 ? url : url.slice(0, mark)
  const named = headerTag ?? path.replace(/^\//, '').replace(/\/+$/, '').replaceAll('/', '.')
  const tag = prefixedTag(named, options)
  return { tag, query: new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1)) }
}

/** With the prefix of the input, never empty, cut to the limit. */
export function prefixedTag(
  named: string,
  options: Pick<HttpOptions, 'add_tag_prefix' | 'default_tag'>
): Buffer {
  const tag = named === '' ? options.default_tag : named
  return cut(options.add_tag_prefix === null ? tag : `${options.add_tag_prefix}.${tag}`)
}

/** Seconds and nanoseconds of `?time=`; null: none, zero or no number. */
export function timeOf(query: URLSearchParams): { seconds: number; nanos: number } | null {
  const text = query.get('time')
  const value = text === null ? 0 : Number(text)
  if (!Number.isFinite(value) || value <= 0 || value >= 2 ** 32) return null
  const seconds = Math.floor(value)
  return { seconds, nanos: Math.floor((value - seconds) * 1e9) }
}

function cut(text: string): Buffer {
  const bytes = Buffer.from(text)
  if (bytes.length <= TAG_BYTES_MAX) return bytes
  let end = TAG_BYTES_MAX
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end--
  return bytes.subarray(0, end)
}
