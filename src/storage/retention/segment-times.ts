// Step 9. Runs on: main.
// When the records of a segment were appended, by the first frame of each: one read of a header per segment, and only of
// segments that retention looks at. Append times never decrease within a shard, so a segment is as old as the first frame
// behind it says.

import { SEGMENT_HEADER } from '../format/layout.ts'
import { FrameSearch } from '../reader/frame-search.ts'
import type { ShardSegments } from '../reader/shard-segments.ts'

export class SegmentTimes {
  readonly #segments: ShardSegments
  readonly #search: FrameSearch
  /** Append time of the first frame, by ordinal; null: no frame of it can be read. */
  readonly #firstMs = new Map<number, number | null>()
  /** No record of segments up to this ordinal was appended later. */
  #closed: { readonly ordinal: number; readonly endMs: number }

  /** `recoveredEndMs`: append time of the newest record that recovery found. */
  constructor(segments: ShardSegments, recoveredEndMs: number) {
    this.#segments = segments
    this.#search = new FrameSearch(segments.storage, segments.hash)
    this.#closed = { ordinal: segments.all.at(-1)?.ordinal ?? -1, endMs: recoveredEndMs }
  }

  /** The writer closed its segment, whose last record is not newer than `endMs`. */
  noteClosed(ordinal: number, endMs: number): void {
    this.#closed = { ordinal, endMs }
  }

  /** Append time of the first record of a segment; null: nothing of it can be read. */
  firstMs(ordinal: number): number | null {
    const known = this.#firstMs.get(ordinal)
    if (known !== undefined) return known
    const segment = this.#segments.at(ordinal)
    if (segment === null) return null
    const walked = this.#segments.open(segment)
    this.#search.reset()
    const found =
      walked === null
        ? null
        : this.#search.find(walked, SEGMENT_HEADER.byteCount, segment.firstOffset)
    const timeMs = found?.header.appendTimeMs ?? null
    if (timeMs === null && !segment.isComplete) return null
    this.#forgetBefore(this.#segments.all[0]?.ordinal ?? 0)
    this.#firstMs.set(ordinal, timeMs)
    return timeMs
  }

  /** No record of the segment was appended after this; null: that is not known yet. */
  endMs(ordinal: number): number | null {
    const last = this.#segments.all.at(-1)?.ordinal ?? -1
    for (let next = ordinal + 1; next <= last; next++) {
      if (next > this.#closed.ordinal && ordinal <= this.#closed.ordinal) break
      const timeMs = this.firstMs(next)
      if (timeMs !== null) return timeMs
    }
    return ordinal <= this.#closed.ordinal ? this.#closed.endMs : null
  }

  #forgetBefore(oldestOrdinal: number): void {
    for (const ordinal of this.#firstMs.keys()) {
      if (ordinal >= oldestOrdinal) break
      this.#firstMs.delete(ordinal)
    }
  }
}
