// Step 6. Runs on: main.
// What a lane reads from and what it finishes: a shard with its cursor, or records from elsewhere that go the same way.

import type { Hole } from '../storage/reader/segments.ts'
import type { FrameRef, SegmentRef } from '../threads/messages.ts'
import type { PassedOffsets } from './body-flight.ts'
import type { FinishSink } from './task-settlement.ts'

/** What the reader of a shard gives: a frame, or offsets that cannot be read. */
export type Taken = { readonly kind: 'frame'; readonly frame: FrameRef } | Hole

/** The shard as one lane sees it. */
export interface LaneSource {
  /** Next frame or hole below the visible end; null: none yet. */
  next(): Taken | null
  segment(ordinal: number): SegmentRef
  readonly watermarkMs: number
  readonly logId: Uint8Array
  /** Why offsets whose frame does not verify cannot be read. */
  judge(firstOffset: number, endOffset: number): readonly Hole[]
}

export interface LaneCursor extends FinishSink, PassedOffsets {
  /** Everything below is finished. */
  readonly lowOffset: number
  /** Finished ranges above `lowOffset`. */
  readonly rangeCount: number
  /** Finished ranges that touch [first, end). */
  finishedWithin(first: number, end: number): readonly (readonly [number, number])[]
}
