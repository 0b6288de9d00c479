// Step 10. Runs on: main.
// What the park holds: entries as they came in, with the place that they had, so that their ids stay the same. The tag of
// the group that an entry is stored in is the key that it waits for.

import { decodeValue, EventTime, encodeValue } from '../codec/msgpack-value.ts'

export interface ParkedEntry {
  readonly tag: string
  /** Directory of the shard below the data directory: `routes/rest/shard-00`. */
  readonly shard: string
  readonly logId: Uint8Array
  readonly epoch: number
  readonly offset: number
  readonly form: 1 | 2
  readonly appendTimeMs: number
  readonly source: Uint8Array
  /** Entries of one row, of which this is the first; 0: it belongs to the one before. */
  readonly memberCount: number
  readonly bytes: Uint8Array
}

/** `[EventTime, {...}]`, form 1. */
export function encodeParked(entry: ParkedEntry): Buffer {
  const seconds = Math.floor(entry.appendTimeMs / 1000)
  const nanoseconds = Math.floor((entry.appendTimeMs % 1000) * 1e6)
  return encodeValue([
    new EventTime(seconds, nanoseconds),
    {
      tag: entry.tag,
      shard: entry.shard,
      log_id: entry.logId,
      epoch: entry.epoch,
      offset: entry.offset,
      form: entry.form,
      append_time: entry.appendTimeMs,
      source: entry.source,
      members: entry.memberCount,
      bytes: entry.bytes
    }
  ])
}

/** null: no entry of a park. */
export function decodeParked(bytes: Uint8Array): ParkedEntry | null {
  let value: unknown
  try {
    value = decodeValue(bytes)
  } catch {
    return null
  }
  const record: unknown = Array.isArray(value) ? value[1] : null
  if (typeof record !== 'object' || record === null || !('log_id' in record)) return null
  const fields = record as Record<string, unknown> // checked field by field below
  const { bytes: stored, log_id: logId, source } = fields
  if (!(stored instanceof Uint8Array && logId instanceof Uint8Array)) return null
  return {
    tag: String(fields['tag']),
    shard: String(fields['shard']),
    logId: Uint8Array.from(logId),
    epoch: Number(fields['epoch']),
    offset: Number(fields['offset']),
    form: Number(fields['form']) === 2 ? 2 : 1,
    appendTimeMs: Number(fields['append_time']),
    source: source instanceof Uint8Array ? Uint8Array.from(source) : new Uint8Array(),
    memberCount: Number(fields['members']),
    // A copy: the decoder gives views on the frame.
    bytes: Uint8Array.from(stored)
  }
}
