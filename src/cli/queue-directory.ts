// Runs on: main.
// Where the commands that read a queue find its files: in the directory that was named, in that of the configuration, or
// in that of the running server. Files are opened to read only and without the lock.

import { resolve } from 'node:path'
import type { StoreInfo } from '../admin/status.ts'
import type { StoreKeys } from '../core/encryption-keys.ts'
import { errnoOf, MillraceError } from '../core/errors.ts'
import { createFrameHash, type HashExports } from '../kernel/frame-hash.ts'
import { instantiateKernel } from '../kernel/instance.ts'
import { openStoreView, type StoreView } from '../storage/inspect-store.ts'
import { nodeStorage } from '../storage/storage.ts'
import { askAdminJson } from './admin-client.ts'
import type { CliIo } from './io.ts'
import type { AdminOptions, DirectoryOptions } from './options.ts'

/** Memory of the kernel instance that checks hashes. */
const KERNEL_BYTES = 1024 * 1024

/** Opens the directory for reading. Throws MR_ADMIN when none was named and no server runs. */
export async function openDirectory(options: DirectoryOptions, io: CliIo): Promise<StoreView> {
  const hash = createFrameHash(instantiateKernel<HashExports>({ memoryBytes: KERNEL_BYTES }))
  const { dataDir, keys } = await placeOf(options, io)
  const view = openStoreView(nodeStorage, dataDir, hash, keys)
  for (const fault of view.faults) io.error(`warning: ${dataDir}/${fault}\n`)
  return view
}

interface StorePlace {
  readonly dataDir: string
  /** Null: encrypted frames stay locked. */
  readonly keys: StoreKeys | null
}

async function placeOf(options: DirectoryOptions, io: CliIo): Promise<StorePlace> {
  const named = options.dataDir === undefined ? null : resolve(io.workingDirectory, options.dataDir)
  if (options.config.length > 0 || options.configDir !== undefined) {
    const { requireConfig } = await import('./config-source.ts')
    const { config } = requireConfig([], options, io)
    return { dataDir: named ?? config.dataDir, keys: config.queue.keys }
  }
  if (named !== null) return { dataDir: named, keys: null }
  const { dataDir } = await askServer(options)
  if (nodeStorage.stat(dataDir) !== null) return { dataDir, keys: null }
  throw new MillraceError(
    'MR_USAGE',
    `the server writes to ${dataDir}, which is not on this machine; run the command there, or say --data-dir`
  )
}

async function askServer(options: AdminOptions): Promise<StoreInfo> {
  try {
    // The server of the same version answers in this shape.
    return (await askAdminJson(options, 'GET', '/api/v1/store')) as StoreInfo
  } catch (error) {
    const isSilent = error instanceof MillraceError && errnoOf(error.cause) !== ''
    if (!isSilent) throw error
    const text = `${error.message}; where no server runs say --data-dir`
    throw new MillraceError('MR_ADMIN', text, { cause: error })
  }
}
