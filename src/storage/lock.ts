// Runs on: main.
// One process per data directory: two writers would destroy it. The lock is flock(2) on LOCK, taken by the `flock` program
// on a descriptor that it inherits. It belongs to the open file description, which this process keeps, so the system
// releases it at any death of the process. LOCK holds who has it, in JSON, for people.

import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { MillraceError } from '../core/errors.ts'

/** A held lock answers at once; this bounds a hanging `flock` program. */
const FLOCK_TIMEOUT_MS = 2000
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

/** Takes the lock or throws MR_STORE_LOCKED with the holder's name, within two seconds. */
export function lockStore(dataDirectory: string, holder: LockHolder, program = 'flock'): StoreLock {
  const file = path.join(dataDirectory, 'LOCK')
  fs.mkdirSync(dataDirectory, { recursive: true, mode: 0o700 })
  const handle = fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600)
  try {
    takeLock(file, handle, program)
    fs.ftruncateSync(handle, 0)
    fs.writeSync(handle, `${JSON.stringify(holder)}\n`, 0)
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

function takeLock(file: string, handle: number, program: string): void {
  const result = spawnSync(program, ['-n', '3'], {
    stdio: ['ignore', 'ignore', 'pipe', handle],
    timeout: FLOCK_TIMEOUT_MS
  })
  if (result.status === 0) return
  if (result.error === undefined && result.status === STATUS_HELD) {
    throw new MillraceError(
      'MR_STORE_LOCKED',
      `${path.dirname(file)} is in use by ${readHolder(handle)}. Stop that process or choose another data_dir`
    )
  }
  const reason = result.error?.message ?? result.stderr.toString('utf8').trim()
  throw new MillraceError(
    'MR_STORE_LOCKED',
    `${file} cannot be locked: ${reason || `status ${result.status}`}. The program \`${program}\` (util-linux or busybox) is needed`,
    { cause: result.error }
  )
}

function readHolder(handle: number): string {
  const bytes = Buffer.alloc(HOLDER_BYTES_MAX)
  const text = bytes.toString('utf8', 0, fs.readSync(handle, bytes, 0, bytes.length, 0)).trim()
  try {
    const { pid, host, startedAt, version } = JSON.parse(text)
    return `process ${pid} on ${host} (started ${startedAt}, version ${version})`
  } catch {
    return 'a process that has not written its name'
  }
}
