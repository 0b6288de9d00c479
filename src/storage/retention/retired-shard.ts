// Step 9. Runs on: main.
// The end of a shard that nobody writes any more. Segments go first and durably, then the cursors: a segment that came
// back after a power cut without its cursors would be delivered once more.

import path from 'node:path'
import { errnoOf } from '../../core/errors.ts'
import { listCursors } from '../cursor/archive.ts'
import { cursorFileName } from '../format/segment-names.ts'
import type { Storage } from '../storage.ts'

/** Deletes a shard whose records are finished everywhere. Returns the bytes of its segments. */
export function removeShard(
  storage: Storage,
  directory: string,
  segmentPaths: readonly string[]
): number {
  let byteCount = 0
  for (const file of segmentPaths) {
    byteCount += storage.stat(file)?.byteCount ?? 0
    unlinkIfThere(storage, file)
  }
  storage.dirsyncNow(directory)
  const { archived, live } = listCursors(storage, directory)
  for (const outputId of live)
    unlinkIfThere(storage, path.join(directory, cursorFileName(outputId)))
  for (const { path: file } of archived) unlinkIfThere(storage, file)
  const log = path.dirname(directory)
  if (removeEmpty(storage, directory)) removeEmpty(storage, log)
  return byteCount
}

/** False: something that is not ours is left in it (a quarantine), and stays. */
function removeEmpty(storage: Storage, directory: string): boolean {
  try {
    storage.rmdir(directory)
    storage.dirsyncNow(path.dirname(directory))
    return true
  } catch (error) {
    if (['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(errnoOf(error))) return false
    throw error
  }
}

function unlinkIfThere(storage: Storage, file: string): void {
  try {
    storage.unlink(file)
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
  }
}
