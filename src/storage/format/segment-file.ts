// Runs on: any.
// Header and footer of a segment, and the open file that a writer appends to. Invariant: a footer is written only after
// everything before it is durable, so a valid footer says that nothing in the file was given up.

import type { Storage } from '../storage.ts'
import type { FrameHash } from './frame.ts'
import { FORMAT_MAJOR, FORMAT_MINOR, SEGMENT_FOOTER, SEGMENT_HEADER } from './layout.ts'
import { WordHash } from './word-hash.ts'
import { readI64, readU64, writeI64, writeU64 } from './words.ts'

export interface SegmentHeader {
  readonly major: number
  readonly minor: number
  /** Features that its frames may use (layout.ts). */
  readonly incompatible: number
  readonly storeUuid: Buffer
  readonly shardNumber: number
  /** Key of its encrypted frames; 0: none. */
  readonly keyId: number
  readonly epoch: number
  readonly firstOffset: number
  readonly createdMs: number
  readonly prevValidEndByte: number
}

export interface SegmentFooter {
  readonly frameCount: number
  readonly recordCount: number
  readonly bytesBefore: number
  readonly lastOffset: number
  readonly minTimeMs: number
  readonly maxTimeMs: number
  readonly payloadHashes: bigint
}

const HEADER = SEGMENT_HEADER.at
const FOOTER = SEGMENT_FOOTER.at

export function encodeSegmentHeader(
  header: Omit<SegmentHeader, 'major' | 'minor' | 'storeUuid'> & { storeUuid: Uint8Array },
  hash: FrameHash,
  salt: bigint
): Buffer {
  const bytes = Buffer.alloc(SEGMENT_HEADER.byteCount)
  bytes.writeUInt32LE(SEGMENT_HEADER.magic, HEADER.magic)
  bytes.writeUInt8(FORMAT_MAJOR, HEADER.major)
  bytes.writeUInt8(FORMAT_MINOR, HEADER.minor)
  bytes.writeUInt16LE(header.incompatible, HEADER.incompatible)
  bytes.set(header.storeUuid, HEADER.storeUuid)
  bytes.writeUInt16LE(header.shardNumber, HEADER.shardNumber)
  bytes.writeUInt16LE(header.keyId, HEADER.keyId)
  bytes.writeUInt32LE(header.epoch, HEADER.epoch)
  writeU64(bytes, header.firstOffset, HEADER.firstOffset)
  writeU64(bytes, header.createdMs, HEADER.createdMs)
  writeU64(bytes, header.prevValidEndByte, HEADER.prevValidEnd)
  bytes.writeBigUInt64LE(hash([bytes.subarray(0, HEADER.hash)], salt), HEADER.hash)
  return bytes
}

/** Null: destroyed. Everything needed to read the frames follows from the file name, so that is no loss. */
export function decodeSegmentHeader(
  bytes: Buffer,
  hash: FrameHash,
  salt: bigint
): SegmentHeader | null {
  if (bytes.length < SEGMENT_HEADER.byteCount) return null
  if (bytes.readUInt32LE(HEADER.magic) !== SEGMENT_HEADER.magic) return null
  if (hash([bytes.subarray(0, HEADER.hash)], salt) !== bytes.readBigUInt64LE(HEADER.hash)) {
    return null
  }
  return {
    major: bytes.readUInt8(HEADER.major),
    minor: bytes.readUInt8(HEADER.minor),
    incompatible: bytes.readUInt16LE(HEADER.incompatible),
    storeUuid: bytes.subarray(HEADER.storeUuid, HEADER.storeUuid + 16),
    shardNumber: bytes.readUInt16LE(HEADER.shardNumber),
    keyId: bytes.readUInt16LE(HEADER.keyId),
    epoch: bytes.readUInt32LE(HEADER.epoch),
    firstOffset: readU64(bytes, HEADER.firstOffset),
    createdMs: readU64(bytes, HEADER.createdMs),
    prevValidEndByte: readU64(bytes, HEADER.prevValidEnd)
  }
}

export function encodeSegmentFooter(footer: SegmentFooter, hash: FrameHash, salt: bigint): Buffer {
  const bytes = Buffer.alloc(SEGMENT_FOOTER.byteCount)
  bytes.writeUInt32LE(SEGMENT_FOOTER.magic, FOOTER.magic)
  bytes.writeUInt32LE(footer.frameCount, FOOTER.frameCount)
  writeU64(bytes, footer.recordCount, FOOTER.recordCount)
  writeU64(bytes, footer.bytesBefore, FOOTER.bytesBefore)
  writeU64(bytes, footer.lastOffset, FOOTER.lastOffset)
  writeI64(bytes, footer.minTimeMs, FOOTER.minTimeMs)
  writeI64(bytes, footer.maxTimeMs, FOOTER.maxTimeMs)
  bytes.writeBigUInt64LE(footer.payloadHashes, FOOTER.payloadHashes)
  bytes.writeBigUInt64LE(hash([bytes.subarray(0, FOOTER.hash)], salt), FOOTER.hash)
  return bytes
}

