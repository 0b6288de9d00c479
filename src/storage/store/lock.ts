// Runs on: main.
// One process per data directory: two writers would destroy it. The lock is flock(2) on LOCK, taken by the `flock` program
// on a descriptor that it inherits. It belongs to the open file description, which this process keeps, so the system
// releases it at any death of the process; it counts in every namespace of the machine. LOCK holds who has it, in JSON,
// for people. There is no fallback: a file of process ids is wrong across pid namespaces, and a heartbeat stops with a
// stalled event loop. Where nothing can be locked, nothing is started.

import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { errnoOf, errorText, MillraceError } from '../../core/errors.ts'

/** A held lock answers at once; this bounds a hanging `flock` program: two calls fit into two seconds. */
const FLOCK_TIMEOUT_MS = 900
/** `flock -n`: exit status when somebody else has the lock. */
const STATUS_HELD = 1
/** Of LOCK that is read for the message. */
const HOLDER_BYTES_MAX = 4096

export interface LockHolder {
  readonly host: string
  readonly pid: number
  readonly startedAt: string
  readonly version: string
}

export interface StoreLock {
  /** Gives the directory free. */
  release(): void
}

/**
 * Takes the lock, or throws MR_STORE_LOCKED with the holder's name within two seconds, or MR_STORE_LOCK where nothing can
 * be locked: no `flock` program, or a file system on which a lock keeps nobody out.
 */
export function lockStore(dataDirectory: string, holder: LockHolder, program = 'flock'): StoreLock {
  const file = path.join(dataDirectory, 'LOCK')
  const handle = openLockFile(dataDirectory, file)
  try {
    takeLock(file, handle, program)
    // Before the name is written: a lock that holds nobody back may be another process's too.
    proveLock(file, program)
    writeHolder(handle, holder)
  } catch (error) {
    fs.closeSync(handle)
    throw error
  }
  let isHeld = true
  return {
    release() {
      if (isHeld) fs.closeSync(handle)
      isHeld = false
    }
  }
}

function openLockFile(dataDirectory: string, file: string): number {
  try {
    fs.mkdirSync(dataDirectory, { recursive: true, mode: 0o700 })
    return fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600)
  } catch (error) {
    throw new MillraceError(
      'MR_STORE_IO',
      `${dataDirectory} cannot be used as data_dir: ${errorText(error)}`,
      { cause: error }
    )
  }
}

function takeLock(file: string, handle: number, program: string): void {
  const answer = askLock(file, handle, program)
  if (answer === 'taken') return
  throw new MillraceError(
    'MR_STORE_LOCKED',
    `${path.dirname(file)} is in use by ${readHolder(handle)}. Stop that process or choose another data_dir`
  )
}

/** Start-up self-test: through a second open of the file the lock must be refused, as it would be to another process. */
function proveLock(file: string, program: string): void {
  const second = fs.openSync(file, fs.constants.O_RDWR)
  try {
    if (askLock(file, second, program) === 'held') return
  } finally {
    fs.closeSync(second)
  }
  throw new MillraceError(
    'MR_STORE_LOCK',
    `${file} was locked twice: the file system of data_dir does not keep locks, so a second process could destroy the queues. Use a local file system`
  )
}

function askLock(file: string, handle: number, program: string): 'taken' | 'held' {
  const result = spawnSync(program, ['-n', '3'], {
    stdio: ['ignore', 'ignore', 'pipe', handle],
    timeout: FLOCK_TIMEOUT_MS
  })
  if (result.status === 0) return 'taken'
  if (result.error === undefined && result.status === STATUS_HELD) return 'held'
  const reason = result.error?.message ?? result.stderr.toString('utf8').trim()
  throw new MillraceError(
    'MR_STORE_LOCK',
    `${file} cannot be locked: ${reason || `status ${result.status}`}. The program \`${program}\` (util-linux or busybox) is needed`,
    { cause: result.error }
  )
}

/** In place and then cut: a reader never sees an empty file, and the block that it has is enough on a full volume. */
function writeHolder(handle: number, holder: LockHolder): void {
  const name = Buffer.from(`${JSON.stringify(holder)}\n`)
  try {
    fs.writeSync(handle, name, 0, name.length, 0)
    fs.ftruncateSync(handle, name.length)
  } catch (error) {
    // The lock holds without a name; the first start on a full volume cannot write one.
    if (errnoOf(error) !== 'ENOSPC' && errnoOf(error) !== 'EDQUOT') throw error
  }
}

function readHolder(handle: number): string {
  const bytes = Buffer.alloc(HOLDER_BYTES_MAX)
  const text = bytes.toString('utf8', 0, fs.readSync(handle, bytes, 0, bytes.length, 0)).trim()
  try {
    const { pid, host, startedAt, version } = JSON.parse(text.split('\n', 1)[0] ?? '')
    return `process ${pid} on ${host} (started ${startedAt}, version ${version})`
  } catch {
    return 'a process that has not written its name'
  }
}
