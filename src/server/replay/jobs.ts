// Step 10. Runs on: main.
// Work on stored records that somebody asked for and that goes on without them, over restarts too: replays and purges. Each
// has a number, can be looked at and stopped, and is remembered for a while after its end. One job at a time changes the
// same source.

import type { JobCount, JobStatus } from '../../admin/status.ts'
import type { Clock } from '../../core/clock.ts'
import { errorText, MillraceError } from '../../core/errors.ts'
import type { JobFile, SavedJob, ShardProgress } from './job-file.ts'

/** Running at once: each holds a batch of records. */
const RUNNING_MAX = 8
/** Jobs that are remembered. */
const KNOWN_MAX = 50
/** Distinct reasons and destinations that a job counts; the rest shares one line. */
const COUNTS_MAX = 200

export interface JobSpec {
  readonly kind: JobStatus['kind']
  /** `out.search`; `app/search` for records of a route. */
  readonly source: string
  readonly to: string | null
  readonly where: string
  readonly isDryRun: boolean
  /** Records at most, and records per second; null: as fast as may be. */
  readonly limit: number
  readonly perSecond: number | null
}

/** What a job tells while it runs. Records; letters where the source is a log of letters. */
export class Job {
  readonly id: number
  readonly spec: JobSpec
  readonly startedMs: number
  readonly abort = new AbortController()
  state: JobStatus['state'] = 'running'
  /** How far of how much: offsets looked at. */
  scanned = 0
  total = 0
  matched = 0
  stored = 0
  /** Of the stored: what the destination had already. */
  duplicates = 0
  /** Removed by a step, on purpose. */
  filtered = 0
  /** Not stored: refused again, no destination, gone before they were read. They stay where they are. */
  failed = 0
  removed = 0
  endedMs: number | null = null
  error: string | null = null
  /** How far it came, for the next start; kept by who runs the job. */
  progress: ShardProgress[] = []
  /** Makes `progress` and the counts durable. */
  checkpoint: () => void = () => undefined
  readonly #matches = new Map<string, JobCount>()
  readonly #failures = new Map<string, JobCount>()

  constructor(id: number, spec: JobSpec, startedMs: number) {
    this.id = id
    this.spec = spec
    this.startedMs = startedMs
  }

  get signal(): AbortSignal {
    return this.abort.signal
  }

