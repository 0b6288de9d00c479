// Step 10. Runs on: main.
// Dead letters as people and tools see them.

import type { DeadLetterView } from '../admin/status.ts'
import { decodeValue, EventTime } from '../codec/msgpack-value.ts'
import { positionId } from '../core/position.ts'
import { type DeadLetter, decodeLetter } from '../delivery/dead-letter-record.ts'
import type { Cursor } from '../storage/cursor.ts'
import type { Group } from '../storage/frame.ts'
import { readFrame, ShardReader } from '../storage/shard-reader.ts'
import type { ShardSegments } from '../storage/shard-segments.ts'
import { splitEntries } from '../storage/stored-entries.ts'

/** Letters of one replay; what is left is the next one's. */
const LETTERS_MAX = 100_000
/** Text of a record that is shown. */
const RECORD_CHARS_MAX = 4096

/** A letter of an output with its place in the log of letters. */
export interface StoredLetter {
  readonly offset: number
  readonly letter: DeadLetter
}

/** Calls back for every entry of the log, oldest first; `false` ends it. */
export function eachEntry(
  segments: ShardSegments,
  fromOffset: number,
  visit: (offset: number, group: Group, entry: Buffer) => boolean
): void {
  const reader = new ShardReader(segments, fromOffset)
  for (let next = reader.next(); next !== null; next = reader.next()) {
    if (next.kind === 'hole') continue
    const frame = readFrame(segments, next.frame.firstOffset)
    for (const group of frame?.groups ?? []) {
      const entries = splitEntries(group) ?? []
      for (const [index, { startByte, endByte }] of entries.entries()) {
        const offset = group.firstOffset + index
        if (offset < fromOffset) continue
        if (!visit(offset, group, group.entries.subarray(startByte, endByte))) return
      }
    }
  }
}

/** Letters of an output that no replay has stored, oldest first. */
export function readLetters(segments: ShardSegments, replayed: Cursor): StoredLetter[] {
  const letters: StoredLetter[] = []
  eachEntry(segments, replayed.lowOffset, (offset, group, entry) => {
    const letter = replayed.has(offset) ? null : decodeLetter(group.tag.toString(), entry)
    // Bytes are copied: the frame they lie in is read again for others.
    if (letter !== null) letters.push({ offset, letter })
    return letters.length < LETTERS_MAX
  })
  return letters
}

/** The newest letters of a log, newest first, without those that a replay has stored. */
export function readLetterViews(
  log: string,
  segments: ShardSegments,
  replayed: Cursor | null,
  limit: number
): DeadLetterView[] {
  const views: DeadLetterView[] = []
  const oldest = Math.max(segments.oldestOffset, replayed?.lowOffset ?? 0)
  const fromOffset = Math.max(oldest, segments.endOffset - limit)
  eachEntry(segments, fromOffset, (offset, group, entry) => {
    if (replayed?.has(offset) !== true) views.push(viewOf(log, offset, group, entry))
    return true
  })
  return views.reverse()
}

function viewOf(log: string, offset: number, group: Group, entry: Buffer): DeadLetterView {
  const tag = group.tag.toString()
  const letter = log.startsWith('out.') ? decodeLetter(tag, entry) : null
  if (letter === null) return plainView(log, offset, tag, entry, group.form)
  const first = letter.members[0]
  return {
    log,
    offset,
    id: positionId(letter.logId, letter.epoch, first?.offset ?? 0),
    timeMs: letter.lastAttemptMs,
    tag,
    route: letter.route,
    output: letter.output,
    target: letter.target,
    reason: letter.step === '' ? letter.reason : `${letter.step}: ${letter.reason}`,
    status: letter.status,
    error: letter.text,
    record: letter.members.map(({ bytes, form }) => recordText(bytes, form)).join('\n')
  }
}

/** Entries of `unmatched` are records; those of inputs say in their record what they are. */
function plainView(
  log: string,
  offset: number,
  tag: string,
  entry: Buffer,
  form: number
): DeadLetterView {
  const value = valueIn(entry)
  const parts = Array.isArray(value) ? value : []
  const fields = parts.at(form === 2 ? 2 : 1)
  const reason = isFields(fields) && log.startsWith('in.') ? String(fields['reason'] ?? '') : ''
  return {
    log,
    offset,
    id: '',
    timeMs: timeMsOf(parts.at(form === 2 ? 1 : 0)),
    tag,
    route: '',
    output: '',
    target: '',
    reason: reason === '' ? log : reason,
    status: null,
    error: '',
    record: recordText(entry, form)
  }
}

function recordText(bytes: Uint8Array, form: number): string {
  const value = valueIn(bytes)
  const record = Array.isArray(value) ? value.at(form === 2 ? 2 : 1) : value
  const text = JSON.stringify(record, (_, each: unknown) => {
    if (typeof each === 'bigint') return each.toString()
    return each instanceof Uint8Array ? Buffer.from(each).toString('latin1') : each
  })
  return (text ?? '').slice(0, RECORD_CHARS_MAX)
}

/** Entries are whatever a client sent: what the decoder refuses is shown as bytes. */
function valueIn(bytes: Uint8Array): unknown {
  try {
    return decodeValue(bytes)
  } catch {
    return Buffer.from(bytes).toString('hex')
  }
}

function timeMsOf(time: unknown): number {
  const first: unknown = Array.isArray(time) ? time[0] : time
  if (first instanceof EventTime) return first.seconds * 1000 + Math.floor(first.nanoseconds / 1e6)
  return typeof first === 'number' || typeof first === 'bigint' ? Number(first) * 1000 : 0
}

function isFields(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
