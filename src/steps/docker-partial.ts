// Step 7. Runs on: pool.
// Joins lines that Docker cut at 16 KiB. Groups are a function of the queue's content, or a repeated task would cut
// elsewhere and lines would come twice: gaps are judged by arrival stamps, idle groups are closed by the shard's
// watermark, a finished record met again closes its stream's group, limits count members only. What may differ all the
// same is covered by the id, which names all members.

import { CARRY_BYTES_MAX, JOIN_AGE_MS_MAX, JOIN_MEMBERS_MAX } from '../core/limits.ts'
import type { JoinAnswer, JoinEntry } from '../kernel/render-face.ts'
import { carriedBytes, isConsecutive, isWhole, type OpenGroup } from './open-group.ts'
import type { JoinOptions } from './plan.ts'

/** Fields that the kernel hands over, in this order. */
export const JOIN_FIELD_NAMES = [
  'container_id',
  'source',
  'log',
  'partial_message',
  'partial_id',
  'partial_ordinal',
  'partial_last',
  'stream'
] as const
const CONTAINER = 0
const SOURCE = 1
const TEXT = 2
const IS_PARTIAL = 3
const PARTIAL_ID = 4
const ORDINAL = 5
const IS_LAST = 6
/** What files of container runtimes have instead of `source`. */
const STREAM = 7

/** A group that has to be rendered before the run goes on. */
export interface ClosedGroup {
  readonly group: OpenGroup
  readonly isIncomplete: boolean
  /** It gave way to a limit. */
  readonly isEvicted: boolean
}

export type JoinEvent = 'complete' | 'incomplete' | 'orphan' | 'evicted' | 'duplicate_part'

export class DockerJoin {
  readonly #options: JoinOptions
  readonly #count: (event: JoinEvent) => void
  /** By stream, in the order in which they were opened. */
  readonly #groups = new Map<string, OpenGroup>()
  #memberCount = 0
  #carriedBytes = 0
  #stopped: OpenGroup | null = null

  constructor(
    options: JoinOptions,
    carried: readonly OpenGroup[],
    count: (event: JoinEvent) => void
  ) {
    this.#options = options
    this.#count = count
    for (const group of carried) this.#open(group)
  }

  get isAnyOpen(): boolean {
    return this.#groups.size > 0
  }

  groups(): Iterable<OpenGroup> {
    return this.#groups.values()
  }

  /**
   * Judges one entry. `stop`: a group has to be closed first (`due` names it), then the entry is shown again.
   * `held_stop`: the entry was taken, and a group is due.
   */
  answer(entry: JoinEntry): JoinAnswer {
    const text = entry.field(TEXT)
    const isPart = text !== null && entry.field(IS_PARTIAL)?.toString('latin1') === 'true'
    const streamKey = streamKeyOf(entry)
    const group = this.#groups.get(streamKey)
    if (entry.isFinished) return group === undefined ? 'pass' : this.#stop(group)
    if (group === undefined)
      return isPart && text !== null ? this.#begin(streamKey, entry, text) : 'pass'
    if (this.#isBroken(group, entry, isPart) || text === null) return this.#stop(group)
    if (group.textBytes + text.length > this.#options.bytesMax) return this.#stop(group)
    return this.#add(group, entry, text, isPart)
  }

  /** A group that has to be closed by now, or null. Closing it is the caller's part: render, then `close`. */
  due(nowMs: number): ClosedGroup | null {
    for (const group of this.#groups.values()) {
      if (isEnded(group) || this.#isIdle(group, nowMs)) return closedOf(group, false)
    }
    return this.#overLimit()
  }

  /** The group that the last `stop` named. */
  stopped(): ClosedGroup | null {
    const group = this.#stopped
    return group === null ? null : closedOf(group, false)
  }

  close(closed: ClosedGroup): void {
    const { group } = closed
    this.#groups.delete(group.streamKey)
    this.#memberCount -= group.members.length
    this.#carriedBytes -= carriedBytes(group)
    this.#stopped = null
    this.#count(closed.isIncomplete ? 'incomplete' : 'complete')
    if (closed.isEvicted) this.#count('evicted')
  }

  /** When the next group falls due by the watermark; null: none open. */
  dueMs(): number | null {
    let dueMs: number | null = null
    for (const group of this.#groups.values()) {
      const groupMs = isEnded(group) ? 0 : group.lastArrivalMs + this.#options.flushAfterMs + 1
      dueMs = Math.min(dueMs ?? groupMs, groupMs)
    }
    return dueMs
  }

  #stop(group: OpenGroup): JoinAnswer {
    this.#stopped = group
    return 'stop'
  }

  /** Whether the entry shows that the group had ended before it. */
  #isBroken(group: OpenGroup, entry: JoinEntry, isPart: boolean): boolean {
    if (this.#isIdle(group, entry.appendTimeMs)) return true
    // Engines without ids mark every part but the last.
    if (group.partialId === null) return isPart && entry.field(PARTIAL_ID) !== null
    return !isPart || entry.field(PARTIAL_ID)?.toString('latin1') !== group.partialId
  }

  /** No later line can belong to it: arrival stamps never decrease. */
  #isIdle(group: OpenGroup, nowMs: number): boolean {
    return (
      group.lastArrivalMs + this.#options.flushAfterMs < nowMs ||
      group.firstArrivalMs + JOIN_AGE_MS_MAX < nowMs
    )
  }

  #begin(streamKey: string, entry: JoinEntry, text: Buffer): JoinAnswer {
    const partialId = entry.field(PARTIAL_ID)?.toString('latin1') ?? null
    const ordinal = partialId === null ? 1 : ordinalOf(entry)
    if (ordinal > 1) this.#count('orphan')
    const group: OpenGroup = {
      streamKey,
      partialId,
      firstEntry: Buffer.from(entry.entry),
      form: entry.form,
      tag: Buffer.from(entry.tag),
      source: Buffer.from(entry.source),
      firstArrivalMs: entry.appendTimeMs,
      lastArrivalMs: entry.appendTimeMs,
      textBytes: text.length,
      lastOrdinal: partialId !== null && isLast(entry) ? ordinal : 0,
      parts: [{ ordinal, text: Buffer.from(text) }],
      members: [{ epoch: entry.epoch, offset: entry.offset }]
    }
    this.#open(group)
    return isEnded(group) || this.#overLimit() !== null ? 'held_stop' : 'held'
  }

