// Step 6. Runs on: main.
// Walks the frame headers of one shard for one destination and says which offsets stand where, and which are gone.
// Payloads are not read here: the pool checks them; `readFrameAt` does for dead letters and tools.
//
// Who reads many frames gives the memory for them: what the collector has to free lies outside its heap, and it lets 64 MiB
// of that pile up before it looks.

import { FRAME_PAYLOAD_BYTES_MAX } from '../../core/limits.ts'
import type { FrameRef } from '../../threads/messages.ts'
import { readTolerant } from '../damage-read.ts'
import {
  decodeFrameHeader,
  decodeGroups,
  type FrameHeader,
  type Group,
  isPayloadIntact
} from '../format/frame.ts'
import { FRAME_HEADER, frameBytesOf, SEGMENT_HEADER } from '../format/layout.ts'
import { splitEntries } from '../format/stored-entries.ts'
import { type FoundFrame, FrameSearch, type WalkedSegment } from './frame-search.ts'
import type { Hole, ReadFrame } from './segments.ts'
import type { ReadableSegment, ShardSegments } from './shard-segments.ts'

const FRAME_BYTES_MAX = frameBytesOf(FRAME_PAYLOAD_BYTES_MAX)

export class ShardReader {
  readonly #segments: ShardSegments
  readonly #search: FrameSearch
  /** Next place to look at; ordinal -1: to be found by offset. */
  #ordinal = -1
  #byte: number = SEGMENT_HEADER.byteCount
  #offset: number
  /** Offsets below are passed over silently: the reader began within a frame or a hole. */
  #fromOffset: number
  readonly #holes: Hole[] = []
  #file = -1

  constructor(segments: ShardSegments, fromOffset: number) {
    this.#segments = segments
    this.#search = new FrameSearch(segments.storage, segments.hash)
    this.#offset = fromOffset
    this.#fromOffset = fromOffset
  }

  /** Offset after what was given out last. */
  get nextOffset(): number {
    return this.#holes[0]?.firstOffset ?? this.#offset
  }

  /** Goes on at `offset`: the frame that holds it comes next, whole. */
  seek(offset: number): void {
    this.#ordinal = -1
    this.#byte = SEGMENT_HEADER.byteCount
    this.#offset = offset
    this.#fromOffset = offset
    this.#holes.length = 0
  }

  /** Next frame or hole in the order of offsets; null at the visible end. `frame.segment` is the segment's ordinal. */
  next(): ReadFrame | Hole | null {
    for (;;) {
      const hole = this.#holes.shift()
      if (hole !== undefined) return hole
      const segment = this.#segment()
      if (this.#holes.length > 0) continue
      if (segment === null) return null
      const walked = this.#offset < segment.endOffset ? this.#open(segment) : null
      const found = walked === null ? null : this.#search.find(walked, this.#byte, this.#offset)
      if (found === null) {
        const isMissing = this.#offset < segment.endOffset
        if (isMissing) this.#passHole(segment.endOffset)
        else if (!this.#enterNext(segment)) return null
        continue
      }
      const frame = this.#take(segment, found)
      if (frame !== null) return frame
    }
  }

  /** The segment to look at; finds it by offset after a seek. */
  #segment(): ReadableSegment | null {
    if (this.#ordinal >= 0) {
      const segment = this.#segments.at(this.#ordinal)
      if (segment !== null) return segment
    }
    const ordinal = this.#segments.ordinalOf(this.#offset)
    if (ordinal === null) return this.#passGap(this.#segments.endOffset)
    const segment = this.#segments.at(ordinal)
    if (segment === null) return null
    if (segment.firstOffset > this.#offset) return this.#passGap(segment.firstOffset)
    this.#enter(segment)
    return segment
  }

  /** Offsets below the oldest segment are gone with their files. Null: the hole, if any, comes next. */
  #passGap(endOffset: number): ReadableSegment | null {
    if (this.#offset >= endOffset) return null
    this.#passHole(endOffset)
    return this.#segment()
  }

  #enter(segment: ReadableSegment): void {
    this.#ordinal = segment.ordinal
    this.#byte = SEGMENT_HEADER.byteCount
    // Walks from the first frame of the segment; what lies below the wanted offset is not given out.
    this.#offset = segment.firstOffset
    this.#search.reset()
  }

  #enterNext(segment: ReadableSegment): boolean {
    if (!segment.isComplete) return false
    const next = this.#segments.at(segment.ordinal + 1)
    if (next === null) return false
    this.#enter(next)
    return true
  }

  #open(segment: ReadableSegment): WalkedSegment | null {
    const walked = this.#segments.open(segment)
    if (walked !== null && walked.file !== this.#file) this.#search.reset()
    this.#file = walked?.file ?? -1
    return walked
  }

