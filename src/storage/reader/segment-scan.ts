// Runs on: any.
// Reads a segment from its start and checks every byte: which frames are intact, which offsets are gone, where the log
// ends. The tail rule of the queue; recovery runs it over the last segment, `verify` over any.

import { FRAME_PAYLOAD_BYTES_MAX } from '../../core/limits.ts'
import { readTolerant } from '../damage-read.ts'
import {
  decodeFrameHeader,
  decodeGroups,
  type FrameHash,
  type FrameHeader,
  type Group
} from '../format/frame.ts'
import { FRAME_FLAG, FRAME_HEADER, SEGMENT_FOOTER, SEGMENT_HEADER } from '../format/layout.ts'
import { KEYLESS_DECODER, type PayloadDecoder } from '../format/payload-decoder.ts'
import { decodeSegmentFooter, type SegmentFooter } from '../format/segment-file.ts'
import type { Storage } from '../storage.ts'
import { type FoundFrame, FrameSearch, type WalkedSegment } from './frame-search.ts'

/** Bytes that did not verify, and the offsets that they held. */
export interface ScanHole {
  readonly firstOffset: number
  readonly endOffset: number
  readonly startByte: number
  readonly endByte: number
}

export interface ScanResult {
  /** Behind the last frame that counts. */
  readonly endByte: number
  /** Offset after it. */
  readonly endOffset: number
  /** Before the end, in order. */
  readonly holes: readonly ScanHole[]
  /** Every offset below was durable at some time: the greatest watermark; all of them under a footer. */
  readonly durableOffset: number
  readonly frameCount: number
  readonly recordCount: number
  readonly lastAppendTimeMs: number
  /** Bytes other than zero stand behind the end. */
  readonly hasTailBytes: boolean
  /** Records of a frame or message at the end that is not whole. */
  readonly tornRecords: number
  /** Behind the last frame that verifies, of a message that is not whole too. */
  readonly seenByte: number
  readonly seenOffset: number
  readonly hasFooter: boolean
}

export interface ScanOptions {
  readonly storage: Storage
  readonly hash: FrameHash
  readonly segment: WalkedSegment
  readonly firstOffset: number
  /** Default: one without keys, to which encrypted frames are locked. */
  readonly decoder?: PayloadDecoder | undefined
  /** Groups of intact frames that carry chunk ids. */
  readonly onIngestIds?: (groups: readonly Group[]) => void
  /** Every frame whose header verifies, and its payload. The groups are views, valid during the call. */
  readonly onFrame?: (frame: FoundFrame, groups: FrameGroups) => void
}

interface Walk {
  byte: number
  offset: number
  holes: ScanHole[]
  durableOffset: number
  frameCount: number
  recordCount: number
  lastAppendTimeMs: number
  /** Where a message may have begun whose last part was not seen: first parts, and parts behind a hole. */
  cuts: CutPlace[]
}

interface CutPlace {
  readonly byte: number
  readonly offset: number
  /** Holes before it. */
  readonly holeCount: number
}

export function scanSegment(options: ScanOptions): ScanResult {
  const { storage, hash, segment } = options
  const search = new FrameSearch(storage, hash)
  const payloads = new PayloadReader(storage, segment, options.decoder)
  const walk: Walk = {
    byte: SEGMENT_HEADER.byteCount,
    offset: options.firstOffset,
    holes: [],
    durableOffset: 0,
    frameCount: 0,
    recordCount: 0,
    lastAppendTimeMs: 0,
    cuts: []
  }
  for (;;) {
    const found = search.find(segment, walk.byte, walk.offset)
    if (found === null) break
    const { header } = found
    if (header.firstOffset > walk.offset) {
      addHole(walk, header.firstOffset, found.startByte)
    }
    walk.durableOffset = Math.max(walk.durableOffset, header.durableOffset)
    walk.lastAppendTimeMs = Math.max(walk.lastAppendTimeMs, header.appendTimeMs)
    const groups = payloads.groups(found, hash)
    if (groups === 'damaged') addHole(walk, header.firstOffset + header.recordCount, endOf(found))
    else addFrame(walk, found)
    options.onFrame?.(found, groups)
    const hasIds = Array.isArray(groups) && (header.flags & FRAME_FLAG.ingestIds) !== 0
    if (hasIds) options.onIngestIds?.(groups)
  }
  return finish(options, walk)
}

function endOf(found: FoundFrame): number {
  return found.startByte + found.byteCount
}

function addHole(walk: Walk, endOffset: number, endByte: number): void {
  walk.holes.push({ firstOffset: walk.offset, endOffset, startByte: walk.byte, endByte })
  walk.offset = endOffset
  walk.byte = endByte
}

function addFrame(walk: Walk, found: FoundFrame): void {
  const isCut = (found.header.flags & FRAME_FLAG.continues) !== 0
  const holeCount = walk.holes.length
  if (!isCut) walk.cuts = []
  else if (walk.cuts.at(-1)?.holeCount !== holeCount) {
    walk.cuts.push({ byte: found.startByte, offset: found.header.firstOffset, holeCount })
  }
  walk.frameCount++
  walk.recordCount += found.header.recordCount
  walk.offset = found.header.firstOffset + found.header.recordCount
  walk.byte = endOf(found)
}

