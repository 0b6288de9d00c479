// Step 6. Runs on: main.
// Frames of one shard that a destination has taken and not finished rendering, in order. References only.

import type { FrameRef, SegmentRef } from '../threads/messages.ts'

/** Frames of a task with the segments that they lie in. */
export interface FrameCut {
  readonly segments: readonly SegmentRef[]
  readonly frames: readonly FrameRef[]
  readonly byteCount: number
  readonly endOffset: number
  /** The same frames by the ordinal of their segment. */
  readonly refs: readonly FrameRef[]
}

export class FrameWindow {
  /** `segment` of these is the ordinal. */
  readonly #frames: FrameRef[] = []
  readonly #segmentOf: (ordinal: number) => SegmentRef
  #byteCount = 0

  constructor(segmentOf: (ordinal: number) => SegmentRef) {
    this.#segmentOf = segmentOf
  }

  get byteCount(): number {
    return this.#byteCount
  }

  get isEmpty(): boolean {
    return this.#frames.length === 0
  }

  /** Append time of the first frame, or null. */
  get oldestMs(): number | null {
    return this.#frames[0]?.appendTimeMs ?? null
  }

  push(frame: FrameRef): void {
    this.#frames.push(frame)
    this.#byteCount += frame.byteCount
  }

  /** The first frames up to `byteCountMax`, at least one. They stay until `dropBelow`. */
  cut(byteCountMax: number): FrameCut {
    const refs: FrameRef[] = []
    let byteCount = 0
    for (const frame of this.#frames) {
      if (refs.length > 0 && byteCount + frame.byteCount > byteCountMax) break
      refs.push(frame)
      byteCount += frame.byteCount
    }
    return cutOf(refs, this.#segmentOf)
  }

  /** Forgets frames that lie wholly below the offset. */
  dropBelow(offset: number): void {
    let count = 0
    for (const frame of this.#frames) {
      if (frame.firstOffset + frame.recordCount > offset) break
      this.#byteCount -= frame.byteCount
      count++
    }
    this.#frames.splice(0, count)
  }
}

/** Frames by ordinal as a task names them: with a list of their segments. */
export function cutOf(
  refs: readonly FrameRef[],
  segmentOf: (ordinal: number) => SegmentRef
): FrameCut {
  const frames: FrameRef[] = []
  const segments: SegmentRef[] = []
  let lastOrdinal = -1
  let byteCount = 0
  for (const ref of refs) {
    if (ref.segment !== lastOrdinal) {
      segments.push(segmentOf(ref.segment))
      lastOrdinal = ref.segment
    }
    frames.push({ ...ref, segment: segments.length - 1 })
    byteCount += ref.byteCount
  }
  const last = refs.at(-1)
  const endOffset = last === undefined ? 0 : last.firstOffset + last.recordCount
  return { segments, frames, byteCount, endOffset, refs }
}
