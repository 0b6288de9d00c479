// Step 9. Runs on: main.
// Cursors of destinations that a route no longer has. The file keeps its bytes under another name, `<output>.cur.removed-
// <time>`, so that its counts stay readable; it holds no segments and is never loaded again. A destination that comes back
// begins anew.

import path from 'node:path'
import type { FrameHash } from '../format/frame.ts'
import { CURSOR_FILE_BYTES, CURSOR_SLOT } from '../format/layout.ts'
import { cursorFileName, cursorSalt } from '../format/segment-names.ts'
import type { Storage } from '../storage.ts'
import { decodeCursorSlot, type OutcomeCount } from './slot.ts'

export interface ArchivedCursor {
  readonly outputId: string
  /** Wall clock at which it was put away, to the second. */
  readonly removedMs: number
  readonly path: string
}

export interface CursorFiles {
  /** Output ids of the cursors in use. */
  readonly live: readonly string[]
  readonly archived: readonly ArchivedCursor[]
}

/** What a cursor file said last. */
export interface CursorRecord {
  readonly origin: number
  readonly lowOffset: number
  /** Offset after the highest finished one. */
  readonly highOffset: number
  /** Finished offsets above `lowOffset`. */
  readonly finishedAbove: number
  readonly counts: ReadonlyMap<string, OutcomeCount>
}

const ARCHIVED = /^(.+)\.cur\.removed-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z(?:-\d+)?$/
const LIVE_SUFFIX = '.cur'

/** Null: not the name of an archived cursor. */
export function parseArchivedName(
  fileName: string
): { outputId: string; removedMs: number } | null {
  const [, outputId, year, month, day, hour, minute, second] = ARCHIVED.exec(fileName) ?? []
  if (outputId === undefined) return null
  const removedMs = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
  return Number.isNaN(removedMs) ? null : { outputId, removedMs }
}

/** Names only; nothing is opened. An absent directory has none. */
export function listCursors(storage: Storage, directory: string): CursorFiles {
  const live: string[] = []
  const archived: ArchivedCursor[] = []
  if (storage.stat(directory) === null) return { live, archived }
  for (const name of storage.readdir(directory).toSorted()) {
    const parsed = parseArchivedName(name)
    if (parsed !== null) archived.push({ ...parsed, path: path.join(directory, name) })
    else if (name.endsWith(LIVE_SUFFIX)) live.push(name.slice(0, -LIVE_SUFFIX.length))
  }
  return { live, archived }
}

/**
 * Puts the cursor of a destination away. Durable when it returns: were the old name to come back after a power cut, it
 * would vouch for segments that have been deleted since.
 */
export function archiveCursor(
  storage: Storage,
  directory: string,
  outputId: string,
  nowMs: number
): ArchivedCursor {
  const target = archivedCursorPath(storage, directory, outputId, nowMs)
  storage.rename(path.join(directory, cursorFileName(outputId)), target)
  storage.dirsyncNow(directory)
  return { outputId, removedMs: Math.floor(nowMs / 1000) * 1000, path: target }
}

/** Where a cursor goes that is put away in this second. */
export function archivedCursorPath(
  storage: Storage,
  directory: string,
  outputId: string,
  nowMs: number
): string {
  const time = new Date(nowMs).toISOString().replace(/\.\d+Z$/, 'Z')
  const base = path.join(
    directory,
    `${cursorFileName(outputId)}.removed-${time.replaceAll(/[-:]/g, '')}`
  )
  let target = base
  for (let number = 2; storage.stat(target) !== null; number++) target = `${base}-${number}`
  return target
}

/** The newer slot that verifies, of a live or archived cursor; null: neither can be read. Changes nothing. */
export function readCursorRecord(
  storage: Storage,
  file: string,
  hash: FrameHash,
  identity: {
    readonly storeSecret: Uint8Array
    readonly logId: Uint8Array
    readonly outputId: string
  }
): CursorRecord | null {
  const salt = cursorSalt(identity.storeSecret, identity.logId, identity.outputId)
  const bytes = Buffer.alloc(CURSOR_FILE_BYTES)
  const handle = storage.open(file, 'read')
  try {
    storage.pread(handle, bytes, 0)
  } catch {
    return null
  } finally {
    storage.close(handle)
  }
  let best: NonNullable<ReturnType<typeof decodeCursorSlot>> | null = null
  for (let slot = 0; slot < 2; slot++) {
    const startByte = slot * CURSOR_SLOT.byteCount
    const part = bytes.subarray(startByte, startByte + CURSOR_SLOT.byteCount)
    const content = decodeCursorSlot(part, hash, salt)
    if (content !== null && content.generation > (best?.generation ?? -1)) best = content
  }
  if (best === null) return null
  const finishedAbove = best.ranges.reduce((sum, [first, end]) => sum + end - first, 0)
  const { counts, low: lowOffset, origin, ranges } = best
  const highOffset = ranges.at(-1)?.[1] ?? lowOffset
  return { origin, lowOffset, highOffset, finishedAbove, counts }
}
