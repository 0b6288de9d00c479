// Runs on: main.
// `millrace queue import` into a running server. Shards of a route belong to ingest threads, so an import is none of them: it is
// written here as a log of its own, `routes/import-<sum>`, checked to its last line, and only then adopted by the route, as
// the queue of a route that is gone would be: every output of the route drains it, and its directory goes. All or nothing: what
// was cut, by a kill too, is delivered to nobody and is written anew by the next import of the file.
//
// The name and the epoch follow from the sum of the file, so the ids of its records do too: an import of the same file that
// was drained already is recognised by a destination that knows ids.
// Holds a line of the file (export-stream.ts) and COMMIT_BYTES.

import type { ImportOutcome, ImportSource } from '../../admin/status.ts'
import type { MillraceConfig, RouteConfig } from '../../config/schema.ts'
import { MillraceError } from '../../core/errors.ts'
import { ExportDecoder } from '../../storage/inspect/export-stream.ts'
import type { DeliverySet } from '../stages/delivery-set.ts'
import { openImportShard, storedShardNumbers } from '../store/open-shards.ts'
import { removeLog } from '../store/orphans.ts'
import type { Store } from '../store/store.ts'
import { ImportWriter, requireRoute } from './import-writer.ts'

/** Digits of the sum in the name: 64 bits. */
const NAME_DIGITS = 16
/** Of the first segment; fixed, because ids hold it. */
const EPOCH = 1

export interface LiveImportsOptions {
  readonly config: MillraceConfig
  readonly store: Store
  readonly delivery: DeliverySet
}

export class LiveImports implements ImportSource {
  readonly #options: LiveImportsOptions
  #isBusy = false

  constructor(options: LiveImportsOptions) {
    this.#options = options
  }

  /** `sum`: what the last line of the file says, SHA-256 in hex. */
  async take(
    routeId: string,
    sum: string,
    pieces: AsyncIterable<Uint8Array>
  ): Promise<ImportOutcome> {
    const { config } = this.#options
    const route = requireRoute(config, routeId)
    const name = `import-${sum.slice(0, NAME_DIGITS)}`
    this.#check(name)
    this.#isBusy = true
    try {
      return await this.#write(route, name, sum, pieces)
    } finally {
      this.#isBusy = false
    }
  }

  #check(name: string): void {
    const { config, store } = this.#options
    const log = `routes/${name}`
    if (this.#isBusy) throw new MillraceError('MR_USAGE', 'another import is running')
    const isTaken = config.routes.some(({ id }) => id === name)
    if (!isTaken && !store.isAdopted(log)) return
    throw new MillraceError(
      'MR_USAGE',
      `the file was imported before and is not drained yet: ${log} holds its records`
    )
  }

  async #write(
    route: RouteConfig,
    name: string,
    sum: string,
    pieces: AsyncIterable<Uint8Array>
  ): Promise<ImportOutcome> {
    const { config, delivery, store } = this.#options
    const log = `routes/${name}`
    // What a kill left of an earlier try.
    if (storedShardNumbers(store.context, log).length > 0) removeLog(store.context, log)
    store.forgetOrphan(log)
    const held = store.shardsOf(`routes/${route.id}`)
    const heldBytes = held.reduce((bytes, { shardLog }) => bytes + shardLog.heldBytes, 0)
    const opened = openImportShard(store.context, route, log)
    const { shardLog, spec } = opened
    const start = { ...spec.start, epoch: EPOCH }
    const writer = new ImportWriter({
      config,
      context: store.context,
      opened: { shardLog, spec: { ...spec, start } },
      bytesMax: route.bytesMax - heldBytes
    })
    try {
      await writeAll(writer, sum, pieces)
      await writer.close()
      await shardLog.close()
    } catch (error) {
      await writer.close().catch(() => undefined)
      await shardLog.close()
      removeLog(store.context, log)
      throw error
    }
    delivery.adopt(route.id, store.attach(log, route))
    delivery.wake()
    const { byteCount: bytes, lostCount: lost, recordCount: records } = writer
    const shard = `${name}/${shardLog.label}`
    return { route: route.id, shard, records, bytes, firstOffset: 0, endOffset: records, lost }
  }
}

async function writeAll(
  writer: ImportWriter,
  sum: string,
  pieces: AsyncIterable<Uint8Array>
): Promise<void> {
  const decoder = new ExportDecoder()
  for await (const piece of pieces) {
    for (const item of decoder.push(piece)) {
      await writer.take(item)
      if (item.kind !== 'end' || item.sum === sum) continue
      throw new MillraceError('MR_EXPORT', `the sum of the file is ${item.sum}, and not ${sum}`)
    }
  }
  decoder.finish()
  await writer.flush()
}
