// Step 6. Runs on: main.
// How fast a destination reads what it is far behind with while records come in: as fast as they come, and
// `catchup_read_rate` on top, so that a backlog always shrinks and its reads never take the disk and the cores from
// ingest. When next to nothing comes in there is nobody to protect and no limit. A token bucket that is paid after the
// fact, when the bytes of a task are known. Limit: BURST_MS of the rate, or one task, at once.

import type { Clock } from '../core/clock.ts'
import { TASK_INPUT_BYTES_MAX } from '../core/limits.ts'

/** A lane is far behind when the newest record of its last task was stored this long ago. */
export const BEHIND_MS = 10_000
const BURST_MS = 250
/** What comes in pays too, so the end of a debt is looked for this often, milliseconds. */
const WAIT_MS_MAX = 20
/** Ingest that comes to less is idle, bytes per second. */
const IDLE_BYTES_PER_SECOND = 64 * 1024
/** How long arrivals are looked at before they count as idle or busy. */
const LOOK_MS = 1000

export interface CatchUpOptions {
  readonly clock: Clock
  readonly bytesPerSecond: number
  /** Bytes that came into the queues of all routes since the start. */
  readonly arrivedBytes: () => number
}

export class CatchUp {
  readonly #options: CatchUpOptions
  #tokenBytes: number
  #filledMs: number
  #arrivedBytes: number
  /** Arrivals of the last whole look. */
  #isIdle = true
  #lookMs: number
  #lookBytes: number
  /** Time that lanes had to wait, for the metrics. */
  heldMs = 0

  constructor(options: CatchUpOptions) {
    this.#options = options
    this.#tokenBytes = burstBytes(options)
    this.#filledMs = options.clock.monotonicMs()
    this.#arrivedBytes = options.arrivedBytes()
    this.#lookMs = this.#filledMs
    this.#lookBytes = this.#arrivedBytes
  }

  /** A task of a lane that is far behind reads these. */
  spend(byteCount: number): void {
    this.#fill()
    if (!this.#isIdle) this.#tokenBytes -= byteCount
  }

  /** How long until it is worth asking again; 0: a task may read now. */
  waitMs(): number {
    this.#fill()
    if (this.#isIdle || this.#tokenBytes > -1) return 0
    const payMs = Math.ceil((-this.#tokenBytes * 1000) / this.#options.bytesPerSecond)
    return Math.min(WAIT_MS_MAX, payMs)
  }

  #fill(): void {
    const { arrivedBytes, bytesPerSecond, clock } = this.#options
    const nowMs = clock.monotonicMs()
    const arrived = arrivedBytes()
    const earned = ((nowMs - this.#filledMs) * bytesPerSecond) / 1000
    const filled = this.#tokenBytes + earned + (arrived - this.#arrivedBytes)
    this.#tokenBytes = Math.min(burstBytes(this.#options), filled)
    this.#filledMs = nowMs
    this.#arrivedBytes = arrived
    const sinceMs = nowMs - this.#lookMs
    if (sinceMs < LOOK_MS) return
    this.#isIdle = ((arrived - this.#lookBytes) * 1000) / sinceMs < IDLE_BYTES_PER_SECOND
    this.#lookMs = nowMs
    this.#lookBytes = arrived
  }
}

const burstBytes = ({ bytesPerSecond }: CatchUpOptions): number =>
  Math.max(TASK_INPUT_BYTES_MAX, (bytesPerSecond * BURST_MS) / 1000)
