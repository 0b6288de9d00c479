// Step 7. Runs on: pool.
// One pass over the frames of a task: kernel over entries, groups of parts opened and closed on the way. A pass that is
// given up leaves nothing behind: its rows, verdicts and counters are forgotten by the next.

import { invariant } from '../core/invariant.ts'
import { POSITION_ID_BYTES } from '../core/position.ts'
import { joinedIdSuffix } from '../kernel/joined-id.ts'
import type {
  JoinAnswer,
  JoinEntry,
  LoadedProgram,
  RenderKernelFace
} from '../kernel/render-face.ts'
import type { FrameRef, OffsetRange, StepDeadLetter, TaskRequest } from '../threads/messages.ts'
import type { Destination } from './destination.ts'
import { type ClosedGroup, DockerJoin, type JoinEvent } from './docker-partial.ts'
import type { FrameWindow } from './frame-window.ts'
import { covers, mergeRanges } from './offset-set.ts'
import { decodeCarry, encodeCarry, joinedText, type OpenGroup } from './open-group.ts'

/** What earlier passes found out: entries and groups that cannot be rendered, and why. */
export interface Poison {
  readonly offsets: ReadonlyMap<number, string>
  /** By the first member of the group. */
  readonly groups: ReadonlyMap<number, string>
}

/** A trap while a joined record was rendered: the group is the culprit. */
export class GroupTrap extends Error {
  override readonly name = 'GroupTrap'
  readonly firstOffset: number

  constructor(firstOffset: number, cause: unknown) {
    super(`the kernel trapped on the record joined from offset ${firstOffset}`, { cause })
    this.firstOffset = firstOffset
  }
}

export interface AttemptContext {
  readonly kernel: RenderKernelFace
  readonly program: LoadedProgram
  readonly destination: Destination
  readonly window: FrameWindow
  readonly task: TaskRequest
  readonly outputBytesMax: number
  readonly rowsMax: number
  readonly poison: Poison
  /** Whether the task has used up its time; asked between frames. */
  isLate(): boolean
  /** A frame is done. */
  onFrame(): void
}

/** What a pass leaves besides the kernel's rows, verdicts and counters. */
export interface AttemptResult {
  readonly resumeOffset: number
  readonly dropped: readonly OffsetRange[]
  readonly deadLetters: readonly StepDeadLetter[]
  readonly damaged: readonly OffsetRange[]
  /** Groups of the rows: member list n of a row is element n - 1. */
  readonly joined: readonly OpenGroup[]
  readonly carry: Uint8Array | null
  readonly open: readonly number[]
  readonly dueMs: number | null
  readonly joinEvents: ReadonlyMap<JoinEvent, number>
  /** CPU time of reading and checking frames, milliseconds. */
  readonly readMs: number
}

const OUTPUT_STEP = '0:output'

export class TaskAttempt {
  readonly #context: AttemptContext
  readonly #join: DockerJoin | null
  readonly #events = new Map<JoinEvent, number>()
  readonly #dropped: OffsetRange[] = []
  readonly #deadLetters: StepDeadLetter[] = []
  readonly #damaged: OffsetRange[] = []
  readonly #joined: OpenGroup[] = []
  #resumeOffset: number
  #isShown = false

  constructor(context: AttemptContext) {
    this.#context = context
    const { destination, task } = context
    this.#resumeOffset = task.fromOffset
    const options = destination.lowered.join
    this.#join =
      options === null
        ? null
        : new DockerJoin(options, decodeCarry(task.carry), (event) => {
            this.#events.set(event, (this.#events.get(event) ?? 0) + 1)
          })
  }

