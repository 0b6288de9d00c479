// Runs on: main.
// A small file of JSON: one line, and one with its XXH64 (seed 0). Replaced as a whole, so that a crash leaves the old one or
// the new; what does not verify, or is of another format, is told and never believed.

import { errnoOf } from '../../core/errors.ts'
import type { FrameHash } from '../format/frame.ts'
import { replaceFile } from '../replace-file.ts'
import type { Storage } from '../storage.ts'

const FILE_BYTES_MAX = 1024 * 1024

/** `absent`: there is none. `damaged`: torn, changed, too large, or of another format. */
export type CheckedRead =
  | { readonly kind: 'read'; readonly value: unknown }
  | { readonly kind: 'absent' | 'damaged' }

export function readChecked(
  storage: Storage,
  file: string,
  hash: FrameHash,
  format: number
): CheckedRead {
  const byteCount = storage.stat(file)?.byteCount
  if (byteCount === undefined) return { kind: 'absent' }
  if (byteCount > FILE_BYTES_MAX) return { kind: 'damaged' }
  const bytes = readAll(storage, file, byteCount)
  const end = bytes.indexOf(10) + 1
  const line = bytes.subarray(0, end)
  const sum = bytes.toString('latin1', end).trim()
  if (end === 0 || sumOf(line, hash) !== sum) return { kind: 'damaged' }
  // The sum holds: it is what `writeChecked` wrote, of this release or another.
  const value = JSON.parse(line.toString()) as { format: unknown }
  return value.format === format ? { kind: 'read', value } : { kind: 'damaged' }
}

/** Durable when it returns. Null: there is to be no file. */
export function writeChecked(
  storage: Storage,
  file: string,
  hash: FrameHash,
  content: { readonly format: number; readonly [name: string]: unknown } | null
): void {
  if (content === null) {
    if (storage.stat(file) !== null) storage.unlink(file)
    return
  }
  const line = Buffer.from(`${JSON.stringify(content)}\n`)
  replaceFile(storage, file, Buffer.concat([line, Buffer.from(`${sumOf(line, hash)}\n`)]))
}

const sumOf = (line: Buffer, hash: FrameHash): string =>
  hash([line], 0n).toString(16).padStart(16, '0')

function readAll(storage: Storage, file: string, byteCount: number): Buffer {
  const bytes = Buffer.alloc(byteCount)
  const handle = storage.open(file, 'read')
  try {
    return bytes.subarray(0, storage.pread(handle, bytes, 0))
  } catch (error) {
    if (errnoOf(error) !== 'EIO') throw error
    return bytes.subarray(0, 0)
  } finally {
    storage.close(handle)
  }
}
