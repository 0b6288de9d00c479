// Step 1. Runs on: ingest.
// The first bytes of a file tell it from another one that got its inode number, and from what is written anew in its
// place. Limit: files that are alike in their first FINGERPRINT_BYTES_MAX bytes are told apart by inode and length only.

import fs from 'node:fs'
import { crc32 } from 'node:zlib'

export const FINGERPRINT_BYTES_MAX = 1024

/** CRC-32 of so many first bytes. A file that only grows keeps it. */
export interface Fingerprint {
  readonly byteCount: number
  readonly crc: number
}

export const NO_FINGERPRINT: Fingerprint = { byteCount: 0, crc: 0 }

const scratch = Buffer.alloc(FINGERPRINT_BYTES_MAX)

/** The fingerprint of as many bytes as there are now; null: the bytes that are known are others. */
export function readFingerprint(handle: number, known: Fingerprint): Fingerprint | null {
  const byteCount = fs.readSync(handle, scratch, 0, FINGERPRINT_BYTES_MAX, 0)
  if (byteCount < known.byteCount) return null
  if (crc32(scratch.subarray(0, known.byteCount)) !== known.crc) return null
  if (byteCount === known.byteCount) return known
  return { byteCount, crc: crc32(scratch.subarray(0, byteCount)) }
}
