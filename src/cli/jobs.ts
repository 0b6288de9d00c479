// Runs on: main.
// `millrace jobs ...`, and how commands wait for a job of the server: a replay or a purge goes on when the command that
// asked for it ends, and can be looked at and stopped from anywhere.

import type { Command } from 'commander'
import type { JobCount, JobStatus } from '../admin/status.ts'
import { systemClock } from '../core/clock.ts'
import { EXIT } from '../core/errors.ts'
import { formatDuration } from '../core/units.ts'
import { askAdminJson, NoAnswer } from './admin-client.ts'
import { type CliIo, Exit } from './io.ts'
import { type AdminOptions, wholeNumber, withAdminOptions } from './options.ts'
import { table } from './table.ts'

/** How often a running job is looked at; a job that is done soon is seen soon. */
const LOOK_FIRST_MS = 50
const LOOK_MS_MAX = 1000
/** The job goes on while a busy server does not answer: looks are repeated until as many in a row had no answer. */
const UNANSWERED_LOOKS_MAX = 10

export interface WaitOptions extends AdminOptions {
  readonly json?: boolean
  readonly detach?: boolean
}

interface ListOptions extends AdminOptions {
  readonly json?: boolean
}

export function addJobs(program: Command, io: CliIo): void {
  const jobs = program.command('jobs').description('replays and purges of the running server')
  withAdminOptions(jobs.command('ls'))
    .description('list them, newest first')
    .option('--json', 'as JSON')
    .action((options: ListOptions) => list(options, io))
  withAdminOptions(jobs.command('wait'))
    .description('wait for the end of one; exit 1 when something was not stored')
    .argument('<id>', 'number of the job', wholeNumber)
    .option('--json', 'as JSON')
    .action((id: number, options: WaitOptions) => wait(id, options, io))
  withAdminOptions(jobs.command('stop'))
    .description('end one; what is not sent yet stays where it is')
    .argument('<id>', 'number of the job', wholeNumber)
    .option('--json', 'as JSON')
    .action((id: number, options: WaitOptions) => stop(id, options, io))
}

export const withWaitOptions = (command: Command): Command =>
  command
    .option('--detach', 'do not wait: print the number of the job and end')
    .option('--json', 'as JSON')

/** Starts a job by a POST and waits for its end, unless told not to. Exit 1 when something was not stored. */
export async function runJob(path: string, options: WaitOptions, io: CliIo): Promise<void> {
  // The server of the same version answers in this shape.
  const job = (await askAdminJson(options, 'POST', path)) as JobStatus
  if (options.detach !== true) return await follow(job, options, io)
  if (options.json === true) io.out(`${JSON.stringify(job, null, 2)}\n`)
  else io.out(`job ${job.id} is running; look with millrace jobs ls\n`)
}

async function wait(id: number, options: WaitOptions, io: CliIo): Promise<void> {
  await follow(await jobOf(id, options), options, io)
}

async function stop(id: number, options: WaitOptions, io: CliIo): Promise<void> {
  // As above.
  const job = (await askAdminJson(options, 'POST', `/api/v1/jobs/${id}/stop`)) as JobStatus
  io.out(options.json === true ? `${JSON.stringify(job, null, 2)}\n` : outcomeText(job))
}

// As above.
const jobOf = async (id: number, options: AdminOptions): Promise<JobStatus> =>
  (await askAdminJson(options, 'GET', `/api/v1/jobs/${id}`)) as JobStatus

async function follow(started: JobStatus, options: WaitOptions, io: CliIo): Promise<void> {
  let job = started
  for (
    let waitMs = LOOK_FIRST_MS;
    job.state === 'running';
    waitMs = Math.min(LOOK_MS_MAX, waitMs * 2)
  ) {
    await systemClock.sleep(waitMs)
    job = await look(job.id, options)
    if (io.isTerminal === true && job.state === 'running') io.error(`\r${progressText(job)}  `)
  }
  if (io.isTerminal === true) io.error('\r')
  io.out(options.json === true ? `${JSON.stringify(job, null, 2)}\n` : outcomeText(job))
  const isWell = job.state === 'done' && (job.failed === 0 || job.isDryRun)
  if (!isWell) throw new Exit(EXIT.failure)
}

async function look(id: number, options: AdminOptions): Promise<JobStatus> {
  for (let unanswered = 1; ; unanswered++) {
    try {
      return await jobOf(id, options)
    } catch (error) {
      if (!(error instanceof NoAnswer) || unanswered === UNANSWERED_LOOKS_MAX) throw error
      await systemClock.sleep(LOOK_MS_MAX)
    }
  }
}

function progressText({ failed, matched, removed, scanned, stored, total }: JobStatus): string {
  const share = total === 0 ? 0 : Math.floor((100 * scanned) / total)
  return `${share}%, ${matched} matched, ${stored + removed} done, ${failed} failed`
}

/** What became of the records, and of those that were not stored why. */
export function outcomeText(job: JobStatus): string {
  const { duplicates, error, failed, failures, filtered, isDryRun, kind, matched, state } = job
  const ended =
    state === 'done' ? '' : `job ${job.id} ${state}${error === null ? '' : `: ${error}`}\n`
  if (isDryRun) return `${ended}${matched} would be ${VERBS[kind]}\n${countTable(job.matches)}`
  if (kind === 'purge') return `${ended}${job.removed} removed\n`
  const twice = duplicates > 0 ? ` (${duplicates} were there already)` : ''
  const left = filtered > 0 ? `, ${filtered} removed by steps` : ''
  const text = `${matched} matched, ${job.stored} stored${twice}${left}, ${failed} failed\n`
  return `${ended}${text}${countTable(failures)}`
}

const VERBS = { replay: 'sent', queue_replay: 'sent', purge: 'removed' } as const

function countTable(counts: readonly JobCount[]): string {
  if (counts.length === 0) return ''
  const rows = counts
    .toSorted((one, other) => other.records - one.records)
    .map(({ destination, reason, records }) => [records, reason, destination])
  return table(['RECORDS', 'REASON', 'DESTINATION'], rows)
}

async function list(options: ListOptions, io: CliIo): Promise<void> {
  // As above.
  const jobs = (await askAdminJson(options, 'GET', '/api/v1/jobs')) as JobStatus[]
  if (options.json === true) {
    io.out(`${JSON.stringify(jobs, null, 2)}\n`)
    return
  }
  const rows = jobs.map((job) => {
    const took = Math.max(0, (job.endedMs ?? Date.now()) - job.startedMs)
    const share = job.total === 0 ? '-' : `${Math.floor((100 * job.scanned) / job.total)}%`
    const what = job.isDryRun ? `${job.kind} (dry run)` : job.kind
    const done = job.stored + job.removed
    const time = formatDuration(Math.floor(took / 1000) * 1000)
    return [job.id, what, job.source, job.state, share, job.matched, done, job.failed, time]
  })
  const heads = ['ID', 'WHAT', 'SOURCE', 'STATE', 'READ', 'MATCHED', 'DONE', 'FAILED', 'TIME']
  io.out(table(heads, rows))
}
