// Runs on: main.
// `millrace queue import`: records of an export become records of a route, whose server is stopped. The whole file is read
// and checked before the first record is stored. They get new offsets, and so new ids: a destination that has some of them
// already cannot tell.

import fs from 'node:fs'
import type { MillraceConfig } from '../../config/schema.ts'
import { systemClock } from '../../core/clock.ts'
import { errorText, MillraceError } from '../../core/errors.ts'
import { invariant } from '../../core/invariant.ts'
import type { OutputLog } from '../../plugin/output.ts'
import { ENTRY_FORM, segmentBytesFor } from '../../storage/format/layout.ts'
import {
  ExportDecoder,
  type ExportItem,
  type ExportRun
} from '../../storage/inspect/export-stream.ts'
import { nodeStorage } from '../../storage/storage.ts'
import type { AppendGroup } from '../../storage/writer/append.ts'
import { ShardWriter } from '../../storage/writer/shard-writer.ts'
import type { OpenedShard } from '../store/open-shards.ts'
import { Store } from '../store/store.ts'

const READ_BYTES = 1024 * 1024
const SLAB_BYTES = 1024 * 1024
/** Bytes that share a sync. */
const COMMIT_BYTES = 4 * 1024 * 1024

export interface ImportOptions {
  readonly config: MillraceConfig
  readonly routeId: string
  readonly path: string
  readonly log: OutputLog
  readonly version: string
}

export interface ImportOutcome {
  readonly route: string
  readonly shard: string
  readonly records: number
  readonly bytes: number
  /** Offsets that they got: [firstOffset, endOffset). */
  readonly firstOffset: number
  readonly endOffset: number
  /** Records that the export could not read. */
  readonly lost: number
}

export async function importRecords(options: ImportOptions): Promise<ImportOutcome> {
  const { config, log, path, routeId, version } = options
  const route = config.routes.find(({ id }) => id === routeId)
  if (route === undefined) {
    const names = config.routes.map(({ id }) => id).join(', ')
    throw new MillraceError('MR_USAGE', `there is no route ${routeId}; routes are: ${names}`)
  }
  const total = measure(path)
  const onRoom = () => undefined
  const clock = systemClock
  const shared = { config, storage: nodeStorage, clock, log, version }
  const store = new Store({ ...shared, isLockedSkipped: false, onRoom })
  try {
    const shards = store.shardsOf(`routes/${routeId}`)
    const heldBytes = shards.reduce((sum, { shardLog }) => sum + shardLog.heldBytes, 0)
    if (heldBytes + total.bytes > route.bytesMax) {
      throw new MillraceError(
        'MR_STORE_FULL',
        `${path} holds ${total.bytes} bytes of records and route ${routeId} ${heldBytes}, more than its max_bytes ${route.bytesMax}; raise it for the import. Nothing was imported`
      )
    }
    const opened = shards.find(({ shardLog }) => !shardLog.isRetired)
    invariant(opened !== undefined, 'a route has a shard that is written')
    const firstOffset = opened.spec.start.nextOffset
    const endOffset = await append(store, opened, options)
    const { label, route: name } = opened.shardLog
    const { bytes, lost, records } = total
    return { route: name, shard: label, records, bytes, firstOffset, endOffset, lost }
  } finally {
    await store.close()
  }
}

/** Reads the whole file; throws MR_EXPORT where it is not what an export wrote. */
function measure(path: string): { records: number; bytes: number; lost: number } {
  const total = { records: 0, bytes: 0, lost: 0 }
  for (const item of itemsOf(path)) {
    if (item.kind === 'run') total.bytes += item.entries.length
    if (item.kind !== 'end') continue
    total.records = item.recordCount
    total.lost = item.lostCount
  }
  return total
}

function* itemsOf(path: string): Generator<ExportItem> {
  const decoder = new ExportDecoder()
  const file = openFile(path)
  try {
    const piece = Buffer.alloc(READ_BYTES)
    for (;;) {
      const count = fs.readSync(file, piece, 0, piece.length, null)
      if (count === 0) break
      yield* decoder.push(piece.subarray(0, count))
    }
    decoder.finish()
  } finally {
    fs.closeSync(file)
  }
}

function openFile(path: string): number {
  try {
    return fs.openSync(path, 'r')
  } catch (error) {
    throw new MillraceError('MR_USAGE', `${path} cannot be read: ${errorText(error)}`)
  }
}

/** Returns the end of the log. Always synced, whatever the route says: the file may be deleted next. */
async function append(
  store: Store,
  { shardLog, spec }: OpenedShard,
  { config, path }: ImportOptions
): Promise<number> {
  const { clock, hash, storage, store: identity } = store.context
  const route = config.routes.find(({ id }) => id === shardLog.route)
  const writer = new ShardWriter({
    storage,
    clock,
    hash,
    store: identity,
    shard: spec,
    slab: Buffer.alloc(SLAB_BYTES),
    segmentBytes: Math.min(
      config.queue.segmentBytesMax,
      segmentBytesFor(route?.bytesMax ?? config.queue.segmentBytesMax)
    ),
    compression: route?.compression ?? 'none',
    durability: 'sync',
    observer: {
      onSegment: (segment) => shardLog.addSegment(segment),
      onVisible: (end) => shardLog.setVisible(end),
      onState: () => undefined
    }
  })
  let importedCount = 0
  let batch: ExportRun[] = []
  let batchBytes = 0
  const flush = async () => {
    if (!(await storeRuns(writer, batch))) {
      throw new MillraceError(
        'MR_STORE_FULL',
        `the volume takes no more: ${importedCount} records were imported, from offset ${spec.start.nextOffset} on; free space, give them up with \`millrace queue skip\`, and import again`
      )
    }
    importedCount += batch.reduce((sum, { recordCount }) => sum + recordCount, 0)
    batch = []
    batchBytes = 0
  }
  try {
    for (const item of itemsOf(path)) {
      if (item.kind !== 'run') continue
      batch.push(item)
      batchBytes += item.entries.length
      if (batchBytes >= COMMIT_BYTES) await flush()
    }
    await flush()
    return writer.nextOffset
  } finally {
    await writer.close()
  }
}

/** False: the disk refused them. */
function storeRuns(writer: ShardWriter, runs: readonly ExportRun[]): Promise<boolean> {
  return new Promise((resolve) => {
    if (runs.length === 0) resolve(true)
    const waiter = { onDurable: () => resolve(true), onRejected: () => resolve(false) }
    const isTaken = runs.every((run, index) =>
      writer.append(groupOf(run), index === runs.length - 1 ? waiter : null)
    )
    if (isTaken) writer.commit()
    else resolve(false)
  })
}

function groupOf({ entries, form, ingestId, recordCount, source, tag }: ExportRun): AppendGroup {
  return {
    tag,
    source,
    ingestId,
    form: form === ENTRY_FORM.messages ? 2 : 1,
    entries,
    recordCount,
    // Nothing reads the span of a frame for a decision; the entries say their times.
    minTimeSeconds: Number.POSITIVE_INFINITY,
    maxTimeSeconds: Number.NEGATIVE_INFINITY,
    hasIngestIds: form === ENTRY_FORM.messages
  }
}
