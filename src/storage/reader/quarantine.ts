// Runs on: any.
// Copies of what the queue had to pass over, so that a person can look at it: `<log>/quarantine`, each range with a JSON
// description beside it. Best effort and bounded: recovery and delivery go on when the volume is full. A copy is on the
// disk before the segment that it stems from can be deleted.

import path from 'node:path'
import { errorText } from '../../core/errors.ts'
import { readTolerant } from '../damage-read.ts'
import type { Storage } from '../storage.ts'

/** Bytes kept of one range. */
export const QUARANTINE_RANGE_BYTES_MAX = 16 * 1024 * 1024
/** Bytes of all copies of one shard; beyond, damage is counted and described in the log, not copied. */
export const QUARANTINE_BYTES_MAX = 256 * 1024 * 1024
/** Files of one shard: descriptions need inodes too. */
export const QUARANTINE_FILES_MAX = 4000
const COPY_BYTES = 1024 * 1024

/** A range of bytes and the offsets that stood in it: the content of a description. */
export interface DamagedRange {
  readonly segmentPath: string
  readonly startByte: number
  readonly endByte: number
  readonly firstOffset: number
  readonly endOffset: number
  readonly reason: string
}

/** `<log>/quarantine`, beside the shard directories. */
export function quarantineDirectory(shardDirectory: string): string {
  return path.join(path.dirname(shardDirectory), 'quarantine')
}

/** What one shard has in the quarantine of its log. */
export class Quarantine {
  readonly #storage: Storage
  readonly #shardDirectory: string
  /** Null: not looked yet. */
  #held: { byteCount: number; fileCount: number } | null = null

  constructor(storage: Storage, shardDirectory: string) {
    this.#storage = storage
    this.#shardDirectory = shardDirectory
  }

  /** Bytes of the files that stem from this shard; others write there too (the scrub), so it is counted anew. */
  get byteCount(): number {
    this.#held = null
    return this.#usage().byteCount
  }

  /** Copies a range of an open segment, with a description beside it. Returns a note for the operator. */
  copyRange(source: number, range: DamagedRange): string {
    const { endByte, endOffset, firstOffset, reason, segmentPath, startByte } = range
    const records = `${endOffset - firstOffset} records from offset ${firstOffset}`
    const place = `${segmentPath} bytes ${startByte} to ${endByte} (${reason}, ${records})`
    const target = this.#target(segmentPath, `-${startByte}.bin`)
    try {
      if (this.#storage.stat(target) !== null)
        return `${place}: damaged, copied before to ${target}`
      const byteCount = Math.min(endByte - startByte, QUARANTINE_RANGE_BYTES_MAX)
      const held = this.#usage()
      const isFull =
        held.byteCount + byteCount > QUARANTINE_BYTES_MAX ||
        held.fileCount + 2 > QUARANTINE_FILES_MAX
      if (isFull) return `${place}: damaged, not copied: the quarantine of the shard is full`
      this.#makeDirectory()
      this.#copy(source, startByte, byteCount, target)
      const textBytes = this.#describe(target, range, byteCount)
      this.#storage.dirsyncNow(path.dirname(target))
      held.byteCount += byteCount + textBytes
      held.fileCount += 2
      return `${place}: damaged, copied to ${target}`
    } catch (error) {
      this.#held = null
      return `${place}: damaged, not copied: ${errorText(error)}`
    }
  }

  /** Takes a whole file out of the shard; costs no space. */
  moveFile(segmentPath: string, reason: string): string {
    const target = this.#target(segmentPath, '')
    try {
      this.#makeDirectory()
      this.#storage.rename(segmentPath, target)
      return `${segmentPath}: ${reason}, moved to ${target}`
    } catch (error) {
      return `${segmentPath}: ${reason}, not moved: ${errorText(error)}`
    } finally {
      this.#held = null
    }
  }

  /** Shard, segment and byte: a range that is met again finds its own copy. */
  #target(segmentPath: string, suffix: string): string {
    const name = `${this.#prefix()}${path.basename(segmentPath)}${suffix}`
    return path.join(quarantineDirectory(this.#shardDirectory), name)
  }

  #prefix(): string {
    return `${path.basename(this.#shardDirectory)}-`
  }

  #makeDirectory(): void {
    const directory = quarantineDirectory(this.#shardDirectory)
    if (this.#storage.mkdir(directory) !== undefined) {
      this.#storage.dirsyncNow(path.dirname(directory))
    }
  }

  #usage(): { byteCount: number; fileCount: number } {
    this.#held ??= this.#count()
    return this.#held
  }

  #count(): { byteCount: number; fileCount: number } {
    const directory = quarantineDirectory(this.#shardDirectory)
    const held = { byteCount: 0, fileCount: 0 }
    if (this.#storage.stat(directory) === null) return held
    for (const name of this.#storage.readdir(directory)) {
      if (!name.startsWith(this.#prefix())) continue
      held.byteCount += this.#storage.stat(path.join(directory, name))?.byteCount ?? 0
      held.fileCount++
    }
    return held
  }

  #copy(source: number, startByte: number, byteCount: number, target: string): void {
    this.#write(target, (file) => {
      const piece = Buffer.alloc(Math.min(COPY_BYTES, byteCount))
      for (let done = 0; done < byteCount; ) {
        const into = piece.subarray(0, Math.min(piece.length, byteCount - done))
        const readBytes = readTolerant(this.#storage, source, into, startByte + done)
        if (readBytes === 0) return
        this.#append(file, into.subarray(0, readBytes), done)
        done += readBytes
      }
    })
  }

  /** Returns the bytes of the description. */
  #describe(target: string, range: DamagedRange, keptBytes: number): number {
    const recordCount = range.endOffset - range.firstOffset
    const content = { ...range, recordCount, keptBytes }
    const text = Buffer.from(`${JSON.stringify(content, null, 2)}\n`)
    this.#write(`${target}.json`, (file) => this.#append(file, text, 0))
    return text.length
  }

  #append(file: number, bytes: Buffer, atByte: number): void {
    const written = this.#storage.writev(file, [bytes], atByte)
    if (written !== bytes.length) throw new Error('no space left on the volume')
  }

  /** Whole and on the disk, or not there. */
  #write(target: string, fill: (file: number) => void): void {
    const file = this.#storage.open(target, 'create')
    let isWhole = false
    try {
      fill(file)
      this.#storage.datasyncNow(file)
      isWhole = true
    } finally {
      this.#storage.close(file)
      if (!isWhole) this.#storage.unlink(target)
    }
  }
}
