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
    const spec = { kind: 'replay', source: log, to, where, isDryRun } as const
    return this.#options.jobs.start(spec, (job) => this.#replay(job, shards, test, request))
  }

  purge(log: string, where: string, isDryRun: boolean): JobStatus {
    const shards = this.#shards(log)
    const test = this.#test(where)
    const spec = { kind: 'purge', source: log, to: null, where, isDryRun } as const
    return this.#options.jobs.start(spec, async (job) => {
      for (const shard of shards) await this.#purge(job, shard, test, where === '')
    })
  }

  #test(where: string): LetterTest {
    return compileLetterTest(where, this.#options.context.clock.nowMs())
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

  async #replay(
    job: Job,
    shards: readonly LetterLog[],
    test: LetterTest,
    request: LetterReplayRequest
  ): Promise<void> {
    const pace = new Pace(this.#options.context.clock, request.perSecond)
    for (const shard of shards) {
      const batch = new Batch(pace.batchMax)
      for await (const found of letters(job, shard)) {
        if (job.matched >= request.limit) break
        if (found.kind === 'hole') {
          if (!request.isDryRun) shard.passHole(found)
          continue
        }
        if (!test(found)) continue
        const addressed = this.#address(job, found, request.to)
        if (addressed === null || request.isDryRun) continue
        const stored = keptLetter(found)
        if (batch.add({ ...addressed, stored })) await this.#send(job, shard, batch.take(), pace)
        if (job.signal.aborted) break
      }
      if (!job.signal.aborted) await this.#send(job, shard, batch.take(), pace)
      await shard.shardLog.settle()
    }
  }

  /** Null: the letter cannot be sent; it stays. */
  #address(job: Job, stored: StoredLetter, to: string | null): Addressed | null {
    const { letter } = stored
    const destinations = this.#routes.destinationsOf(stored, to)
    job.countMatch(letter.reason, destinations.join(', '))
    if (letter.members.length === 0) {
      job.countFailure('no_bytes', '')
      return null
    }
    const missing = destinations.find((destination) => !this.#routes.has(destination))
    if (destinations.length === 0 || missing !== undefined) {
      job.countFailure('no_destination', missing ?? '')
      return null
    }
    return { stored, destinations }
  }

  async #send(job: Job, shard: LetterLog, batch: readonly Addressed[], pace: Pace): Promise<void> {
    if (batch.length === 0) return
    await pace.wait(batch.length, job.signal)
    await shard.makeRoom(batch.length)
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
  }

  async #purge(job: Job, shard: LetterLog, test: LetterTest, isAll: boolean): Promise<void> {
    if (isAll && !job.spec.isDryRun) {
      const { endOffset } = shard.segments
      const count = shard.removeAll(endOffset, 'dropped:operator')
      job.matched += count
      job.removed += count
      await shard.shardLog.settle()
      return
    }
    let left = 0
    for await (const found of letters(job, shard)) {
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
      }
      left--
      if (shard.remove(found.offset, 'dropped:operator')) job.removed++
    }
    await shard.shardLog.settle()
  }
}

/** Letters of a shard as it is now, with how far the job has come. */
async function* letters(job: Job, shard: LetterLog): AsyncGenerator<StoredLetter | LetterHole> {
  const { endOffset } = shard.segments
  const first = shard.gone.lowOffset
  const before = job.scanned
  job.total += endOffset - first
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
