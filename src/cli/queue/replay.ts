// Runs on: main.
// `millrace queue replay`: records that an output has finished and that are still stored are sent to it again, by the
// running server, beside what it sends anyway. Ids stay what they were.

import { type Command, InvalidArgumentError } from 'commander'
import { parseTimePoint, TIME_POINT_FORMS } from '../../core/time-point.ts'
import { recordRate } from '../dlq.ts'
import type { CliIo } from '../io.ts'
import { runJob, type WaitOptions, withWaitOptions } from '../jobs.ts'
import { withAdminOptions } from '../options.ts'

interface ReplayOptions extends WaitOptions {
  readonly from: string
  readonly toTime?: string
  readonly rate?: number
  readonly dryRun?: boolean
}

export function addQueueReplay(queue: Command, io: CliIo): void {
  withWaitOptions(withAdminOptions(queue.command('replay')))
    .description('send records again that an output has finished and that are still stored')
    .argument('<route>', 'route')
    .argument('<output>', 'output of the route; it may be a new one')
    .requiredOption('--from <time>', `first record, by arrival: ${TIME_POINT_FORMS}`, timePoint)
    .option(
      '--to-time <time>',
      'end, by arrival; default: all that the output has finished',
      timePoint
    )
    .option('--rate <records/s>', 'no more than this: 1000/s', recordRate)
    .option('--dry-run', 'only count')
    .action((route: string, output: string, options: ReplayOptions) =>
      replay(route, output, options, io)
    )
}

/** As it was written: the server counts relative times from its own clock. */
function timePoint(text: string): string {
  if (parseTimePoint(text, 0) === null) throw new InvalidArgumentError(`write ${TIME_POINT_FORMS}`)
  return text
}

async function replay(
  route: string,
  output: string,
  options: ReplayOptions,
  io: CliIo
): Promise<void> {
  const { dryRun, from, rate, toTime } = options
  const query = new URLSearchParams({ from })
  if (toTime !== undefined) query.set('to_time', toTime)
  if (rate !== undefined) query.set('rate', String(rate))
  if (dryRun === true) query.set('dry_run', 'true')
  const path = `/api/v1/queues/${encodeURIComponent(route)}/${encodeURIComponent(output)}/replay`
  await runJob(`${path}?${query}`, options, io)
}
