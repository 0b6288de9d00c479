// Runs on: main.
// Records of an export on their way into a shard that nobody else writes. Synced whatever the route says: the file may be
// deleted next. Holds COMMIT_BYTES.

import type { MillraceConfig, RouteConfig } from '../../config/schema.ts'
import { MillraceError } from '../../core/errors.ts'
import { ENTRY_FORM, segmentBytesFor } from '../../storage/format/layout.ts'
import type { ExportItem, ExportRun } from '../../storage/inspect/export-stream.ts'
import type { AppendGroup } from '../../storage/writer/append.ts'
import { ShardWriter } from '../../storage/writer/shard-writer.ts'
import type { OpenedShard, StoreContext } from '../store/open-shards.ts'

const SLAB_BYTES = 1024 * 1024
/** Bytes that share a sync. */
const COMMIT_BYTES = 4 * 1024 * 1024

export interface ImportWriterOptions {
  readonly config: MillraceConfig
  readonly context: StoreContext
  readonly opened: Pick<OpenedShard, 'shardLog' | 'spec'>
  /** Room that the route has for all records of the import. */
  readonly bytesMax: number
}

/** Throws MR_USAGE when there is none. */
export function requireRoute(config: MillraceConfig, routeId: string): RouteConfig {
  const route = config.routes.find(({ id }) => id === routeId)
  if (route !== undefined) return route
  const names = config.routes.map(({ id }) => id).join(', ')
  throw new MillraceError('MR_USAGE', `there is no route ${routeId}; routes are: ${names}`)
}

export class ImportWriter {
  readonly #options: ImportWriterOptions
  readonly #writer: ShardWriter
  #batch: ExportRun[] = []
  #batchBytes = 0
  byteCount = 0
  recordCount = 0
  /** Records that the export could not read. */
  lostCount = 0

  constructor(options: ImportWriterOptions) {
    this.#options = options
    const { config, context, opened } = options
    const { clock, hash, storage, store } = context
    const { shardLog, spec } = opened
    const route = requireRoute(config, shardLog.route)
    this.#writer = new ShardWriter({
      storage,
      clock,
      hash,
      store,
      shard: spec,
      slab: Buffer.alloc(SLAB_BYTES),
      segmentBytes: Math.min(config.queue.segmentBytesMax, segmentBytesFor(route.bytesMax)),
      compression: route.compression,
      durability: 'sync',
      observer: {
        onSegment: (segment) => shardLog.addSegment(segment),
        onVisible: (end) => shardLog.setVisible(end),
        onState: () => undefined
      }
    })
  }

  get nextOffset(): number {
    return this.#writer.nextOffset
  }

  async take(item: ExportItem): Promise<void> {
    if (item.kind === 'hole') this.lostCount += item.recordCount
    if (item.kind !== 'run') return
    this.byteCount += item.entries.length
    const { bytesMax, opened } = this.#options
    if (this.byteCount > bytesMax) {
      throw new MillraceError(
        'MR_STORE_FULL',
        `the file holds more bytes than route ${opened.shardLog.route} has room for: ${bytesMax} of its max_bytes are left; raise it for the import`
      )
    }
    this.#batch.push(item)
    this.#batchBytes += item.entries.length
    if (this.#batchBytes >= COMMIT_BYTES) await this.flush()
  }

  /** Everything taken is durable when it settles. Throws MR_STORE_FULL where the disk refuses it. */
  async flush(): Promise<void> {
    if (!(await storeRuns(this.#writer, this.#batch))) {
      throw new MillraceError(
        'MR_STORE_FULL',
        `the volume takes no more: ${this.recordCount} records were written, from offset ${this.#options.opened.spec.start.nextOffset} on; free space and import again`
      )
    }
    this.recordCount += this.#batch.reduce((sum, { recordCount }) => sum + recordCount, 0)
    this.#batch = []
    this.#batchBytes = 0
  }

  close(): Promise<void> {
    return this.#writer.close()
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
