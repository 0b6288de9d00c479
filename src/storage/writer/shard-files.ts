// Runs on: ingest, main.
// The segment files that one writer has open: makes, seals, closes and drops them. Knows no policy. At most one sealed
// file waits for its sync while the active one is written, so recovery has two files to look into, never more.

import path from 'node:path'
import { errnoOf } from '../../core/errors.ts'
import { SEGMENT_FOOTER, SEGMENT_HEADER } from '../format/layout.ts'
import { segmentFeatures } from '../format/payload-encoder.ts'
import {
  encodeSegmentHeader,
  newOpenSegment,
  type OpenSegment,
  writeFooter
} from '../format/segment-file.ts'
import { segmentFileName, segmentSalt } from '../format/segment-names.ts'
import type { ShardWriterOptions } from './append.ts'

export class ShardFiles {
  readonly #options: ShardWriterOptions
  /** Device and inode of the shard directory at the start. */
  readonly #directory: string
  #epoch: number
  #nextOrdinal: number
  #prevValidEndByte: number
  #active: OpenSegment | null = null
  #sealed: OpenSegment[] = []
  /** Bytes of all files made, footers too. */
  #fileBytes = 0

  constructor(options: ShardWriterOptions) {
    const { start } = options.shard
    this.#options = options
    this.#directory = identityOf(options)
    this.#epoch = start.epoch
    this.#nextOrdinal = start.nextOrdinal
    this.#prevValidEndByte = start.prevValidEndByte
  }

  get active(): OpenSegment | null {
    return this.#active
  }

  /** Full files whose frames may not be durable, oldest first. */
  get sealed(): readonly OpenSegment[] {
    return this.#sealed
  }

  get fileBytes(): number {
    return this.#fileBytes
  }

  addBytes(byteCount: number): void {
    this.#fileBytes += byteCount
  }

  /**
   * Why no segment may be written any more: the directory was deleted, or its name means another one now (a volume was
   * mounted over it), so that a restart would not find what is written. Null: all is well.
   */
  trouble(): Error | null {
    const { directory } = this.#options.shard
    let identity: string
    try {
      identity = identityOf(this.#options)
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error))
    }
    if (identity === this.#directory) return null
    const error: NodeJS.ErrnoException = new Error(
      identity === ''
        ? `${directory} was deleted while in use`
        : `${directory} is another directory than at the start: its volume was exchanged or it was made anew; start again`
    )
    error.code = identity === '' ? 'ENOENT' : 'ESTALE'
    return error
  }

  /** Opens a segment that begins at `firstOffset` and seals the one before. Throws with nothing changed. */
  open(firstOffset: number): OpenSegment {
    const segment = this.#create(firstOffset)
    if (this.#active !== null) this.seal()
    this.#adopt(segment)
    return segment
  }

  /** As `open`, and durable with its name; used where the file before has failed. */
  async openDurably(firstOffset: number): Promise<OpenSegment> {
    const { durability, storage, shard } = this.#options
    const segment = this.#create(firstOffset)
    try {
      if (durability !== 'memory') {
        await storage.datasync(segment.file)
        await storage.dirsync(shard.directory)
      }
    } catch (error) {
      this.#discard(segment)
      throw error
    }
    segment.isNameDurable = true
    segment.durableByte = segment.endByte
    this.#adopt(segment)
    return segment
  }

  /** Takes the active segment out of use; its footer follows when its frames are durable. */
  seal(): void {
    const segment = this.#active
    if (segment === null) return
    this.#sealed.push(segment)
    this.#active = null
    this.#prevValidEndByte = segment.endByte + SEGMENT_FOOTER.byteCount
  }

  /** Footer and close of a sealed segment whose frames are durable. */
  finish(segment: OpenSegment): void {
    const { storage, hash } = this.#options
    this.#fileBytes += writeFooter(storage, segment, hash)
    this.#close(segment)
    this.#sealed = this.#sealed.filter((other) => other !== segment)
  }

  /** At the end: the active segment, all of it durable, gets its footer synced; a failure leaves it without one. */
  async closeActive(): Promise<void> {
    const segment = this.#active
    if (segment === null) return
    this.#active = null
    const { durability, storage, hash } = this.#options
    if (segment.frameCount > 0 && segment.durableByte === segment.endByte) {
      this.#fileBytes += writeFooter(storage, segment, hash)
      if (durability !== 'memory') await storage.datasync(segment.file).catch(() => undefined)
    }
    this.#close(segment)
  }

  /**
   * After a failure: nothing behind `validEndByte` of `last` counts. Closes every file, deletes those after `last`
   * (nothing in them was acked or seen; recovery passes over one that cannot be deleted), begins a new epoch.
   */
  cut(last: OpenSegment | null, validEndByte: number): void {
    const { storage, shard } = this.#options
    for (const segment of this.#openSegments()) {
      this.#close(segment)
      if (last !== null && segment.ordinal <= last.ordinal) continue
      this.#fileBytes -= segment.endByte
      this.#nextOrdinal = Math.min(this.#nextOrdinal, segment.ordinal)
      try {
        storage.unlink(segment.path)
      } catch {
        // A failed disk may refuse this too. Its epoch is lower than that of the next segment at the same offset.
      }
    }
    this.#active = null
    this.#sealed = []
    this.#prevValidEndByte = last === null ? shard.start.prevValidEndByte : validEndByte
    this.#epoch++
  }

  #openSegments(): OpenSegment[] {
    return this.#active === null ? [...this.#sealed] : [...this.#sealed, this.#active]
  }

