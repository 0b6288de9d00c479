// Step 7. Runs on: pool.
// Reads segments. Descriptors live as long as a task: opening costs 10 us for a megabyte of frames, and a cached
// descriptor would keep a deleted segment on the disk.

import { closeSync, openSync, readSync } from 'node:fs'

/** Read access to segment files; the simulator has its own. */
export interface SegmentReader {
  /** Bytes read into `into` from `atByte` of the file; fewer than asked at the end of the file. */
  read(path: string, into: Buffer, atByte: number): number
  /** Ends the use of what was opened. */
  release(): void
}

export class SegmentFiles implements SegmentReader {
  readonly #descriptors = new Map<string, number>()

  read(path: string, into: Buffer, atByte: number): number {
    let descriptor = this.#descriptors.get(path)
    if (descriptor === undefined) {
      descriptor = openSync(path, 'r')
      this.#descriptors.set(path, descriptor)
    }
    let byteCount = 0
    while (byteCount < into.length) {
      const more = readSync(
        descriptor,
        into,
        byteCount,
        into.length - byteCount,
        atByte + byteCount
      )
      if (more === 0) break
      byteCount += more
    }
    return byteCount
  }

  release(): void {
    for (const descriptor of this.#descriptors.values()) closeSync(descriptor)
    this.#descriptors.clear()
  }
}
