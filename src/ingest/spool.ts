// Step 2. Runs on: ingest.
// Files for what one message has beyond the memory that it may take: bytes in arrival order, read back in parts. A file is
// unlinked as soon as it is open, so a kill leaves nothing; one that a kill caught in between goes at the next start.
// Limits: SPOOL_BYTES_MAX per thread, above which only the oldest file grows, so that one message is always completed;
// `min_free` of the volume, as for the queue. Nothing here is ever synced: what is not stored is not acknowledged.

import path from 'node:path'
import type { MillraceConfig } from '../config/schema.ts'
import { errorText, MillraceError } from '../core/errors.ts'
import { SPOOL_BYTES_MAX } from '../core/limits.ts'
import type { InputCounters, SpoolFile, Spools } from '../plugin/input.ts'
import type { Storage } from '../storage/storage.ts'
import { minFreeBytes } from '../storage/store/volume.ts'
import { isNoRoom } from '../storage/writer/frame-writer.ts'

export interface SpoolDirectoryOptions {
  readonly storage: Storage
  readonly dataDir: string
  readonly minFree: MillraceConfig['queue']['minFree']
  readonly threadIndex: number
  readonly counters: InputCounters
  readonly bytesMax?: number
}

/** Free space is asked for again after so many bytes. */
const LOOK_BYTES = 8 * 1024 * 1024

export class SpoolDirectory implements Spools {
  readonly #options: SpoolDirectoryOptions
  readonly #directory: string
  readonly #bytesMax: number
  /** Oldest first. */
  readonly #files = new Set<OpenSpool>()
  #byteCount = 0
  #number = 0
  #isMade = false
  #bytesToLook = 0
  #hasRoom = true

  constructor(options: SpoolDirectoryOptions) {
    this.#options = options
    this.#directory = path.join(options.dataDir, 'spool')
    this.#bytesMax = options.bytesMax ?? SPOOL_BYTES_MAX
  }

  get byteCount(): number {
    return this.#byteCount
  }

  open(): SpoolFile {
    const { storage, threadIndex } = this.#options
    this.#prepare()
    const name = path.join(this.#directory, `${threadIndex}-${this.#number++}`)
    try {
      const file = storage.open(name, 'create')
      storage.unlink(name)
      const spool = new OpenSpool(this.#options.storage, file, {
        hasRoom: (self) => this.#roomFor(self),
        add: (byteCount) => this.#add(byteCount),
        close: (self) => this.#files.delete(self)
      })
      this.#files.add(spool)
      return spool
    } catch (error) {
      throw spoolError(error)
    }
  }

  /** Once per life: the directory, without what a kill left. */
  #prepare(): void {
    if (this.#isMade) return
    const { storage, threadIndex } = this.#options
    try {
      storage.mkdir(this.#directory)
      for (const name of storage.readdir(this.#directory)) {
        if (name.startsWith(`${threadIndex}-`)) storage.unlink(path.join(this.#directory, name))
      }
      this.#isMade = true
    } catch (error) {
      throw spoolError(error)
    }
  }

  #add(byteCount: number): void {
    this.#byteCount += byteCount
    this.#bytesToLook -= byteCount
    this.#options.counters.add('spool_bytes', byteCount)
  }

  /** The oldest file may always grow where the volume has room: the others wait for it. */
  #roomFor(spool: OpenSpool): boolean {
    if (this.#bytesToLook <= 0 || !this.#hasRoom) this.#look()
    if (!this.#hasRoom) return false
    return this.#byteCount <= this.#bytesMax || this.#files.values().next().value === spool
  }

  #look(): void {
    const { dataDir, minFree, storage } = this.#options
    this.#bytesToLook = LOOK_BYTES
    try {
      const { freeBytes, totalBytes } = storage.statfs(dataDir)
      this.#hasRoom = freeBytes >= minFreeBytes(minFree, totalBytes)
    } catch {
      // The writes tell.
      this.#hasRoom = true
    }
  }
}

interface SpoolOwner {
  hasRoom(spool: OpenSpool): boolean
  add(byteCount: number): void
  close(spool: OpenSpool): void
}

class OpenSpool implements SpoolFile {
  readonly #storage: Storage
  readonly #file: number
  readonly #owner: SpoolOwner
  #byteCount = 0
  #isClosed = false

  constructor(storage: Storage, file: number, owner: SpoolOwner) {
    this.#storage = storage
    this.#file = file
    this.#owner = owner
  }

  get byteCount(): number {
    return this.#byteCount
  }

  get hasRoom(): boolean {
    return this.#owner.hasRoom(this)
  }

  append(bytes: Uint8Array): boolean {
    let written: number
    try {
      written = this.#storage.writev(this.#file, [bytes], this.#byteCount)
    } catch (error) {
      if (isNoRoom(error)) return false
      throw spoolError(error)
    }
    // A short write says that the volume is full; what it wrote is written again.
    if (written !== bytes.length) return false
    this.#byteCount += bytes.length
    this.#owner.add(bytes.length)
    return true
  }

  read(into: Uint8Array, atByte: number): void {
    let byteCount: number
    try {
      byteCount = this.#storage.pread(this.#file, into, atByte)
    } catch (error) {
      throw spoolError(error)
    }
    if (byteCount !== into.length) {
      throw spoolError(new Error(`${byteCount} of ${into.length} bytes at ${atByte}`))
    }
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#storage.close(this.#file)
    this.#owner.add(-this.#byteCount)
    this.#owner.close(this)
  }
}

function spoolError(error: unknown): MillraceError {
  const message = `the spool file of a long message failed: ${errorText(error)}; its sender has to send it again`
  return new MillraceError('MR_STORE_IO', message, { cause: error })
}
