// Step 10. Runs on: main.
// Dead letters as a segment of their own, so that they take the way of every record: one frame per entry, with the epoch
// and offset that it had. Pool threads read it like any segment, and the ids come out as they were.

import type { DeadLetter, LetterMember } from '../delivery/dead-letter-record.ts'
import { alignUp, CODEC_NONE, FRAME_HEADER, SCHEMA_GROUPS } from '../storage/format.ts'
import type { FrameHash } from '../storage/frame.ts'
import { encodeFrameHeader, encodeGroupPrefix, groupPrefixBytes } from '../storage/frame.ts'
import type { Storage } from '../storage/storage.ts'
import type { FrameRef, SegmentRef } from '../threads/messages.ts'

/** Hashes of the file guard against nothing but mistakes: it lives as long as one replay. */
const SALT = 0n

export interface ReplayEntry {
  readonly letter: DeadLetter
  readonly member: LetterMember
}

export interface ReplaySegment extends SegmentRef {
  /** In the order of the entries. */
  readonly frames: readonly FrameRef[]
}

/** Writes entries of one epoch, offsets ascending. The caller deletes the file. */
export function writeReplaySegment(
  storage: Storage,
  hash: FrameHash,
  path: string,
  ordinal: number,
  entries: readonly ReplayEntry[]
): ReplaySegment {
  const epoch = entries[0]?.letter.epoch ?? 0
  const frames: FrameRef[] = []
  const file = storage.open(path, 'create')
  try {
    let startByte = 0
    for (const entry of entries) {
      const bytes = frameOf(entry, hash)
      storage.writev(file, [bytes], startByte)
      frames.push({
        segment: ordinal,
        startByte,
        byteCount: bytes.length,
        firstOffset: entry.member.offset,
        recordCount: 1,
        appendTimeMs: entry.member.appendTimeMs
      })
      startByte += bytes.length
    }
  } finally {
    storage.close(file)
  }
  return { path, salt: SALT, epoch, frames }
}

function frameOf({ letter, member }: ReplayEntry, hash: FrameHash): Buffer {
  const labels = { tag: Buffer.from(letter.tag), ingestId: null, source: letter.source }
  const storedBytes = groupPrefixBytes(labels) + member.bytes.length
  const bytes = Buffer.alloc(alignUp(FRAME_HEADER.byteCount + storedBytes))
  const payloadStart = FRAME_HEADER.byteCount
  const entriesStart = encodeGroupPrefix(bytes, payloadStart, labels, {
    byteCount: member.bytes.length,
    recordCount: 1,
    form: member.form,
    flags: 0
  })
  bytes.set(member.bytes, entriesStart)
  const payload = bytes.subarray(payloadStart, payloadStart + storedBytes)
  const header = {
    storedBytes,
    payloadHash: hash([payload], SALT),
    firstOffset: member.offset,
    recordCount: 1,
    epoch: letter.epoch,
    durableOffset: 0,
    appendTimeMs: member.appendTimeMs,
    rawBytes: storedBytes,
    codec: CODEC_NONE,
    schema: SCHEMA_GROUPS,
    flags: 0,
    minTimeDelta: 0,
    maxTimeDelta: 0
  }
  encodeFrameHeader(bytes, 0, header, hash, SALT)
  return bytes
}