  #create(firstOffset: number): OpenSegment {
    try {
      return this.#createFile(firstOffset)
    } catch (error) {
      // Left over from an attempt that could not be deleted: the next epoch has another name.
      if (errnoOf(error) !== 'EEXIST') throw error
      this.#epoch++
      return this.#createFile(firstOffset)
    }
  }

  #createFile(firstOffset: number): OpenSegment {
    const { storage, clock, hash, store, shard } = this.#options
    const trouble = this.trouble()
    if (trouble !== null) throw trouble
    const epoch = this.#epoch
    const prevValidEndByte =
      this.#active === null
        ? this.#prevValidEndByte
        : this.#active.endByte + SEGMENT_FOOTER.byteCount
    const file = path.join(shard.directory, segmentFileName(firstOffset, epoch))
    const segment = newOpenSegment({
      file: storage.open(file, 'create'),
      path: file,
      ordinal: this.#nextOrdinal,
      epoch,
      firstOffset,
      salt: segmentSalt(store.secret, shard.logId, epoch, firstOffset),
      prevValidEndByte,
      openedMs: clock.monotonicMs()
    })
    const header = {
      ...segmentFeatures(store, this.#options.compression ?? 'none'),
      storeUuid: store.uuid,
      shardNumber: shard.shardNumber,
      epoch,
      firstOffset,
      createdMs: clock.nowMs(),
      prevValidEndByte
    }
    this.#writeHeader(segment, encodeSegmentHeader(header, hash, segment.salt))
    return segment
  }

  #writeHeader(segment: OpenSegment, header: Buffer): void {
    try {
      const byteCount = this.#options.storage.writev(segment.file, [header], 0)
      if (byteCount === SEGMENT_HEADER.byteCount) return
    } catch (error) {
      this.#discard(segment)
      throw error
    }
    this.#discard(segment)
    const error: NodeJS.ErrnoException = new Error('no space for the header of a segment')
    error.code = 'ENOSPC'
    throw error
  }

  #adopt(segment: OpenSegment): void {
    this.#active = segment
    this.#nextOrdinal = segment.ordinal + 1
    this.#fileBytes += segment.endByte
  }

  #discard(segment: OpenSegment): void {
    this.#close(segment)
    this.#epoch++
    try {
      this.#options.storage.unlink(segment.path)
    } catch {
      // The next attempt has another epoch, and an empty file is no loss to recovery.
    }
  }

  #close(segment: OpenSegment): void {
    try {
      this.#options.storage.close(segment.file)
    } catch {
      // The descriptor is gone either way; what matters was learned from the sync.
    }
  }
}

/** '' when nothing has the name. */
function identityOf({ shard, storage }: ShardWriterOptions): string {
  return storage.stat(shard.directory)?.identity ?? ''
}
