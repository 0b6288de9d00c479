// Step 10. Runs on: main.
// Dead letters as people and tools see them: fields for filters, JSON for lists, lines and bytes for exports.

import type { DeadLetterLogStatus, DeadLetterView, ExportedLetter } from '../../admin/status.ts'
import { decoded, jsonOf, unreadable } from '../../codec/json-view.ts'
import { EventTime } from '../../codec/msgpack-value.ts'
import { compileWhere, type FieldKind } from '../../core/where.ts'
import type { LetterMember } from '../../delivery/dead-letter-record.ts'
import type { CursorAccount } from '../../storage/cursor/account.ts'
import {
  type LetterHole,
  type LetterShard,
  letterId,
  refusedBytes,
  type StoredLetter,
  scanLetters
} from './scan.ts'

/** Fields that filters of dead letters know. */
export const LETTER_FIELDS = {
  reason: 'text',
  step: 'text',
  tag: 'tag',
  route: 'text',
  output: 'text',
  target: 'text',
  status: 'number',
  error: 'text',
  id: 'text',
  offset: 'number',
  attempts: 'number',
  time: 'time',
  event_time: 'time'
} as const satisfies Readonly<Record<string, FieldKind>>

export type LetterTest = (stored: StoredLetter) => boolean

/** Text of a record that is shown. */
const RECORD_CHARS_MAX = 4096

/** Throws MR_USAGE with the column of a fault. */
export function compileLetterTest(text: string, nowMs: number): LetterTest {
  const where = compileWhere(text, LETTER_FIELDS, nowMs)
  return (stored) => where((field) => fieldOf(stored, field))
}

function fieldOf(stored: StoredLetter, field: string): string | number | null {
  const { letter, offset } = stored
  switch (
    field as keyof typeof LETTER_FIELDS // the filter knows no other fields
  ) {
    case 'error':
      return letter.text
    case 'id':
      return letterId(letter)
    case 'offset':
      return offset
    case 'time':
      return letter.lastAttemptMs
    case 'event_time':
      return eventTimeMs(letter.members[0], firstOf(stored))
    case 'reason':
      return letter.reason
    case 'step':
      return letter.step
    case 'tag':
      return letter.tag
    case 'route':
      return letter.route
    case 'output':
      return letter.output
    case 'target':
      return letter.target
    case 'status':
      return letter.status
    case 'attempts':
      return letter.attempts
  }
}

/** A letter in a list; the record is cut. */
export function viewOf(stored: StoredLetter): DeadLetterView {
  return { ...headOf(stored, firstOf(stored)), record: recordText(stored) }
}

/** `first` is the first member, decoded. */
function headOf(
  { letter, offset, shard }: StoredLetter,
  first: unknown
): Omit<DeadLetterView, 'record'> {
  return {
    log: shard.log,
    shard: shard.shardNumber,
    offset,
    id: letterId(letter),
    timeMs: letter.lastAttemptMs,
    firstAttemptMs: letter.firstAttemptMs,
    attempts: letter.attempts,
    eventTimeMs: eventTimeMs(letter.members[0], first),
    tag: letter.tag,
    route: letter.route,
    output: letter.output,
    target: letter.target,
    reason: letter.reason,
    step: letter.step,
    status: letter.status,
    error: letter.text
  }
}

function recordText({ letter, shard }: StoredLetter): string {
  const records = letter.members.map((member) => {
    const refused = shard.log.startsWith('in.') ? refusedBytes(member.bytes) : null
    // Bytes that no input could read: as text, as far as they are.
    return refused === null
      ? recordJson(member, decoded(member.bytes))
      : viewOn(refused.bytes).toString()
  })
  const text = records.join('\n')
  // Copied: a slice would keep all of a long record.
  return text.length <= RECORD_CHARS_MAX
    ? text
    : Buffer.from(text.slice(0, RECORD_CHARS_MAX)).toString()
}

/** A letter as one line of an export: nothing is cut, numbers keep every digit (codec/json-view.ts). */
export function exportLine(stored: StoredLetter): string {
  const { members, source } = stored.letter
  const values = members.map(({ bytes }) => decoded(bytes))
  const head: Omit<ExportedLetter, 'records'> = {
    ...headOf(stored, values[0]),
    source: viewOn(source).toString().replace('\0', ' ').trim(),
    entries: members.map(({ bytes, form }) => ({
      form,
      base64: viewOn(bytes).toString('base64')
    }))
  }
  const records = members.map((member, index) => recordJson(member, values[index])).join(',')
  return `${JSON.stringify(head).slice(0, -1)},"records":[${records}]}\n`
}

