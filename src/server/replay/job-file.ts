// Step 10. Runs on: main.
// JOBS: work that was asked for and is not done, with how far it came, so that the next start goes on with it. Written
// before a batch is sent and when a job begins or ends; a file that cannot be read forgets the jobs and touches no record.

import { join } from 'node:path'
import type { JobStatus } from '../../admin/status.ts'
import { readChecked, writeChecked } from '../../storage/store/checked-file.ts'
import type { StoreContext } from '../store/open-shards.ts'

const FILE_NAME = 'JOBS'
const FORMAT = 1

/** How far a job came in one shard. */
export interface ShardProgress {
  /** Directory below the data directory: `dlq/out.search`, `routes/web`. */
  readonly log: string
  readonly shardNumber: number
  /** Everything below is done, and that is durable. */
  nextOffset: number
  /** What came later is none of the job's. */
  readonly endOffset: number
  /** Letters of the batch that is on its way lie below; so many. 0: none is. */
  sendingEnd: number
  sendingCount: number
}

export type JobCounts = Pick<
  JobStatus,
  'matched' | 'stored' | 'duplicates' | 'filtered' | 'failed' | 'removed' | 'scanned' | 'total'
>

export interface SavedJob {
  readonly id: number
  readonly kind: JobStatus['kind']
  readonly source: string
  readonly to: string | null
  readonly where: string
  readonly startedMs: number
  readonly limit: number
  readonly perSecond: number | null
  readonly progress: readonly ShardProgress[]
  readonly counts: JobCounts
}

export interface SavedJobs {
  /** Numbers of jobs are not used twice. */
  readonly nextId: number
  readonly jobs: readonly SavedJob[]
}

export type JobFileContext = Pick<StoreContext, 'storage' | 'hash' | 'dataDir' | 'log'>

export class JobFile {
  readonly #context: JobFileContext
  /** The last write failed, and that was said. */
  #isTroubled = false

  constructor(context: JobFileContext) {
    this.#context = context
  }

  read(): SavedJobs {
    const { hash, log, storage } = this.#context
    const read = readChecked(storage, this.#path, hash, FORMAT)
    // Of this format, so `write` wrote it.
    if (read.kind === 'read') return read.value as SavedJobs
    if (read.kind === 'damaged') {
      log.error(
        { event: 'jobs.unreadable', path: this.#path },
        'JOBS cannot be read: replays and purges that were not done are forgotten; no record is, ask for them again'
      )
    }
    return { nextId: 1, jobs: [] }
  }

  /** A disk that refuses it stops no job: what it does is safe to be repeated. */
  write({ jobs, nextId }: SavedJobs): void {
    const { hash, log, storage } = this.#context
    try {
      writeChecked(storage, this.#path, hash, { format: FORMAT, nextId, jobs })
      this.#isTroubled = false
    } catch (error) {
      if (this.#isTroubled) return
      this.#isTroubled = true
      log.warn(
        { event: 'jobs.unsaved', error: String(error) },
        'how far jobs came is not remembered: after a crash they repeat more than a batch'
      )
    }
  }

  get #path(): string {
    return join(this.#context.dataDir, FILE_NAME)
  }
}
