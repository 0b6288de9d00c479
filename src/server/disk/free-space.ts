// Step 4, seen from main. Runs on: main.
// Watches the volume of the data directory. Below `min_free` nothing more is taken, before a write fails: senders wait, or
// oldest records go, as the route says. Drains need no space and go on.

import type { QueueConfig } from '../../config/schema.ts'
import { errorText } from '../../core/errors.ts'
import type { ShardLog } from '../../delivery/shard-log.ts'
import type { OutputLog } from '../../plugin/output.ts'
import type { Storage } from '../../storage/storage.ts'
import { minFreeBytes } from '../../storage/store/volume.ts'

/** Every shard needs one when its next segment begins; some file systems count none. */
const INODES_MIN = 8

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
  #shortOf: 'bytes' | 'inodes' | null = null
  #hasAnswered = true

  constructor(options: FreeSpaceOptions) {
    this.#options = options
  }

  /** Whether the volume is below its limit. */
  get isShort(): boolean {
    return this.#isShort
  }

  /** What there is too little of. */
  get shortOf(): 'bytes' | 'inodes' | null {
    return this.#shortOf
  }

  /** Whether it is below its limit at this moment, where it was so at the last look. */
  isBelow(): boolean {
    return this.#isShort && (this.#measure()?.shortOf ?? null) !== null
  }

  /** Free bytes; endless when the volume does not answer. */
  freeBytes(): number {
    return this.#measure()?.freeBytes ?? Number.POSITIVE_INFINITY
  }

  /** Bytes of the volume; 0 when it does not tell. */
  totalBytes(): number {
    return this.#measure()?.totalBytes ?? 0
  }

  /** Looks at the volume; called once a second. */
  look(): void {
    const { log, onRoom } = this.#options
    const volume = this.#measure()
    if (volume === null) return
    const { bytesMin, freeBytes, freeInodes, shortOf } = volume
    const isShort = shortOf !== null
    this.#shortOf = shortOf
    if (isShort === this.#isShort) return
    this.#isShort = isShort
    for (const shardLog of this.#options.shards()) shardLog.setFull(isShort)
    const fields = { event: 'queue.volume', freeBytes, bytesMin: Math.round(bytesMin), freeInodes }
    if (isShort) {
      log.error(
        fields,
        `the volume has too few free ${shortOf}: nothing is taken until there is room`
      )
    } else {
      log.info(fields, 'the volume has room again')
      onRoom()
    }
  }

  /** Null: the volume does not answer, as when its directory was deleted; the writers find out by themselves. */
  #measure() {
    const { dataDir, log, minFree, storage } = this.#options
    try {
      const { freeBytes, freeInodes, totalBytes, totalInodes } = storage.statfs(dataDir)
      const bytesMin = minFreeBytes(minFree, totalBytes)
      const hasInodes = totalInodes === 0 || freeInodes >= INODES_MIN
      const shortOf: 'bytes' | 'inodes' | null = hasInodes
        ? freeBytes < bytesMin
          ? 'bytes'
          : null
        : 'inodes'
      this.#hasAnswered = true
      return { bytesMin, freeBytes, freeInodes, shortOf, totalBytes }
    } catch (error) {
      const fields = { event: 'queue.volume', error: errorText(error) }
      if (this.#hasAnswered) log.error(fields, 'the free space of the volume cannot be read')
      this.#hasAnswered = false
      return null
    }
  }
}