/**
 * The bytes of a letter as they came in: MessagePack entries or messages, or the body that no input could read. They are a
 * copy: a stream may hold them longer than the letter lasts.
 */
export function exportBytes({ letter, shard }: StoredLetter): Uint8Array {
  const parts = letter.members.map(({ bytes }) =>
    shard.log.startsWith('in.') ? (refusedBytes(bytes)?.bytes ?? bytes) : bytes
  )
  return Buffer.concat(parts)
}

const viewOn = ({ buffer, byteLength, byteOffset }: Uint8Array): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength)

const firstOf = ({ letter }: StoredLetter): unknown => {
  const [first] = letter.members
  return first === undefined ? undefined : decoded(first.bytes)
}

function recordJson({ bytes, form }: LetterMember, value: unknown): string {
  if (value === undefined) return unreadable(bytes)
  return jsonOf(Array.isArray(value) ? value.at(form === 2 ? 2 : 1) : value)
}

/** Null: the record says nothing that is a time. */
function eventTimeMs(member: LetterMember | undefined, value: unknown): number | null {
  const time: unknown = Array.isArray(value) ? value.at(member?.form === 2 ? 1 : 0) : null
  const first: unknown = Array.isArray(time) ? time[0] : time
  if (first instanceof EventTime) return first.seconds * 1000 + Math.floor(first.nanoseconds / 1e6)
  const seconds = typeof first === 'bigint' ? Number(first) : first
  return typeof seconds === 'number' && Number.isFinite(seconds) ? Math.floor(seconds * 1000) : null
}

/**
 * The newest letters that fit, newest first. `read` gives letters from an offset on, null: from where it begins. It is
 * read twice, places first: text of letters that are not shown would pile up, and is long.
 */
export async function newestViews(
  read: (fromOffset: number | null) => AsyncIterable<StoredLetter | LetterHole>,
  test: LetterTest,
  limit: number
): Promise<DeadLetterView[]> {
  const offsets: number[] = []
  for await (const found of read(null)) {
    if (found.kind === 'hole' || !test(found)) continue
    offsets.push(found.offset)
    // Bounded: what is older than the newest `limit` goes.
    if (offsets.length > 2 * limit) offsets.splice(0, offsets.length - limit)
  }
  const newest = new Set(offsets.slice(-limit))
  const [first] = newest
  const views: DeadLetterView[] = []
  if (first === undefined) return views
  for await (const found of read(first)) {
    if (found.kind === 'letter' && newest.has(found.offset)) views.push(viewOf(found))
  }
  return views.reverse()
}

/** Letters as lines, or the bytes that came in, oldest first in each shard. */
export async function* exportLetters(
  shards: readonly LetterShard[],
  test: LetterTest,
  limit: number,
  isRaw: boolean
): AsyncGenerator<string | Uint8Array> {
  let left = limit
  for (const shard of shards) {
    for await (const found of scanLetters(shard, 0, shard.segments.endOffset)) {
      if (found.kind === 'hole' || !test(found)) continue
      if (left-- <= 0) return
      yield isRaw ? exportBytes(found) : exportLine(found)
    }
  }
}

/** Counts of one log, over its shards. */
export function logStatus(
  log: string,
  shards: readonly { readonly account: CursorAccount; readonly bytes: number }[]
): DeadLetterLogStatus {
  let written = 0
  let records = 0
  let byteCount = 0
  const removed: Record<string, number> = {}
  const lost: Record<string, number> = {}
  const add = (counts: Record<string, number>, reason: string, count: number) => {
    if (count > 0) counts[reason] = (counts[reason] ?? 0) + count
  }
  for (const { account, bytes } of shards) {
    // Letters that moved within their log were written once.
    written += account.appended - account.moved
    records += account.pending
    byteCount += bytes
    add(removed, 'replayed', account.delivered + account.duplicateSuppressed)
    for (const [reason, count] of Object.entries(account.dropped)) add(removed, reason, count)
    for (const [reason, count] of Object.entries(account.lost)) add(lost, reason, count)
  }
  return { log, records, bytes: byteCount, written, removed, lost }
}
