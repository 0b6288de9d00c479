// Runs on: main.
// `millrace queue adopt`, `cursor set`, `skip`, `drop`, `import`: commands that change queues, of the running server, or with
// --data-dir of a store whose server is stopped. Each prints what it did, in numbers.

import { createReadStream, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { type Command, InvalidArgumentError } from 'commander'
import type {
  AdoptOutcome,
  CursorChange,
  CursorChoice,
  DropOutcome,
  ImportOutcome,
  OrphanStatus,
  QueueChanges
} from '../../admin/status.ts'
import { EXIT } from '../../core/errors.ts'
import { formatBytes } from '../../core/units.ts'
import type { OutputLog } from '../../plugin/output.ts'
import type { OfflineStoreOptions } from '../../server/queues/offline-store.ts'
import { askAdminJson, sendAdmin } from '../admin-client.ts'
import { type CliIo, Exit } from '../io.ts'
import {
  type AdminOptions,
  type ConfigOptions,
  type DirectoryOptions,
  withAdminOptions,
  withConfigOptions
} from '../options.ts'
import { packageVersion } from '../package-version.ts'
import { PLACE_HELP, parsePlace } from '../places.ts'
import { table } from '../table.ts'

interface ChangeOptions extends DirectoryOptions {
  readonly json?: boolean
}

interface CursorOptions extends ChangeOptions {
  readonly shard?: string
}

/** `cursor`: the group of commands about cursors. */
export function addQueueChanges(queue: Command, cursor: Command, io: CliIo): void {
  changing(queue.command('adopt'))
    .description('attach the queue of a route that is gone to a live route, until it is empty')
    .argument('<orphan>', 'name of the route that is gone')
    .requiredOption('--route <route>', 'route whose outputs get its records')
    .action((orphan: string, options: ChangeOptions & { route: string }) =>
      adopt(orphan, options, io)
    )
  changing(cursor.command('set'))
    .description(
      'move an output: forward counts what it passes as dropped{reason="operator"}; back, with --data-dir only, sends again'
    )
    .argument('<route>', 'route')
    .argument('<output>', 'output')
    .requiredOption('--to <place>', PLACE_HELP)
    .option('--shard <shard>', 'one shard only; offsets need it where a route has several')
    .action((route: string, output: string, options: CursorOptions & { to: string }) =>
      setCursor(route, output, options, io)
    )
  changing(queue.command('skip'))
    .description('give up a range of records for one output: dropped{reason="operator"}')
    .argument('<route>', 'route')
    .argument('<output>', 'output')
    .requiredOption('--range <first-last>', 'offsets, both included', offsetRange)
    .option('--shard <shard>', 'needed where a route has several shards')
    .action((route: string, output: string, options: CursorOptions & { range: OffsetRange }) =>
      skip(route, output, options, io)
    )
  changing(queue.command('drop'))
    .description('delete a queue with all it holds; without --yes it only says what that is')
    .argument('<queue>', 'route that is gone, or a log as `queue ls` names it: dlq/out.old')
    .option('--yes', 'do it')
    .action((name: string, options: ChangeOptions & { yes?: boolean }) => drop(name, options, io))
  withConfigOptions(withAdminOptions(queue.command('import')))
    .description(
      'store the records of an export in a queue: of the running server, or with -c of a store whose server is stopped'
    )
    .argument('<file>', 'what `queue export` wrote')
    .requiredOption('--route <route>', 'route whose outputs get the records')
    .option('--json', 'as JSON')
    .action((file: string, options: ImportWords) => importFile(file, options, io))
}

interface ImportWords extends ConfigOptions, AdminOptions {
  readonly route: string
  readonly json?: boolean
}

const changing = (command: Command): Command =>
  withConfigOptions(withAdminOptions(command))
    .option(
      '--data-dir <directory>',
      'change this directory instead, or that of the configuration (-c); its server must be stopped'
    )
    .option('--json', 'as JSON')

interface OffsetRange {
  readonly firstOffset: number
  readonly lastOffset: number
}

function offsetRange(text: string): OffsetRange {
  const [, first, last] = /^(\d{1,15})-(\d{1,15})$/.exec(text) ?? []
  const range = { firstOffset: Number(first), lastOffset: Number(last) }
  if (first === undefined || range.lastOffset < range.firstOffset) {
    throw new InvalidArgumentError('write two offsets: 1200-1299')
  }
  return range
}

async function adopt(
  orphan: string,
  options: ChangeOptions & { route: string },
  io: CliIo
): Promise<void> {
  const { route } = options
  const outcome = (await run(options, io, 'adopt', { orphan, route }, (store) =>
    store.adopt(orphan, route)
  )) as AdoptOutcome
  if (isPrinted(outcome, options, io)) return
  const when = outcome.isDraining ? 'is drained now' : 'is drained from the next start on'
  io.out(`${countsText(outcome)}\n${outcome.log} belongs to route ${route} and ${when}\n`)
}

async function setCursor(
  route: string,
  destination: string,
  options: CursorOptions & { to: string },
  io: CliIo
): Promise<void> {
  const place = parsePlace(options.to, Date.now())
  const to =
    place.kind === 'offset'
      ? String(place.offset)
      : place.kind === 'time'
        ? new Date(place.timeMs).toISOString()
        : place.kind
  const choice = { route, destination, shard: options.shard ?? null }
  const changes = await run(options, io, 'cursor', { ...queryOf(choice), to }, (store) =>
    store.moveCursor(choice, to)
  )
  printChanges(changes as CursorChange[], options, io)
}

async function skip(
  route: string,
  destination: string,
  options: CursorOptions & { range: OffsetRange },
  io: CliIo
): Promise<void> {
  const { firstOffset, lastOffset } = options.range
  const choice = { route, destination, shard: options.shard ?? null }
  const query = { ...queryOf(choice), first: String(firstOffset), end: String(lastOffset + 1) }
  const changes = await run(options, io, 'skip', query, (store) =>
    store.skip(choice, firstOffset, lastOffset + 1)
  )
  printChanges(changes as CursorChange[], options, io)
}

async function drop(
  name: string,
  options: ChangeOptions & { yes?: boolean },
  io: CliIo
): Promise<void> {
  const log = name.includes('/') ? name : `routes/${name}`
  const isMeant = options.yes === true
  const outcome = (await run(options, io, 'drop', { log, yes: String(isMeant) }, (store) =>
    store.drop(log, isMeant)
  )) as DropOutcome
  if (!isPrinted(outcome, options, io)) {
    io.out(`${countsText(outcome)}\n`)
    io.out(isMeant ? `${log} is deleted\n` : 'nothing was deleted; say --yes to do it\n')
  }
  if (!isMeant) throw new Exit(EXIT.failure)
}

async function importFile(file: string, options: ImportWords, io: CliIo): Promise<void> {
  const path = resolve(io.workingDirectory, file)
  const isStopped = options.config.length > 0 || options.configDir !== undefined
  const outcome = await (isStopped ? importOffline : importLive)(path, options, io)
  if (isPrinted(outcome, options, io)) return
  const { bytes, endOffset, firstOffset, lost, records, route, shard } = outcome
  const place = `route ${route}, shard ${shard}, offsets ${firstOffset} to ${endOffset - 1}`
  const holes = lost === 0 ? '' : `; ${lost} more could not be read when they were exported`
  io.out(`${records} records (${formatBytes(bytes)}) imported: ${place}${holes}\n`)
}

async function importOffline(
  path: string,
  options: ImportWords,
  io: CliIo
): Promise<ImportOutcome> {
  const { requireConfig } = await import('../config-source.ts')
  const { importRecords } = await import('../../server/queues/import-records.ts')
  const { config } = requireConfig([], options, io)
  const { route: routeId } = options
  return await importRecords({ config, routeId, path, log: logOf(io), version: packageVersion() })
}

/** The file is read twice: it is checked here before a byte of it is sent. */
async function importLive(path: string, options: ImportWords, io: CliIo): Promise<ImportOutcome> {
  const { measureExport } = await import('../../server/queues/import-records.ts')
  const { sum } = measureExport(path)
  const query = new URLSearchParams({ route: options.route, sum })
  const pieces = withProgress(createReadStream(path), statSync(path).size, io)
  // The server of the same version answers in this shape.
  return (await sendAdmin(options, `/api/v1/queues/import?${query}`, pieces)) as ImportOutcome
}

async function* withProgress(
  pieces: AsyncIterable<Uint8Array>,
  byteCount: number,
  io: CliIo
): AsyncGenerator<Uint8Array> {
  let sentBytes = 0
  let shown = -1
  for await (const piece of pieces) {
    yield piece
    sentBytes += piece.length
    const share = Math.floor((100 * sentBytes) / byteCount)
    if (io.isTerminal === true && share > shown) io.error(`\r${share}%  `)
    shown = share
  }
  if (io.isTerminal === true) io.error('\r')
}

/** Asks the running server, or does it itself in a directory that it locks. */
async function run(
  options: ChangeOptions,
  io: CliIo,
  path: string,
  query: Readonly<Record<string, string>>,
  act: (store: QueueChanges) => unknown
): Promise<unknown> {
  const place = await directoryOf(options, io)
  if (place === null) {
    const text = new URLSearchParams(query).toString()
    return await askAdminJson(options, 'POST', `/api/v1/queues/${path}?${text}`)
  }
  const { OfflineStore } = await import('../../server/queues/offline-store.ts')
  const store = new OfflineStore({ ...place, log: logOf(io), version: packageVersion() })
  try {
    return await act(store)
  } finally {
    store.close()
  }
}

/** The directory that was named, or that of the configuration, whose keys open encrypted queues. Null: neither was. */
async function directoryOf(
  options: ChangeOptions,
  io: CliIo
): Promise<Pick<OfflineStoreOptions, 'dataDir' | 'keys'> | null> {
  const { config: files, configDir, dataDir } = options
  const named = dataDir === undefined ? null : resolve(io.workingDirectory, dataDir)
  if (files.length === 0 && configDir === undefined) {
    return named === null ? null : { dataDir: named, keys: null }
  }
  const { requireConfig } = await import('../config-source.ts')
  const { config } = requireConfig([], options, io)
  return { dataDir: named ?? config.dataDir, keys: config.queue.keys }
}

/** Warnings of a store that a command opens. */
function logOf(io: CliIo): OutputLog {
  const note = (fields: object, text: string) => io.error(`${text} ${JSON.stringify(fields)}\n`)
  return { info: () => undefined, warn: note, error: note }
}

const queryOf = ({ destination, route, shard }: CursorChoice): Record<string, string> => ({
  route,
  destination,
  ...(shard === null ? {} : { shard })
})

function isPrinted(outcome: unknown, { json }: { readonly json?: boolean }, io: CliIo): boolean {
  if (json !== true) return false
  io.out(`${JSON.stringify(outcome, null, 2)}\n`)
  return true
}

function countsText({ bytes, log, pending, records, segments, shards }: OrphanStatus): string {
  const waiting = Object.entries(pending).map(([output, count]) => `${count} for ${output}`)
  const text = waiting.length === 0 ? 'no output has a cursor' : `pending: ${waiting.join(', ')}`
  return `${log}: ${records} records in ${segments} segments of ${shards} shards, ${formatBytes(bytes)}; ${text}`
}

function printChanges(changes: readonly CursorChange[], options: ChangeOptions, io: CliIo): void {
  if (isPrinted(changes, options, io)) return
  io.out(
    table(
      ['ROUTE', 'SHARD', 'OUTPUT', 'FROM', 'TO', 'DROPPED', 'LOST', 'AGAIN', 'PENDING'],
      changes.map(
        ({ again, destination, dropped, fromOffset, lost, pending, route, shard, toOffset }) => [
          route,
          shard,
          destination,
          fromOffset,
          toOffset,
          dropped,
          lost,
          again,
          pending
        ]
      )
    )
  )
}
