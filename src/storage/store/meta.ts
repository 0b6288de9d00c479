// Runs on: main.
// META: who this store is. Written once, twice over (META.bak), never changed: the uuid enters every log id and the
// secret every hash, so a store without them is unreadable. Both copies gone while data exists: refuse, touch nothing.

import { randomBytes } from 'node:crypto'
import path from 'node:path'
import { MillraceError } from '../../core/errors.ts'
import type { FrameHash } from '../format/frame.ts'
import {
  FORMAT_MAJOR,
  FORMAT_MINOR,
  META_FILE,
  STORE_INCOMPATIBLE_KNOWN
} from '../format/layout.ts'
import { checkFormat } from '../format/version.ts'
import { readU64, writeU64 } from '../format/words.ts'
import { makeDirectoryDurable } from '../reader/shard-directory.ts'
import { replaceFile } from '../replace-file.ts'
import type { Storage } from '../storage.ts'

export interface StoreMeta {
  readonly uuid: Buffer
  readonly secret: Buffer
  readonly createdMs: number
}

export interface OpenedMeta {
  readonly meta: StoreMeta
  /** What an operator should know: a copy was repaired. */
  readonly notes: readonly string[]
}

const AT = META_FILE.at
const NAMES = ['META', 'META.bak'] as const
/** Directories that hold records. */
const DATA_DIRECTORIES = ['routes', 'park', 'dlq'] as const

export function encodeMeta(meta: StoreMeta, hash: FrameHash): Buffer {
  const bytes = Buffer.alloc(META_FILE.byteCount)
  bytes.writeUInt32LE(META_FILE.magic, AT.magic)
  bytes.writeUInt8(FORMAT_MAJOR, AT.major)
  bytes.writeUInt8(FORMAT_MINOR, AT.minor)
  bytes.writeUInt16LE(STORE_INCOMPATIBLE_KNOWN, AT.incompatible)
  bytes.set(meta.uuid, AT.storeUuid)
  bytes.set(meta.secret, AT.storeSecret)
  writeU64(bytes, meta.createdMs, AT.createdMs)
  bytes.writeBigUInt64LE(hash([bytes.subarray(0, AT.hash)], 0n), AT.hash)
  return bytes
}

/** Null: torn or no META. Throws MR_STORE_FORMAT when a later release wrote it. */
export function decodeMeta(bytes: Buffer, hash: FrameHash): StoreMeta | null {
  if (bytes.length < META_FILE.byteCount) return null
  if (bytes.readUInt32LE(AT.magic) !== META_FILE.magic) return null
  if (hash([bytes.subarray(0, AT.hash)], 0n) !== bytes.readBigUInt64LE(AT.hash)) return null
  const major = bytes.readUInt8(AT.major)
  const incompatible = bytes.readUInt16LE(AT.incompatible)
  checkFormat('META', { major, incompatible }, STORE_INCOMPATIBLE_KNOWN)
  return {
    uuid: Buffer.from(bytes.subarray(AT.storeUuid, AT.storeUuid + 16)),
    secret: Buffer.from(bytes.subarray(AT.storeSecret, AT.storeSecret + 16)),
    createdMs: readU64(bytes, AT.createdMs)
  }
}

export interface MetaOptions {
  /** Told who the store is before anything is written; may throw. */
  readonly check?: (meta: StoreMeta) => void
  readonly random?: (byteCount: number) => Buffer
}

/** Reads the identity of the store, makes it for an empty directory, repairs one lost copy from the other. */
export function openMeta(
  storage: Storage,
  dataDirectory: string,
  hash: FrameHash,
  nowMs: number,
  { check, random = randomBytes }: MetaOptions = {}
): OpenedMeta {
  makeDirectoryDurable(storage, dataDirectory)
  const copies = NAMES.map((name) => readCopy(storage, path.join(dataDirectory, name), hash))
  const meta = copies.find((copy) => copy !== null)
  if (meta === undefined || meta === null) {
    if (hasData(storage, dataDirectory)) {
      throw new MillraceError(
        'MR_STORE_META',
        `META and META.bak in ${dataDirectory} cannot be read and there is queued data, which they are needed for. Restore one of them from a backup; nothing was changed`
      )
    }
    const fresh = { uuid: random(16), secret: random(16), createdMs: nowMs }
    for (const name of NAMES)
      replaceFile(storage, path.join(dataDirectory, name), encodeMeta(fresh, hash))
    return { meta: fresh, notes: [] }
  }
  check?.(meta)
  const notes: string[] = []
  NAMES.forEach((name, index) => {
    if (copies[index] !== null) return
    replaceFile(storage, path.join(dataDirectory, name), encodeMeta(meta, hash))
    notes.push(`${path.join(dataDirectory, name)} could not be read and was repaired from its copy`)
  })
  return { meta, notes }
}

function readCopy(storage: Storage, file: string, hash: FrameHash): StoreMeta | null {
  if (storage.stat(file) === null) return null
  const handle = storage.open(file, 'read')
  try {
    const bytes = Buffer.alloc(META_FILE.byteCount)
    const readBytes = storage.pread(handle, bytes, 0)
    return decodeMeta(bytes.subarray(0, readBytes), hash)
  } catch (error) {
    // An unreadable sector is a lost copy; a later format is not.
    if (error instanceof MillraceError) throw error
    return null
  } finally {
    storage.close(handle)
  }
}

function hasData(storage: Storage, directory: string): boolean {
  return DATA_DIRECTORIES.some((name) => holdsSegment(storage, path.join(directory, name), 4))
}

/** Depth is that of `park/<route>/<output>/shard-00`. */
function holdsSegment(storage: Storage, directory: string, depth: number): boolean {
  if (storage.stat(directory)?.isDirectory !== true) return false
  for (const name of storage.readdir(directory)) {
    if (name.endsWith('.seg')) return true
    if (depth > 0 && holdsSegment(storage, path.join(directory, name), depth - 1)) return true
  }
  return false
}
