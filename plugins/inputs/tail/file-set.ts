// Steps 1 and 2. Runs on: ingest.
// Which files are open. A file is its device and inode, whatever it is called: one that is renamed stays the same file,
// with the tag that it began with. It is closed when it left its name, is stored whole and did not grow for rotate_wait.
// Limit: one descriptor for each file that is there under the name it was found by.

import fs from 'node:fs'
import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'
import type { InputContext } from '../../../src/plugin/input.ts'
import { LineStore } from '../../../src/plugin/line-store.ts'
import { tagOf } from './file-tag.ts'
import { type Fingerprint, NO_FINGERPRINT, readFingerprint } from './fingerprint.ts'
import type { TailOptions } from './options.ts'
import type { FilePosition, PositionBook } from './position-book.ts'
import { type ReadOutcome, TailFile, type TailFileParts, type TailFileStart } from './tail-file.ts'
import type { UnreadableFiles } from './unreadable-files.ts'

/** A file that did not grow is looked at more and more rarely, up to this. */
const LOOK_MS_MAX = 1000
/** Of the time that it has not grown. */
const LOOK_SHARE = 1 / 8
/** Where to search for the last line end, for `start_at: end`. */
const LAST_LINE_BYTES_MAX = 64 * 1024
const LINE_FEED = 10
/** A file may be hidden from the first search, by a rename at that moment, and stored by the process before. */
const STORED_BEFORE_MS = 60_000
/** A FIFO must not hold the thread up. */
const OPEN_FLAGS = fs.constants.O_RDONLY | fs.constants.O_NONBLOCK

export interface FileSetOptions {
  readonly options: TailOptions
  readonly context: InputContext<ScanKernel>
  readonly book: PositionBook
  readonly unreadable: UnreadableFiles
  onSettled(file: TailFile, isStored: boolean): void
}

/** A name and the file that it leads to. */
interface FoundFile {
  readonly path: string
  readonly key: string
  readonly modifiedMs: number
}

export class FileSet {
  readonly #options: FileSetOptions
  readonly #parts: TailFileParts
  readonly #files = new Map<string, TailFile>()
  readonly #startMs: number
  #isFirst = true

