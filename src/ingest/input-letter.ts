// Step 10. Runs on: ingest.
// Dead letters of inputs: bytes that no step can read, as entries of the log `dlq/in.<input>`. What is larger than a frame
// may hold is cut into numbered parts, which are stored whole or not at all like any message.

import { EventTime, encodeValue } from '../codec/msgpack-value.ts'
import { MESSAGE_IN_ONE_FRAME_BYTES_MAX } from '../core/limits.ts'
import type { AppendSource, RefusedBytes, Run } from '../plugin/input.ts'

/** Room for the other fields of a part within one frame. */
const PART_BYTES_MAX = MESSAGE_IN_ONE_FRAME_BYTES_MAX - 64 * 1024

/** `[EventTime, {reason, input, peer, byte_count, part, part_count, bytes}]` per part, under the tag of the message. */
export function encodeInputLetter(
  source: AppendSource,
  letter: RefusedBytes,
  nowMs: number
): Run[] {
  const byteCount = letter.bytes.length
  const partCount = Math.max(1, Math.ceil(byteCount / PART_BYTES_MAX))
  const seconds = Math.floor(nowMs / 1000)
  const time = new EventTime(seconds, (nowMs % 1000) * 1e6)
  return Array.from({ length: partCount }, (_, part) => ({
    tag: letter.tag,
    form: 1,
    entries: encodeValue([
      time,
      {
        reason: letter.reason,
        input: source.inputId,
        peer: source.peer,
        byte_count: byteCount,
        part: part + 1,
        part_count: partCount,
        bytes: letter.bytes.subarray(part * PART_BYTES_MAX, (part + 1) * PART_BYTES_MAX)
      }
    ]),
    recordCount: 1,
    ingestId: null,
    hasIngestIds: false,
    minTimeSeconds: seconds,
    maxTimeSeconds: seconds
  }))
}
