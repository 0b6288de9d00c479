// Steps 8 and 9. Runs on: main.
// From the result of a task to bodies on their way: what the steps decided is settled, each body flies, and the slot is
// given back when all of them are settled or left it.

import type { Clock, Random } from '../core/clock.ts'
import type { Output, OutputSizes, RenderedBody } from '../plugin/output.ts'
import type { TaskRequest, TaskResult } from '../threads/messages.ts'
import { BodyFlight, type FlightOptions, type FlushObserver } from './body-flight.ts'
import type { Circuit } from './circuit.ts'
import { InFlight } from './in-flight.ts'
import type { Keys } from './keys.ts'
import type { LaneCursor, LaneSource } from './lane-source.ts'
import type { SlotSource } from './lane-turns.ts'
import type { LaterJob, LaterRows } from './later-rows.ts'
import type { RetryPolicy } from './retry.ts'
import { RowIndex } from './row-index.ts'
import type { Slot, Slots } from './slots.ts'
import { settleSteps, TaskSettlement, type WriteLetters } from './task-settlement.ts'
import { UNTRIED } from './verdicts.ts'

export interface TaskFlightsOptions {
  readonly source: LaneSource
  readonly cursor: LaneCursor
  readonly slots: SlotSource
  /** A body in the slot begins (1) or ends (-1) to wait. */
  readonly noteStuck: Slots['noteStuck']
  readonly sizes: OutputSizes
  readonly output: Output
  /** Bodies of one target go one after another: tails by target, shared by the lanes of the output. */
  readonly targetTails: Map<string, Promise<void>>
  readonly keys: Keys
  readonly circuit: Circuit
  readonly writeLetters: WriteLetters
  readonly flight: {
    readonly observer: FlushObserver
    readonly random: Random
    readonly retry: RetryPolicy
    readonly wireSignal?: AbortSignal
  }
  readonly clock: Clock
  readonly signal: AbortSignal
  /** Called after anything was finished. */
  readonly onProgress: () => void
  readonly onTrouble: (error: unknown) => void
}

/** A rendered task. */
export interface Departure {
  readonly slot: Slot
  readonly task: TaskRequest
  readonly result: TaskResult
  /** Frames of the task by the ordinal of their segment. */
  readonly frames: TaskRequest['frames']
  /** `passCount` of the cursor when the task was made. */
  readonly passCount: number
  /** Rows that had waited; null: records straight from the queue. */
  readonly job: LaterJob | null
}

export class TaskFlights {
  readonly inFlight = new InFlight()
  readonly #options: TaskFlightsOptions
  readonly #later: LaterRows
  readonly #onChange: () => void
  /** Append time of the oldest frame of each task whose bodies are in flight. */
  readonly #flying = new Set<{ readonly oldestMs: number }>()

  constructor(options: TaskFlightsOptions, later: LaterRows, onChange: () => void) {
    this.#options = options
    this.#later = later
    this.#onChange = onChange
  }

  get isEmpty(): boolean {
    return this.#flying.size === 0
  }

  /** Append times of what is in flight. */
  get oldestMs(): number[] {
    return [...this.#flying].map(({ oldestMs }) => oldestMs)
  }

  /** Settles what the steps decided, and lets the bodies fly. The slot is given back when all are settled. */
  async depart(departure: Departure): Promise<void> {
    const { cursor, slots, source, writeLetters } = this.#options
    const { job, result, slot, task } = departure
    const flight = { oldestMs: task.frames[0]?.appendTimeMs ?? this.#options.clock.nowMs() }
    this.#flying.add(flight)
    const { rowCount, rowIndexStartByte } = result
    const rows = new RowIndex(slot.bytes, rowIndexStartByte, rowCount, task.fromOffset)
    const flights = result.bodies.map((body) => this.#fly(departure, body, rows))
    const done = Promise.all(flights).finally(() => {
      this.#flying.delete(flight)
      if (job !== null) this.#later.end(job)
      slots.give(slot)
      this.#options.onProgress()
      this.#onChange()
    })
    // Flights report their own trouble; nothing is left to reject but a bug, which onTrouble shows.
    done.catch((error) => this.#options.onTrouble(error))
    const letters = result.deadLetters.flatMap(({ members, offset }) => [
      offset,
      ...(members ?? [])
    ])
    await this.inFlight.whileSettling(letters, () =>
      settleSteps(result, cursor, writeLetters, (first, end) => source.judge(first, end))
    )
    if (result.bodies.length === 0) this.#options.onProgress()
  }

  #fly(departure: Departure, body: RenderedBody, rows: RowIndex): Promise<void> {
    const { clock, cursor, keys, noteStuck, onProgress, output, signal, sizes, writeLetters } =
      this.#options
    const { frames, job, passCount, result, slot } = departure
    const later = this.#later
    const settlement = new TaskSettlement({
      rows,
      sink: cursor,
      writeLetters,
      target: body.target,
      joined: result.joined,
      onRenderAgain: (again, tries) => {
        later.renderAgain(again, frames, tries)
        this.#onChange()
      },
      onLeave: (key, left, tries) => {
        if (job === null) later.heldBehind(key, left.length, body.rowCount)
        later.held.hold(key, { rows: left, frames, tries })
        this.#onChange()
      }
    })
    const options: FlightOptions = {
      ...this.#options.flight,
      circuit: this.#options.circuit,
      keys,
      tries: job?.tries ?? UNTRIED,
      heldKey: job?.key ?? null,
      isTry: job?.isTry ?? false,
      isAnyHeld: () => !later.held.isEmpty,
      isHeld: (key) => later.held.has(key),
      output,
      slot: slot.bytes,
      rows,
      settlement,
      clock,
      signal,
      flushTimeoutMs: sizes.flushTimeoutMs,
      passed: cursor,
      passCount,
      onWait: (by) => noteStuck(slot, by)
    }
    const fly = () => this.inFlight.run(new BodyFlight(body, options)).then(onProgress)
    return sizes.isOrderedPerTarget ? this.#inTurn(body.target, slot, fly) : fly()
  }

  #inTurn(target: string, slot: Slot, fly: () => Promise<void>): Promise<void> {
    const { keys, noteStuck, targetTails } = this.#options
    const before = targetTails.get(target)
    // Behind a body that fails: the slot is as good as held by that one.
    const isStuck = before !== undefined && keys.isFailing(target)
    if (isStuck) noteStuck(slot, 1)
    const turn = (before ?? Promise.resolve()).then(() => {
      if (isStuck) noteStuck(slot, -1)
      return fly()
    })
    const tail = turn.catch(() => undefined)
    targetTails.set(target, tail)
    // Targets come and go; a tail that nobody waits for is forgotten.
    void tail.then(() => {
      if (targetTails.get(target) === tail) targetTails.delete(target)
    })
    return turn
  }
}
