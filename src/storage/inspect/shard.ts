// Runs on: any.
// One shard of a data directory as tools see it: its files, its cursors, and a reader that gives frames and holes as
// delivery would. Beside a running server the files change under the reader: what is opened is read as it was, and what
// was deleted meanwhile was finished by every destination.

import path from 'node:path'
import { errnoOf, MillraceError } from '../../core/errors.ts'
import { logIdOf } from '../../core/position.ts'
import { listCursors } from '../cursor/archive.ts'
import { FinishedRanges } from '../cursor/finished-ranges.ts'
import { type CursorContent, decodeCursorSlot } from '../cursor/slot.ts'
import { readTolerant } from '../damage-read.ts'
import { CURSOR_FILE_BYTES, CURSOR_SLOT } from '../format/layout.ts'
import { cursorFileName, cursorSalt, parseShardDirectoryName } from '../format/segment-names.ts'
import { examineLog } from '../reader/log-end.ts'
import type { RecoveryResult } from '../reader/segments.ts'
import { listShard, type ShardListing } from '../reader/shard-directory.ts'
import { ShardSegments } from '../reader/shard-segments.ts'
import { policyOf, type StoreView } from './store.ts'

/** Listings that are thrown away because the server deleted a segment between names and cursors. */
const LISTINGS_MAX = 5

export interface CursorView {
  readonly output: string
  /** Null: no slot of the file can be read, or META cannot. */
  readonly content: CursorContent | null
  readonly finished: FinishedRanges | null
}

/** The cursor of a destination that its route no longer has, put away under another name: it waits for nothing. */
export interface ArchivedView extends CursorView {
  readonly file: string
  readonly removedMs: number
}

/** Names, sizes and cursors; no segment was opened. */
export interface ShardView {
  readonly store: StoreView
  /** `routes/web/shard-00` */
  readonly path: string
  /** `routes/web` */
  readonly log: string
  readonly shardNumber: number
  readonly directory: string
  readonly logId: Buffer | null
  readonly listing: ShardListing
  readonly cursors: readonly CursorView[]
  readonly archived: readonly ArchivedView[]
}

/** A shard whose records can be read. */
export interface ReadableShard extends ShardView {
  readonly secret: Uint8Array
  readonly logId: Buffer
  readonly recovered: RecoveryResult
  readonly segments: ShardSegments
}

export function listShardView(store: StoreView, shardPath: string): ShardView {
  const directory = path.join(store.dataDir, shardPath)
  const logId = store.meta === null ? null : Buffer.from(logIdOf(store.meta.uuid, shardPath))
  let view: ShardView | null = null
  for (let attempt = 0; attempt < LISTINGS_MAX; attempt++) {
    // Cursors are durable before a file goes: read in this order, no cursor is behind the oldest file.
    const listing = listShard(store.storage, directory)
    const { archived, cursors } = readCursors(store, directory, logId)
    const again = listShard(store.storage, directory)
    view = {
      store,
      path: shardPath,
      log: path.posix.dirname(shardPath),
      shardNumber: parseShardDirectoryName(path.posix.basename(shardPath)) ?? 0,
      directory,
      logId,
      listing: again,
      cursors,
      archived
    }
    if (again.live[0]?.firstOffset === listing.live[0]?.firstOffset) break
  }
  if (view === null) throw new Error('no listing')
  return view
}

/** Scans the last segment, as a start would. Throws MR_STORE_META where no hash can be checked. */
export function openShardView(store: StoreView, shardPath: string): ReadableShard {
  const view = listShardView(store, shardPath)
  const { decoder, hash, meta, storage } = store
  if (meta === null || view.logId === null) {
    throw new MillraceError(
      'MR_STORE_META',
      `${store.dataDir}: ${store.faults.join(', ')}; without META no record can be checked. Restore META or META.bak from a backup`
    )
  }
  const { logId } = view
  const { durability } = policyOf(store, view.log)
  const log = { storage, hash, storeSecret: meta.secret, logId, decoder, durability }
  const cursorHighOffset = Math.max(0, ...view.cursors.map(({ finished }) => finished?.high ?? 0))
  const recovered = examineLog({ ...log, cursorHighOffset }, view.listing)
  return {
    ...view,
    logId: view.logId,
    secret: meta.secret,
    recovered,
    segments: new ShardSegments({ ...log, recovered })
  }
}

/** Records of [first, end) that each destination has not finished; those that have nothing left are not named. */
export function unfinishedOf(
  shard: Pick<ShardView, 'cursors'>,
  first: number,
  end: number
): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { content, finished, output } of shard.cursors) {
    // A cursor that cannot be read begins again at the oldest record.
    const from = Math.max(first, content?.origin ?? first)
    const missing = finished === null ? [[from, end] as const] : finished.missing(from, end)
    const count = missing.reduce((sum, [one, other]) => sum + Math.max(0, other - one), 0)
    if (count > 0) counts[output] = count
  }
  return counts
}

function readCursors(
  store: StoreView,
  directory: string,
  logId: Buffer | null
): Pick<ShardView, 'cursors' | 'archived'> {
  const view = (name: string, output: string): CursorView => {
    const content = readCursor(store, path.join(directory, name), output, logId)
    const finished = content === null ? null : new FinishedRanges(content.low, content.ranges)
    return { output, content, finished }
  }
  const { archived, live } = listCursors(store.storage, directory)
  return {
    cursors: live.map((output) => view(cursorFileName(output), output)),
    archived: archived.map(({ outputId, path: file, removedMs }) => {
      const name = path.basename(file)
      return { ...view(name, outputId), file: name, removedMs }
    })
  }
}

/** The newer of the two slots that can be read. A slot that is written just now does not verify; the other one does. */
function readCursor(
  { hash, meta, storage }: StoreView,
  file: string,
  output: string,
  logId: Buffer | null
): CursorContent | null {
  if (meta === null || logId === null) return null
  const bytes = Buffer.alloc(CURSOR_FILE_BYTES)
  try {
    const handle = storage.open(file, 'read')
    try {
      readTolerant(storage, handle, bytes, 0)
    } finally {
      storage.close(handle)
    }
  } catch (error) {
    if (['ENOENT', 'EACCES', 'EPERM'].includes(errnoOf(error))) return null
    throw error
  }
  const salt = cursorSalt(meta.secret, logId, output)
  const slots = [0, CURSOR_SLOT.byteCount]
    .map((at) => decodeCursorSlot(bytes.subarray(at, at + CURSOR_SLOT.byteCount), hash, salt))
    .filter((content) => content !== null)
  return slots.toSorted((one, other) => other.generation - one.generation)[0] ?? null
}