  #add(group: OpenGroup, entry: JoinEntry, text: Buffer, isPart: boolean): JoinAnswer {
    const before = carriedBytes(group)
    const isNumbered = group.partialId !== null
    const ordinal = isNumbered ? ordinalOf(entry) : group.parts.length + 1
    const twin = isNumbered ? group.parts.find((part) => part.ordinal === ordinal) : undefined
    // The same number with another text is no repeat, so the group had ended.
    if (twin !== undefined && !twin.text.equals(text)) return this.#stop(group)
    if (twin === undefined) {
      group.parts.push({ ordinal, text: Buffer.from(text) })
      group.textBytes += text.length
    } else this.#count('duplicate_part')
    if (isNumbered ? isLast(entry) : !isPart) group.lastOrdinal = ordinal
    group.members.push({ epoch: entry.epoch, offset: entry.offset })
    group.lastArrivalMs = entry.appendTimeMs
    this.#memberCount++
    this.#carriedBytes += carriedBytes(group) - before
    return isEnded(group) || this.#overLimit() !== null ? 'held_stop' : 'held'
  }

  #open(group: OpenGroup): void {
    this.#groups.set(group.streamKey, group)
    this.#memberCount += group.members.length
    this.#carriedBytes += carriedBytes(group)
  }

  /** The group that gives way when there are too many: the one without a part for longest, or the largest. */
  #overLimit(): ClosedGroup | null {
    const isTooMany =
      this.#groups.size > this.#options.streamsMax || this.#memberCount > JOIN_MEMBERS_MAX
    const isTooBig = this.#carriedBytes > CARRY_BYTES_MAX
    if (!isTooMany && !isTooBig) return null
    let chosen: OpenGroup | null = null
    for (const group of this.#groups.values()) {
      const isWorse = isTooMany
        ? group.lastArrivalMs < (chosen?.lastArrivalMs ?? Number.POSITIVE_INFINITY)
        : group.textBytes > (chosen?.textBytes ?? -1)
      if (isWorse) chosen = group
    }
    return chosen === null ? null : closedOf(chosen, true)
  }
}

/** Its last part was seen and nothing is missing in between. */
function isEnded(group: OpenGroup): boolean {
  return group.lastOrdinal > 0 && isConsecutive(group)
}

function closedOf(group: OpenGroup, isEvicted: boolean): ClosedGroup {
  return { group, isIncomplete: !isWhole(group), isEvicted }
}

function streamKeyOf(entry: JoinEntry): string {
  const tag = entry.tag.toString('latin1')
  const container = entry.field(CONTAINER)?.toString('latin1') ?? ''
  const stream = entry.field(SOURCE) ?? entry.field(STREAM)
  return `${tag}\0${container}\0${stream?.toString('latin1') ?? ''}`
}

function isLast(entry: JoinEntry): boolean {
  return entry.field(IS_LAST)?.toString('latin1') === 'true'
}

/** Parts without a usable number count as the first. */
function ordinalOf(entry: JoinEntry): number {
  const text = entry.field(ORDINAL)?.toString('latin1') ?? ''
  return /^[1-9]\d{0,8}$/.test(text) ? Number(text) : 1
}
