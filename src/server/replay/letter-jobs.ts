// Step 10. Runs on: main.
// What people do with dead letters: look, export, send again, remove. Every one of them reads a log as a stream; nothing
// here holds more than a batch, whatever the log holds. A letter leaves its log when every destination that it was sent to
// has it, or when it is purged; a crash in between means that it is sent again, with the same id.

import { join } from 'node:path'
import type {
  DeadLetterLogStatus,
  DeadLetterView,
  JobStatus,
  LetterReplayRequest,
  LetterSource
} from '../../admin/status.ts'
import type { MillraceConfig } from '../../config/schema.ts'
import { MillraceError } from '../../core/errors.ts'
import type { Outcome } from '../../storage/cursor/cursor.ts'
import type { DeadLetterLogs } from '../letters/dead-letter-logs.ts'
import type { LetterLog } from '../letters/log.ts'
import { LetterRoutes } from '../letters/routes.ts'
import { keptLetter, type LetterHole, type StoredLetter, scanLetters } from '../letters/scan.ts'
import { compileLetterTest, exportLetters, type LetterTest, newestViews } from '../letters/views.ts'
import type { StoreContext } from '../store/open-shards.ts'
import type { SavedJob, ShardProgress } from './job-file.ts'
import type { Job, ReplayJobs } from './jobs.ts'
import { Pace } from './pace.ts'
import {
  type Addressed,
  BATCH_BYTES_MAX,
  BATCH_LETTERS_MAX,
  type LetterFate,
  type RunReplay,
  replayBatch
} from './replay.ts'

export interface LetterJobsOptions {
  readonly config: MillraceConfig
  readonly context: StoreContext
  readonly logs: DeadLetterLogs
  readonly jobs: ReplayJobs
  readonly run: RunReplay
}

/** How a letter that was sent leaves its log. */
const OUTCOMES = {
  stored: 'delivered',
  duplicate: 'duplicate_suppressed',
  filtered: 'dropped:filtered'
} as const satisfies Partial<Record<LetterFate, Outcome>>

export class LetterJobs implements LetterSource {
  readonly #options: LetterJobsOptions
  readonly #routes: LetterRoutes

  constructor(options: LetterJobsOptions) {
    this.#options = options
    this.#routes = new LetterRoutes(options.config)
  }

  /** Logs that hold letters. */
  logs(): DeadLetterLogStatus[] {
    return this.#options.logs.status().filter(({ records }) => records > 0)
  }

  /** The newest letters of a log, newest first. */
  async views(log: string, where: string, limit: number): Promise<DeadLetterView[]> {
    const test = this.#test(where)
    const views: DeadLetterView[] = []
    for (const shard of this.#shards(log)) {
      const { endOffset } = shard.segments
      const from = where === '' ? shard.offsetOfNewest(limit) : 0
      const read = (first: number | null) => scanLetters(shard, first ?? from, endOffset)
      views.push(...(await newestViews(read, test, limit)))
    }
    return views.sort((one, other) => other.timeMs - one.timeMs).slice(0, limit)
  }

  /** Letters as lines, or the bytes that came in, oldest first in each shard. */
  export(
    log: string,
    where: string,
    limit: number,
    isRaw: boolean
  ): AsyncGenerator<string | Uint8Array> {
    // Faults of the request are told before the answer begins.
    return exportLetters(this.#shards(log), this.#test(where), limit, isRaw)
  }

  replay(log: string, request: LetterReplayRequest): JobStatus {
    const { isDryRun, to, where } = request
    const shards = this.#shards(log)
    const test = this.#test(where)
    this.#routes.check(log, to)
    const { limit, perSecond } = request
    const spec = { kind: 'replay', source: log, to, where, isDryRun, limit, perSecond } as const
    return this.#options.jobs.start(spec, (job) => this.#replay(job, shards, test))
  }

  purge(log: string, where: string, isDryRun: boolean): JobStatus {
    const shards = this.#shards(log)
    const test = this.#test(where)
    const all = { limit: Number.MAX_SAFE_INTEGER, perSecond: null }
    const spec = { kind: 'purge', source: log, to: null, where, isDryRun, ...all } as const
    return this.#options.jobs.start(spec, (job) => this.#purge(job, shards, test))
  }

  /** A job that the process before left. Throws MR_USAGE when it cannot go on. */
  resume({ kind, source, startedMs, to, where }: SavedJob): (job: Job) => Promise<void> {
    const shards = this.#shards(source)
    const test = this.#test(where, startedMs)
    if (kind === 'purge') return (job) => this.#purge(job, shards, test)
    this.#routes.check(source, to)
    return (job) => this.#replay(job, shards, test)
  }

  /** Relative times count from when the job was asked for. */
  #test(where: string, nowMs = this.#options.context.clock.nowMs()): LetterTest {
    return compileLetterTest(where, nowMs)
  }