function finish(options: ScanOptions, walk: Walk): ScanResult {
  const { storage, hash, segment } = options
  // A footer vouches for every frame before it, also for those at the end that cannot be read.
  const footer = readFooter(storage, hash, segment)
  const footerOffset =
    footer === null || footer.recordCount === 0
      ? 0
      : Math.min(segment.endOffset, footer.lastOffset + 1)
  if (footer !== null && footerOffset > walk.offset) {
    addHole(walk, footerOffset, footer.bytesBefore)
    walk.cuts = []
  }
  const cutAt = cutOf(walk)
  const tail = readTail(storage, segment, walk.byte)
  const torn = decodeFrameHeader(tail.head, 0, hash, segment.salt, segment.epoch)
  const isTorn = torn !== null && torn.firstOffset >= walk.offset
  let { byte, offset, holes } = walk
  let tornRecords = isTorn ? torn.recordCount : 0
  if (cutAt !== null) {
    // The message was never whole, so it was never acked.
    tornRecords += offset - cutAt.offset
    byte = cutAt.byte
    offset = cutAt.offset
    holes = holes.slice(0, cutAt.holeCount)
  }
  return {
    endByte: byte,
    endOffset: offset,
    holes,
    durableOffset: Math.max(walk.durableOffset, footerOffset),
    frameCount: walk.frameCount,
    recordCount: walk.recordCount,
    lastAppendTimeMs: walk.lastAppendTimeMs,
    hasTailBytes: footer === null && tail.hasBytes,
    tornRecords,
    seenByte: walk.byte,
    seenOffset: walk.offset,
    hasFooter: footer !== null
  }
}

/**
 * Where the message that is not whole begins; null: none. A hole that was durable is damage: the message before it may have
 * been whole and acked, so what is left of it stays.
 */
function cutOf({ cuts, durableOffset, holes }: Walk): CutPlace | null {
  const isLast = ({ holeCount }: CutPlace) =>
    (holes[holeCount]?.endOffset ?? Number.MAX_SAFE_INTEGER) > durableOffset
  return cuts.find(isLast) ?? null
}

/** The footer, when it stands at the end of the file as it was written. */
export function readFooter(
  storage: Storage,
  hash: FrameHash,
  segment: WalkedSegment
): SegmentFooter | null {
  const bytes = Buffer.alloc(SEGMENT_FOOTER.byteCount)
  const atByte = segment.endByte - bytes.length
  if (atByte < SEGMENT_HEADER.byteCount) return null
  readTolerant(storage, segment.file, bytes, atByte)
  const footer = decodeSegmentFooter(bytes, 0, hash, segment.salt)
  return footer?.bytesBefore === atByte ? footer : null
}

/** First bytes behind the end, and whether any behind it is not zero. */
function readTail(
  storage: Storage,
  segment: WalkedSegment,
  fromByte: number
): { head: Buffer; hasBytes: boolean } {
  const headBytes = Math.max(FRAME_HEADER.byteCount, SEGMENT_FOOTER.byteCount)
  const head = Buffer.alloc(Math.max(0, Math.min(headBytes, segment.endByte - fromByte)))
  readTolerant(storage, segment.file, head, fromByte)
  const piece = Buffer.alloc(Math.max(0, Math.min(1024 * 1024, segment.endByte - fromByte)))
  const zeros = Buffer.alloc(piece.length)
  for (let at = fromByte; at < segment.endByte; at += piece.length) {
    const wanted = piece.subarray(0, Math.min(piece.length, segment.endByte - at))
    const bytes = wanted.subarray(0, readTolerant(storage, segment.file, wanted, at))
    if (!bytes.equals(zeros.subarray(0, bytes.length))) return { head, hasBytes: true }
    if (bytes.length < wanted.length) break
  }
  return { head, hasBytes: false }
}

/** Views into a payload, or why there are none. `damaged`: it does not verify; `locked`: it does, and no key fits. */
export type FrameGroups = Group[] | 'damaged' | 'locked'

/** Payloads of found frames, in one buffer that grows to the largest frame. */
export class PayloadReader {
  readonly #storage: Storage
  readonly #segment: Omit<WalkedSegment, 'endByte' | 'endOffset'>
  readonly #decoder: PayloadDecoder
  #buffer = Buffer.alloc(0)

  constructor(
    storage: Storage,
    segment: Omit<WalkedSegment, 'endByte' | 'endOffset'>,
    decoder: PayloadDecoder = KEYLESS_DECODER
  ) {
    this.#storage = storage
    this.#segment = segment
    this.#decoder = decoder
  }

  /** Views into the buffer, valid until the next call. */
  groups(found: FoundFrame, hash: FrameHash): FrameGroups {
    const { header } = found
    const stored = this.#read(found.startByte, header)
    if (stored.length !== header.storedBytes) return 'damaged'
    if (hash([stored], this.#segment.salt) !== header.payloadHash) return 'damaged'
    const payload = this.#decoder.decode(stored, header, this.#segment)
    if (payload === 'mismatch') return 'locked'
    return typeof payload === 'string' ? payload : (decodeGroups(payload, header) ?? 'damaged')
  }

  #read(startByte: number, header: Readonly<FrameHeader>): Buffer {
    const byteCount = Math.min(header.storedBytes, FRAME_PAYLOAD_BYTES_MAX)
    if (this.#buffer.length < byteCount) {
      this.#buffer = Buffer.allocUnsafeSlow(Math.min(FRAME_PAYLOAD_BYTES_MAX, byteCount * 2))
    }
    const into = this.#buffer.subarray(0, byteCount)
    const readBytes = readTolerant(
      this.#storage,
      this.#segment.file,
      into,
      startByte + FRAME_HEADER.byteCount
    )
    return into.subarray(0, readBytes)
  }
}
