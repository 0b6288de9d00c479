// Runs on: any.
// Headers of frames and groups: bytes <-> values. Pure. A header is believed only after its seeded hash: magic first
// (cheap), then hash, then bounds; nothing is allocated for a length before that.

import { FRAME_PAYLOAD_BYTES_MAX } from '../../core/limits.ts'
import { OFFSET_MAX } from '../../core/position.ts'
import {
  CODEC,
  ENTRY_FORM,
  FRAME_FLAGS_KNOWN,
  FRAME_HEADER,
  FRAME_KEY_SHIFT,
  GROUP_HEADER,
  SCHEMA_GROUPS
} from './layout.ts'
import { readU64, writeU64 } from './words.ts'

/** XXH64 over the parts as if they were one. `seed` and result are unsigned 64-bit. */
export type FrameHash = (parts: readonly Uint8Array[], seed: bigint) => bigint

export interface FrameHeader {
  /** Bytes of the payload without padding. */
  storedBytes: number
  payloadHash: bigint
  firstOffset: number
  recordCount: number
  epoch: number
  durableOffset: number
  appendTimeMs: number
  rawBytes: number
  codec: number
  schema: number
  flags: number
  minTimeDelta: number
  maxTimeDelta: number
}

const FRAME = FRAME_HEADER.at
const GROUP = GROUP_HEADER.at
const I32_MIN = -(2 ** 31)
const I32_MAX = 2 ** 31 - 1

/** Writes the 72 bytes at `atByte`, hashed with the salt of the segment. */
export function encodeFrameHeader(
  into: Buffer,
  atByte: number,
  header: Readonly<FrameHeader>,
  hash: FrameHash,
  salt: bigint
): void {
  into.writeUInt32LE(FRAME_HEADER.magic, atByte)
  into.writeUInt32LE(header.storedBytes, atByte + FRAME.storedBytes)
  into.writeBigUInt64LE(header.payloadHash, atByte + FRAME.payloadHash)
  writeFacts(into, header, atByte)
  const covered = into.subarray(atByte, atByte + FRAME.hash)
  into.writeBigUInt64LE(hash([covered], salt), atByte + FRAME.hash)
}

/** Bytes 16 to 63: what the header says besides the stored bytes; authenticated with an encrypted payload. */
export function frameFactsOf(header: Readonly<FrameHeader>): Buffer {
  const bytes = Buffer.alloc(FRAME_HEADER.byteCount)
  writeFacts(bytes, header, 0)
  return bytes.subarray(FRAME.firstOffset, FRAME.hash)
}

function writeFacts(into: Buffer, header: Readonly<FrameHeader>, atByte: number): void {
  writeU64(into, header.firstOffset, atByte + FRAME.firstOffset)
  into.writeUInt32LE(header.recordCount, atByte + FRAME.recordCount)
  into.writeUInt32LE(header.epoch, atByte + FRAME.epoch)
  writeU64(into, header.durableOffset, atByte + FRAME.durableOffset)
  writeU64(into, header.appendTimeMs, atByte + FRAME.appendTimeMs)
  into.writeUInt32LE(header.rawBytes, atByte + FRAME.rawBytes)
  into.writeUInt8(header.codec, atByte + FRAME.codec)
  into.writeUInt8(header.schema, atByte + FRAME.schema)
  into.writeUInt16LE(header.flags, atByte + FRAME.flags)
  into.writeInt32LE(saturate(header.minTimeDelta), atByte + FRAME.minTimeDelta)
  into.writeInt32LE(saturate(header.maxTimeDelta), atByte + FRAME.maxTimeDelta)
}

function saturate(seconds: number): number {
  return Math.max(I32_MIN, Math.min(I32_MAX, Math.trunc(seconds)))
}

/** The header at `atByte`, or null when it is none of this segment: magic, hash, epoch or a bound is wrong. */
export function decodeFrameHeader(
  bytes: Buffer,
  atByte: number,
  hash: FrameHash,
  salt: bigint,
  epoch: number
): FrameHeader | null {
  if (atByte + FRAME_HEADER.byteCount > bytes.length) return null
  if (bytes.readUInt32LE(atByte) !== FRAME_HEADER.magic) return null
  const storedBytes = bytes.readUInt32LE(atByte + FRAME.storedBytes)
  if (storedBytes > FRAME_PAYLOAD_BYTES_MAX || storedBytes < GROUP_HEADER.byteCount) return null
  if (bytes.readUInt32LE(atByte + FRAME.epoch) !== epoch) return null
  const covered = bytes.subarray(atByte, atByte + FRAME.hash)
  if (hash([covered], salt) !== bytes.readBigUInt64LE(atByte + FRAME.hash)) return null
  const header = {
    storedBytes,
    payloadHash: bytes.readBigUInt64LE(atByte + FRAME.payloadHash),
    firstOffset: readU64(bytes, atByte + FRAME.firstOffset),
    recordCount: bytes.readUInt32LE(atByte + FRAME.recordCount),
    epoch,
    durableOffset: readU64(bytes, atByte + FRAME.durableOffset),
    appendTimeMs: readU64(bytes, atByte + FRAME.appendTimeMs),
    rawBytes: bytes.readUInt32LE(atByte + FRAME.rawBytes),
    codec: bytes.readUInt8(atByte + FRAME.codec),
    schema: bytes.readUInt8(atByte + FRAME.schema),
    flags: bytes.readUInt16LE(atByte + FRAME.flags),
    minTimeDelta: bytes.readInt32LE(atByte + FRAME.minTimeDelta),
    maxTimeDelta: bytes.readInt32LE(atByte + FRAME.maxTimeDelta)
  }
  const isSane = header.recordCount > 0 && header.firstOffset + header.recordCount <= OFFSET_MAX
  return isSane ? header : null
}

