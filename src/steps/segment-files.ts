// Step 7. Runs on: pool.
// Reads segments. Descriptors live as long as a task: opening costs 10 us for a megabyte of frames, and a cached
// descriptor would keep a deleted segment on the disk. Sectors that cannot be read come back as zeros, which no hash
// accepts: they cost the frames that they lie in.

import { readTolerant } from '../storage/damage-read.ts'
import { nodeStorage, type Storage } from '../storage/storage.ts'

/** Read access to segment files; the simulator has its own. */
export interface SegmentReader {
  /** Bytes read into `into` from `atByte` of the file; fewer than asked at the end of the file. */
  read(path: string, into: Buffer, atByte: number): number
  /** Ends the use of what was opened. */
  release(): void
}

export class SegmentFiles implements SegmentReader {
  readonly #descriptors = new Map<string, number>()
  readonly #storage: Storage

  constructor(storage: Storage = nodeStorage) {
    this.#storage = storage
  }

  read(path: string, into: Buffer, atByte: number): number {
    let descriptor = this.#descriptors.get(path)
    if (descriptor === undefined) {
      descriptor = this.#storage.open(path, 'read')
      this.#descriptors.set(path, descriptor)
    }
    return readTolerant(this.#storage, descriptor, into, atByte)
  }

  release(): void {
    for (const descriptor of this.#descriptors.values()) this.#storage.close(descriptor)
    this.#descriptors.clear()
  }
}
