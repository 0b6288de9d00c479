// Runs on: any.
// Just enough MessagePack to cut stored groups into entries and to find chunk ids in whole messages; for recovery, dead
// letters and tools. The pool reads entries with the kernel. Never allocates by a length that the bytes declare.

import { headerAt, skipValue } from '../../core/msgpack-skip.ts'
import type { Group } from './frame.ts'
import { ENTRY_FORM } from './layout.ts'

const CHUNK_KEY = Buffer.from('\xa5chunk', 'latin1')
/** EventTime of a group marker: seconds at the top of the range, no nanoseconds. */
const MARKER_OPEN = Buffer.from('d700ffffffff00000000', 'hex')
const MARKER_CLOSE = Buffer.from('d700fffffffe00000000', 'hex')

/** An entry (form 1) or message (form 2) that counts as a record: its place in the group's entries. */
export interface StoredEntry {
  readonly startByte: number
  readonly endByte: number
}

/** The records of a group in order, group markers left out. Null: the bytes are no sequence of values. */
export function splitEntries(group: Pick<Group, 'entries' | 'form'>): StoredEntry[] | null {
  const { entries, form } = group
  const found: StoredEntry[] = []
  for (let at = 0; at < entries.length; ) {
    const endByte = skipValue(entries, at)
    if (endByte < 0) return null
    const isMarker = form === ENTRY_FORM.entries && isGroupMarker(entries, at)
    if (!isMarker) found.push({ startByte: at, endByte })
    at = endByte
  }
  return found
}

/** `[[EventTime, metadata], record]` with one of the two marker times. */
function isGroupMarker(entries: Buffer, at: number): boolean {
  if (entries[at] !== 0x92 || entries[at + 1] !== 0x92) return false
  const time = entries.subarray(at + 2, at + 2 + MARKER_OPEN.length)
  return time.equals(MARKER_OPEN) || time.equals(MARKER_CLOSE)
}

/** Chunk ids of a group, each with its tag: `tag NUL id` in latin1, as the window of seen ids keys them. */
export function ingestIdsOf(group: Group): string[] {
  const prefix = `${group.tag.toString('latin1')}\0`
  if (group.ingestId !== null) return [prefix + group.ingestId.toString('latin1')]
  if (group.form !== ENTRY_FORM.messages) return []
  const ids: string[] = []
  for (const { startByte, endByte } of splitEntries(group) ?? []) {
    const id = chunkOfMessage(group.entries.subarray(startByte, endByte))
    if (id !== null) ids.push(prefix + id.toString('latin1'))
  }
  return ids
}

/** The `chunk` value of `[tag, time, record, option]`; the last one counts when the key stands twice. */
function chunkOfMessage(message: Buffer): Buffer | null {
  if (message[0] !== 0x94) return null
  let at = 1
  for (let field = 0; field < 3; field++) {
    at = skipValue(message, at)
    if (at < 0) return null
  }
  const type = message[at] ?? 0
  const isMap = (type >= 0x80 && type < 0x90) || type === 0xde || type === 0xdf
  const head = isMap ? headerAt(message, at) : null
  if (head === null) return null
  let chunk: Buffer | null = null
  at += head.byteCount
  for (let left = head.valueCount; left > 0; left -= 2) {
    const valueAt = skipValue(message, at)
    const next = valueAt < 0 ? -1 : skipValue(message, valueAt)
    if (next < 0) return null
    const isChunk = message.subarray(at, valueAt).equals(CHUNK_KEY)
    if (isChunk && message[valueAt] !== 0xc0) chunk = message.subarray(valueAt, next)
    at = next
  }
  return chunk
}
