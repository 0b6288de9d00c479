// Steps 6 to 9. Runs on: main.
// Sends stored records of a route again that a destination has finished: to restore what it lost, or to fill a destination
// that is new. Beside the destination's own lanes, which it does not touch: its cursor and counts stay, and records that
// wait for it are not sent ahead. What is replayed of a shard is [first record of the time, low mark of the cursor).
//
// Segments are held while they are read; when new records need the room they go nevertheless, and are counted `gone`.

import type { JobStatus, QueueReplayRequest, QueueReplaySource } from '../../admin/status.ts'
import type { Clock } from '../../core/clock.ts'
import { MillraceError } from '../../core/errors.ts'
import { CURSOR_RANGES_MAX } from '../../core/limits.ts'
import { parseTimePoint, TIME_POINT_FORMS } from '../../core/time-point.ts'
import type { LaneCursor, LaneSource } from '../../delivery/lane-source.ts'
import type { ShardLog } from '../../delivery/shard-log.ts'
import type { SegmentHold } from '../../delivery/shard-retention.ts'
import type { Fate, LetterRequest } from '../../delivery/task-settlement.ts'
import type { Cursor } from '../../storage/cursor/cursor.ts'
import { FinishedRanges } from '../../storage/cursor/finished-ranges.ts'
import { offsetOfTime } from '../../storage/retention/cursor-moves.ts'
import type { SavedJob, ShardProgress } from './job-file.ts'
import type { Job, ReplayJobs } from './jobs.ts'
import { Pace } from './pace.ts'
import type { RunReplay } from './replay.ts'

/** How often a replay looks whether segments went, whether more may be sent, and whether it is done. */
const LOOK_MS = 50
/** How often what was sent is remembered: so much at most is sent again, with its ids, after a crash. */
const SAVE_MS = 1000

export interface QueueReplayOptions {
  readonly clock: Clock
  readonly jobs: ReplayJobs
  readonly run: RunReplay
  /** Shards of a destination; none: there is no such destination. */
  readonly shardsOf: (
    route: string,
    output: string
  ) => readonly { readonly shardLog: ShardLog; readonly cursor: Cursor }[]
}

/** What one shard contributes. */
interface ReplayRange {
  readonly shardLog: ShardLog
  readonly first: number
  readonly end: number
}

export class QueueReplays implements QueueReplaySource {
  readonly #options: QueueReplayOptions

  constructor(options: QueueReplayOptions) {
    this.#options = options
  }

  start(route: string, output: string, request: QueueReplayRequest): JobStatus {
    const { clock, jobs, shardsOf } = this.#options
    const shards = shardsOf(route, output)
    if (shards.length === 0) {
      throw new MillraceError('MR_USAGE', `route "${route}" has no destination "${output}"`)
    }
    const nowMs = clock.nowMs()
    const fromMs = timeOf('from', request.from, nowMs)
    const toMs = timeOf('to_time', request.toTime ?? 'newest', nowMs)
    const ranges = shards.map(({ cursor, shardLog }) => rangeOf(shardLog, cursor, fromMs, toMs))
    const destination = `${route}/${output}`
    const { isDryRun, perSecond } = request
    const where = `appended from ${request.from}${request.toTime === null ? '' : ` to ${request.toTime}`}`
    const all = { to: null, limit: Number.MAX_SAFE_INTEGER }
    const source = destination
    const spec = { kind: 'queue_replay', source, where, isDryRun, perSecond, ...all } as const
    return jobs.start(spec, async (job) => {
      for (const { end, first } of ranges) {
        job.total += end - first
        job.countMatch('retained', destination, end - first)
      }
      if (!isDryRun) await this.#replayAll(job, ranges)
    })
  }

