// Runs on: main.
// Where the commands that read a queue find its files: in the directory that was named, in that of the configuration, or
// in that of the running server. Files are opened to read only and without the lock.

import { resolve } from 'node:path'
import type { StoreInfo } from '../../admin/status.ts'
import { errnoOf, MillraceError } from '../../core/errors.ts'
import { createFrameHash, type HashExports } from '../../kernel/frame-hash.ts'
import { instantiateKernel } from '../../kernel/instance.ts'
import {
  openStoreView,
  policyOf,
  type StoreView,
  type ViewOptions
} from '../../storage/inspect/store.ts'
import { nodeStorage } from '../../storage/storage.ts'
import { askAdminJson } from '../admin-client.ts'
import type { CliIo } from '../io.ts'
import type { AdminOptions, DirectoryOptions } from '../options.ts'

/** Memory of the kernel instance that checks hashes. */
const KERNEL_BYTES = 1024 * 1024

/** Opens the directory for reading. Throws MR_ADMIN when none was named and no server runs. */
export async function openDirectory(options: DirectoryOptions, io: CliIo): Promise<StoreView> {
  const hash = createFrameHash(instantiateKernel<HashExports>({ memoryBytes: KERNEL_BYTES }))
  const { dataDir, ...known } = await placeOf(options, io)
  const view = openStoreView(nodeStorage, dataDir, hash, known)
  for (const fault of view.faults) io.error(`warning: ${dataDir}/${fault}\n`)
  return view
}

/** Says on which guess the judgement of a log rests, where there was something to judge. */
export function warnOfPolicy(view: StoreView, log: string, io: CliIo): void {
  const { durability, isAssumed } = policyOf(view, log)
  if (!isAssumed) return
  io.error(
    `note: ${log}: judged as under durability: ${durability}, which is assumed; -c tells the policy of the route\n`
  )
}

interface StorePlace extends ViewOptions {
  readonly dataDir: string
}

async function placeOf(options: DirectoryOptions, io: CliIo): Promise<StorePlace> {
  const named = options.dataDir === undefined ? null : resolve(io.workingDirectory, options.dataDir)
  if (options.config.length > 0 || options.configDir !== undefined) {
    const { requireConfig } = await import('../config-source.ts')
    const { config } = requireConfig([], options, io)
    const durabilities = new Map(config.routes.map(({ durability, id }) => [id, durability]))
    return { dataDir: named ?? config.dataDir, keys: config.queue.keys, durabilities }
  }
  if (named !== null) return { dataDir: named }
  const { dataDir, durability } = await askServer(options)
  const durabilities = new Map(Object.entries(durability))
  if (nodeStorage.stat(dataDir) !== null) return { dataDir, durabilities }
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
