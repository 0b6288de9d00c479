// Reads what the output `file` wrote: one JSON object per line, one file per tag.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export type StoredRecord = Record<string, unknown> & { readonly time: string; readonly tag: string }

export function readRecords(folder: string): StoredRecord[] {
  let names: string[] = []
  try {
    names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  } catch {
    // Nothing was written yet.
  }
  return names
    .filter((name) => name.endsWith('.ndjson'))
    .toSorted()
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n'))
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as StoredRecord)
}
