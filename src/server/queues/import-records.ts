// Runs on: main.
// `millrace queue import`: records of an export become records of a route, whose server is stopped. The whole file is read
// and checked before the first record is stored. They get new offsets, and so new ids: a destination that has some of them
// already cannot tell.

import fs from 'node:fs'
import type { ImportOutcome } from '../../admin/status.ts'
import type { MillraceConfig } from '../../config/schema.ts'
import { systemClock } from '../../core/clock.ts'
import { errorText, MillraceError } from '../../core/errors.ts'
import { invariant } from '../../core/invariant.ts'
import type { OutputLog } from '../../plugin/output.ts'
import { ExportDecoder, type ExportItem } from '../../storage/inspect/export-stream.ts'
import { nodeStorage } from '../../storage/storage.ts'
import { Store } from '../store/store.ts'
import { ImportWriter, requireRoute } from './import-writer.ts'

const READ_BYTES = 1024 * 1024

export interface ImportOptions {
  readonly config: MillraceConfig
  readonly routeId: string
  readonly path: string
  readonly log: OutputLog
  readonly version: string
}

export async function importRecords(options: ImportOptions): Promise<ImportOutcome> {
  const { config, log, path, routeId, version } = options
  const route = requireRoute(config, routeId)
  const total = measureExport(path)
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
    const bytesMax = route.bytesMax - heldBytes
    const writer = new ImportWriter({ config, context: store.context, opened, bytesMax })
    try {
      for (const item of itemsOf(path)) await writer.take(item)
      await writer.flush()
    } finally {
      await writer.close()
    }
    const endOffset = writer.nextOffset
    const { label, route: name } = opened.shardLog
    const { bytes, lost, records } = total
    return { route: name, shard: label, records, bytes, firstOffset, endOffset, lost }
  } finally {
    await store.close()
  }
}

export interface MeasuredExport {
  readonly records: number
  readonly bytes: number
  readonly lost: number
  /** SHA-256 of its lines, hex. */
  readonly sum: string
}

/** Reads the whole file; throws MR_EXPORT where it is not what an export wrote. */
export function measureExport(path: string): MeasuredExport {
  const total = { records: 0, bytes: 0, lost: 0, sum: '' }
  for (const item of itemsOf(path)) {
    if (item.kind === 'run') total.bytes += item.entries.length
    if (item.kind !== 'end') continue
    total.records = item.recordCount
    total.lost = item.lostCount
    total.sum = item.sum
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
