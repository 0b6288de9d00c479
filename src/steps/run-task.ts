// Step 7. Runs on: pool.
// One task: frames from the page cache -> steps -> the destination's bodies in the slot. A pure function of the task: the
// same task gives the same bytes on any thread, twice. That is what makes killing a thread harmless.

import { MillraceError } from '../core/errors.ts'
import { invariant } from '../core/invariant.ts'
import type {
  JsAnswer,
  LoadedProgram,
  RenderImports,
  RenderKernelFace
} from '../kernel/render-face.ts'
import type { FinishedBodies } from '../plugin/output.ts'
import type { FrameHash } from '../storage/format/frame.ts'
import type { PayloadDecoder } from '../storage/format/payload-decoder.ts'
import type { TaskRequest, TaskResult } from '../threads/messages.ts'
import type { Destination } from './destination.ts'
import { FrameWindow } from './frame-window.ts'
import type { OpenGroup } from './open-group.ts'
import { runScript } from './scripts.ts'
import type { SegmentReader } from './segment-files.ts'
import { SlotOutput } from './slot-output.ts'
import { type AttemptResult, GroupTrap, TaskAttempt } from './task-attempt.ts'
import { addStepCounters, INDEX_ROW_BYTES, takeVerdicts, writeRowIndex } from './task-rows.ts'
import { findCulprit, isTrap, TRAPS_MAX } from './trap.ts'

/** A kernel instance and the hash over its memory. */
export interface TaskKernel {
  readonly face: RenderKernelFace
  readonly hash: FrameHash
}

export interface TaskRunnerOptions {
  /** Called once, and again after a trap: an instance that trapped is not used again. */
  createKernel(imports: RenderImports): TaskKernel
  /** The destination of a task; throws when there is none of that name and generation. */
  destination(key: string, generation: number): Destination
  readonly files: SegmentReader
  readonly decoder: PayloadDecoder
  /** CPU time of this thread, milliseconds. */
  clockMs(): number
  /** Ends a task early after so much CPU time; null: never. Moves only where the task ends. */
  readonly deadlineMs: number | null
}

export interface TaskRunner {
  run(task: TaskRequest): TaskResult
}

export function createTaskRunner(options: TaskRunnerOptions): TaskRunner {
  return new Runner(options)
}

/** What a kernel remembers of programs; a fresh one begins empty. */
interface Instance {
  readonly kernel: TaskKernel
  readonly programs: Map<Destination, LoadedProgram>
}

class Runner implements TaskRunner {
  readonly #options: TaskRunnerOptions
  #instance: Instance | null = null
  #destination: Destination | null = null
  #attempt: TaskAttempt | null = null
  /** Of the attempt; null: the render half puts bodies together itself. */
  #slotOutput: SlotOutput | null = null

  constructor(options: TaskRunnerOptions) {
    this.#options = options
  }

  run(task: TaskRequest): TaskResult {
    const destination = this.#options.destination(task.destination, task.generation)
    this.#destination = destination
    const poison: Poison = { offsets: new Map(), groups: new Map() }
    try {
      for (let traps = 0; traps < TRAPS_MAX; traps++) {
        try {
          return this.#runWhole(task, destination, poison)
        } catch (error) {
          if (!isTrap(error)) throw error
          this.#instance = null
          if (error instanceof GroupTrap) poison.groups.set(error.firstOffset, TRAP)
          else poison.offsets.set(this.#findCulprit(task, destination, poison), TRAP)
        }
      }
      throw new MillraceError('MR_TASK', `the kernel trapped on ${TRAPS_MAX} records of one task`)
    } finally {
      this.#attempt = null
      this.#options.files.release()
    }
  }

  /** Repeats with fewer rows until the render half takes all that were rendered. */
  #runWhole(task: TaskRequest, destination: Destination, poison: Poison): TaskResult {
    let rowsMax = task.rowsMax
    for (;;) {
      const startMs = this.#options.clockMs()
      const attempt = this.#runOnce(task, destination, poison, rowsMax)
      const ranMs = this.#options.clockMs()
      const { face } = this.#kernel().kernel
      const finished = this.#finish(task, destination, face)
      if (finished.rowsTaken < face.rows.count) {
        if (finished.rowsTaken > 0) rowsMax = finished.rowsTaken
        else refuseFirstRow(face, poison)
        continue
      }
      const indexStartByte = this.#writeIndex(task, destination, face, finished)
      const times = { readMs: attempt.readMs, startMs, ranMs, endMs: this.#options.clockMs() }
      return this.#result(destination, attempt, finished, indexStartByte, times)
    }
  }

  #runOnce(
    task: TaskRequest,
    destination: Destination,
    poison: Poison,
    rowsMax: number
  ): AttemptResult {
    const { kernel } = this.#kernel()
    const program = this.#program(destination)
    const { files, clockMs, deadlineMs, decoder } = this.#options
    const endMs = deadlineMs === null ? Number.POSITIVE_INFINITY : clockMs() + deadlineMs
    const slotOutput = destination.renderHalf.isInOrder
      ? new SlotOutput(kernel.face, { memory: destination.slotMemory, ...task.slot })
      : null
    this.#slotOutput = slotOutput
    const attempt = new TaskAttempt({
      kernel: kernel.face,
      program,
      destination,
      window: new FrameWindow(
        { input: kernel.face.input, files, hash: kernel.hash, decoder, clockMs },
        task
      ),
      task,
      outputBytesMax: Math.min(task.bodyBytesMax, task.slot.byteCount),
      rowsMax,
      poison,
      isLate: () => deadlineMs !== null && clockMs() > endMs,
      onFrame: () => slotOutput?.takePiece()
    })
    this.#attempt = attempt
    return attempt.run()
  }

