// Runs on: main.
// `millrace dlq ...`: records that could not be delivered. `ls`, `show` and `export` read the running server, or any data
// directory; `replay` and `purge` are work of the running server, which goes on when this process ends.

import { type Command, InvalidArgumentError } from 'commander'
import type { DeadLetterLogStatus, DeadLetterView } from '../admin/status.ts'
import { MillraceError } from '../core/errors.ts'
import { formatBytes } from '../core/units.ts'
import { askAdminJson, readAdmin } from './admin-client.ts'
import type { CliIo } from './io.ts'
import { runJob, type WaitOptions, withWaitOptions } from './jobs.ts'
import {
  type DirectoryOptions,
  wholeNumber,
  withAdminOptions,
  withDirectoryOptions
} from './options.ts'
import { table } from './table.ts'

const LOG_HELP = 'out.<output>, in.<input> or unmatched'
const WHERE_HELP =
  'only letters like this: "reason=mapping and tag=app.**"; fields reason, step, tag, route, output, target, status, error, id, offset, attempts, time, event_time'

interface ListOptions extends DirectoryOptions {
  readonly json?: boolean
}

interface ChoiceOptions extends DirectoryOptions {
  readonly where?: string
  readonly limit?: number
}

interface ShowOptions extends ChoiceOptions {
  readonly json?: boolean
}

interface ExportOptions extends ChoiceOptions {
  readonly raw?: boolean
}

interface ReplayOptions extends WaitOptions {
  readonly where?: string
  readonly to?: string
  readonly rate?: number
  readonly limit?: number
  readonly dryRun?: boolean
}

interface PurgeOptions extends WaitOptions {
  readonly where?: string
  readonly yes?: boolean
}

export function addDlq(program: Command, io: CliIo): void {
  const dlq = program
    .command('dlq')
    .description('dead letters: records that could not be delivered')
  withDirectoryOptions(dlq.command('ls'))
    .description('list the dead letter queues')
    .option('--json', 'as JSON')
    .action((options: ListOptions) => list(options, io))
  withChoice(withDirectoryOptions(dlq.command('show')))
    .description('show the newest dead letters of a queue, newest first')
    .option('--json', 'as JSON')
    .action((log: string, options: ShowOptions) => show(log, options, io))
  withChoice(withDirectoryOptions(dlq.command('export')))
    .description('write dead letters to standard output, one JSON object per line, oldest first')
    .option('--raw', 'the bytes as they came in instead: MessagePack entries, or refused bodies')
    .action((log: string, options: ExportOptions) => exportLetters(log, options, io))
  addChanges(dlq, io)
}

function addChanges(dlq: Command, io: CliIo): void {
  withChoice(withWaitOptions(withAdminOptions(dlq.command('replay'))))
    .description('send dead letters again, with their ids; what is stored leaves the queue')
    .option('--to <route/output>', 'send them there; default: where they were refused')
    .option('--rate <records/s>', 'no more than this: 1000/s', recordRate)
    .option('--dry-run', 'only count, by reason and destination')
    .action((log: string, options: ReplayOptions) => replay(log, options, io))
  withWaitOptions(withAdminOptions(dlq.command('purge')))
    .argument('<log>', LOG_HELP)
    .option('--where <filter>', WHERE_HELP)
    .description('remove dead letters for good; without --yes it only says how many')
    .option('--yes', 'do it')
    .action((log: string, options: PurgeOptions) => purge(log, options, io))
}

const withChoice = (command: Command): Command =>
  command
    .argument('<log>', LOG_HELP)
    .option('--where <filter>', WHERE_HELP)
    .option('--limit <count>', 'how many at most', wholeNumber)

/** `1000/s`, `60/m`, or a number of records per second. */
export function recordRate(text: string): number {
  const [, digits, unit = 's'] = /^(\d{1,9}(?:\.\d+)?)(?:\/(s|m|h))?$/.exec(text) ?? []
  const perSecond = Number(digits) / { s: 1, m: 60, h: 3600 }[unit as 's' | 'm' | 'h'] // by the pattern
  if (digits === undefined || perSecond === 0) {
    throw new InvalidArgumentError('write records per time: 1000/s, 60/m, 100/h')
  }
  return perSecond
}

