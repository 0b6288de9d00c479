// Runs on: any.
// File names of a shard directory: `<first offset, 20 digits>-<epoch, 10 digits>.seg`. Offset and epoch of every frame in
// a segment follow from its name, so a destroyed header costs nothing else.

import { createHash } from 'node:crypto'
import { OFFSET_MAX } from '../../core/position.ts'
import { writeU64 } from './words.ts'

export interface SegmentName {
  readonly firstOffset: number
  readonly epoch: number
}

const NAME = /^(\d{20})-(\d{10})\.seg$/
const EPOCH_MAX = 2 ** 32 - 1

export function segmentFileName(firstOffset: number, epoch: number): string {
  return `${String(firstOffset).padStart(20, '0')}-${String(epoch).padStart(10, '0')}.seg`
}

/** Null: not the name of a segment. Such files are reported and left alone. */
export function parseSegmentName(fileName: string): SegmentName | null {
  const match = NAME.exec(fileName)
  if (match === null) return null
  const firstOffset = Number(match[1])
  const epoch = Number(match[2])
  return firstOffset <= OFFSET_MAX && epoch <= EPOCH_MAX ? { firstOffset, epoch } : null
}

/** `shard-00` */
export function shardDirectoryName(shardNumber: number): string {
  return `shard-${String(shardNumber).padStart(2, '0')}`
}

export function parseShardDirectoryName(name: string): number | null {
  const match = /^shard-(\d{2,5})$/.exec(name)
  return match === null ? null : Number(match[1])
}

/** `search.cur`, beside the segments. */
export function cursorFileName(outputId: string): string {
  return `${outputId}.cur`
}

/** Seed of every hash in a segment (layout.ts). */
export function segmentSalt(
  storeSecret: Uint8Array,
  logId: Uint8Array,
  epoch: number,
  firstOffset: number
): bigint {
  const tail = Buffer.alloc(12)
  tail.writeUInt32LE(epoch, 0)
  writeU64(tail, firstOffset, 4)
  return firstWord(createHash('sha256').update(storeSecret).update(logId).update(tail).digest())
}

/** Seed of a cursor file, so that a foreign cursor never verifies. */
export function cursorSalt(storeSecret: Uint8Array, logId: Uint8Array, outputId: string): bigint {
  return firstWord(
    createHash('sha256').update(storeSecret).update(logId).update(outputId, 'utf8').digest()
  )
}

function firstWord(digest: Buffer): bigint {
  return digest.readBigUInt64LE(0)
}
