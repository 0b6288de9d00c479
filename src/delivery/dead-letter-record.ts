// Step 10. Runs on: main.
// What a dead letter holds: the entry as it came in (never a half-changed record), where it was, and why it was refused.
// It is stored as an entry of its own log, tag as received, so that the tools of queues read it too. The id of the record
// follows from log id, epoch and the offset of its first member, and stays the same wherever the letter is sent.

import { decodeValue, EventTime, encodeValue } from '../codec/msgpack-value.ts'

/** One stored entry that belongs to a dead letter; a joined record has several. */
export interface LetterMember {
  readonly offset: number
  /** 1: entry; 2: whole Message-mode message. */
  readonly form: 1 | 2
  readonly appendTimeMs: number
  readonly bytes: Uint8Array
}

export interface DeadLetter {
  readonly tag: string
  /** Directory of the shard below the data directory: `routes/rest/shard-00`. */
  readonly shard: string
  readonly logId: Uint8Array
  readonly epoch: number
  readonly source: Uint8Array
  readonly members: readonly LetterMember[]
  readonly route: string
  readonly output: string
  readonly target: string
  /** `mapping`, `too_large`, `unparseable`...; who said it: a step (`2:parse`) or '' for the destination. */
  readonly reason: string
  readonly step: string
  readonly status: number | null
  readonly text: string
  readonly firstAttemptMs: number
  readonly lastAttemptMs: number
  /** Requests that held it; 1 when a step refused it. */
  readonly attempts: number
}

/** Answers of destinations are cut to this, on a character. */
const TEXT_BYTES_MAX = 2048

/** `[EventTime, {...}]`, form 1. */
export function encodeLetter(letter: DeadLetter): Buffer {
  const seconds = Math.floor(letter.lastAttemptMs / 1000)
  const nanoseconds = (letter.lastAttemptMs % 1000) * 1e6
  return encodeValue([
    new EventTime(seconds, nanoseconds),
    {
      reason: letter.reason,
      step: letter.step,
      status: letter.status,
      text: cutText(letter.text),
      route: letter.route,
      output: letter.output,
      target: letter.target,
      shard: letter.shard,
      log_id: letter.logId,
      epoch: letter.epoch,
      source: letter.source,
      first_attempt: letter.firstAttemptMs,
      last_attempt: letter.lastAttemptMs,
      attempts: letter.attempts,
      members: letter.members.map(({ offset, form, appendTimeMs, bytes }) => [
        offset,
        form,
        appendTimeMs,
        bytes
      ])
    }
  ])
}

function cutText(value: string): string {
  const whole = Buffer.from(value)
  if (whole.length <= TEXT_BYTES_MAX) return value
  let end = TEXT_BYTES_MAX
  // Bytes 10xxxxxx go on with a character.
  while (end > 0 && ((whole[end] ?? 0) & 0xc0) === 0x80) end--
  return whole.toString('utf8', 0, end)
}

/** Its bytes are views on the entry. Null: the entry is no dead letter of ours. */
export function decodeLetter(tag: string, entry: Uint8Array): DeadLetter | null {
  const value = decodeEntry(entry)
  const record = Array.isArray(value) ? value[1] : null
  if (typeof record !== 'object' || record === null || !('members' in record)) return null
  const fields = record as Record<string, unknown> // checked field by field below
  const { members } = fields
  if (!Array.isArray(members) || !members.every(Array.isArray)) return null
  return {
    tag,
    shard: text(fields['shard']),
    logId: bytes(fields['log_id']),
    epoch: Number(fields['epoch']),
    source: bytes(fields['source']),
    members: members.map((member: unknown[]) => ({
      offset: Number(member[0]),
      form: Number(member[1]) === 2 ? 2 : 1,
      appendTimeMs: Number(member[2]),
      bytes: bytes(member[3])
    })),
    route: text(fields['route']),
    output: text(fields['output']),
    target: text(fields['target']),
    reason: text(fields['reason']),
    step: text(fields['step']),
    status: fields['status'] === null ? null : Number(fields['status']),
    text: text(fields['text']),
    firstAttemptMs: Number(fields['first_attempt']),
    lastAttemptMs: Number(fields['last_attempt']),
    // Letters of earlier releases do not say.
    attempts: Number(fields['attempts'] ?? 1)
  }
}

/** Damage that the hash of the frame does not see is not ours to fail on. */
function decodeEntry(entry: Uint8Array): unknown {
  try {
    return decodeValue(entry)
  } catch {
    return null
  }
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function bytes(value: unknown): Uint8Array {
  return value instanceof Uint8Array ? value : new Uint8Array()
}
