// Step 1. Runs on: ingest.
// How many connections an input may have: each costs a descriptor, and the queue and the outputs need theirs. Above the
// limit of the process `accept` fails, and senders write into the backlog, where nobody reads; so the cap stands below it.

import fs from 'node:fs'
import { OPEN_FILES_RESERVED } from '../core/limits.ts'
import type { InputContext } from './input.ts'

const LIMITS_FILE = '/proc/self/limits'
const SOFT_LIMIT = /^Max open files +(\d+|unlimited) /m

/** Soft limit in the text of proc_pid_limits(5), which Node raises to the hard one; null: there is none. */
export function openFilesMax(limits: string): number | null {
  const value = SOFT_LIMIT.exec(limits)?.[1]
  return value === undefined || value === 'unlimited' ? null : Number(value)
}

/** Of this process; null: no limit, or a system that does not tell. */
function ownOpenFilesMax(): number | null {
  try {
    return openFilesMax(fs.readFileSync(LIMITS_FILE, 'utf8'))
  } catch {
    return null
  }
}

/** Connections of an input on one ingest thread. Says once where the system allows fewer than `max_connections`. */
export function connectionsMaxOf(
  { max_connections }: { readonly max_connections: number },
  { id, log, thread }: Pick<InputContext<unknown>, 'id' | 'log' | 'thread'>,
  filesMax = ownOpenFilesMax()
): number {
  const roomMax = filesMax === null ? max_connections : Math.max(1, filesMax - OPEN_FILES_RESERVED)
  if (roomMax >= max_connections) return Math.ceil(max_connections / thread.count)
  if (thread.index === 0) {
    log.warn(
      {
        event: 'connections.cap',
        input: id,
        max_connections,
        open_files_max: filesMax,
        cap: roomMax
      },
      `max_connections is more than the limit of open files allows: raise that (LimitNOFILE, ulimit -n) to ${max_connections + OPEN_FILES_RESERVED}`
    )
  }
  // Together never more than there is room for, and one each.
  return Math.max(1, Math.floor(roomMax / thread.count))
}
