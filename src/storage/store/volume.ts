// Runs on: main.
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

/** Throws MR_STORE_VOLUME for a network file system, unless the configuration wants one. */
export function checkVolume(storage: Storage, dataDirectory: string, isNetworkAllowed: boolean) {
  const name = networkFileSystem(storage.statfs(dataDirectory).kind)
  if (name === null || isNetworkAllowed) return
  throw new MillraceError(
    'MR_STORE_VOLUME',
    `${dataDirectory} lies on ${name}, where a sync and a lock may not hold what they promise. Choose a local disk for data_dir, or set queue.allow_network_fs: true`
  )
}
