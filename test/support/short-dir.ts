// A directory for Unix sockets: their paths have 107 bytes, which the fixture directory of a test may exceed.

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { Test } from 'tap'

export function shortDir(t: Test, files: Readonly<Record<string, string>> = {}): string {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'mr-'))
  t.teardown(() => fs.rmSync(directory, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) {
    fs.writeFileSync(path.join(directory, name), text)
  }
  return directory
}
