// Steps 4 and 6, before them. Runs on: main.
// Opens every shard below the data directory: cursors first (their high marks bound the offsets that may be given out),
// then recovery, then the cursors of destinations that are new. No listener is open yet.

import { join } from 'node:path'
import type { DestinationConfig, Durability, RouteConfig } from '../../config/schema.ts'
import type { Clock } from '../../core/clock.ts'
import { logIdOf } from '../../core/position.ts'
import { type Retirement, ShardLog } from '../../delivery/shard-log.ts'
import type { OutputLog } from '../../plugin/output.ts'
import { archiveCursor, listCursors } from '../../storage/cursor/archive.ts'
import { Cursor, type CursorOptions } from '../../storage/cursor/cursor.ts'
import type { FrameHash } from '../../storage/format/frame.ts'
import type { PayloadDecoder } from '../../storage/format/payload-decoder.ts'
import { shardDirectoryName } from '../../storage/format/segment-names.ts'
import type { StoreIdentity } from '../../storage/format/store-keys.ts'
import type { RecoveryResult } from '../../storage/reader/segments.ts'
import { listShard } from '../../storage/reader/shard-directory.ts'
import { ShardSegments } from '../../storage/reader/shard-segments.ts'
import { recoverShard } from '../../storage/recovery/recovery.ts'
import type { Storage } from '../../storage/storage.ts'
import type { ShardSpec } from '../../threads/messages.ts'
import { CONTROL_BLOCK_BYTES, WORD } from '../../threads/shared.ts'

export interface StoreContext {
  readonly storage: Storage
  readonly hash: FrameHash
  readonly clock: Clock
  readonly dataDir: string
  readonly store: StoreIdentity
  readonly decoder: PayloadDecoder
  readonly log: OutputLog
  /** Space of a log was given back. */
  readonly onRoom: (log: string) => void
}

export interface OpenedShard {
  readonly spec: ShardSpec
  readonly shardLog: ShardLog
  readonly unackedRecords: number
  /** Outputs whose cursor could not be read at this start: they begin again at the oldest record. */
  readonly resetOutputs: ReadonlySet<string>
  /** Chunk ids of the newest segments (resend-memory.ts). */
  readonly ingestIds: readonly string[]
  /** Cursors by output, in the order of the route. */
  readonly cursors: ReadonlyMap<string, Cursor>
}

export const shardLabel = (shardNumber: number): string => String(shardNumber).padStart(2, '0')
export const routeOf = (log: string): string => log.slice(log.indexOf('/') + 1)

/** Shard numbers of a log: those that are written, and those whose thread or lane is gone. */
export function shardNumbers(context: StoreContext, log: string, writtenCount: number): number[] {
  const numbers = new Set(Array.from({ length: writtenCount }, (_, index) => index))
  const directory = join(context.dataDir, log)
  if (context.storage.stat(directory) !== null) {
    for (const name of context.storage.readdir(directory)) {
      const match = /^shard-(\d{2,})$/.exec(name)
      if (match !== null) numbers.add(Number(match[1]))
    }
  }
  return [...numbers].sort((one, other) => one - other)
}

/** Shard numbers that have a directory. */
export function storedShardNumbers(context: StoreContext, log: string): number[] {
  return shardNumbers(context, log, 0)
}

/** Opens a shard of a route, with the cursors of its destinations; those of destinations that are gone are put away. */
export function openRouteShard(
  context: StoreContext,
  route: RouteConfig,
  shardNumber: number,
  retirement: Retirement | null
): OpenedShard {
  const { durability, id, to } = route
  const log = `routes/${id}`
  const label = shardLabel(shardNumber)
  const place = { log, shardNumber, route: id, label, durability, retirement }
  archiveGone(context, place, to)
  return openShard(context, place, to)
}

/** Opens a shard of a route that is gone as one of the route that adopted it: it is only read. */
export function openAdoptedShard(
  context: StoreContext,
  route: RouteConfig,
  log: string,
  shardNumber: number,
  onRemoved: () => void
): OpenedShard {
  const { durability, id, to } = route
  const label = `${routeOf(log)}/${shardLabel(shardNumber)}`
  const retirement = { keepsIds: false, onRemoved }
  const place = { log, shardNumber, route: id, label, durability, retirement }
  archiveGone(context, place, to)
  // Nothing of it is newer than the adoption: whoever has no cursor in it takes all.
  const destinations = to.map((destination) => ({ ...destination, startAt: 'oldest' as const }))
  return openShard(context, place, destinations)
}

/** Makes the log of an import, to be adopted by the route when it is whole. Every output of the route takes all of it. */
export function openImportShard(
  context: StoreContext,
  route: RouteConfig,
  log: string
): OpenedShard {
  const { durability, id, to } = route
  const place = {
    log,
    shardNumber: 0,
    route: id,
    label: shardLabel(0),
    durability,
    retirement: null
  }
  const destinations = to.map((destination) => ({ ...destination, startAt: 'oldest' as const }))
  return openShard(context, place, destinations)
}

/** A destination that a route has no more stops holding its segments, and begins anew should it come back. */
function archiveGone(
  context: StoreContext,
  { log, shardNumber }: ShardPlace,
  to: readonly CursorPlace[]
): void {
  const { clock, storage } = context
  const directory = join(context.dataDir, log, shardDirectoryName(shardNumber))
  const wanted = new Set(to.map(({ output }) => output))
  for (const output of listCursors(storage, directory).live) {
    if (wanted.has(output)) continue
    const { path } = archiveCursor(storage, directory, output, clock.nowMs())
    context.log.warn(
      { destination: output, log, shard: shardNumber, path, event: 'queue.destination_removed' },
      'a destination is no longer configured: its cursor is put away and holds no segments'
    )
  }
}

