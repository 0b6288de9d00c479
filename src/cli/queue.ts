// Runs on: main.
// `millrace queue ...`. What stands here looks into the queues and changes nothing: it works while the server runs, on a
// copy, on a read-only mount and on a damaged directory. What changes them: queue/changes.ts.

import { type Command, InvalidArgumentError, Option } from 'commander'
import type { CliIo } from './io.ts'
import { wholeNumber, withAdminOptions, withDirectoryOptions } from './options.ts'
import { PLACE_HELP, parsePlace } from './places.ts'
import { addQueueChanges } from './queue/changes.ts'
import { addQueueReplay } from './queue/replay.ts'

export const ROUTE_HELP = 'id of a route, or a log below the data directory: dlq/out.search'

export function addQueue(program: Command, io: CliIo): void {
  const queue = program.command('queue').description('look at the queues and change them')
  addLists(queue, io)
  addReaders(queue, io)
  addQueueReplay(queue, io)
  const cursor = queue.command('cursor').description('how far outputs are')
  addQueueChanges(queue, cursor, io)
  withDirectoryOptions(cursor.command('get'))
    .description('print the cursor of an output, as its file says')
    .argument('<route>', ROUTE_HELP)
    .argument('<output>', 'output')
    .option('--json', 'as JSON')
    .action(async (route, destination, options) => {
      const { cursorGet } = await import('./queue/cursor.ts')
      await cursorGet(route, destination, options, io)
    })
}

function addLists(queue: Command, io: CliIo): void {
  withAdminOptions(queue.command('ls'))
    .description('list queues and outputs of the running server')
    .option('--data-dir <directory>', 'read this directory instead; works without a server')
    .option('--json', 'as JSON')
    .action(async (options) => {
      const { list } = await import('./queue/list.ts')
      await list(options, io)
    })
  withDirectoryOptions(queue.command('show'))
    .description('shards, segments and cursors of one queue')
    .argument('<route>', ROUTE_HELP)
    .option('--json', 'as JSON')
    .action(async (route, options) => {
      const { show } = await import('./queue/show.ts')
      await show(route, options, io)
    })
  withDirectoryOptions(queue.command('reconcile'))
    .description(
      'account for every record of every destination; exit 1 when a sum does not hold. Asks the running server unless a directory is named'
    )
    .option('--json', 'as JSON')
    .action(async (options) => {
      const { reconcile } = await import('./queue/reconcile.ts')
      await reconcile(options, io)
    })
}

function addReaders(queue: Command, io: CliIo): void {
  withDirectoryOptions(queue.command('verify'))
    .description('check the files of all queues, or of some; exit 1 when there is damage')
    .argument('[routes...]', ROUTE_HELP)
    .option('--deep', 'read every frame; without it headers, footers and how files fit together')
    .option('--json', 'one JSON object per line')
    .action(async (routes, options) => {
      const { verify } = await import('./queue/verify.ts')
      await verify(routes, options, io)
    })
  withPlaces(withDirectoryOptions(queue.command('dump')))
    .description('print records as JSON, one per line')
    .argument('<route>', ROUTE_HELP)
    .option('--limit <count>', 'records at most', wholeNumber)
    .addOption(new Option('--json', 'as JSON; there is no other form').hideHelp())
    .action(async (route, options) => {
      const { dump } = await import('./queue/dump.ts')
      await dump(route, options, io)
    })
  withPlaces(withDirectoryOptions(queue.command('export')))
    .description('write records to a file that `queue import` reads; changes nothing in the queue')
    .argument('<route>', ROUTE_HELP)
    .requiredOption('--out <file>', 'file to make, or - for standard output')
    .option('--destination <output>', 'only what this output has not finished')
    .option('--retained', 'everything that is stored; without it what any output has not finished')
    .action(async (route, options) => {
      const { exportRecords } = await import('./queue/export.ts')
      await exportRecords(route, options, io)
    })
}

function withPlaces(command: Command): Command {
  return command
    .option('--from <place>', `first record: ${PLACE_HELP}`, place)
    .option('--to <place>', 'end: the first record that is left out', place)
    .option('--shard <number>', 'only this shard; offsets count per shard', shardNumber)
}

const place = (text: string) => parsePlace(text, Date.now())

function shardNumber(text: string): number {
  if (!/^[0-9]{1,5}$/.test(text)) throw new InvalidArgumentError('write the number of a shard: 0')
  return Number(text)
}
