// Runs on: main, ingest.
// What kind of volume a data directory lies on. On network file systems a sync may return before the bytes are anywhere
// durable, locks may not hold between machines, and a deleted file that is open may vanish: the promise would be empty.

import { MillraceError } from '../../core/errors.ts'
import type { Storage } from '../storage.ts'

/** `f_type` of statfs(2). EFS and most storage classes called "shared" are NFS. FUSE is not listed: it may be anything. */
const NETWORK_KINDS: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xfe534d42, 'SMB'],
  [0xff534d42, 'CIFS'],
  [0x01021997, '9P'],
  [0x00c36400, 'Ceph'],
  [0x0bd00bd0, 'Lustre'],
  [0x5346414f, 'AFS'],
  [0x6b414653, 'AFS'],
  [0x73757245, 'Coda'],
  [0x564c, 'NCP']
])

/** Name of the network file system; null: it is none that is known. */
export function networkFileSystem(kind: number): string | null {
  // The type is a word of the kernel, signed on some platforms.
  return NETWORK_KINDS.get(kind >>> 0) ?? null
}

/** Free space that is left to others: bytes, or a share of the volume. */
export type MinFree =
  | { readonly kind: 'bytes'; readonly bytes: number }
  | { readonly kind: 'ratio'; readonly ratio: number }

/** A share of a big volume is more than anybody wants to leave empty. */
const SHARE_BYTES_MAX = 10 * 1024 ** 3

/** The same in bytes. */
export function minFreeBytes(minFree: MinFree, totalBytes: number): number {
  if (minFree.kind === 'bytes') return minFree.bytes
  return Math.min(totalBytes * minFree.ratio, SHARE_BYTES_MAX)
}

/** Throws MR_STORE_VOLUME for a network file system, unless the configuration wants one. */
export function checkVolume(storage: Storage, dataDirectory: string, isNetworkAllowed: boolean) {
  const name = networkFileSystem(storage.statfs(dataDirectory).kind)
  if (name === null || isNetworkAllowed) return
  throw new MillraceError(
    'MR_STORE_VOLUME',
    `${dataDirectory} lies on ${name}, where a sync and a lock may not hold what they promise. Choose a local disk for data_dir, or set queue.allow_network_fs: true`
  )
}
