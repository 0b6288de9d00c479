// Step 7. Runs on: pool.
// A destination as a pool thread holds it: program, names for what the program counts, the output's render half.

import type { RenderHalf } from '../plugin/output.ts'
import type { JoinOptions } from './plan.ts'
import type { ScriptStage } from './scripts.ts'

/** What lowering a plan gives: the kernel's bytes and what its numbers mean. */
export interface LoweredProgram {
  readonly bytes: Uint8Array
  /** Name of each step number of the program: `0:output`, `1:parse`. */
  readonly stepNames: readonly string[]
  readonly join: JoinOptions | null
}

export interface Destination {
  readonly key: string
  /** Label of the counters. */
  readonly route: string
  readonly lowered: LoweredProgram
  readonly renderHalf: RenderHalf
  readonly scripts: readonly ScriptStage[]
  /** Slots of the output; shared. */
  readonly slotMemory: WebAssembly.Memory
}