  constructor(setOptions: FileSetOptions) {
    this.#options = setOptions
    this.#startMs = setOptions.context.clock.monotonicMs()
    const { book, context, options } = setOptions
    this.#parts = {
      context,
      lineBytesMax: options.max_line_bytes,
      pathKey: options.path_key,
      lines: new LineStore(context, {
        format: options.format,
        key: options.key,
        lineBytesMax: options.max_line_bytes,
        keepsEmpty: options.keep_empty_lines
      }),
      onMoved: () => book.changed(),
      onSettled: (file, isStored) => setOptions.onSettled(file, isStored)
    }
  }

  get files(): Iterable<TailFile> {
    return this.#files.values()
  }

  has(file: TailFile): boolean {
    return this.#files.get(file.key) === file
  }

  *positions(): Iterable<FilePosition> {
    const nowMs = this.#options.context.clock.nowMs()
    for (const file of this.#files.values()) yield file.position(nowMs)
  }

  /** What is there now: opens what is new, notices what left its name. */
  refresh(paths: readonly string[]): void {
    const { book, context } = this.#options
    const found = new Map<string, FoundFile>()
    for (const path of paths) {
      const file = this.#find(path)
      if (file !== null && !found.has(file.key)) found.set(file.key, file)
    }
    for (const file of this.#files.values()) this.checkName(file)
    for (const file of found.values()) if (!this.#files.has(file.key)) this.#consider(file)
    book.seen(found, context.clock.nowMs())
    // From now on a start is not the first.
    if (this.#isFirst) book.changed()
    this.#isFirst = false
  }

  /** Looks at a file. True: it has something to read. */
  look(file: TailFile, nowMs: number): boolean {
    try {
      const hasMore = file.look(nowMs)
      const idleMs = nowMs - file.grownMs
      file.nextLookMs = nowMs + Math.min(LOOK_MS_MAX, idleMs * LOOK_SHARE)
      return hasMore
    } catch (error) {
      this.#lose(file, error)
      return false
    }
  }

  read(file: TailFile): ReadOutcome {
    if (!this.has(file)) return 'idle'
    try {
      return file.read(this.#isAtEnd(file))
    } catch (error) {
      this.#lose(file, error)
      return 'idle'
    }
  }

  /** True: its name leads to another file now, or to none, since this call. */
  checkName(file: TailFile): boolean {
    const { clock, counters } = this.#options.context
    const there = this.#find(file.home)
    // Whether it is there cannot be told now.
    if (there === null && this.#options.unreadable.has(file.home)) return false
    const isThere = there?.key === file.key
    if (isThere) file.rotatedMs = null
    if (isThere || file.rotatedMs !== null) return false
    file.rotatedMs = clock.monotonicMs()
    counters.add('file_rotations', 1)
    return true
  }

  /** Closes a file that is done with. True: a last line without an end is to be stored before. */
  finish(file: TailFile): boolean {
    const { clock } = this.#options.context
    const isDone = this.#isAtEnd(file) || this.#isOld(file.modifiedMs)
    if (!isDone || file.isBusy) return false
    if (!file.isStoredWhole) return this.#isAtEnd(file)
    // The inode of a file that is deleted goes to another one.
    if (!file.isDeleted) this.#options.book.keep(file.position(clock.nowMs()))
    this.#close(file)
    return false
  }

  closeAll(): void {
    const nowMs = this.#options.context.clock.nowMs()
    for (const file of this.#files.values()) {
      this.#options.book.keep(file.position(nowMs))
      this.#close(file)
    }
  }

  #isAtEnd(file: TailFile): boolean {
    if (file.rotatedMs === null) return false
    const sinceMs = Math.max(file.rotatedMs, file.grownMs)
    return this.#options.context.clock.monotonicMs() - sinceMs >= this.#options.options.rotate_wait
  }

  #isOld(modifiedMs: number): boolean {
    const { context, options } = this.#options
    const { ignore_older = Number.POSITIVE_INFINITY } = options
    return context.clock.nowMs() - modifiedMs > ignore_older
  }

  /** Null: nothing that could be read, or not now. */
  #find(path: string): FoundFile | null {
    try {
      const stat = fs.statSync(path, { bigint: true })
      if (!stat.isFile()) return null
      return {
        path,
        key: `${stat.dev}:${stat.ino}`,
        modifiedMs: Number(stat.mtimeMs)
      }
    } catch (error) {
      this.#options.unreadable.add(path, error)
      return null
    }
  }

  /** A file that is not open. */
  #consider(found: FoundFile): void {
    const { book, unreadable } = this.#options
    const known = book.find(found.key, found.path)
    try {
      const handle = fs.openSync(found.path, OPEN_FLAGS)
      const isKept = this.#isOpened(found, known, handle)
      if (!isKept) fs.closeSync(handle)
      unreadable.remove(found.path)
    } catch (error) {
      unreadable.add(found.path, error)
    }
  }

  /** Whether it is to be followed, as it is now; the handle is the file's then. */
  #isOpened(found: FoundFile, known: FilePosition | null, handle: number): boolean {
    const { book } = this.#options
    const { size } = fs.fstatSync(handle)
    const same = known !== null && size >= known.positionByte ? known : null
    const fingerprint = same && readFingerprint(handle, same.fingerprint)
    // Other first bytes, or fewer: the inode of a file that is gone, or what was written in its place.
    const position = fingerprint === null ? null : same
    const isOld = this.#isOld(found.modifiedMs)
    // A rotated file that is stored whole rests until it grows.
    const isResting = position?.positionByte === size && (position.path !== found.path || isOld)
    if (known !== null && known !== position) book.take(known)
    if (isResting || (isOld && known === null)) {
      const { positionByte = size, path = found.path } = position ?? {}
      const { key, modifiedMs: seenMs } = found
      const kept = {
        key,
        path,
        positionByte,
        seenMs,
        isFromBefore: position?.isFromBefore === true
      }
      if (position !== null && position.key !== key) book.take(position)
      book.keep({ ...kept, fingerprint: fingerprint ?? firstBytesOf(handle) })
      return false
    }
    this.#follow(found, handle, {
      home: position?.path ?? found.path,
      positionByte: position?.positionByte ?? this.#startByte(handle, size, known),
      fingerprint: fingerprint ?? firstBytesOf(handle),
      isStoredMaybe: this.#isStoredMaybe(position)
    })
    if (position !== null) book.take(position)
    return true
  }

  #follow(
    { key, path }: FoundFile,
    handle: number,
    start: Omit<TailFileStart, 'handle' | 'key' | 'tag'>
  ): void {
    const { context, options } = this.#options
    const tag = tagOf(options.tag, start.home)
    const file = new TailFile(this.#parts, { ...start, handle, key, tag })
    this.#files.set(key, file)
    if (start.home !== path) file.rotatedMs = context.clock.monotonicMs()
  }

  /** Whether the process before may have stored chunks behind the position. */
  #isStoredMaybe(position: FilePosition | null): boolean {
    if (position !== null) return position.isFromBefore === true
    return this.#options.context.clock.monotonicMs() - this.#startMs < STORED_BEFORE_MS
  }

  /** Where to begin in a file that nothing is known of. */
  #startByte(handle: number, byteCount: number, known: FilePosition | null): number {
    const { book, options } = this.#options
    const isFromEnd = options.start_at === 'end' && book.isFirstStart && this.#isFirst
    return isFromEnd && known === null ? lastLineStart(handle, byteCount) : 0
  }

  /** The file system refuses it. It is tried again with the next refresh. */
  #lose(file: TailFile, error: unknown): void {
    this.#options.unreadable.add(file.home, error)
    this.#options.book.keep(file.position(this.#options.context.clock.nowMs()))
    this.#close(file)
  }

  #close(file: TailFile): void {
    this.#files.delete(file.key)
    file.close()
  }
}

function firstBytesOf(handle: number): Fingerprint {
  return readFingerprint(handle, NO_FINGERPRINT) ?? NO_FINGERPRINT
}

/** Behind the last line end, so that a line that is being written is read whole. */
function lastLineStart(handle: number, byteCount: number): number {
  const bytes = Buffer.alloc(Math.min(byteCount, LAST_LINE_BYTES_MAX))
  const startByte = byteCount - bytes.length
  const length = fs.readSync(handle, bytes, 0, bytes.length, startByte)
  const last = bytes.subarray(0, length).lastIndexOf(LINE_FEED)
  return last < 0 && startByte > 0 ? byteCount : startByte + last + 1
}