  /** A job that the process before left: what it had not sent of each shard. Throws MR_USAGE when it cannot go on. */
  resume({ progress, source }: SavedJob): (job: Job) => Promise<void> {
    const [route = '', output = ''] = source.split('/')
    const shards = this.#options.shardsOf(route, output)
    if (shards.length === 0)
      throw new MillraceError('MR_USAGE', `no destination "${source}" any more`)
    const ranges = progress.flatMap(({ endOffset, log, nextOffset, shardNumber }) => {
      const found = shards.find(
        ({ shardLog }) => shardLog.log === log && shardLog.shardNumber === shardNumber
      )
      if (found === undefined) return []
      return { shardLog: found.shardLog, first: nextOffset, end: endOffset }
    })
    return (job) => this.#replayAll(job, ranges)
  }

  /** Segments are held before it returns for the first time. */
  async #replayAll(job: Job, ranges: readonly ReplayRange[]): Promise<void> {
    const { clock } = this.#options
    const { perSecond, source } = job.spec
    // Where a shard is gone, all of it was sent.
    job.progress = ranges.map(({ end, first, shardLog }) => ({
      log: shardLog.log,
      shardNumber: shardLog.shardNumber,
      nextOffset: first,
      endOffset: end,
      sendingEnd: 0,
      sendingCount: 0
    }))
    const saving = { cancel: () => {} }
    const save = () => {
      job.checkpoint()
      saving.cancel = clock.after(SAVE_MS, save)
    }
    // Shards share the rate: each has its part.
    const rate = perSecond === null ? null : perSecond / ranges.length
    const running = ranges.map((range, index) =>
      this.#replay(job, source, range, rate, job.progress[index])
    )
    save()
    await Promise.all(running).finally(() => {
      saving.cancel()
      job.checkpoint()
    })
  }

  async #replay(
    job: Job,
    destination: string,
    { end, first, shardLog }: ReplayRange,
    perSecond: number | null,
    place: ShardProgress | undefined
  ): Promise<void> {
    if (first >= end) return
    const { clock, run } = this.#options
    const hold = shardLog.hold(first)
    const ended = new AbortController()
    const stop = () => ended.abort()
    const account = new RangeAccount(job, destination, shardLog, first, end, stop)
    const source = new PacedSource(shardLog.source(first), end, new Pace(clock, perSecond))
    job.signal.addEventListener('abort', stop, { once: true })
    if (job.signal.aborted) stop()
    try {
      const looking = { cancel: () => {} }
      await run(destination, {
        source,
        cursor: account,
        signal: ended.signal,
        writeLetters: async (requests) => account.noteRefused(requests),
        onLane: (lane) => {
          const look = () => {
            account.look(hold)
            if (place !== undefined) place.nextOffset = account.lowOffset
            lane.wake()
            looking.cancel = clock.after(LOOK_MS, look)
          }
          look()
        }
      }).finally(() => looking.cancel())
    } finally {
      if (place !== undefined) place.nextOffset = account.lowOffset
      job.signal.removeEventListener('abort', stop)
      shardLog.release(hold)
    }
  }
}

function timeOf(name: string, text: string, nowMs: number): number {
  const timeMs = parseTimePoint(text, nowMs)
  if (timeMs !== null) return timeMs
  throw new MillraceError('MR_USAGE', `${name}: "${text}" is no time; write ${TIME_POINT_FORMS}`)
}

/** Finished records only: those that wait are sent by the destination's own lanes. */
function rangeOf(shardLog: ShardLog, cursor: Cursor, fromMs: number, toMs: number): ReplayRange {
  const { segments } = shardLog
  const first =
    fromMs === Number.NEGATIVE_INFINITY ? segments.oldestOffset : offsetOfTime(segments, fromMs)
  const end = toMs === Number.POSITIVE_INFINITY ? segments.endOffset : offsetOfTime(segments, toMs)
  return { shardLog, first, end: Math.max(first, Math.min(end, cursor.lowOffset)) }
}

/** Frames of the shard up to the end of the range, no faster than they may go. */
class PacedSource implements LaneSource {
  readonly logId: Uint8Array
  readonly #source: LaneSource
  readonly #end: number
  readonly #pace: Pace
  #isAtEnd = false

  constructor(source: LaneSource, end: number, pace: Pace) {
    this.logId = source.logId
    this.#source = source
    this.#end = end
    this.#pace = pace
  }

