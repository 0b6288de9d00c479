// Step 10. Runs on: ingest.
// Dead letters of inputs: bytes that no step can read, as entries of the log `dlq/in.<input>`. What is larger than a frame
// may hold is cut into numbered parts, which are stored whole or not at all like any message.

import { EventTime, encodeValue } from '../codec/msgpack-value.ts'
import { MESSAGE_IN_ONE_FRAME_BYTES_MAX, MESSAGE_PART_BYTES } from '../core/limits.ts'
import type { AppendSource, LongLetter, LongMessage, RefusedBytes, Run } from '../plugin/input.ts'

/** Room for the other fields of a part within one frame. */
const PART_BYTES_MAX = MESSAGE_IN_ONE_FRAME_BYTES_MAX - 64 * 1024

/** `[EventTime, {reason, input, peer, byte_count, part, part_count, bytes}]` per part, under the tag of the message. */
export function encodeInputLetter(
  source: AppendSource,
  letter: RefusedBytes,
  nowMs: number
): Run[] {
  const facts = factsOf(source, letter, letter.bytes.length, PART_BYTES_MAX, nowMs)
  return Array.from({ length: facts.partCount }, (_, part) =>
    partRun(facts, part, letter.bytes.subarray(part * PART_BYTES_MAX, (part + 1) * PART_BYTES_MAX))
  )
}

/** The same of bytes that are read part by part. */
export function longInputLetter(
  source: AppendSource,
  letter: LongLetter,
  nowMs: number
): LongMessage {
  const { byteCount, tag } = letter
  const facts = factsOf(source, letter, byteCount, MESSAGE_PART_BYTES, nowMs)
  const read = () => {
    let part = 0
    return {
      next() {
        if (part === facts.partCount) return null
        const startByte = part * MESSAGE_PART_BYTES
        const bytes = Buffer.allocUnsafe(Math.min(MESSAGE_PART_BYTES, byteCount - startByte))
        letter.read(bytes, startByte)
        const run = partRun(facts, part, bytes)
        part++
        return { run, isLast: part === facts.partCount }
      },
      close() {}
    }
  }
  return { tag, ingestId: null, recordCount: facts.partCount, byteCount, read }
}

interface LetterFacts {
  readonly tag: Uint8Array
  readonly reason: string
  readonly source: AppendSource
  readonly byteCount: number
  readonly partCount: number
  readonly nowMs: number
}

function factsOf(
  source: AppendSource,
  { reason, tag }: { readonly reason: string; readonly tag: Uint8Array },
  byteCount: number,
  partBytes: number,
  nowMs: number
): LetterFacts {
  const partCount = Math.max(1, Math.ceil(byteCount / partBytes))
  return { tag, reason, source, byteCount, partCount, nowMs }
}

function partRun(facts: LetterFacts, part: number, bytes: Uint8Array): Run {
  const { byteCount, nowMs, partCount, reason, source, tag } = facts
  const seconds = Math.floor(nowMs / 1000)
  const time = new EventTime(seconds, (nowMs % 1000) * 1e6)
  return {
    tag,
    form: 1,
    entries: encodeValue([
      time,
      {
        reason,
        input: source.inputId,
        peer: source.peer,
        byte_count: byteCount,
        part: part + 1,
        part_count: partCount,
        bytes
      }
    ]),
    recordCount: 1,
    ingestId: null,
    hasIngestIds: false,
    minTimeSeconds: seconds,
    maxTimeSeconds: seconds
  }
}