/** Whether a directory is meant and not the running server. */
const isOffline = ({ config, configDir, dataDir }: DirectoryOptions): boolean =>
  dataDir !== undefined || configDir !== undefined || config.length > 0

async function list(options: ListOptions, io: CliIo): Promise<void> {
  // The server of the same version answers in this shape.
  const logs = isOffline(options)
    ? await (await import('./dlq-directory.ts')).listLogs(options, io)
    : ((await askAdminJson(options, 'GET', '/api/v1/dlq')) as DeadLetterLogStatus[])
  if (options.json === true) {
    io.out(`${JSON.stringify(logs, null, 2)}\n`)
    return
  }
  const sum = (counts: Readonly<Record<string, number>>) =>
    Object.values(counts).reduce((total, count) => total + count, 0)
  const rows = logs.map(({ bytes, log, lost, records, removed, written }) => {
    const { replayed = 0, ...others } = removed
    return [log, records, formatBytes(bytes), written, replayed, sum(others), sum(lost)]
  })
  io.out(table(['LOG', 'RECORDS', 'DISK', 'WRITTEN', 'REPLAYED', 'DROPPED', 'LOST'], rows))
}

async function show(log: string, options: ShowOptions, io: CliIo): Promise<void> {
  const { limit = 20, where = '' } = options
  const query = new URLSearchParams({ where, limit: String(limit) })
  const path = `/api/v1/dlq/${encodeURIComponent(log)}?${query}`
  const letters = isOffline(options)
    ? await (await import('./dlq-directory.ts')).showLetters(log, where, limit, options, io)
    : // As above.
      ((await askAdminJson(options, 'GET', path)) as DeadLetterView[])
  if (options.json === true) {
    io.out(`${JSON.stringify(letters, null, 2)}\n`)
    return
  }
  for (const letter of letters) io.out(letterText(letter))
}

function letterText(letter: DeadLetterView): string {
  const { attempts, error, id, output, record, route, status, step, tag, target } = letter
  const reason = step === '' ? letter.reason : `${step}: ${letter.reason}`
  const from = route === '' ? '' : `  ${route} -> ${output} ${target}`.trimEnd()
  const tries = attempts > 1 ? `  (${attempts} attempts since ${isoOf(letter.firstAttemptMs)})` : ''
  const why = [reason, status ?? '', error].filter((part) => part !== '').join('  ')
  const lines = [`${id}  ${isoOf(letter.timeMs)}  ${tag}${from}`, `${why}${tries}`, record]
  return `${lines.join('\n    ')}\n`
}

const isoOf = (timeMs: number): string => new Date(timeMs).toISOString()

async function exportLetters(log: string, options: ExportOptions, io: CliIo): Promise<void> {
  const { limit, raw = false, where = '' } = options
  if (isOffline(options)) {
    const { streamLetters } = await import('./dlq-directory.ts')
    await streamLetters(log, { where, limit: limit ?? null, isRaw: raw }, options, io)
    return
  }
  const query = new URLSearchParams({ where, raw: String(raw) })
  if (limit !== undefined) query.set('limit', String(limit))
  const path = `/api/v1/dlq/${encodeURIComponent(log)}/export?${query}`
  await readAdmin(options, path, (piece) => io.write(piece))
}

async function replay(log: string, options: ReplayOptions, io: CliIo): Promise<void> {
  const { dryRun, limit, rate, to, where = '' } = options
  const query = new URLSearchParams({ where })
  if (to !== undefined) query.set('to', to)
  if (rate !== undefined) query.set('rate', String(rate))
  if (limit !== undefined) query.set('limit', String(limit))
  if (dryRun === true) query.set('dry_run', 'true')
  await runJob(`/api/v1/dlq/${encodeURIComponent(log)}/replay?${query}`, options, io)
}

async function purge(log: string, options: PurgeOptions, io: CliIo): Promise<void> {
  const { where = '', yes } = options
  const query = new URLSearchParams({ where })
  if (yes !== true) query.set('dry_run', 'true')
  await runJob(`/api/v1/dlq/${encodeURIComponent(log)}/purge?${query}`, options, io)
  if (yes !== true) throw new MillraceError('MR_USAGE', 'nothing was removed; say --yes to do it')
}