  /** Bodies in the slot, ahead of the room that the index takes at its end. */
  #finish(task: TaskRequest, destination: Destination, face: RenderKernelFace): FinishedBodies {
    if (face.rows.count === 0) return { bodies: [], order: null, places: null, rowsTaken: 0 }
    const indexStartByte = indexStart(task, face.rows.count)
    return destination.renderHalf.finish({
      rendered: this.#slotOutput?.takeAll() ?? face.output.subarray(0, face.outputByteCount),
      rows: face.rows,
      targets: face.targets,
      slot: Buffer.from(destination.slotMemory.buffer, task.slot.startByte, indexStartByte)
    })
  }

  #writeIndex(
    task: TaskRequest,
    destination: Destination,
    face: RenderKernelFace,
    finished: FinishedBodies
  ): number {
    const startByte = indexStart(task, face.rows.count)
    const words = new Int32Array(
      destination.slotMemory.buffer,
      task.slot.startByte + startByte,
      (face.rows.count * INDEX_ROW_BYTES) / 4
    )
    writeRowIndex(words, face.rows, finished, task.fromOffset)
    return startByte
  }

  #result(
    destination: Destination,
    attempt: AttemptResult,
    finished: FinishedBodies,
    rowIndexStartByte: number,
    times: { readMs: number; startMs: number; ranMs: number; endMs: number }
  ): TaskResult {
    const { face } = this.#kernel().kernel
    const { stepNames } = destination.lowered
    const dropped = [...attempt.dropped]
    const deadLetters = [...attempt.deadLetters]
    takeVerdicts(face.verdicts(), stepNames, dropped, deadLetters)
    const counters: Record<string, number> = {}
    const counts = face.takeCounters(this.#program(destination))
    addStepCounters(counters, counts, stepNames, destination.route)
    for (const [event, count] of attempt.joinEvents) {
      counters[`join_records_total|${destination.route}|${event}`] = count
    }
    return {
      kind: 'result',
      resumeOffset: attempt.resumeOffset,
      bodies: finished.bodies,
      rowIndexStartByte,
      rowCount: face.rows.count,
      dropped,
      joined: attempt.joined.map(joinedOffsets),
      deadLetters,
      damaged: attempt.damaged,
      carry: attempt.carry,
      open: attempt.open,
      dueMs: attempt.dueMs,
      counters,
      stageMs: {
        read: times.readMs,
        run: times.ranMs - times.startMs - times.readMs,
        finish: times.endMs - times.ranMs
      }
    }
  }

  /** The entry that makes the kernel trap: the last of the shortest beginning of the task that traps. */
  #findCulprit(task: TaskRequest, destination: Destination, poison: Poison): number {
    return findCulprit(task, (cut) => {
      try {
        this.#runOnce(cut, destination, poison, cut.rowsMax)
        return false
      } catch (error) {
        if (!isTrap(error)) throw error
        this.#instance = null
        return true
      }
    })
  }

  #kernel(): Instance {
    this.#instance ??= {
      kernel: this.#options.createKernel({
        target: (text) => this.#running().renderHalf.targetText(text),
        leaveJs: (stage, json) => this.#leave(stage, json),
        join: (entry) => this.#attempt?.answer(entry) ?? 'pass'
      }),
      programs: new Map()
    }
    return this.#instance
  }

  #leave(stage: number, json: string): JsAnswer {
    const script = this.#running().scripts[stage]
    invariant(script !== undefined, `program names JavaScript stage ${stage}`)
    return runScript(script, json)
  }

  #running(): Destination {
    invariant(this.#destination !== null, 'the kernel called without a task')
    return this.#destination
  }

  #program(destination: Destination): LoadedProgram {
    const { kernel, programs } = this.#kernel()
    const known = programs.get(destination)
    if (known !== undefined) return known
    const program = kernel.face.loadProgram(destination.lowered.bytes)
    programs.set(destination, program)
    return program
  }
}

/** Entries and groups (by first member) that cannot be rendered, and why. */
interface Poison {
  readonly offsets: Map<number, string>
  readonly groups: Map<number, string>
}

/** Reason of a dead letter: the kernel trapped on the record. */
const TRAP = 'kernel_trap'

/** A row that not even a body of its own can hold would stop the queue. */
function refuseFirstRow(face: RenderKernelFace, poison: Poison): void {
  const refused = face.rows.memberList(0) > 0 ? poison.groups : poison.offsets
  refused.set(face.rows.offset(0), 'too_large')
}

/** The index lies at the end of the slot, on a whole word of the shared memory. */
function indexStart(task: TaskRequest, rowCount: number): number {
  const { startByte, byteCount } = task.slot
  const place = (startByte + byteCount - rowCount * INDEX_ROW_BYTES) & ~3
  invariant(place > startByte, `a slot of ${byteCount} bytes has no room for ${rowCount} rows`)
  return place - startByte
}

function joinedOffsets(group: OpenGroup): { owner: number; offsets: readonly number[] } {
  const [owner, ...offsets] = group.members.map(({ offset }) => offset)
  return { owner: owner ?? 0, offsets }
}