  #shards(log: string): readonly LetterLog[] {
    const { logs } = this.#options
    const shards = logs.shardsOf(log)
    if (shards.length > 0) return shards
    throw new MillraceError(
      'MR_USAGE',
      `no dead letter log "${log}"; logs are ${logs.names.join(', ')}`
    )
  }

  async #replay(job: Job, shards: readonly LetterLog[], test: LetterTest): Promise<void> {
    const { isDryRun, limit, perSecond, to } = job.spec
    const pace = new Pace(this.#options.context.clock, perSecond)
    for (const { place, shard } of placesOf(job, shards)) {
      const batch = new Batch(pace.batchMax)
      // The batch that was on its way when the process before ended is counted; what of it is not there any more was stored.
      const { sendingEnd } = place
      let leftCount = place.sendingCount
      for await (const found of letters(job, shard, place)) {
        const isCounted = found.kind === 'letter' && found.offset < sendingEnd
        if (found.kind === 'letter' && !isCounted) {
          job.stored += leftCount
          leftCount = 0
        }
        if (job.matched >= limit && !isCounted) break
        if (found.kind === 'hole') {
          if (!isDryRun) shard.passHole(found)
          continue
        }
        if (!test(found)) continue
        const addressed = this.#address(job, found, to, isCounted)
        if (addressed === null || isDryRun) continue
        if (isCounted) leftCount--
        const stored = keptLetter(found)
        if (batch.add({ ...addressed, stored })) {
          await this.#send(job, shard, place, batch.take(), pace)
        }
        if (job.signal.aborted) break
      }
      if (!job.signal.aborted) await this.#send(job, shard, place, batch.take(), pace)
      await shard.shardLog.settle()
      if (job.signal.aborted) return
      job.stored += leftCount
      finished(job, place)
    }
  }

  /** Null: the letter cannot be sent; it stays. */
  #address(
    job: Job,
    stored: StoredLetter,
    to: string | null,
    isCounted: boolean
  ): Addressed | null {
    const { letter } = stored
    const destinations = this.#routes.destinationsOf(stored, to)
    if (!isCounted) job.countMatch(letter.reason, destinations.join(', '))
    if (letter.members.length === 0) {
      if (!isCounted) job.countFailure('no_bytes', '')
      return null
    }
    const missing = destinations.find((destination) => !this.#routes.has(destination))
    if (destinations.length === 0 || missing !== undefined) {
      if (!isCounted) job.countFailure('no_destination', missing ?? '')
      return null
    }
    return { stored, destinations }
  }

  /** What is sent is remembered first: after a crash the job knows where it was, and what it had counted. */
  async #send(
    job: Job,
    shard: LetterLog,
    place: ShardProgress,
    batch: readonly Addressed[],
    pace: Pace
  ): Promise<void> {
    const last = batch.at(-1)
    if (last === undefined) return
    await pace.wait(batch.length, job.signal)
    await shard.makeRoom(batch.length)
    place.sendingEnd = last.stored.offset + 1
    place.sendingCount = batch.length
    job.checkpoint()
    const { dataDir, hash, storage, store } = this.#options.context
    await replayBatch(batch, {
      storage,
      hash,
      store,
      directory: join(dataDir, 'spool'),
      run: this.#options.run,
      signal: job.signal,
      onFate: (stored, fate) => settle(job, shard, stored, fate),
      onRefused: (reason, destination) => job.noteFailure(reason, destination)
    })
    if (job.signal.aborted) return
    // What left has left for good, before the place behind it counts as reached.
    await shard.shardLog.settle()
    place.nextOffset = place.sendingEnd
    place.sendingEnd = 0
    place.sendingCount = 0
  }

  async #purge(job: Job, shards: readonly LetterLog[], test: LetterTest): Promise<void> {
    for (const { place, shard } of placesOf(job, shards)) {
      if (job.spec.where === '' && !job.spec.isDryRun) {
        const count = shard.removeAll(place.endOffset, 'dropped:operator')
        job.matched += count
        job.removed += count
      } else await this.#purgeSome(job, shard, place, test)
      await shard.shardLog.settle()
      if (!job.signal.aborted) finished(job, place)
    }
  }

  async #purgeSome(
    job: Job,
    shard: LetterLog,
    place: ShardProgress,
    test: LetterTest
  ): Promise<void> {
    let left = 0
    for await (const found of letters(job, shard, place)) {
      if (job.signal.aborted) break
      if (found.kind === 'hole') {
        if (!job.spec.isDryRun) shard.passHole(found)
        continue
      }
      if (!test(found)) continue
      job.countMatch(found.letter.reason, destinationOf(found))
      if (job.spec.isDryRun) continue
      // Room for one more run of letters; looked at now and then, since it is rare to run out.
      if (left === 0) {
        await shard.makeRoom(BATCH_LETTERS_MAX / 10)
        left = BATCH_LETTERS_MAX / 10
        await shard.shardLog.settle()
        place.nextOffset = found.offset
        job.checkpoint()
      }
      left--
      if (shard.remove(found.offset, 'dropped:operator')) job.removed++
    }
  }
}

