// Step 8. Runs on: main.
// Appends bodies to files. A row is stored when `fdatasync` returned, and a new file when its directory entry is synced
// too. At-least-once: what was written and not confirmed is written again. A write that fails is cut off again, and a
// line that a crash left unfinished gets its line break, so that the next line stands by itself.
// Holds at most 64 open files; the one that was idle longest is closed.

import type { Stats } from 'node:fs'
import { type FileHandle, mkdir, open, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { errnoOf } from '../../../src/core/errors.ts'
import type { Batch, FlushOutcome, Output, Verdict } from '../../../src/plugin/output.ts'

export const OPEN_FILES_MAX = 64
const LINE_BREAK = 0x0a

interface OpenFile {
  readonly handle: FileHandle
  readonly stats: Stats
  /** Flushes that use it now; it is not closed below them. */
  useCount: number
}

export interface FileOptions {
  readonly fileMode: number
}

export class FileOutput implements Output {
  readonly #fileMode: number
  /** In the order of last use. */
  readonly #files = new Map<string, OpenFile>()
  /** Last flush of each path that has one: two routes may share a file, and their writes must not mix. */
  readonly #last = new Map<string, Promise<FlushOutcome>>()
  #isStopped = false

  constructor(options: FileOptions) {
    this.#fileMode = options.fileMode
  }

  get openFileCount(): number {
    return this.#files.size
  }

  start(): Promise<void> {
    this.#isStopped = false
    return Promise.resolve()
  }

  /** A write cannot be taken back: an abort counts before it begins, and the flush settles when it is over. */
  async flush(batch: Batch, signal: AbortSignal): Promise<FlushOutcome> {
    if (signal.aborted || this.#isStopped) return all({ kind: 'retry', reason: 'aborted' })
    const before = this.#last.get(batch.target)
    const flush = before === undefined ? this.#flush(batch) : before.then(() => this.#flush(batch))
    this.#last.set(batch.target, flush)
    try {
      return await flush
    } finally {
      if (this.#last.get(batch.target) === flush) this.#last.delete(batch.target)
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await Promise.allSettled(this.#last.values())
    const files = [...this.#files.values()]
    this.#files.clear()
    await Promise.allSettled(files.map(({ handle }) => handle.close()))
  }

  async #flush(batch: Batch): Promise<FlushOutcome> {
    let file: OpenFile | null = null
    try {
      file = await this.#take(batch.target)
      await append(file.handle, batch.body)
      return all({ kind: 'stored' })
    } catch (error) {
      return all(failureOf(error))
    } finally {
      if (file !== null) file.useCount--
      await this.#closeIdle()
    }
  }

  /** The open file of a path; opened anew when somebody moved or removed it. */
  async #take(path: string): Promise<OpenFile> {
    const known = this.#files.get(path)
    if (known !== undefined) {
      this.#files.delete(path)
      if (await isSameFile(path, known.stats)) {
        this.#files.set(path, known)
        known.useCount++
        return known
      }
      await known.handle.close()
    }
    const file = await openForAppend(path, this.#fileMode)
    this.#files.set(path, file)
    return file
  }

  async #closeIdle(): Promise<void> {
    for (const [path, file] of this.#files) {
      if (this.#files.size <= OPEN_FILES_MAX) return
      if (file.useCount > 0) continue
      this.#files.delete(path)
      // What was confirmed is on disk already, so a failing close loses nothing.
      await file.handle.close().catch(() => undefined)
    }
  }
}

async function isSameFile(path: string, known: Stats): Promise<boolean> {
  try {
    const now = await stat(path)
    return now.ino === known.ino && now.dev === known.dev
  } catch {
    return false
  }
}

async function openForAppend(path: string, fileMode: number): Promise<OpenFile> {
  const directory = dirname(path)
  const created = await mkdir(directory, { recursive: true })
  const handle = await open(path, 'a+', fileMode)
  try {
    const stats = await handle.stat()
    if (stats.size === 0) await syncDirectories(directory, created)
    else await endLine(handle, stats.size)
    return { handle, stats, useCount: 1 }
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** Makes the entry of a new file durable, and those of the directories made for it. */
async function syncDirectories(directory: string, created: string | undefined): Promise<void> {
  const top = created === undefined ? directory : dirname(created)
  for (let path = directory; ; path = dirname(path)) {
    const handle = await open(path, 'r')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
    if (path === top || path === dirname(path)) return
  }
}

async function endLine(handle: FileHandle, byteCount: number): Promise<void> {
  const last = Buffer.alloc(1)
  await handle.read(last, 0, 1, byteCount - 1)
  if (last[0] !== LINE_BREAK) await handle.write(Buffer.from([LINE_BREAK]))
}

async function append(handle: FileHandle, body: Buffer): Promise<void> {
  const { size: startByte } = await handle.stat()
  try {
    let writtenBytes = 0
    while (writtenBytes < body.length) {
      const { bytesWritten } = await handle.write(body, writtenBytes)
      writtenBytes += bytesWritten
    }
    await handle.datasync()
  } catch (error) {
    // The same rows come again; half of them now would only stand in the file twice.
    await handle.truncate(startByte).catch(() => undefined)
    throw error
  }
}

function failureOf(error: unknown): Verdict {
  const errno = errnoOf(error)
  // The name comes from records: no later try makes it shorter.
  if (errno === 'ENAMETOOLONG') return { kind: 'refuse', reason: 'path_too_long' }
  return { kind: 'retry', reason: errno === '' ? 'write_failed' : errno.toLowerCase() }
}

function all(verdict: Verdict): FlushOutcome {
  return { kind: 'all', verdict }
}
