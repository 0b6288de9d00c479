// Runs on: any.
// Which files of a shard directory are its log. Sorted by first offset, then epoch; of two segments that claim the same
// offsets the one with the higher epoch wins: the other was cut off by a failed sync or never got a record.

import path from 'node:path'
import { errnoOf, errorText } from '../../core/errors.ts'
import { parseArchivedName } from '../cursor/archive.ts'
import { readTolerant } from '../damage-read.ts'
import type { FrameHash } from '../format/frame.ts'
import { INCOMPATIBLE_KNOWN, SEGMENT_HEADER } from '../format/layout.ts'
import { decodeSegmentHeader } from '../format/segment-file.ts'
import { parseSegmentName } from '../format/segment-names.ts'
import { checkFormat } from '../format/version.ts'
import type { Storage } from '../storage.ts'
import { Quarantine } from './quarantine.ts'

export interface SegmentFileInfo {
  readonly path: string
  readonly firstOffset: number
  readonly epoch: number
  readonly byteCount: number
}

export interface ShardListing {
  readonly live: readonly SegmentFileInfo[]
  readonly superseded: readonly SegmentFileInfo[]
  /** File names that are none of ours; reported and left alone. */
  readonly unknown: readonly string[]
}

/** Reads names and sizes; opens nothing. An absent directory is empty. */
export function listShard(storage: Storage, directory: string): ShardListing {
  if (storage.stat(directory) === null) return { live: [], superseded: [], unknown: [] }
  const files: SegmentFileInfo[] = []
  const unknown: string[] = []
  for (const fileName of storage.readdir(directory)) {
    const name = parseSegmentName(fileName)
    const file = path.join(directory, fileName)
    const stat = name === null ? null : storage.stat(file)
    if (name !== null && stat !== null)
      files.push({ path: file, ...name, byteCount: stat.byteCount })
    else if (!fileName.endsWith('.cur') && parseArchivedName(fileName) === null)
      unknown.push(fileName)
  }
  files.sort((a, b) => a.firstOffset - b.firstOffset || a.epoch - b.epoch)
  const live: SegmentFileInfo[] = []
  const superseded: SegmentFileInfo[] = []
  let epoch = 0
  for (const file of files) {
    if (file.epoch < epoch) {
      superseded.push(file)
      continue
    }
    const before = live.at(-1)
    if (before !== undefined && before.firstOffset === file.firstOffset) {
      live.pop()
      superseded.push(before)
    }
    live.push(file)
    epoch = file.epoch
  }
  return { live, superseded, unknown }
}

/** Directories of ours above a shard: `park/<route>/<output>` in the data directory. */
const OWN_LEVELS_MAX = 4

/**
 * Makes the directory and every missing parent, durable up to the first that was there. The levels that may be ours are
 * synced in any case: a process that was killed may have made them and not got to the sync.
 */
export function makeDirectoryDurable(storage: Storage, directory: string): void {
  const firstMade = storage.mkdir(directory)
  const top = firstMade === undefined ? directory : path.dirname(firstMade)
  let isMade = firstMade !== undefined
  let at = directory
  for (let level = 0; isMade || level < OWN_LEVELS_MAX; level++) {
    const parent = path.dirname(at)
    if (parent === at) return
    try {
      storage.dirsyncNow(parent)
    } catch (error) {
      // A parent that was there before us may not be ours to open.
      if (isMade || !['EACCES', 'EPERM'].includes(errnoOf(error))) throw error
    }
    at = parent
    isMade = isMade && at !== top
  }
}

/** Deletes a superseded segment without content; moves one with content to the quarantine. Returns a note. */
export function removeSuperseded(storage: Storage, segment: SegmentFileInfo): string {
  try {
    if (!hasContent(storage, segment)) {
      storage.unlink(segment.path)
      return `${segment.path}: empty and superseded, deleted`
    }
  } catch (error) {
    return `${segment.path}: superseded, not removed: ${errorText(error)}`
  }
  const quarantine = new Quarantine(storage, path.dirname(segment.path))
  return quarantine.moveFile(segment.path, 'superseded by a later epoch')
}

/** Whether anything but zeros stands behind the header. */
function hasContent(storage: Storage, segment: SegmentFileInfo): boolean {
  if (segment.byteCount <= SEGMENT_HEADER.byteCount) return false
  const file = storage.open(segment.path, 'read')
  try {
    const piece = Buffer.alloc(Math.min(1024 * 1024, segment.byteCount))
    const zeros = Buffer.alloc(piece.length)
    for (let at: number = SEGMENT_HEADER.byteCount; at < segment.byteCount; at += piece.length) {
      const bytes = piece.subarray(0, readTolerant(storage, file, piece, at))
      if (bytes.length === 0) return false
      if (!bytes.equals(zeros.subarray(0, bytes.length))) return true
    }
    return false
  } finally {
    storage.close(file)
  }
}

/**
 * Refuses a segment that a later release wrote: a header that verifies and says so. One that does not verify is damage,
 * which is no reason to stop: the file name says all that its frames need.
 */
export function checkSegmentFormat(
  storage: Storage,
  file: number,
  segmentPath: string,
  hash: FrameHash,
  salt: bigint
): void {
  const bytes = Buffer.alloc(SEGMENT_HEADER.byteCount)
  if (readTolerant(storage, file, bytes, 0) < bytes.length) return
  const header = decodeSegmentHeader(bytes, hash, salt)
  if (header === null) return
  checkFormat(segmentPath, header, INCOMPATIBLE_KNOWN)
}
