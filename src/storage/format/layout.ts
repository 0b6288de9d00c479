// Runs on: any.
// The disk format of the queue, major 1: every place and width, once. Little-endian; nothing here may ever change
// without a new major, because a release reads what the one before it wrote.
//
//   segment   header 64 | frame | frame | ... | footer 64 (only when sealed)
//   frame     header 72 | payload | zeros up to the next multiple of 8
//   payload   group | group | ...                                           (schema 1)
//   group     header 16 | tag | ingest id | source | entries as received
//   cursor    slot 64 KiB | slot 64 KiB, the valid one with the higher generation counts
//   META      56 bytes; META.bak holds the same
//
// Every hash is XXH64. Those of a segment are seeded with its salt = first 8 bytes of SHA-256(store secret | log id |
// epoch u32 | first offset u64): log text is chosen by strangers, and bytes from another segment, another store or a
// recycled block must never verify when a reader searches for the next frame behind damage.
//
// The headers of segments and META keep their layout and hash in every major, so that a release can tell a later format
// from damage.

import { invariant } from '../../core/invariant.ts'

export const FORMAT_MAJOR = 1
export const FORMAT_MINOR = 0
/**
 * Features that a reader of the segment has to know, bits of the `incompatible` word: one that it does not know means
 * refuse, touch nothing. A segment names what its frames may use, whether one does or not.
 */
export const FEATURE = { zstd: 1, encryption: 2 } as const
export const INCOMPATIBLE_KNOWN = FEATURE.zstd | FEATURE.encryption
/** Those of META and of cursors: none yet. */
export const STORE_INCOMPATIBLE_KNOWN = 0

export const SEGMENT_HEADER = {
  byteCount: 64,
  /** `MRSG` */
  magic: 0x4753524d,
  at: {
    magic: 0,
    major: 4,
    minor: 5,
    incompatible: 6,
    storeUuid: 8,
    shardNumber: 24,
    keyId: 26,
    epoch: 28,
    firstOffset: 32,
    createdMs: 40,
    /** Byte length of the previous segment that counts. */
    prevValidEnd: 48,
    hash: 56
  }
} as const

export const FRAME_HEADER = {
  byteCount: 72,
  /** `MRB1` */
  magic: 0x3142524d,
  at: {
    magic: 0,
    storedBytes: 4,
    payloadHash: 8,
    firstOffset: 16,
    recordCount: 24,
    epoch: 28,
    /** Every offset below was durable when the frame was encoded. */
    durableOffset: 32,
    appendTimeMs: 40,
    rawBytes: 48,
    codec: 52,
    schema: 53,
    flags: 54,
    /** Event times relative to the append time, seconds, signed, saturating. */
    minTimeDelta: 56,
    maxTimeDelta: 60,
    hash: 64
  }
} as const

/** Frames start at multiples of this; a search behind damage walks this grid. */
export const FRAME_ALIGN_BYTES = 8

/** Codecs of payloads. */
export const CODEC = { none: 0, zstd: 1 } as const
export const SCHEMA_GROUPS = 1
/**
 * Bits 0 to 7 of the flags. `continues`: the message goes on in the next frame, told here too, so that a reader without
 * the key can tell a whole message from a cut one. `control` is kept for frames without records and written by nobody.
 */
export const FRAME_FLAG = { encrypted: 1, ingestIds: 2, control: 4, continues: 8 } as const
export const FRAME_FLAGS_KNOWN = FRAME_FLAG.encrypted | FRAME_FLAG.ingestIds | FRAME_FLAG.continues
/** Bits 8 to 15 of the flags: id of the key of an encrypted frame, 1 to KEY_ID_MAX. */
export const FRAME_KEY_SHIFT = 8

/**
 * Payload of an encrypted frame: nonce | tag | ciphertext of AES-256-GCM; bytes 16 to 63 of the frame header are
 * authenticated with it.
 */
export const SEALED = { nonceBytes: 12, tagBytes: 16, prefixBytes: 28 } as const

export const GROUP_HEADER = {
  byteCount: 16,
  at: {
    /** Header included. */
    groupBytes: 0,
    recordCount: 4,
    tagBytes: 8,
    ingestIdBytes: 10,
    sourceBytes: 12,
    form: 14,
    flags: 15
  }
} as const

