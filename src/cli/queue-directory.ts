// Runs on: main.
// What a data directory holds, read without a server: names and sizes of segments, and the cursors. Opens files to read
// only, takes no lock and changes nothing, so it works on a copy, on a read-only mount, and beside a running server.

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { errnoOf, MillraceError } from '../core/errors.ts'
import { logIdOf } from '../core/position.ts'
import { createFrameHash, type HashExports } from '../kernel/frame-hash.ts'
import { instantiateKernel } from '../kernel/instance.ts'
import { decodeCursorSlot } from '../storage/cursor-slot.ts'
import { CURSOR_SLOT } from '../storage/format.ts'
import type { FrameHash } from '../storage/frame.ts'
import { decodeMeta, type StoreMeta } from '../storage/meta.ts'
import { cursorSalt, parseShardDirectoryName } from '../storage/segment-names.ts'
import { listShard } from '../storage/shard-directory.ts'
import { nodeStorage } from '../storage/storage.ts'

export interface StoredCursor {
  readonly output: string
  /** Every record below is finished; null: neither slot of the file can be read. */
  readonly lowOffset: number | null
  /** Records of sealed segments that wait; what the newest segment holds comes on top. */
  readonly pendingAtLeast: number | null
}

export interface StoredShard {
  /** Directory below the data directory: `routes/web/shard-00`. */
  readonly path: string
  readonly segments: number
  readonly diskBytes: number
  /** First record that is kept, and first record of the newest segment; null: no segment. */
  readonly firstOffset: number | null
  readonly newestOffset: number | null
  readonly cursors: readonly StoredCursor[]
}

/** Memory of the kernel instance that checks hashes. */
const KERNEL_BYTES = 1024 * 1024
/** Levels below the data directory that may hold shards: `park/<route>/<output>/shard-00`. */
const LEVELS_MAX = 4

/** Lists every shard below a data directory. Throws MR_STORE_META when it is none. */
export function readDataDirectory(dataDir: string): StoredShard[] {
  const hash = createFrameHash(instantiateKernel<HashExports>({ memoryBytes: KERNEL_BYTES }))
  const meta = readMeta(dataDir, hash)
  return shardPaths(dataDir, '', 0).map((path) => readShard(dataDir, path, meta, hash))
}

function readMeta(dataDir: string, hash: FrameHash): StoreMeta {
  for (const name of ['META', 'META.bak']) {
    try {
      const meta = decodeMeta(readFileSync(join(dataDir, name)), hash)
      if (meta !== null) return meta
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error
    }
  }
  throw new MillraceError(
    'MR_STORE_META',
    `${dataDir} holds no readable META: it is no data directory, or it is damaged`
  )
}

function shardPaths(dataDir: string, path: string, level: number): string[] {
  if (level > LEVELS_MAX || !existsSync(join(dataDir, path))) return []
  return readdirSync(join(dataDir, path), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .toSorted()
    .flatMap((name) => {
      const below = path === '' ? name : `${path}/${name}`
      return parseShardDirectoryName(name) === null
        ? shardPaths(dataDir, below, level + 1)
        : [below]
    })
}

function readShard(dataDir: string, path: string, meta: StoreMeta, hash: FrameHash): StoredShard {
  const directory = join(dataDir, path)
  const { live } = listShard(nodeStorage, directory)
  const newestOffset = live.at(-1)?.firstOffset ?? null
  const logId = logIdOf(meta.uuid, path)
  const cursors = readdirSync(directory)
    .filter((name) => name.endsWith('.cur'))
    .toSorted()
    .map((name) => {
      const output = name.slice(0, -'.cur'.length)
      const salt = cursorSalt(meta.secret, logId, output)
      const lowOffset = readLow(join(directory, name), hash, salt)
      const isKnown = lowOffset !== null && newestOffset !== null
      return {
        output,
        lowOffset,
        pendingAtLeast: isKnown ? Math.max(0, newestOffset - lowOffset) : null
      }
    })
  return {
    path,
    segments: live.length,
    diskBytes: live.reduce((sum, { byteCount }) => sum + byteCount, 0),
    firstOffset: live[0]?.firstOffset ?? null,
    newestOffset,
    cursors
  }
}

/** The newer of the two slots that can be read. */
function readLow(file: string, hash: FrameHash, salt: bigint): number | null {
  if (statSync(file).size > 2 * CURSOR_SLOT.byteCount) return null
  const bytes = readFileSync(file)
  let generation = -1
  let low: number | null = null
  for (let slot = 0; slot < 2; slot++) {
    const startByte = slot * CURSOR_SLOT.byteCount
    const part = bytes.subarray(startByte, startByte + CURSOR_SLOT.byteCount)
    const content = decodeCursorSlot(part, hash, salt)
    if (content === null || content.generation <= generation) continue
    generation = content.generation
    low = content.low
  }
  return low
}
