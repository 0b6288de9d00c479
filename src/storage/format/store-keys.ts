// Runs on: any.
// Keys of encrypted frames. Master keys come from the configuration; every segment has a key of its own, derived from the
// master key and the place of the segment, so that frames cannot be moved between segments, logs or stores, and random
// nonces of one key stay few (a segment holds at most 2^24 frames).
//
//   segment key = HKDF-SHA256(master key, salt = store uuid,
//                             info = "millrace frame" | log id 8 | epoch u32 | first offset u64), 32 bytes

import { hkdfSync } from 'node:crypto'
import { KEY_BYTES, type StoreKey, type StoreKeys } from '../../core/encryption-keys.ts'
import { writeU64 } from './words.ts'

/** Who a store is and what it takes to read it: uuid and secret stand in META, keys never do. */
export interface StoreIdentity {
  readonly uuid: Uint8Array
  readonly secret: Uint8Array
  readonly keys: StoreKeys | null
}

/** Where a segment stands. */
export interface SegmentPlace {
  readonly logId: Uint8Array
  readonly epoch: number
  readonly firstOffset: number
}

const INFO = Buffer.from('millrace frame', 'latin1')

/** About 10 us: derived once per segment. */
export function segmentKey(master: StoreKey, storeUuid: Uint8Array, place: SegmentPlace): Buffer {
  const tail = Buffer.alloc(12)
  tail.writeUInt32LE(place.epoch, 0)
  writeU64(tail, place.firstOffset, 4)
  const info = Buffer.concat([INFO, place.logId, tail])
  return Buffer.from(hkdfSync('sha256', master.key, storeUuid, info, KEY_BYTES))
}
