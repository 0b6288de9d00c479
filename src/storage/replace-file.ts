// Runs on: main.
// A small file in place of another: written beside it, then renamed over it, so that a crash leaves the old one or the new.

import path from 'node:path'
import { MillraceError } from '../core/errors.ts'
import type { Storage } from './storage.ts'

/** Durable with its name when it returns. Throws MR_STORE_FULL where there is no room; the old file is then untouched. */
export function replaceFile(storage: Storage, target: string, bytes: Buffer): void {
  const beside = `${target}.new`
  if (storage.stat(beside) !== null) storage.unlink(beside)
  const file = storage.open(beside, 'create')
  try {
    if (storage.writev(file, [bytes], 0) !== bytes.length) {
      throw new MillraceError('MR_STORE_FULL', `no room for ${target}; free space on the volume`)
    }
    storage.datasyncNow(file)
  } finally {
    storage.close(file)
  }
  storage.rename(beside, target)
  storage.dirsyncNow(path.dirname(target))
}
