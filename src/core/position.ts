// Runs on: any.
// Position ids: log id 8 | epoch 4 | offset 6 bytes, big-endian, base64url: 24 characters for ever the same record.
// Never change the packing: a change creates again whatever is in flight.

import { createHash } from 'node:crypto'

/** Bytes of a position id before base64url. */
export const POSITION_ID_BYTES = 18
/** Offsets have 6 bytes; at a million records a second that lasts nine years per shard. */
export const OFFSET_MAX = 2 ** 48 - 1

/** First 8 bytes of SHA-256(store uuid | path of the shard directory below the data directory). */
export function logIdOf(storeUuid: Uint8Array, shardPath: string): Uint8Array {
  return createHash('sha256').update(storeUuid).update(shardPath, 'utf8').digest().subarray(0, 8)
}

/** The 24 characters that name one record for ever. */
export function positionId(logId: Uint8Array, epoch: number, offset: number): string {
  const bytes = Buffer.alloc(POSITION_ID_BYTES)
  bytes.set(logId, 0)
  bytes.writeUInt32BE(epoch, 8)
  bytes.writeUIntBE(offset, 12, 6)
  return bytes.toString('base64url')
}