  #passHole(endOffset: number): void {
    const first = Math.max(this.#offset, this.#fromOffset)
    this.#offset = endOffset
    if (first < endOffset) this.#holes.push(...this.#segments.judge(first, endOffset))
  }

  /** Null: a hole comes first, or the frame is not wanted. */
  #take(segment: ReadableSegment, found: FoundFrame): ReadFrame | null {
    const { header, startByte, byteCount } = found
    if (header.firstOffset > this.#offset) {
      this.#passHole(header.firstOffset)
      this.#byte = startByte
      return null
    }
    const endOffset = header.firstOffset + header.recordCount
    this.#byte = startByte + byteCount
    if (this.#segments.isKnownHole(header.firstOffset, endOffset)) {
      this.#passHole(endOffset)
      return null
    }
    this.#offset = endOffset
    if (endOffset <= this.#fromOffset) return null
    // Kept and passed over: it stays pending, and is read by the first start that has its key.
    if (!this.#segments.isOpen(segment, found)) return null
    return {
      kind: 'frame',
      frame: {
        segment: segment.ordinal,
        startByte,
        byteCount,
        firstOffset: header.firstOffset,
        recordCount: header.recordCount,
        appendTimeMs: header.appendTimeMs
      }
    }
  }
}

/** Memory for one frame at a time: the next one overwrites it. */
export class FrameMemory {
  #bytes = Buffer.alloc(0)

  take(byteCount: number): Buffer {
    if (this.#bytes.length < byteCount) {
      const grown = Math.max(byteCount, Math.min(2 * this.#bytes.length, FRAME_BYTES_MAX))
      this.#bytes = Buffer.allocUnsafeSlow(grown)
    }
    return this.#bytes.subarray(0, byteCount)
  }
}

/** Parts of it are views; with a `FrameMemory`, they are valid until that takes the next frame. */
export interface StoredFrame {
  readonly header: FrameHeader
  readonly epoch: number
  readonly groups: readonly Group[]
}

/** A frame whose place is known, checked. Null: it does not verify, its key is not here, or its file is gone. */
export function readFrameAt(
  segments: ShardSegments,
  frame: FrameRef,
  memory = new FrameMemory()
): StoredFrame | null {
  const segment = segments.at(frame.segment)
  const walked = segment === null ? null : segments.open(segment)
  if (segment === null || walked === null) return null
  if (frame.startByte + frame.byteCount > walked.endByte) return null
  const bytes = memory.take(frame.byteCount)
  const { storage, hash } = segments
  if (readTolerant(storage, walked.file, bytes, frame.startByte) < bytes.length) return null
  const header = decodeFrameHeader(bytes, 0, hash, segment.salt, segment.epoch)
  if (header === null || frameBytesOf(header.storedBytes) !== bytes.length) return null
  const payloadEnd = FRAME_HEADER.byteCount + header.storedBytes
  const payload = bytes.subarray(FRAME_HEADER.byteCount, payloadEnd)
  if (!isPayloadIntact(payload, header, hash, segment.salt)) return null
  const decoded = segments.decoder.decode(payload, header, walked)
  const groups = typeof decoded === 'string' ? null : decodeGroups(decoded, header)
  return groups === null ? null : { header, epoch: segment.epoch, groups }
}

/** The frame that holds an offset, checked. Null: it cannot be read, is not visible, or was deleted. Walks a segment. */
export function readFrame(segments: ShardSegments, offset: number): StoredFrame | null {
  const next = new ShardReader(segments, offset).next()
  if (next?.kind !== 'frame' || next.frame.firstOffset > offset) return null
  return readFrameAt(segments, next.frame)
}

export interface StoredRecord {
  readonly epoch: number
  readonly appendTimeMs: number
  readonly tag: Buffer
  readonly source: Buffer
  readonly ingestId: Buffer | null
  readonly form: number
  /** The entry (form 1) or message (form 2) as received. */
  readonly bytes: Buffer
}

/** One record as it was received. Null: the offset is not in the frame. */
export function recordOf(frame: StoredFrame, offset: number): StoredRecord | null {
  const group = frame.groups.find(
    ({ firstOffset, recordCount }) => offset >= firstOffset && offset < firstOffset + recordCount
  )
  if (group === undefined) return null
  const entry = splitEntries(group)?.[offset - group.firstOffset]
  if (entry === undefined) return null
  return {
    epoch: frame.epoch,
    appendTimeMs: frame.header.appendTimeMs,
    tag: group.tag,
    source: group.source,
    ingestId: group.ingestId,
    form: group.form,
    bytes: group.entries.subarray(entry.startByte, entry.endByte)
  }
}
