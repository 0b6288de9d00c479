// Step 10. Runs on: main.
// Reads dead letters in the order of their log, without holding more than one frame. The bytes of a letter lie in that frame:
// they are valid until the next letter is asked for, and who keeps one copies it (`keptLetter`). What inputs and `unmatched` keep has
// the shape of any letter here: who refused it, why, and the entry as it came in.
//
// Gives the event loop a turn after LETTERS_PER_TURN letters and after every frame, so that a log of any size is read
// beside the traffic.

import { setImmediate as nextTurn } from 'node:timers/promises'
import { decodeValue } from '../../codec/msgpack-value.ts'
import { positionId } from '../../core/position.ts'
import { type DeadLetter, decodeLetter } from '../../delivery/dead-letter-record.ts'
import type { Cursor } from '../../storage/cursor/cursor.ts'
import type { Group } from '../../storage/format/frame.ts'
import { splitEntries } from '../../storage/format/stored-entries.ts'
import type { HoleReason } from '../../storage/reader/segments.ts'
import {
  FrameMemory,
  readFrameAt,
  ShardReader,
  type StoredFrame
} from '../../storage/reader/shard-reader.ts'
import type { ShardSegments } from '../../storage/reader/shard-segments.ts'

/** One shard of a log of letters, as readers see it: of a running server, or of a directory. */
export interface LetterShard {
  /** `out.search`, `in.web`, `unmatched`. */
  readonly log: string
  readonly shardNumber: number
  /** Directory below the data directory. */
  readonly path: string
  readonly logId: Uint8Array
  readonly segments: ShardSegments
  /** Letters that left: replayed, purged, dropped. Null: none did. */
  readonly gone: Pick<Cursor, 'lowOffset' | 'has'> | null
}

/** A letter with its place in its log. */
export interface StoredLetter {
  readonly kind: 'letter'
  readonly shard: LetterShard
  readonly offset: number
  readonly letter: DeadLetter
}

export interface LetterHole {
  readonly kind: 'hole'
  readonly firstOffset: number
  readonly endOffset: number
  readonly reason: HoleReason
}

/** Reason of bytes in a log of letters that are no letter. */
export const UNREADABLE = 'unreadable_letter'

const LETTERS_PER_TURN = 64

/** Letters of [fromOffset, endOffset) that are still there, oldest first, and what cannot be read between them. */
export async function* scanLetters(
  shard: LetterShard,
  fromOffset: number,
  endOffset: number
): AsyncGenerator<StoredLetter | LetterHole> {
  const { gone, segments } = shard
  const from = Math.max(fromOffset, gone?.lowOffset ?? segments.oldestOffset)
  const reader = new ShardReader(segments, from)
  const memory = new FrameMemory()
  let turn = 0
  for (let next = reader.next(); next !== null; next = reader.next()) {
    if (next.kind === 'hole') {
      yield { ...next, endOffset: Math.min(next.endOffset, endOffset) }
      if (next.endOffset >= endOffset) return
      continue
    }
    const { frame } = next
    if (frame.firstOffset >= endOffset) return
    const stored = readFrameAt(segments, frame, memory)
    if (stored === null) {
      const frameEnd = frame.firstOffset + frame.recordCount
      for (const hole of segments.judge(frame.firstOffset, frameEnd)) yield hole
      continue
    }
    for (const letter of lettersOf(shard, stored)) {
      if (letter.offset < from || letter.offset >= endOffset) continue
      // What left while the reader was under way.
      if (gone?.has(letter.offset) === true) continue
      yield letter
      turn++
      if (turn % LETTERS_PER_TURN === 0) await nextTurn()
    }
    await nextTurn()
  }
}

/** Position id of the record that the letter is about. */
export function letterId({ epoch, logId, members }: DeadLetter): string {
  return positionId(logId, epoch, members[0]?.offset ?? 0)
}

/** A letter with bytes of its own. */
export function keptLetter(stored: StoredLetter): StoredLetter {
  const { letter } = stored
  const members = letter.members.map((member) => ({
    ...member,
    bytes: Uint8Array.from(member.bytes)
  }))
  const logId = Uint8Array.from(letter.logId)
  return {
    ...stored,
    letter: { ...letter, logId, source: Uint8Array.from(letter.source), members }
  }
}

function* lettersOf(shard: LetterShard, frame: StoredFrame): Generator<StoredLetter> {
  for (const group of frame.groups) {
    const entries = splitEntries(group) ?? []
    for (const [index, { startByte, endByte }] of entries.entries()) {
      const offset = group.firstOffset + index
      const entry = group.entries.subarray(startByte, endByte)
      const tag = group.tag.toString()
      const own = shard.log.startsWith('out.') ? decodeLetter(tag, entry) : null
      const letter = own ?? plainLetter(shard, frame, group, offset, entry)
      yield { kind: 'letter', shard, offset, letter }
    }
  }
}

/** An entry that is kept as it came in: its letter says what its log says. */
function plainLetter(
  shard: LetterShard,
  frame: StoredFrame,
  group: Group,
  offset: number,
  entry: Buffer
): DeadLetter {
  const { appendTimeMs } = frame.header
  const form = group.form === 2 ? 2 : 1
  return {
    tag: group.tag.toString(),
    shard: shard.path,
    logId: shard.logId,
    epoch: frame.epoch,
    source: group.source,
    members: [{ offset, form, appendTimeMs, bytes: entry }],
    route: '',
    output: '',
    target: '',
    ...reasonOf(shard.log, entry),
    step: '',
    status: null,
    firstAttemptMs: appendTimeMs,
    lastAttemptMs: appendTimeMs,
    attempts: 0
  }
}

/** Inputs say in the record why they refused it. */
function reasonOf(log: string, entry: Uint8Array): { reason: string; text: string } {
  if (log === 'unmatched') return { reason: log, text: '' }
  if (log.startsWith('out.')) return { reason: UNREADABLE, text: '' }
  const refused = refusedBytes(entry)
  if (refused === null) return { reason: UNREADABLE, text: '' }
  const { byteCount, part, partCount, peer, reason } = refused
  const from = peer === '' ? '' : ` from ${peer}`
  const which = partCount > 1 ? `, part ${part} of ${partCount}` : ''
  return { reason, text: `${byteCount} bytes${from}${which}` }
}

/** What an input could not take, as its letter tells. */
export interface RefusedInput {
  readonly reason: string
  readonly peer: string
  /** Of the whole; `bytes` is one part of it. */
  readonly byteCount: number
  readonly part: number
  readonly partCount: number
  readonly bytes: Uint8Array
}

/** Null: the entry is no letter of an input. */
export function refusedBytes(entry: Uint8Array): RefusedInput | null {
  let value: unknown
  try {
    value = decodeValue(entry)
  } catch {
    return null
  }
  const record: unknown = Array.isArray(value) ? value[1] : null
  if (typeof record !== 'object' || record === null) return null
  const fields = record as Record<string, unknown> // checked field by field below
  const { bytes } = fields
  if (!(bytes instanceof Uint8Array)) return null
  return {
    reason: String(fields['reason'] ?? ''),
    peer: String(fields['peer'] ?? ''),
    byteCount: Number(fields['byte_count'] ?? bytes.length),
    part: Number(fields['part'] ?? 1),
    partCount: Number(fields['part_count'] ?? 1),
    bytes
  }
}