/** Null: no footer of this segment stands at `atByte`. */
export function decodeSegmentFooter(
  bytes: Buffer,
  atByte: number,
  hash: FrameHash,
  salt: bigint
): SegmentFooter | null {
  if (atByte + SEGMENT_FOOTER.byteCount > bytes.length) return null
  if (bytes.readUInt32LE(atByte) !== SEGMENT_FOOTER.magic) return null
  const covered = bytes.subarray(atByte, atByte + FOOTER.hash)
  if (hash([covered], salt) !== bytes.readBigUInt64LE(atByte + FOOTER.hash)) return null
  return {
    frameCount: bytes.readUInt32LE(atByte + FOOTER.frameCount),
    recordCount: readU64(bytes, atByte + FOOTER.recordCount),
    bytesBefore: readU64(bytes, atByte + FOOTER.bytesBefore),
    lastOffset: readU64(bytes, atByte + FOOTER.lastOffset),
    minTimeMs: readI64(bytes, atByte + FOOTER.minTimeMs),
    maxTimeMs: readI64(bytes, atByte + FOOTER.maxTimeMs),
    payloadHashes: bytes.readBigUInt64LE(atByte + FOOTER.payloadHashes)
  }
}

/** A segment that the writer has open. */
export interface OpenSegment {
  readonly file: number
  readonly path: string
  readonly ordinal: number
  readonly epoch: number
  readonly firstOffset: number
  readonly salt: bigint
  readonly prevValidEndByte: number
  /** Monotonic clock. */
  readonly openedMs: number
  /** Where the next frame goes. */
  endByte: number
  /** End of what is durable; 0 until the header is. */
  durableByte: number
  /** Whether its name is durable in the directory. */
  isNameDurable: boolean
  frameCount: number
  recordCount: number
  minTimeMs: number
  maxTimeMs: number
  readonly payloadHashes: WordHash
  /** Frames of a message that is not whole yet; counted when it is. */
  readonly staged: StagedFrame[]
}

export interface StagedFrame {
  readonly payloadHash: bigint
  readonly recordCount: number
  readonly minTimeMs: number
  readonly maxTimeMs: number
}

export function newOpenSegment(
  parts: Pick<
    OpenSegment,
    'file' | 'path' | 'ordinal' | 'epoch' | 'firstOffset' | 'salt' | 'prevValidEndByte' | 'openedMs'
  >
): OpenSegment {
  return {
    ...parts,
    endByte: SEGMENT_HEADER.byteCount,
    durableByte: 0,
    isNameDurable: false,
    frameCount: 0,
    recordCount: 0,
    minTimeMs: Number.MAX_SAFE_INTEGER,
    maxTimeMs: Number.MIN_SAFE_INTEGER,
    payloadHashes: new WordHash(parts.salt),
    staged: []
  }
}

/** Counts the staged frames into what the footer will say. */
export function settleStaged(segment: OpenSegment): void {
  for (const frame of segment.staged) {
    segment.frameCount++
    segment.recordCount += frame.recordCount
    segment.minTimeMs = Math.min(segment.minTimeMs, frame.minTimeMs)
    segment.maxTimeMs = Math.max(segment.maxTimeMs, frame.maxTimeMs)
    segment.payloadHashes.add(frame.payloadHash)
  }
  segment.staged.length = 0
}

/** Writes the footer of a segment whose frames are durable. Best effort: a missing footer is normal after a crash. */
export function writeFooter(storage: Storage, segment: OpenSegment, hash: FrameHash): number {
  const isEmpty = segment.recordCount === 0
  const footer = encodeSegmentFooter(
    {
      frameCount: segment.frameCount,
      recordCount: segment.recordCount,
      bytesBefore: segment.endByte,
      lastOffset: segment.firstOffset + Math.max(0, segment.recordCount - 1),
      minTimeMs: isEmpty ? 0 : segment.minTimeMs,
      maxTimeMs: isEmpty ? 0 : segment.maxTimeMs,
      payloadHashes: segment.payloadHashes.digest()
    },
    hash,
    segment.salt
  )
  try {
    return storage.writev(segment.file, [footer], segment.endByte)
  } catch {
    return 0
  }
}