/** Entry forms: 1 = `[time, record]` and `[[time, meta], record]`; 2 = whole messages `[tag, time, record, option?]`. */
export const ENTRY_FORM = { entries: 1, messages: 2 } as const
export const GROUP_FLAG = { continues: 1 } as const

export const SEGMENT_FOOTER = {
  byteCount: 64,
  /** `MREN` */
  magic: 0x4e45524d,
  at: {
    magic: 0,
    frameCount: 4,
    recordCount: 8,
    bytesBefore: 16,
    lastOffset: 24,
    minTimeMs: 32,
    maxTimeMs: 40,
    payloadHashes: 48,
    hash: 56
  }
} as const

export const META_FILE = {
  byteCount: 56,
  /** `MRMT` */
  magic: 0x544d524d,
  at: {
    magic: 0,
    major: 4,
    minor: 5,
    incompatible: 6,
    storeUuid: 8,
    storeSecret: 24,
    createdMs: 40,
    hash: 48
  }
} as const

export const CURSOR_SLOT = {
  byteCount: 65_536,
  /** `MRCU` */
  magic: 0x5543524d,
  headerBytes: 48,
  /** First and end, 6 bytes each. */
  rangeBytes: 12,
  at: {
    magic: 0,
    major: 4,
    minor: 5,
    incompatible: 6,
    /** Of header, counters and ranges; the hash follows. */
    usedBytes: 8,
    rangeCount: 12,
    generation: 16,
    /** Offset at which the destination began. */
    origin: 24,
    low: 32,
    counterCount: 40,
    reserved: 44
  }
} as const

export const CURSOR_FILE_BYTES = 2 * CURSOR_SLOT.byteCount
/** Outcomes that a cursor counts apart (delivered, dropped by reason, ...); further reasons share `other`. */
export const CURSOR_COUNTERS_MAX = 128
/** Bytes of the name of an outcome. */
export const CURSOR_COUNTER_NAME_BYTES_MAX = 64

/** Default, floor and ceiling of a segment. Deletion frees whole segments, so one is a small share of a quota. */
export const SEGMENT_BYTES_DEFAULT = 128 * 1024 * 1024
export const SEGMENT_BYTES_MIN = 1024 * 1024
export const SEGMENT_BYTES_MAX = 1024 * 1024 * 1024

/** Segment size of a route that may hold `routeBytesMax`. */
export function segmentBytesFor(routeBytesMax: number): number {
  const share = Math.min(SEGMENT_BYTES_DEFAULT, Math.floor(routeBytesMax / 16))
  return Math.max(SEGMENT_BYTES_MIN, Math.min(SEGMENT_BYTES_MAX, share))
}

/** Payload rounded up to where the next frame may start. */
export function frameBytesOf(storedBytes: number): number {
  return FRAME_HEADER.byteCount + alignUp(storedBytes)
}

export function alignUp(byte: number): number {
  return Math.ceil(byte / FRAME_ALIGN_BYTES) * FRAME_ALIGN_BYTES
}

/** Room of a slot: a wrong number above shows at the first import, not on a disk. */
const CURSOR_NEEDS_BYTES =
  CURSOR_SLOT.headerBytes +
  CURSOR_COUNTERS_MAX * (1 + CURSOR_COUNTER_NAME_BYTES_MAX + 16) +
  4000 * CURSOR_SLOT.rangeBytes +
  8
invariant(CURSOR_NEEDS_BYTES <= CURSOR_SLOT.byteCount, 'a full cursor does not fit its slot')
invariant(SEGMENT_HEADER.at.hash + 8 === SEGMENT_HEADER.byteCount, 'segment header layout')
invariant(FRAME_HEADER.at.hash + 8 === FRAME_HEADER.byteCount, 'frame header layout')
invariant(SEALED.prefixBytes === SEALED.nonceBytes + SEALED.tagBytes, 'sealed payload layout')
invariant(FRAME_HEADER.byteCount % FRAME_ALIGN_BYTES === 0, 'frame alignment')
invariant(GROUP_HEADER.at.flags + 1 === GROUP_HEADER.byteCount, 'group header layout')
invariant(SEGMENT_FOOTER.at.hash + 8 === SEGMENT_FOOTER.byteCount, 'footer layout')
invariant(META_FILE.at.hash + 8 === META_FILE.byteCount, 'META layout')
invariant(CURSOR_SLOT.at.reserved + 4 === CURSOR_SLOT.headerBytes, 'cursor header layout')
