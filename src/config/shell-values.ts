// Runs on: main.
// The shell's values in the form that the server reads: defaults that depend on the machine, sizes that may be shares.

import type { StoreKeys } from '../core/encryption-keys.ts'
import { parseBytes } from '../core/units.ts'
import type { AdminConfig, QueueConfig } from './schema.ts'
import type { Shell } from './shell.ts'

/** 1 ingest thread up to 4 cores and 1 per 4 cores above; the pool gets the other cores, at least one. */
export function threadsOf(
  threads: Shell['threads'],
  coreCount: number
): { ingest: number; pool: number } {
  const ingest = threads.ingest ?? Math.max(1, Math.floor(coreCount / 4))
  return { ingest, pool: threads.pool ?? Math.max(1, coreCount - ingest) }
}

export function adminOf(admin: Shell['admin']): AdminConfig {
  return { listen: admin.listen, hosts: admin.hosts, token: admin.token ?? null }
}

export function queueOf(queue: Shell['queue'], keys: StoreKeys | null): QueueConfig {
  return {
    minFree: minFreeOf(queue.min_free),
    segmentBytesMax: queue.segment_bytes,
    dlqBytesMax: queue.dlq_bytes,
    dlqOverflow: queue.dlq_overflow,
    parkBytesMax: queue.park_bytes,
    onIoError: queue.on_io_error,
    isNetworkFsAllowed: queue.allow_network_fs,
    catchupBytesPerSecond: queue.catchup_read_rate,
    keys,
    scrubBytesPerSecond: queue.scrub_rate
  }
}

function minFreeOf(text: string): QueueConfig['minFree'] {
  if (text.endsWith('%')) return { kind: 'ratio', ratio: Number(text.slice(0, -1)) / 100 }
  return { kind: 'bytes', bytes: parseBytes(text) ?? 0 }
}
