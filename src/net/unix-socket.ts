// Step 1. Runs on: ingest, main.
// Unix sockets: a stale file is removed only after a connect failed, the mode is right from the first moment (the socket is
// bound in a private directory and renamed), and on close only our own file is unlinked.

import fs from 'node:fs/promises'
import net from 'node:net'
import path from 'node:path'
import { errnoOf, errorText, MillraceError } from '../core/errors.ts'
import { UNIX_PATH_BYTES_MAX } from './listen-address.ts'

export interface UnixSocketRights {
  /** Permission bits: 0o660. */
  readonly mode: number
  readonly uid: number | null
  readonly gid: number | null
}

/** `/.mr-XXXXXX/s` beside the final name. */
const STAGING_PREFIX = '.mr-'
const STAGING_BYTES = STAGING_PREFIX.length + '/XXXXXX/s'.length

/** Binds `server` to `socketPath`; the returned function unlinks the path if it is still ours. */
export async function listenUnix(
  server: net.Server,
  socketPath: string,
  backlog: number,
  rights: UnixSocketRights
): Promise<() => Promise<void>> {
  await removeStale(socketPath)
  const directory = path.dirname(socketPath)
  if (Buffer.byteLength(directory) + STAGING_BYTES > UNIX_PATH_BYTES_MAX) {
    throw failed(
      socketPath,
      `its directory has more than ${UNIX_PATH_BYTES_MAX - STAGING_BYTES} bytes`
    )
  }
  let staging: string
  try {
    staging = await fs.mkdtemp(path.join(directory, STAGING_PREFIX))
  } catch (error) {
    throw failed(socketPath, errorText(error), error)
  }
  try {
    const staged = path.join(staging, 's')
    await bind(server, staged, backlog)
    await fs.chmod(staged, rights.mode)
    if (rights.uid !== null || rights.gid !== null) {
      await fs.chown(
        staged,
        rights.uid ?? process.getuid?.() ?? -1,
        rights.gid ?? process.getgid?.() ?? -1
      )
    }
    const { ino } = await fs.stat(staged)
    await fs.rename(staged, socketPath)
    return () => unlinkOwn(socketPath, ino)
  } catch (error) {
    server.close()
    throw error instanceof MillraceError ? error : failed(socketPath, errorText(error), error)
  } finally {
    await fs.rm(staging, { recursive: true, force: true })
  }
}

async function removeStale(socketPath: string): Promise<void> {
  const stats = await fs.lstat(socketPath).catch(() => null)
  if (stats === null) return
  if (!stats.isSocket()) throw failed(socketPath, 'a file that is no socket has this name')
  if (await hasListener(socketPath)) throw failed(socketPath, 'another process listens there')
  await fs.unlink(socketPath)
}

function hasListener(socketPath: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = net.connect(socketPath)
    probe.on('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.on('error', (error) => {
      const errno = errnoOf(error)
      if (errno === 'ECONNREFUSED' || errno === 'ENOENT') resolve(false)
      else reject(failed(socketPath, errorText(error), error))
    })
  })
}

function bind(server: net.Server, staged: string, backlog: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ path: staged, backlog }, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

/** A successor may have replaced the file by its own socket. */
async function unlinkOwn(socketPath: string, ino: number): Promise<void> {
  const stats = await fs.lstat(socketPath).catch(() => null)
  if (stats?.ino === ino) await fs.unlink(socketPath).catch(() => {})
}

function failed(socketPath: string, reason: string, cause?: unknown): MillraceError {
  return new MillraceError('MR_LISTEN', `cannot listen on unix://${socketPath}: ${reason}`, {
    cause
  })
}
