// Runs on: any.
// Reads that a failing sector does not stop: what cannot be read comes back as zeros, which no hash accepts, so it counts
// as damage of the frames it lies in and of nothing else.

import { errnoOf } from '../core/errors.ts'
import type { Storage } from './storage.ts'

/** Smallest range that is given up. */
const UNREADABLE_BYTES = 4096
/** A path to the device may come back, or the device may move the sector. */
const RETRY_MS = 100

/** As `pread`; on EIO tries once more after a pause, then page by page. Other errors are thrown. */
export function readTolerant(
  storage: Storage,
  file: number,
  into: Uint8Array,
  atByte: number
): number {
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      return storage.pread(file, into, atByte)
    } catch (error) {
      if (errnoOf(error) !== 'EIO') throw error
      if (attempt === 0) storage.pause(RETRY_MS)
    }
  }
  const endByte = Math.min(atByte + into.length, storage.fstat(file).byteCount)
  for (let from = atByte; from < endByte; ) {
    const to = Math.min(endByte, (Math.floor(from / UNREADABLE_BYTES) + 1) * UNREADABLE_BYTES)
    const piece = into.subarray(from - atByte, to - atByte)
    try {
      storage.pread(file, piece, from)
    } catch (error) {
      if (errnoOf(error) !== 'EIO') throw error
      piece.fill(0)
    }
    from = to
  }
  return Math.max(0, endByte - atByte)
}
