// Runs on: main.
// Damage that deliveries meet in the segments of a shard: each range is copied to the quarantine and counted once, however
// many destinations pass it. Their cursors count the records.

import { FinishedRanges } from '../cursor/finished-ranges.ts'
import { SEGMENT_HEADER } from '../format/layout.ts'
import { FrameSearch } from '../reader/frame-search.ts'
import { Quarantine } from '../reader/quarantine.ts'
import type { Hole } from '../reader/segments.ts'
import type { ReadableSegment, ShardSegments } from '../reader/shard-segments.ts'

/** Bytes of a segment, and the offsets that they hold or should. */
interface Span {
  readonly startByte: number
  readonly endByte: number
  readonly firstOffset: number
  readonly endOffset: number
}

/** Damaged ranges that are remembered; beyond, one may be counted again. */
const KNOWN_MAX = 10_000

export class DamageLog {
  readonly #segments: ShardSegments
  readonly #quarantine: Quarantine
  readonly #onNote: (note: string) => void
  #known = new FinishedRanges(0)
  #frameCount = 0
  /** Spans of the segment that was looked into last; one that is still written is looked into again. */
  #last: { readonly ordinal: number; readonly spans: readonly Span[] } | null = null

  constructor(segments: ShardSegments, directory: string, onNote: (note: string) => void) {
    this.#segments = segments
    this.#quarantine = new Quarantine(segments.storage, directory)
    this.#onNote = onNote
  }

  /** Damaged frames since the start; what cannot be told apart into frames counts as one. */
  get frameCount(): number {
    return this.#frameCount
  }

  get quarantinedBytes(): number {
    return this.#quarantine.byteCount
  }

  /** A destination passes the hole. Never throws: delivery goes on. */
  note(hole: Hole): void {
    if (hole.reason !== 'corrupt') return
    if (this.#known.missing(hole.firstOffset, hole.endOffset).length === 0) return
    if (this.#known.ranges.length >= KNOWN_MAX) this.#known = new FinishedRanges(0)
    this.#known.add(hole.firstOffset, hole.endOffset)
    try {
      this.#keep(hole)
    } catch (error) {
      this.#onNote(
        `records ${hole.firstOffset} to ${hole.endOffset - 1}: damaged, not copied: ${error}`
      )
    }
  }

  #keep(hole: Hole): void {
    const ordinal = this.#segments.ordinalOf(hole.firstOffset)
    const segment = ordinal === null ? null : this.#segments.at(ordinal)
    const spans = segment === null ? [] : this.#damagedSpans(segment, hole)
    this.#frameCount += Math.max(1, spans.length)
    const walked = segment === null ? null : this.#segments.open(segment)
    if (walked === null || segment === null || spans.length === 0) {
      const count = hole.endOffset - hole.firstOffset
      this.#onNote(`${count} records from offset ${hole.firstOffset}: no file holds them`)
      return
    }
    for (const span of spans) {
      const range = { segmentPath: segment.path, ...span, reason: hole.reason }
      this.#onNote(this.#quarantine.copyRange(walked.file, range))
    }
  }

  /** Frames and gaps between frames that lie within the hole. */
  #damagedSpans(segment: ReadableSegment, hole: Hole): Span[] {
    return this.#spansOf(segment).filter(
      ({ endByte, endOffset, firstOffset, startByte }) =>
        endByte > startByte && firstOffset < hole.endOffset && endOffset > hole.firstOffset
    )
  }

  #spansOf(segment: ReadableSegment): readonly Span[] {
    if (this.#last?.ordinal === segment.ordinal) return this.#last.spans
    const walked = this.#segments.open(segment)
    if (walked === null) return []
    const search = new FrameSearch(this.#segments.storage, this.#segments.hash)
    const spans: Span[] = []
    let byte: number = SEGMENT_HEADER.byteCount
    let offset = segment.firstOffset
    const gap = (endByte: number, endOffset: number) => {
      if (endOffset > offset) {
        spans.push({ startByte: byte, endByte, firstOffset: offset, endOffset })
      }
    }
    for (let found = search.find(walked, byte, offset); found !== null; ) {
      const { byteCount, header, startByte } = found
      gap(startByte, header.firstOffset)
      byte = startByte + byteCount
      offset = header.firstOffset + header.recordCount
      spans.push({ startByte, endByte: byte, firstOffset: header.firstOffset, endOffset: offset })
      found = search.find(walked, byte, offset)
    }
    gap(walked.endByte, segment.endOffset)
    this.#last = segment.isComplete ? { ordinal: segment.ordinal, spans } : null
    return spans
  }
}
