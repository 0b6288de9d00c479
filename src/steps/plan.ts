// Step 7. Runs on: any (types only).
// The steps of a route as plain data: what main checks at load and pool threads lower to the kernel's words.

import type { StepOperation } from '../plugin/step.ts'

/** One item of a route's list. */
export interface PlannedStep {
  /** Number in the configuration, from 1, and name: `2:parse`. Counters, dead letters and `explain` use it. */
  readonly name: string
  readonly operation: StepOperation
  /** Only records of this input; absent: all. */
  readonly input?: string
}

/** How parts of one line are put together (plugins/filters/docker_partial). */
export interface JoinOptions {
  /** A group with no new part for this long, by arrival stamps, is finished as incomplete. */
  readonly flushAfterMs: number
  /** Text bytes of one joined record. */
  readonly bytesMax: number
  /** Streams with an open group; beyond, the one without a part for longest is finished. */
  readonly streamsMax: number
}

export interface StepPlan {
  /** Null: parts pass as they are. */
  readonly join: JoinOptions | null
  readonly steps: readonly PlannedStep[]
}