/** Whether the payload is the one that the header was written for. */
export function isPayloadIntact(
  payload: Uint8Array,
  header: Readonly<FrameHeader>,
  hash: FrameHash,
  salt: bigint
): boolean {
  return payload.length === header.storedBytes && hash([payload], salt) === header.payloadHash
}

/** Whether this release knows how the payload is stored. What it does not know is no damage: it is left where it is. */
export function isPayloadKnown(header: Readonly<FrameHeader>): boolean {
  const { codec, flags, schema } = header
  const isCodecKnown = codec === CODEC.none || codec === CODEC.zstd
  const isFlagKnown = (flags & ((1 << FRAME_KEY_SHIFT) - 1) & ~FRAME_FLAGS_KNOWN) === 0
  return isCodecKnown && isFlagKnown && schema === SCHEMA_GROUPS
}

/** Id of the key that the payload is encrypted with; 0: it is not. */
export function keyIdOf(header: Readonly<FrameHeader>): number {
  return header.flags >>> FRAME_KEY_SHIFT
}

export interface GroupLabels {
  readonly tag: Uint8Array
  /** The `chunk` value with its MessagePack type byte; null: none. */
  readonly ingestId: Uint8Array | null
  /** Input id, NUL, peer address or nothing. */
  readonly source: Uint8Array
}

/** Bytes of a group before its entries. */
export function groupPrefixBytes(labels: GroupLabels): number {
  const idBytes = labels.ingestId === null ? 0 : labels.ingestId.length
  return GROUP_HEADER.byteCount + labels.tag.length + idBytes + labels.source.length
}

/** Writes header, tag, id and source; the entries follow at the byte that is returned. */
export function encodeGroupPrefix(
  into: Buffer,
  atByte: number,
  labels: GroupLabels,
  entries: { byteCount: number; recordCount: number; form: number; flags: number }
): number {
  const { tag, ingestId, source } = labels
  const prefixBytes = groupPrefixBytes(labels)
  into.writeUInt32LE(prefixBytes + entries.byteCount, atByte + GROUP.groupBytes)
  into.writeUInt32LE(entries.recordCount, atByte + GROUP.recordCount)
  into.writeUInt16LE(tag.length, atByte + GROUP.tagBytes)
  into.writeUInt16LE(ingestId === null ? 0 : ingestId.length, atByte + GROUP.ingestIdBytes)
  into.writeUInt16LE(source.length, atByte + GROUP.sourceBytes)
  into.writeUInt8(entries.form, atByte + GROUP.form)
  into.writeUInt8(entries.flags, atByte + GROUP.flags)
  let next = atByte + GROUP_HEADER.byteCount
  into.set(tag, next)
  next += tag.length
  if (ingestId !== null) {
    into.set(ingestId, next)
    next += ingestId.length
  }
  into.set(source, next)
  return next + source.length
}

/** Adds entries to a group that was written before: its length and count grow. */
export function growGroup(
  into: Buffer,
  groupAtByte: number,
  byteCount: number,
  recordCount: number
): void {
  const bytesAt = groupAtByte + GROUP.groupBytes
  const countAt = groupAtByte + GROUP.recordCount
  into.writeUInt32LE(into.readUInt32LE(bytesAt) + byteCount, bytesAt)
  into.writeUInt32LE(into.readUInt32LE(countAt) + recordCount, countAt)
}

/** A group of a payload; the parts are views, valid as long as the payload. */
export interface Group {
  readonly firstOffset: number
  readonly recordCount: number
  readonly form: number
  readonly flags: number
  readonly tag: Buffer
  readonly ingestId: Buffer | null
  readonly source: Buffer
  readonly entries: Buffer
}

/**
 * Groups of a payload in order. Returns null when the groups do not fill the payload exactly or their counts do not add
 * up to the frame's: with an intact hash that is a bug of the writer, so the frame counts as damaged.
 */
export function decodeGroups(payload: Buffer, header: Readonly<FrameHeader>): Group[] | null {
  const groups: Group[] = []
  let at = 0
  let offset = header.firstOffset
  while (at < payload.length) {
    const group = decodeGroup(payload, at, offset)
    if (group === null) return null
    groups.push(group)
    at += payload.readUInt32LE(at + GROUP.groupBytes)
    offset += group.recordCount
  }
  return offset === header.firstOffset + header.recordCount ? groups : null
}

function decodeGroup(payload: Buffer, at: number, firstOffset: number): Group | null {
  if (at + GROUP_HEADER.byteCount > payload.length) return null
  const groupBytes = payload.readUInt32LE(at + GROUP.groupBytes)
  const recordCount = payload.readUInt32LE(at + GROUP.recordCount)
  const tagEnd = at + GROUP_HEADER.byteCount + payload.readUInt16LE(at + GROUP.tagBytes)
  const idEnd = tagEnd + payload.readUInt16LE(at + GROUP.ingestIdBytes)
  const sourceEnd = idEnd + payload.readUInt16LE(at + GROUP.sourceBytes)
  const end = at + groupBytes
  const form = payload.readUInt8(at + GROUP.form)
  if (end > payload.length || sourceEnd > end || recordCount === 0) return null
  if (form !== ENTRY_FORM.entries && form !== ENTRY_FORM.messages) return null
  return {
    firstOffset,
    recordCount,
    form,
    flags: payload.readUInt8(at + GROUP.flags),
    tag: payload.subarray(at + GROUP_HEADER.byteCount, tagEnd),
    ingestId: idEnd === tagEnd ? null : payload.subarray(tagEnd, idEnd),
    source: payload.subarray(idEnd, sourceEnd),
    entries: payload.subarray(sourceEnd, end)
  }
}