  countMatch(reason: string, destination: string, records = 1): void {
    this.matched += records
    count(this.#matches, reason, destination, records)
  }

  countFailure(reason: string, destination: string, records = 1): void {
    this.failed += records
    this.noteFailure(reason, destination, records)
  }

  /** Why records failed, whose number is counted elsewhere. */
  noteFailure(reason: string, destination: string, records = 1): void {
    count(this.#failures, reason, destination, records)
  }

  /** As the process before left it. */
  restore({ counts, progress }: SavedJob): void {
    Object.assign(this, counts)
    this.progress = progress.map((each) => ({ ...each }))
  }

  /** To be kept for the next start, as it is now. */
  saved(): SavedJob {
    const { kind, limit, perSecond, source, to, where } = this.spec
    const { duplicates, failed, filtered, matched, removed, scanned, stored, total } = this
    const counts = { matched, stored, duplicates, filtered, failed, removed, scanned, total }
    const { id, startedMs } = this
    const progress = this.progress.map((each) => ({ ...each }))
    return { id, kind, source, to, where, startedMs, limit, perSecond, progress, counts }
  }

  status(): JobStatus {
    const { isDryRun, kind, source, to, where } = this.spec
    return {
      id: this.id,
      kind,
      source,
      to,
      where,
      isDryRun,
      state: this.state,
      scanned: this.scanned,
      total: this.total,
      matched: this.matched,
      stored: this.stored,
      duplicates: this.duplicates,
      filtered: this.filtered,
      failed: this.failed,
      removed: this.removed,
      matches: [...this.#matches.values()],
      failures: [...this.#failures.values()],
      startedMs: this.startedMs,
      endedMs: this.endedMs,
      error: this.error
    }
  }
}

function count(
  counts: Map<string, JobCount>,
  reason: string,
  destination: string,
  records: number
): void {
  const isNew = !counts.has(`${reason}\0${destination}`)
  const place = isNew && counts.size >= COUNTS_MAX ? ['other', ''] : [reason, destination]
  const [why = '', where = ''] = place
  const key = `${why}\0${where}`
  const known = counts.get(key)?.records ?? 0
  counts.set(key, { reason: why, destination: where, records: known + records })
}

/** Records of one destination, by result. */
export interface Replayed {
  stored: number
  duplicate: number
  filtered: number
  failed: number
}

export class ReplayJobs {
  readonly #clock: Clock
  readonly #jobs = new Map<number, Job>()
  readonly #running = new Map<Job, Promise<void>>()
  readonly #forgotten = new Map<string, Replayed>()
  readonly #file: Pick<JobFile, 'read' | 'write'> | null
  /** Jobs that the next start goes on with, as they were at their last checkpoint. */
  readonly #unfinished = new Map<Job, SavedJob>()
  #nextId = 1
  #isClosing = false

  /** Without a file a job ends with the process. */
  constructor(clock: Clock, file: Pick<JobFile, 'read' | 'write'> | null = null) {
    this.#clock = clock
    this.#file = file
  }

  /**
   * Goes on with what the process before left, under the numbers that the jobs had. `run` throws where that cannot be: the
   * job is listed as failed, with the reason.
   */
  resume(run: (saved: SavedJob) => (job: Job) => Promise<void>): void {
    const saved = this.#file?.read() ?? { nextId: 1, jobs: [] }
    this.#nextId = saved.nextId
    for (const each of saved.jobs) {
      const job = new Job(each.id, { ...each, isDryRun: false }, each.startedMs)
      job.restore(each)
      try {
        this.#begin(job, run(each))
      } catch (error) {
        this.#jobs.set(job.id, job)
        this.#end(job, 'failed', errorText(error))
      }
    }
    if (saved.jobs.length > 0) this.#save()
  }

  /** Throws MR_USAGE when the source has a job already. */
  start(spec: JobSpec, run: (job: Job) => Promise<void>): JobStatus {
    this.#check(spec)
    const job = new Job(this.#nextId++, spec, this.#clock.nowMs())
    this.#begin(job, run)
    if (!spec.isDryRun) this.#save()
    return job.status()
  }

  #begin(job: Job, run: (job: Job) => Promise<void>): void {
    this.#jobs.set(job.id, job)
    this.#forget()
    if (!job.spec.isDryRun) {
      this.#unfinished.set(job, job.saved())
      job.checkpoint = () => {
        this.#unfinished.set(job, job.saved())
        this.#save()
      }
    }
    const running = run(job)
      .then(
        () => this.#end(job, job.signal.aborted ? 'stopped' : 'done', null),
        (error) =>
          this.#end(
            job,
            job.signal.aborted ? 'stopped' : 'failed',
            job.signal.aborted ? null : errorText(error)
          )
      )
      .finally(() => this.#running.delete(job))
    this.#running.set(job, running)
  }

  /** Records of queues that replays sent since the start, by destination (`app/search`) and result. */
  replayed(): ReadonlyMap<string, Replayed> {
    const sums = new Map([...this.#forgotten].map(([key, sum]) => [key, { ...sum }]))
    for (const job of this.#jobs.values()) addTo(sums, job)
    return sums
  }

  get runningCount(): number {
    return this.#running.size
  }

  /** Newest first. */
  list(): JobStatus[] {
    return [...this.#jobs.values()].map((job) => job.status()).reverse()
  }

  get(id: number): JobStatus {
    return this.#job(id).status()
  }

  /** What is on its way comes to an end; settles when the job did. */
  async stop(id: number): Promise<JobStatus> {
    const job = this.#job(id)
    job.abort.abort()
    await this.#running.get(job)
    return job.status()
  }

  /** What is not done is remembered for the next start. */
  async close(): Promise<void> {
    this.#isClosing = true
    for (const job of this.#running.keys()) job.abort.abort()
    await Promise.all(this.#running.values())
    if (this.#unfinished.size > 0) this.#save()
  }

  #save(): void {
    const jobs = [...this.#unfinished.values()]
    this.#file?.write({ nextId: this.#nextId, jobs })
  }

  #check({ isDryRun, source }: JobSpec): void {
    const running = [...this.#running.keys()]
    const other = running.find(({ spec }) => spec.source === source && !spec.isDryRun)
    if (other !== undefined && !isDryRun) {
      throw new MillraceError(
        'MR_USAGE',
        `job ${other.id} is at work on ${source}; wait for its end or stop it`
      )
    }
    if (running.length >= RUNNING_MAX) {
      throw new MillraceError('MR_USAGE', `${running.length} jobs are running, which is the limit`)
    }
  }

  #job(id: number): Job {
    const job = this.#jobs.get(id)
    if (job === undefined) throw new MillraceError('MR_USAGE', `no job ${id} is known`)
    return job
  }

  #end(job: Job, state: JobStatus['state'], error: string | null): void {
    job.state = state
    job.error = error
    job.endedMs = this.#clock.nowMs()
    if (this.#isClosing && state === 'stopped') return
    if (this.#unfinished.delete(job)) this.#save()
  }

  #forget(): void {
    for (const [id, { state }] of this.#jobs) {
      if (this.#jobs.size <= KNOWN_MAX) return
      const job = this.#jobs.get(id)
      if (job === undefined || state === 'running') continue
      addTo(this.#forgotten, job)
      this.#jobs.delete(id)
    }
  }
}

function addTo(sums: Map<string, Replayed>, job: Job): void {
  if (job.spec.kind !== 'queue_replay' || job.spec.isDryRun) return
  const sum = sums.get(job.spec.source) ?? { stored: 0, duplicate: 0, filtered: 0, failed: 0 }
  sum.stored += job.stored - job.duplicates
  sum.duplicate += job.duplicates
  sum.filtered += job.filtered
  sum.failed += job.failed
  sums.set(job.spec.source, sum)
}
