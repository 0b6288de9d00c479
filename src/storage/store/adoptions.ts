// Runs on: main.
// ADOPTED: which directories of routes that are gone belong to which live route, as further shards that are only read. A
// line of JSON and a line with its XXH64 (seed 0), replaced as a whole. A file that does not verify adopts nothing: its
// directories are orphans again, listed and whole, and are adopted anew.

import path from 'node:path'
import { errnoOf } from '../../core/errors.ts'
import type { FrameHash } from '../format/frame.ts'
import { replaceFile } from '../replace-file.ts'
import type { Storage } from '../storage.ts'

/** Log of the orphan (`routes/old`) -> id of the route that has it. */
export type Adoptions = ReadonlyMap<string, string>

const FILE_NAME = 'ADOPTED'
const FORMAT = 1
const FILE_BYTES_MAX = 1024 * 1024

export interface ReadAdoptions {
  readonly adoptions: Adoptions
  /** The file is there and cannot be believed. */
  readonly isDamaged: boolean
}

export function readAdoptions(storage: Storage, dataDir: string, hash: FrameHash): ReadAdoptions {
  const file = path.join(dataDir, FILE_NAME)
  const byteCount = storage.stat(file)?.byteCount
  if (byteCount === undefined) return { adoptions: new Map(), isDamaged: false }
  const adoptions = byteCount > FILE_BYTES_MAX ? null : decode(readAll(storage, file), hash)
  return { adoptions: adoptions ?? new Map(), isDamaged: adoptions === null }
}

/** Durable when it returns: a crash leaves the old file or the new one. */
export function writeAdoptions(
  storage: Storage,
  dataDir: string,
  hash: FrameHash,
  adoptions: Adoptions
): void {
  const target = path.join(dataDir, FILE_NAME)
  if (adoptions.size === 0) {
    if (storage.stat(target) !== null) storage.unlink(target)
    storage.dirsyncNow(dataDir)
    return
  }
  replaceFile(storage, target, encode(adoptions, hash))
}

/** With one more; what the orphan itself had adopted goes with it. */
export function withAdoption(adoptions: Adoptions, log: string, routeId: string): Adoptions {
  const next = new Map(
    [...adoptions].map(([each, id]) => [each, `routes/${id}` === log ? routeId : id])
  )
  return next.set(log, routeId)
}

function encode(adoptions: Adoptions, hash: FrameHash): Buffer {
  const line = Buffer.from(
    `${JSON.stringify({ format: FORMAT, adopted: Object.fromEntries(adoptions) })}\n`
  )
  const sum = hash([line], 0n).toString(16).padStart(16, '0')
  return Buffer.concat([line, Buffer.from(`${sum}\n`)])
}

/** Null: torn, changed, or of another format. */
function decode(bytes: Buffer, hash: FrameHash): Adoptions | null {
  const end = bytes.indexOf(10) + 1
  const line = bytes.subarray(0, end)
  const sum = bytes.toString('latin1', end).trim()
  if (end === 0 || hash([line], 0n).toString(16).padStart(16, '0') !== sum) return null
  // The sum holds: it is what `encode` wrote, of this release or another.
  const { adopted, format } = JSON.parse(line.toString()) as {
    format: unknown
    adopted: Record<string, string>
  }
  return format === FORMAT ? new Map(Object.entries(adopted)) : null
}

function readAll(storage: Storage, file: string): Buffer {
  const bytes = Buffer.alloc(FILE_BYTES_MAX)
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
