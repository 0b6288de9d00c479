// Runs on: any.
// The only way to the disk for the queue: all of it goes through `Storage`, so that tests can cut the power between any
// two operations. Operations are synchronous (a page-cache write takes microseconds) except `datasync`, which waits for
// the device. A failed operation throws the system's error with its `code` (`ENOSPC`, `EIO`).

import fs from 'node:fs'
import { SYNCS_IN_FLIGHT_MAX } from '../core/limits.ts'

/** `create` fails when the file exists; `update` when it does not. */
export type OpenMode = 'read' | 'update' | 'create'

export interface FileStat {
  readonly byteCount: number
  readonly isDirectory: boolean
  /** 0 after the file was deleted under an open descriptor. */
  readonly linkCount: number
  /** Device and inode: tells whether a name still means the same file or directory. */
  readonly identity: string
}

export interface VolumeStat {
  readonly totalBytes: number
  /** Free to a process without privileges. */
  readonly freeBytes: number
  readonly totalInodes: number
  readonly freeInodes: number
  /** `f_type` of statfs(2): tells network file systems. */
  readonly kind: number
}

export interface Storage {
  open(path: string, mode: OpenMode): number
  close(file: number): void
  /** Bytes written; may be short without an error when the volume is full, so compare it. */
  writev(file: number, parts: readonly Uint8Array[], atByte: number): number
  /** Bytes read; short only at the end of the file. */
  pread(file: number, into: Uint8Array, atByte: number): number
  truncate(file: number, byteCount: number): void
  /** Contents durable. After a failure nothing about unsynced bytes of the file is known, for ever. */
  datasync(file: number): Promise<void>
  /** Blocks until the contents are durable. Start, stop and cursors of tools only. */
  datasyncNow(file: number): void
  /** Names in the directory durable. */
  dirsync(directory: string): Promise<void>
  dirsyncNow(directory: string): void
  fstat(file: number): FileStat
  /** `null` when nothing has the name. */
  stat(path: string): FileStat | null
  readdir(directory: string): string[]
  unlink(path: string): void
  rename(from: string, to: string): void
  /** Makes missing parents too. Returns the first directory that was made, undefined when all existed. */
  mkdir(directory: string): string | undefined
  /** Only an empty directory. */
  rmdir(directory: string): void
  statfs(path: string): VolumeStat
  /** Blocks the thread, so that what refused a read may recover; at most once a second, else it returns at once. */
  pause(durationMs: number): void
}

const FILE_MODE = 0o600
const DIRECTORY_MODE = 0o700
const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_DIRECTORY } = fs.constants
const OPEN_FLAGS: Readonly<Record<OpenMode, number>> = {
  read: O_RDONLY,
  update: O_RDWR,
  create: O_RDWR | O_CREAT | O_EXCL
}

function toFileStat(stat: fs.Stats): FileStat {
  return {
    byteCount: stat.size,
    isDirectory: stat.isDirectory(),
    linkCount: stat.nlink,
    identity: `${stat.dev}:${stat.ino}`
  }
}

function readFully(file: number, into: Uint8Array, atByte: number): number {
  let done = 0
  while (done < into.length) {
    const count = fs.readSync(file, into, done, into.length - done, atByte + done)
    if (count === 0) break
    done += count
  }
  return done
}

let runningSyncCount = 0
const waitingSyncs: (() => void)[] = []

/** Syncs of one thread at a time: all threads share libuv's 16, and name look-ups must not wait for a slow disk. */
async function syncInPool(file: number, sync: typeof fs.fdatasync): Promise<void> {
  if (runningSyncCount >= SYNCS_IN_FLIGHT_MAX) {
    // The one that ends hands its place over.
    await new Promise<void>((resolve) => waitingSyncs.push(resolve))
  } else {
    runningSyncCount++
  }
  try {
    await new Promise<void>((resolve, reject) => {
      sync(file, (error) => (error ? reject(error) : resolve()))
    })
  } finally {
    const next = waitingSyncs.shift()
    if (next === undefined) runningSyncCount--
    else next()
  }
}

async function dirsync(directory: string): Promise<void> {
  const file = fs.openSync(directory, O_RDONLY | O_DIRECTORY)
  try {
    await syncInPool(file, fs.fsync)
  } finally {
    fs.closeSync(file)
  }
}

function dirsyncNow(directory: string): void {
  const file = fs.openSync(directory, O_RDONLY | O_DIRECTORY)
  try {
    fs.fsyncSync(file)
  } finally {
    fs.closeSync(file)
  }
}

function statfs(path: string): VolumeStat {
  const stat = fs.statfsSync(path)
  return {
    totalBytes: stat.blocks * stat.bsize,
    freeBytes: stat.bavail * stat.bsize,
    totalInodes: stat.files,
    freeInodes: stat.ffree,
    kind: stat.type
  }
}

const PAUSE_EVERY_MS = 1000
const pauseCell = new Int32Array(new SharedArrayBuffer(4))
let pausedMs = Number.NEGATIVE_INFINITY

function pause(durationMs: number): void {
  if (performance.now() - pausedMs < PAUSE_EVERY_MS) return
  Atomics.wait(pauseCell, 0, 0, durationMs)
  pausedMs = performance.now()
}

/** The real disk. Files are 0600, directories 0700. */
export const nodeStorage: Storage = {
  open: (path, mode) => fs.openSync(path, OPEN_FLAGS[mode], FILE_MODE),
  close: (file) => fs.closeSync(file),
  writev: (file, parts, atByte) => fs.writevSync(file, parts, atByte),
  pread: readFully,
  truncate: (file, byteCount) => fs.ftruncateSync(file, byteCount),
  datasync: (file) => syncInPool(file, fs.fdatasync),
  datasyncNow: (file) => fs.fdatasyncSync(file),
  dirsync,
  dirsyncNow,
  fstat: (file) => toFileStat(fs.fstatSync(file)),
  stat(path) {
    const stat = fs.statSync(path, { throwIfNoEntry: false })
    return stat === undefined ? null : toFileStat(stat)
  },
  readdir: (directory) => fs.readdirSync(directory),
  unlink: (path) => fs.unlinkSync(path),
  rename: (from, to) => fs.renameSync(from, to),
  mkdir: (directory) => fs.mkdirSync(directory, { recursive: true, mode: DIRECTORY_MODE }),
  rmdir: (directory) => fs.rmdirSync(directory),
  statfs,
  pause
}