  /** Behind the range nothing comes: open groups close, as they did before its end was finished. */
  get watermarkMs(): number {
    return this.#isAtEnd ? Number.MAX_SAFE_INTEGER : this.#source.watermarkMs
  }

  next(): ReturnType<LaneSource['next']> {
    if (this.#isAtEnd || this.#pace.waitMs > 0) return null
    const taken = this.#source.next()
    const first = taken?.kind === 'hole' ? taken.firstOffset : taken?.frame.firstOffset
    if (taken === null || first === undefined || first >= this.#end) {
      this.#isAtEnd = true
      return null
    }
    if (taken.kind === 'frame') {
      this.#pace.spend(taken.frame.recordCount)
      return taken
    }
    return { ...taken, endOffset: Math.min(taken.endOffset, this.#end) }
  }

  segment(ordinal: number): ReturnType<LaneSource['segment']> {
    return this.#source.segment(ordinal)
  }

  judge(first: number, end: number): ReturnType<LaneSource['judge']> {
    return this.#source.judge(first, end)
  }
}

/** Which records of the range have a verdict. Stands in for the destination's cursor, and writes nothing. */
class RangeAccount implements LaneCursor {
  readonly passReason = 'gone'
  passCount = 0
  readonly #job: Job
  readonly #destination: string
  readonly #shardLog: ShardLog
  readonly #end: number
  readonly #onComplete: () => void
  readonly #finished: FinishedRanges

  constructor(
    job: Job,
    destination: string,
    shardLog: ShardLog,
    first: number,
    end: number,
    onComplete: () => void
  ) {
    this.#job = job
    this.#destination = destination
    this.#shardLog = shardLog
    this.#end = end
    this.#onComplete = onComplete
    this.#finished = new FinishedRanges(first)
  }

  get lowOffset(): number {
    // Behind the end of the range nothing is wanted.
    return this.#finished.low
  }

  get rangeCount(): number {
    return Math.min(this.#finished.ranges.length, CURSOR_RANGES_MAX)
  }

  has(offset: number): boolean {
    return offset >= this.#end || this.#finished.has(offset)
  }

  finish(first: number, end: number, fate: Fate): void {
    const count = this.#finished.add(first, Math.min(end, this.#end))
    if (count > 0) this.#count(fate, count)
    if (this.#finished.low >= this.#end) this.#onComplete()
  }

  finishedWithin(first: number, end: number): readonly (readonly [number, number])[] {
    const finished: [number, number][] = []
    let next = first
    for (const [missingFirst, missingEnd] of this.#finished.missing(
      first,
      Math.min(end, this.#end)
    )) {
      if (missingFirst > next) finished.push([next, missingFirst])
      next = missingEnd
    }
    if (end > next) finished.push([next, end])
    return finished
  }

  /** Records whose segments had to go for new ones are not there any more; the hold follows what is done. */
  look(hold: SegmentHold): void {
    const gone = Math.min(this.#end, this.#shardLog.segments.oldestOffset)
    if (gone > this.#finished.low) {
      this.passCount++
      this.finish(this.#finished.low, gone, { kind: 'lost', reason: 'gone' })
    }
    hold.fromOffset = this.#finished.low
  }

  noteRefused(requests: readonly LetterRequest[]): void {
    for (const { offsets, reason, step } of requests) {
      const why = step === '' ? reason : `${step}: ${reason}`
      this.#job.noteFailure(why, this.#destination, offsets.length)
    }
  }

  #count(fate: Fate, count: number): void {
    const job = this.#job
    job.scanned += count
    switch (fate.kind) {
      case 'delivered':
        job.stored += count
        break
      case 'duplicate':
        job.stored += count
        job.duplicates += count
        break
      case 'dropped':
        job.filtered += count
        break
      case 'dead_lettered':
        // Why was told with the letter, which is not written: the record had its verdict before.
        job.failed += count
        break
      case 'lost':
        job.countFailure(fate.reason, this.#destination, count)
        break
      default:
        job.countFailure(fate.kind, this.#destination, count)
    }
  }
}
