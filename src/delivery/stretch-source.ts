// Step 6. Runs on: main.
// A shard from some offset to where another lane of the same cursor has begun. The bound is an offset that was the visible
// end at some time, so no frame lies across it; holes may. What is finished to the last record is not given out again.

import type { Cursor } from '../storage/cursor/cursor.ts'
import type { Hole } from '../storage/reader/segments.ts'
import type { SegmentRef } from '../threads/messages.ts'
import type { LaneSource, Taken } from './lane-source.ts'

export class StretchSource implements LaneSource {
  readonly logId: Uint8Array
  readonly #source: LaneSource
  readonly #cursor: Pick<Cursor, 'missing'>
  /** Read, and not wanted before the bound moves. */
  #ahead: Taken | null = null
  #readOffset: number
  #endOffset = Number.POSITIVE_INFINITY
  /** The reader had nothing more; frames that it cannot open are passed over, so it may end before the bound. */
  #isDry = false

  constructor(source: LaneSource, cursor: Pick<Cursor, 'missing'>, startOffset: number) {
    this.logId = source.logId
    this.#source = source
    this.#cursor = cursor
    this.#readOffset = startOffset
  }

  /** Nothing below is given out any more. */
  get readOffset(): number {
    return this.#readOffset
  }

  /** Where somebody else goes on; infinite: nowhere. */
  get endOffset(): number {
    return this.#endOffset
  }

  /** Everything up to the bound was given out. The bound is visible, so a reader without more has passed it. */
  get isExhausted(): boolean {
    if (this.#endOffset === Number.POSITIVE_INFINITY) return false
    return this.#isDry || this.#readOffset >= this.#endOffset
  }

  /** Append time of the frame that comes next; null: none does. Where offsets are gone, the time is not known either. */
  get nextMs(): number | null {
    this.#ahead ??= this.#source.next()
    return this.#ahead?.kind === 'frame' ? this.#ahead.frame.appendTimeMs : null
  }

  endAt(offset: number): void {
    this.#endOffset = offset
    this.#isDry = false
  }

  next(): Taken | null {
    while (this.#readOffset < this.#endOffset) {
      const taken = this.#ahead ?? this.#source.next()
      this.#ahead = null
      this.#isDry = taken === null
      if (taken === null) return null
      const part = taken.kind === 'hole' ? this.#partOf(taken) : taken
      const { firstOffset, endOffset } = rangeOf(part)
      if (firstOffset >= this.#endOffset) {
        this.#ahead = part
        this.#readOffset = firstOffset
        return null
      }
      this.#readOffset = endOffset
      if (this.#cursor.missing(firstOffset, endOffset).length > 0) return part
    }
    return null
  }

  segment(ordinal: number): SegmentRef {
    return this.#source.segment(ordinal)
  }

  get watermarkMs(): number {
    return this.#source.watermarkMs
  }

  judge(firstOffset: number, endOffset: number): readonly Hole[] {
    return this.#source.judge(firstOffset, endOffset)
  }

  /** The hole up to the bound; the rest waits. */
  #partOf(hole: Hole): Hole {
    const end = this.#endOffset
    if (hole.firstOffset >= end || hole.endOffset <= end) return hole
    this.#ahead = { ...hole, firstOffset: end }
    return { ...hole, endOffset: end }
  }
}

function rangeOf(taken: Taken): { firstOffset: number; endOffset: number } {
  if (taken.kind === 'hole') return taken
  const { firstOffset, recordCount } = taken.frame
  return { firstOffset, endOffset: firstOffset + recordCount }
}