/** Where the job is in each shard; all of them are known before the first is read. */
function placesOf(
  job: Job,
  shards: readonly LetterLog[]
): { readonly place: ShardProgress; readonly shard: LetterLog }[] {
  return shards.map((shard) => {
    const { log, shardNumber } = shard.shardLog
    const known = job.progress.find((each) => each.log === log && each.shardNumber === shardNumber)
    if (known !== undefined) return { place: known, shard }
    const nextOffset = shard.gone.lowOffset
    const { endOffset } = shard.segments
    const place = { log, shardNumber, nextOffset, endOffset, sendingEnd: 0, sendingCount: 0 }
    job.progress.push(place)
    job.total += endOffset - nextOffset
    return { place, shard }
  })
}

function finished(job: Job, place: ShardProgress): void {
  place.nextOffset = place.endOffset
  place.sendingEnd = 0
  place.sendingCount = 0
  job.checkpoint()
}

/** Letters of a shard as it was when the job began, with how far the job has come. */
async function* letters(
  job: Job,
  shard: LetterLog,
  { endOffset, nextOffset }: ShardProgress
): AsyncGenerator<StoredLetter | LetterHole> {
  const first = Math.max(nextOffset, shard.gone.lowOffset)
  const before = job.scanned
  for await (const found of scanLetters(shard, first, endOffset)) {
    job.scanned = before + (found.kind === 'hole' ? found.endOffset : found.offset + 1) - first
    yield found
  }
  job.scanned = before + endOffset - first
}

function settle(job: Job, shard: LetterLog, stored: StoredLetter, fate: LetterFate): void {
  if (fate === 'refused') {
    job.failed++
    return
  }
  // What cannot be remembered is sent once more by the next replay, with its id.
  shard.remove(stored.offset, OUTCOMES[fate])
  if (fate === 'filtered') job.filtered++
  else job.stored++
  if (fate === 'duplicate') job.duplicates++
}

const destinationOf = ({ letter }: StoredLetter): string =>
  letter.route === '' ? '' : `${letter.route}/${letter.output}`

/** Letters that are gathered until they are worth sending. */
class Batch {
  readonly #lettersMax: number
  #letters: Addressed[] = []
  #byteCount = 0

  constructor(lettersMax: number) {
    this.#lettersMax = Math.min(BATCH_LETTERS_MAX, lettersMax)
  }

  /** True: full. */
  add(addressed: Addressed): boolean {
    this.#letters.push(addressed)
    for (const { bytes } of addressed.stored.letter.members) this.#byteCount += bytes.length
    return this.#letters.length >= this.#lettersMax || this.#byteCount >= BATCH_BYTES_MAX
  }

  take(): Addressed[] {
    const taken = this.#letters
    this.#letters = []
    this.#byteCount = 0
    return taken
  }
}