  run(): AttemptResult {
    const { kernel, program, task, outputBytesMax, rowsMax, poison } = this.#context
    kernel.begin(program, { outputBytesMax, rowsMax })
    kernel.takeCounters(program)
    const finished = mergeRanges(task.finished, poison.offsets.keys())
    kernel.setFinished(task.fromOffset, finished)
    this.#isShown = this.#isAnyOpen
    kernel.setOpenGroups(this.#isShown)
    const isWhole = this.#runFrames(finished)
    // Without a next frame only the watermark tells that a group had its last line.
    const nowMs = task.isAtEnd ? task.watermarkMs : Number.NEGATIVE_INFINITY
    if (isWhole) this.#closeDue(nowMs)
    return this.#result()
  }

  /** The join as the kernel asks it. */
  answer(entry: JoinEntry): JoinAnswer {
    const join = this.#join
    // What lies before the task belongs to the one before it, which handed its groups on.
    if (join === null || entry.offset < this.#context.task.fromOffset) return 'pass'
    const answer = join.answer(entry)
    this.#showOpenGroups()
    return answer
  }

  /** False: the task ends before its frames do. */
  #runFrames(finished: readonly (readonly [number, number])[]): boolean {
    const { task } = this.#context
    for (const [index, frame] of task.frames.entries()) {
      const endOffset = frame.firstOffset + frame.recordCount
      if (endOffset <= this.#resumeOffset) continue
      if (index > 0 && this.#context.isLate()) return false
      if (!this.#closeDue(frame.appendTimeMs)) return false
      const isSkipped = !this.#isAnyOpen && covers(finished, frame.firstOffset, endOffset)
      if (!isSkipped && !this.#runFrame(index, frame)) return false
      this.#resumeOffset = endOffset
      this.#context.onFrame()
    }
    return true
  }

  get #isAnyOpen(): boolean {
    return this.#join?.isAnyOpen ?? false
  }

  /** False: no room for the entry at the resume offset. */
  #runFrame(index: number, frame: FrameRef): boolean {
    const { kernel, window, task } = this.#context
    const endOffset = frame.firstOffset + frame.recordCount
    const place = window.place(index)
    if (place === null) {
      this.#addDamaged(Math.max(frame.firstOffset, task.fromOffset), endOffset, 'corrupt')
      return true
    }
    kernel.setShard(task.logId, window.segmentOf(frame).epoch)
    let stop = kernel.run(place)
    for (;;) {
      switch (stop) {
        case 'end':
          return true
        case 'damaged':
          this.#addDamaged(kernel.resumeOffset, endOffset, 'undecodable')
          return true
        case 'full':
        case 'tables':
          return this.#endFull(stop)
        case 'join':
          if (!this.#closeStopped() || !this.#closeDue(frame.appendTimeMs)) {
            this.#resumeOffset = kernel.resumeOffset
            return false
          }
          stop = kernel.resume()
      }
    }
  }

  /** An entry that does not even fit an empty body is refused, or the task would never get past it. */
  #endFull(stop: 'full' | 'tables'): boolean {
    const { kernel } = this.#context
    this.#resumeOffset = kernel.resumeOffset
    if (stop === 'full' && kernel.rows.count === 0) {
      this.#refuse(kernel.resumeOffset, OUTPUT_STEP, 'too_large')
      this.#resumeOffset++
    }
    return false
  }

  #closeStopped(): boolean {
    const closed = this.#join?.stopped() ?? null
    return closed === null || this.#close(closed)
  }

  /** Closes every group that had its last line by then. False: the output has no room. */
  #closeDue(nowMs: number): boolean {
    for (;;) {
      const closed = this.#join?.due(nowMs) ?? null
      if (closed === null) return true
      if (!this.#close(closed)) return false
    }
  }

  #close(closed: ClosedGroup): boolean {
    const { kernel, destination } = this.#context
    const { group } = closed
    const fate = this.#renderGroup(closed)
    if (fate.kind === 'full' && kernel.rows.count > 0) return false
    if (fate.kind === 'out') this.#joined.push(group)
    else if (fate.kind === 'full') this.#refuseGroup(group, OUTPUT_STEP, 'too_large')
    else {
      const step = destination.lowered.stepNames[fate.step] ?? OUTPUT_STEP
      if (fate.kind === 'dead_letter') this.#refuseGroup(group, step, fate.reason)
      else {
        for (const { offset } of group.members) {
          this.#dropped.push({ first: offset, end: offset + 1, reason: step })
        }
      }
    }
    this.#join?.close(closed)
    this.#showOpenGroups()
    return true
  }

  #renderGroup(closed: ClosedGroup): ReturnType<RenderKernelFace['renderJoined']> {
    const { kernel, task, poison } = this.#context
    const { group, isIncomplete } = closed
    const first = group.members[0]
    invariant(first !== undefined, 'an open group has no member')
    const reason = poison.groups.get(first.offset)
    if (reason !== undefined) return { kind: 'dead_letter', step: 0, reason }
    try {
      return kernel.renderJoined({
        form: group.form,
        entry: group.firstEntry,
        tag: group.tag,
        source: group.source,
        appendTimeMs: group.firstArrivalMs,
        epoch: first.epoch,
        offset: first.offset,
        text: joinedText(group),
        isIncomplete,
        idSuffix: joinedIdSuffix(positionsOf(task.logId, group)),
        memberList: this.#joined.length + 1
      })
    } catch (error) {
      throw new GroupTrap(first.offset, error)
    }
  }

  #showOpenGroups(): void {
    if (this.#isShown === this.#isAnyOpen) return
    this.#isShown = this.#isAnyOpen
    this.#context.kernel.setOpenGroups(this.#isShown)
  }

  #refuse(offset: number, step: string, reason: string): void {
    this.#deadLetters.push({ offset, members: null, step, reason })
  }

  #refuseGroup(group: OpenGroup, step: string, reason: string): void {
    const members = group.members.map(({ offset }) => offset)
    this.#deadLetters.push({ offset: members[0] ?? 0, members, step, reason })
  }

  #addDamaged(first: number, end: number, reason: string): void {
    this.#damaged.push({ first, end, reason })
  }

  #result(): AttemptResult {
    const groups = [...(this.#join?.groups() ?? [])]
    for (const [offset, reason] of this.#context.poison.offsets) {
      if (offset < this.#resumeOffset) this.#refuse(offset, OUTPUT_STEP, reason)
    }
    return {
      resumeOffset: this.#resumeOffset,
      dropped: this.#dropped,
      deadLetters: this.#deadLetters,
      damaged: this.#damaged,
      joined: this.#joined,
      carry: encodeCarry(groups),
      open: groups.flatMap((group) => group.members.map(({ offset }) => offset)),
      dueMs: this.#join?.dueMs() ?? null,
      joinEvents: this.#events,
      readMs: this.#context.window.readMs
    }
  }
}

/** Position ids of all members, in the order of the queue. */
function positionsOf(logId: Uint8Array, group: OpenGroup): Uint8Array {
  const bytes = Buffer.alloc(group.members.length * POSITION_ID_BYTES)
  for (const [index, { epoch, offset }] of group.members.entries()) {
    const at = index * POSITION_ID_BYTES
    bytes.set(logId, at)
    bytes.writeUInt32BE(epoch, at + 8)
    bytes.writeUIntBE(offset, at + 12, 6)
  }
  return bytes
}
