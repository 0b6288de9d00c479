// Runs on: main.
// `millrace dlq`: records that could not be delivered, from the running server: list, look, send again.

import type { Command } from 'commander'
import type { DeadLetterLogStatus, DeadLetterView, ReplayOutcome } from '../admin/status.ts'
import { EXIT } from '../core/errors.ts'
import { formatBytes } from '../core/units.ts'
import { askAdminJson } from './admin-client.ts'
import { type CliIo, Exit } from './io.ts'
import { type AdminOptions, wholeNumber, withAdminOptions } from './options.ts'
import { table } from './table.ts'

interface ListOptions extends AdminOptions {
  readonly json?: boolean
}

interface ShowOptions extends ListOptions {
  readonly limit: number
}

interface ReplayOptions extends ListOptions {
  readonly dryRun?: boolean
}

export function addDlq(program: Command, io: CliIo): void {
  const dlq = program
    .command('dlq')
    .description('dead letters: records that could not be delivered')
  withAdminOptions(dlq.command('ls'))
    .description('list the dead letter queues')
    .option('--json', 'as JSON')
    .action((options: ListOptions) => list(options, io))
  withAdminOptions(dlq.command('show'))
    .description('show the oldest dead letters of a queue')
    .argument('<log>', 'out.<output>, in.<input> or unmatched')
    .option('--limit <count>', 'how many', wholeNumber, 20)
    .option('--json', 'as JSON')
    .action((log: string, options: ShowOptions) => show(log, options, io))
  withAdminOptions(dlq.command('replay'))
    .description(
      'send the dead letters of an output again, with their ids; what is stored leaves the queue'
    )
    .argument('<log>', 'out.<output>')
    .option('--dry-run', 'only count')
    .option('--json', 'as JSON')
    .action((log: string, options: ReplayOptions) => replay(log, options, io))
}

async function list(options: ListOptions, io: CliIo): Promise<void> {
  // The server of the same version answers in this shape.
  const logs = (await askAdminJson(options, 'GET', '/api/v1/dlq')) as DeadLetterLogStatus[]
  if (options.json === true) io.out(`${JSON.stringify(logs, null, 2)}\n`)
  else {
    const rows = logs.map(({ log, records, bytes }) => [log, records, formatBytes(bytes)])
    io.out(table(['LOG', 'RECORDS', 'DISK'], rows))
  }
}

async function show(log: string, options: ShowOptions, io: CliIo): Promise<void> {
  const path = `/api/v1/dlq/${encodeURIComponent(log)}?limit=${options.limit}`
  // As above.
  const letters = (await askAdminJson(options, 'GET', path)) as DeadLetterView[]
  if (options.json === true) {
    io.out(`${JSON.stringify(letters, null, 2)}\n`)
    return
  }
  for (const letter of letters) {
    const time = new Date(letter.timeMs).toISOString()
    const status = letter.status === null ? '' : ` ${letter.status}`
    const from = `${letter.route} -> ${letter.output} ${letter.target}`.trim()
    io.out(`${letter.offset}  ${time}  ${letter.tag}  ${from}\n`)
    io.out(`    ${letter.reason}${status}  ${letter.error}\n    ${letter.record}\n`)
  }
}

async function replay(log: string, options: ReplayOptions, io: CliIo): Promise<void> {
  const query = options.dryRun === true ? '?dry_run=true' : ''
  const path = `/api/v1/dlq/${encodeURIComponent(log)}/replay${query}`
  // As above.
  const outcome = (await askAdminJson(options, 'POST', path)) as ReplayOutcome
  if (options.json === true) io.out(`${JSON.stringify(outcome, null, 2)}\n`)
  else {
    const { matched, stored, failed } = outcome
    io.out(`${matched} dead letters, ${stored} stored, ${failed} failed\n`)
  }
  if (outcome.failed > 0) throw new Exit(EXIT.failure)
}
