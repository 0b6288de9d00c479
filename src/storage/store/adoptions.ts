// Runs on: main.
// ADOPTED: which directories of routes that are gone belong to which live route, as further shards that are only read. A
// file that does not verify adopts nothing: its directories are orphans again, listed and whole, and are adopted anew.

import path from 'node:path'
import type { FrameHash } from '../format/frame.ts'
import type { Storage } from '../storage.ts'
import { readChecked, writeChecked } from './checked-file.ts'

/** Log of the orphan (`routes/old`) -> id of the route that has it. */
export type Adoptions = ReadonlyMap<string, string>

const FILE_NAME = 'ADOPTED'
const FORMAT = 1

export interface ReadAdoptions {
  readonly adoptions: Adoptions
  /** The file is there and cannot be believed. */
  readonly isDamaged: boolean
}

export function readAdoptions(storage: Storage, dataDir: string, hash: FrameHash): ReadAdoptions {
  const read = readChecked(storage, path.join(dataDir, FILE_NAME), hash, FORMAT)
  if (read.kind !== 'read') return { adoptions: new Map(), isDamaged: read.kind === 'damaged' }
  // Of this format, so `writeAdoptions` wrote it.
  const { adopted } = read.value as { adopted: Record<string, string> }
  return { adoptions: new Map(Object.entries(adopted)), isDamaged: false }
}

/** Durable when it returns: a crash leaves the old file or the new one. */
export function writeAdoptions(
  storage: Storage,
  dataDir: string,
  hash: FrameHash,
  adoptions: Adoptions
): void {
  const content = { format: FORMAT, adopted: Object.fromEntries(adoptions) }
  writeChecked(storage, path.join(dataDir, FILE_NAME), hash, adoptions.size === 0 ? null : content)
  if (adoptions.size === 0) storage.dirsyncNow(dataDir)
}

/** With one more; what the orphan itself had adopted goes with it. */
export function withAdoption(adoptions: Adoptions, log: string, routeId: string): Adoptions {
  const next = new Map(
    [...adoptions].map(([each, id]) => [each, `routes/${id}` === log ? routeId : id])
  )
  return next.set(log, routeId)
}
