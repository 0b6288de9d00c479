// Step 4, seen from main. Runs on: main.
// Watches the volume of the data directory. Below `min_free` nothing more is taken, before a write fails: senders wait, or
// oldest records go, as the route says. Drains need no space and go on.

import type { QueueConfig } from '../config/schema.ts'
import type { ShardLog } from '../delivery/shard-log.ts'
import type { OutputLog } from '../plugin/output.ts'
import type { Storage } from '../storage/storage.ts'

/** A share of a big volume is more than anybody wants to leave empty. */
const SHARE_BYTES_MAX = 10 * 1024 ** 3

export interface FreeSpaceOptions {
  readonly storage: Storage
  readonly dataDir: string
  readonly minFree: QueueConfig['minFree']
  readonly shards: () => readonly ShardLog[]
  readonly log: OutputLog
  /** There is room again. */
  readonly onRoom: () => void
}

export class FreeSpace {
  readonly #options: FreeSpaceOptions
  #isShort = false

  constructor(options: FreeSpaceOptions) {
    this.#options = options
  }

  /** Whether the volume is below its limit. */
  get isShort(): boolean {
    return this.#isShort
  }

  /** Whether it is below its limit at this moment, where it was so at the last look. */
  isBelow(): boolean {
    return this.#isShort && this.#measure().isShort
  }

  /** Looks at the volume; called once a second. */
  look(): void {
    const { log, onRoom } = this.#options
    const { bytesMin, freeBytes, freeInodes, hasInodes, isShort } = this.#measure()
    if (isShort === this.#isShort) return
    this.#isShort = isShort
    for (const shardLog of this.#options.shards()) shardLog.setFull(isShort)
    const fields = { event: 'queue.volume', freeBytes, bytesMin: Math.round(bytesMin), freeInodes }
    if (isShort) {
      const what = hasInodes ? 'bytes' : 'inodes'
      log.error(fields, `the volume has too few free ${what}: nothing is taken until there is room`)
    } else {
      log.info(fields, 'the volume has room again')
      onRoom()
    }
  }

  #measure() {
    const { dataDir, minFree, storage } = this.#options
    const { freeBytes, freeInodes, totalBytes, totalInodes } = storage.statfs(dataDir)
    const bytesMin =
      minFree.kind === 'bytes'
        ? minFree.bytes
        : Math.min(totalBytes * minFree.ratio, SHARE_BYTES_MAX)
    // Some file systems count no inodes.
    const hasInodes = totalInodes === 0 || freeInodes > 0
    return {
      bytesMin,
      freeBytes,
      freeInodes,
      hasInodes,
      isShort: freeBytes < bytesMin || !hasInodes
    }
  }
}
