// Runs on: main, ingest.
// A small file in place of another: written beside it, then renamed over it, so that a crash leaves the old one or the new.

import path from 'node:path'
import { MillraceError } from '../core/errors.ts'
import type { Storage } from './storage.ts'

/** Durable with its name when it returns. Throws MR_STORE_FULL where there is no room; the old file is then untouched. */
export function replaceFile(storage: Storage, target: string, bytes: Buffer): void {
  const beside = `${target}.new`
  const file = create(storage, beside)
  try {
    write(storage, file, target, bytes)
    storage.datasyncNow(file)
  } finally {
    storage.close(file)
  }
  storage.rename(beside, target)
  storage.dirsyncNow(path.dirname(target))
}

/** The same without blocking the thread while the disk syncs. One call for a target at a time. */
export async function replaceFileLater(
  storage: Storage,
  target: string,
  bytes: Buffer
): Promise<void> {
  const beside = `${target}.new`
  const file = create(storage, beside)
  try {
    write(storage, file, target, bytes)
    await storage.datasync(file)
  } finally {
    storage.close(file)
  }
  storage.rename(beside, target)
  await storage.dirsync(path.dirname(target))
}

function create(storage: Storage, beside: string): number {
  if (storage.stat(beside) !== null) storage.unlink(beside)
  return storage.open(beside, 'create')
}

function write(storage: Storage, file: number, target: string, bytes: Buffer): void {
  if (storage.writev(file, [bytes], 0) === bytes.length) return
  throw new MillraceError('MR_STORE_FULL', `no room for ${target}; free space on the volume`)
}