/** Name of the cursor of dead letters: what left their log, by replay, by purge, or for want of room. */
export const REPLAYED = 'replayed'

/** Opens the park of a destination, with the cursor of what became of the records in it. */
export function openParkShard(context: StoreContext, log: string, outputId: string): OpenedShard {
  return openShard(context, deadLetterPlace(log, 0), [
    { output: outputId, isRequired: true, startAt: 'oldest', lagBytesMax: null }
  ])
}

/** Opens a shard of dead letters, with the cursor of what left it. */
export function openLetterShard(
  context: StoreContext,
  log: string,
  shardNumber: number
): OpenedShard {
  return openShard(context, deadLetterPlace(log, shardNumber), [
    { output: REPLAYED, isRequired: true, startAt: 'oldest', lagBytesMax: null }
  ])
}

/** Where the cursor of a destination begins, and whether it holds segments. */
type CursorPlace = Pick<DestinationConfig, 'output' | 'isRequired' | 'startAt' | 'lagBytesMax'>

/** A shard and what its log asks of it. */
interface ShardPlace {
  readonly log: string
  readonly shardNumber: number
  readonly durability: Durability
  readonly route: string
  readonly label: string
  readonly retirement: Retirement | null
}

const deadLetterPlace = (log: string, shardNumber: number): ShardPlace => ({
  log,
  shardNumber,
  route: routeOf(log),
  label: shardLabel(shardNumber),
  durability: 'sync',
  retirement: null
})

function openShard(
  context: StoreContext,
  place: ShardPlace,
  destinations: readonly CursorPlace[]
): OpenedShard {
  const { clock, hash, storage, store } = context
  const { durability, label, log, retirement, route, shardNumber } = place
  const path = `${log}/${shardDirectoryName(shardNumber)}`
  const directory = join(context.dataDir, path)
  const logId = logIdOf(store.uuid, path)
  const { decoder } = context
  const access = { storage, hash, storeSecret: store.secret, decoder, logId }
  const cursorOptions = (outputId: string): CursorOptions => ({ ...access, outputId, directory })
  const resetOutputs = new Set<string>()
  const known = loadCursors(context, directory, destinations, cursorOptions, resetOutputs)
  const recovered = recoverShard({
    ...access,
    nowMs: clock.nowMs(),
    directory,
    durability,
    cursorHighOffset: Math.max(0, ...[...known.values()].map(({ highOffset }) => highOffset)),
    // Deletion is the shard log's: delivered segments may hold ids of chunks that are sent again.
    holdingLowOffset: null
  })
  for (const note of recovered.notes)
    context.log.warn({ log, shard: shardNumber, note }, 'recovery')
  const cursors = new Map<string, Cursor>()
  for (const { output, startAt } of destinations) {
    const start = startAt === 'oldest' ? oldestOffset(recovered) : recovered.start.nextOffset
    cursors.set(output, known.get(output) ?? Cursor.create(cursorOptions(output), start))
  }
  const control = new SharedArrayBuffer(CONTROL_BLOCK_BYTES)
  const words = new BigInt64Array(control)
  words[WORD.recoveredBytes] = BigInt(recovered.bytes)
  // Nothing will be appended: whatever a join waits for does not come.
  if (retirement !== null) words[WORD.watermarkMs] = BigInt(Number.MAX_SAFE_INTEGER)
  const segments = new ShardSegments({ ...access, durability, recovered })
  const shardLog = new ShardLog({
    log,
    shardNumber,
    route,
    label,
    logId,
    directory,
    segments,
    clock,
    outputLog: context.log,
    recoveredEndMs: recovered.start.lastAppendTimeMs,
    control,
    onRoom: () => context.onRoom(log),
    retirement
  })
  for (const { output, isRequired, lagBytesMax } of destinations) {
    const cursor = cursors.get(output)
    if (cursor !== undefined) shardLog.addHolder(cursor, isRequired, lagBytesMax)
  }
  return {
    shardLog,
    cursors,
    unackedRecords: recovered.unackedRecords,
    resetOutputs,
    ingestIds: recovered.ingestIds,
    spec: {
      log,
      shardNumber,
      directory,
      logId,
      control,
      others: [],
      start: recovered.start
    }
  }
}

function loadCursors(
  context: StoreContext,
  directory: string,
  destinations: readonly CursorPlace[],
  optionsOf: (outputId: string) => CursorOptions,
  resetOutputs: Set<string>
): Map<string, Cursor> {
  const { log, storage } = context
  const known = new Map<string, Cursor>()
  if (storage.stat(directory) === null) return known
  const oldest = listShard(storage, directory).live[0]?.firstOffset ?? 0
  for (const { output } of destinations) {
    const loaded = Cursor.load(optionsOf(output), oldest)
    if (loaded === null) continue
    known.set(output, loaded.cursor)
    if (loaded.wasReset) {
      resetOutputs.add(output)
      log.warn(
        { destination: output, directory, event: 'queue.cursor_reset' },
        'both slots of a cursor were unreadable: delivery begins again at the oldest stored record'
      )
    }
  }
  return known
}

function oldestOffset(recovered: RecoveryResult): number {
  return recovered.segments[0]?.firstOffset ?? recovered.start.nextOffset
}
