// Runs on: main.
// What a route may lose that acknowledges before the sync, in numbers, for one warning line at the start. Under `sync` it
// is nothing, and nothing is said.

import { readFileSync } from 'node:fs'
import type { RouteConfig } from '../../config/schema.ts'
import { UNSYNCED_BYTES_MAX } from '../../core/limits.ts'
import { formatBytes, formatDuration } from '../../core/units.ts'

/** Linux writes pages back when they are this old, and looks for such pages this often: hundredths of a second. */
const AGE_FILE = '/proc/sys/vm/dirty_expire_centisecs'
const LOOK_FILE = '/proc/sys/vm/dirty_writeback_centisecs'
/** Its defaults. */
const AGE_DEFAULT = 3000
const LOOK_DEFAULT = 500

type ReadText = (file: string) => string

const readText: ReadText = (file) => readFileSync(file, 'utf8')

/** Null: nothing that was acknowledged can be lost. */
export function durabilityWindow(
  { durability, syncIntervalMs }: Pick<RouteConfig, 'durability' | 'syncIntervalMs'>,
  read: ReadText = readText
): string | null {
  switch (durability) {
    case 'sync':
      return null
    case 'interval':
      return `acknowledged before the sync: a power cut loses what came in the last ${formatDuration(syncIntervalMs)} and during the sync that follows, at most ${formatBytes(UNSYNCED_BYTES_MAX)} for each ingest thread; a kill of the process loses nothing`
    case 'os': {
      const ageMs =
        (centiseconds(AGE_FILE, AGE_DEFAULT, read) + centiseconds(LOOK_FILE, LOOK_DEFAULT, read)) *
        10
      return `acknowledged and never synced: a power cut loses what came in the last ${formatDuration(ageMs)} or so, when this system writes by itself, whatever the amount; a kill of the process loses nothing`
    }
    case 'memory':
      return 'acknowledged and never synced: nothing of what is not delivered is promised to outlive the system; a power cut may lose all of it'
  }
}

function centiseconds(file: string, fallback: number, read: ReadText): number {
  try {
    const value = Number(read(file).trim())
    return Number.isFinite(value) && value > 0 ? value : fallback
  } catch {
    return fallback
  }
}
