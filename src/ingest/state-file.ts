// Step 2. Runs on: ingest.
// What an input remembers over starts: `inputs/<id>/<name>` below the data directory, replaced whole. A crash leaves the
// old bytes or the new ones.

import path from 'node:path'
import type { StateFile } from '../plugin/input.ts'
import { replaceFileLater } from '../storage/replace-file.ts'
import type { Storage } from '../storage/storage.ts'

export class DiskStateFile implements StateFile {
  readonly #storage: Storage
  readonly #directory: string
  readonly #path: string
  readonly #dataDir: string
  #isMade = false

  constructor(storage: Storage, dataDir: string, inputId: string, name: string) {
    this.#storage = storage
    this.#dataDir = dataDir
    this.#directory = path.join(dataDir, 'inputs', inputId)
    this.#path = path.join(this.#directory, name)
  }

  read(): Buffer | null {
    const stat = this.#storage.stat(this.#path)
    if (stat === null) return null
    const file = this.#storage.open(this.#path, 'read')
    try {
      const bytes = Buffer.alloc(stat.byteCount)
      return bytes.subarray(0, this.#storage.pread(file, bytes, 0))
    } finally {
      this.#storage.close(file)
    }
  }

  async write(bytes: Buffer): Promise<void> {
    if (!this.#isMade) {
      this.#storage.mkdir(this.#directory)
      await this.#storage.dirsync(path.dirname(this.#directory))
      await this.#storage.dirsync(this.#dataDir)
      this.#isMade = true
    }
    await replaceFileLater(this.#storage, this.#path, bytes)
  }
}
