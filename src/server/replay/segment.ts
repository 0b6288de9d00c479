// Step 10. Runs on: main.
// Dead letters as a segment of their own, so that they take the way of every record: one frame per entry, with the epoch
// and offset that it had. Pool threads read it like any segment, and the ids come out as they were.

import { MillraceError } from '../../core/errors.ts'
import type { DeadLetter, LetterMember } from '../../delivery/dead-letter-record.ts'
import type { FrameHash } from '../../storage/format/frame.ts'
import {
  encodeFrameHeader,
  encodeGroupPrefix,
  type FrameHeader,
  groupPrefixBytes
} from '../../storage/format/frame.ts'
import { alignUp, CODEC, FRAME_HEADER, SCHEMA_GROUPS } from '../../storage/format/layout.ts'
import { PayloadEncoder } from '../../storage/format/payload-encoder.ts'
import type { StoreIdentity } from '../../storage/format/store-keys.ts'
import type { Storage } from '../../storage/storage.ts'
import type { FrameRef, SegmentRef } from '../../threads/messages.ts'

/** Hashes of the file guard against nothing but mistakes: it lives as long as one replay. */
const SALT = 0n

export interface ReplayEntry {
  readonly letter: Pick<DeadLetter, 'tag' | 'source' | 'epoch' | 'logId'>
  readonly member: LetterMember
}

export interface ReplaySegment extends SegmentRef {
  /** In the order of the entries. */
  readonly frames: readonly FrameRef[]
}

export interface ReplayFile {
  readonly storage: Storage
  readonly hash: FrameHash
  /** With a current key, the file is encrypted like the log that the letters came from. */
  readonly store: StoreIdentity
  readonly path: string
  /** Of the file among those of one lane. */
  readonly ordinal: number
}

/** Writes entries of one log and epoch, offsets ascending. The caller deletes the file. */
export function writeReplaySegment(
  options: ReplayFile,
  entries: readonly ReplayEntry[]
): ReplaySegment {
  const { hash, ordinal, path, store } = options
  const first = entries[0]
  const epoch = first?.letter.epoch ?? 0
  const firstOffset = first?.member.offset ?? 0
  const encoder = new PayloadEncoder(store, first?.letter.logId ?? new Uint8Array(), 'none')
  const frames: FrameRef[] = []
  const parts: Uint8Array[] = []
  let startByte = 0
  for (const entry of entries) {
    const frame = frameOf(entry, { epoch, firstOffset }, hash, encoder)
    const byteCount = frame.reduce((sum, part) => sum + part.length, 0)
    parts.push(...frame)
    frames.push({
      segment: ordinal,
      startByte,
      byteCount,
      firstOffset: entry.member.offset,
      recordCount: 1,
      appendTimeMs: entry.member.appendTimeMs
    })
    startByte += byteCount
  }
  writeFile(options, Buffer.concat(parts))
  return { path, salt: SALT, epoch, firstOffset, frames }
}

/** Not synced: after a crash nobody reads it. A file that is cut short would be taken for damage. */
function writeFile({ path, storage }: ReplayFile, bytes: Buffer): void {
  const file = storage.open(path, 'create')
  try {
    const written = storage.writev(file, [bytes], 0)
    if (written === bytes.length) return
    throw new MillraceError(
      'MR_STORE_FULL',
      `${path}: ${written} of ${bytes.length} bytes written; a replay needs that much free space`
    )
  } catch (error) {
    storage.unlink(path)
    throw error
  } finally {
    storage.close(file)
  }
}

function frameOf(
  { letter, member }: ReplayEntry,
  place: { readonly epoch: number; readonly firstOffset: number },
  hash: FrameHash,
  encoder: PayloadEncoder
): readonly Uint8Array[] {
  const labels = { tag: Buffer.from(letter.tag), ingestId: null, source: letter.source }
  const rawBytes = groupPrefixBytes(labels) + member.bytes.length
  const payload = Buffer.alloc(rawBytes)
  const entriesStart = encodeGroupPrefix(payload, 0, labels, {
    byteCount: member.bytes.length,
    recordCount: 1,
    form: member.form,
    flags: 0
  })
  payload.set(member.bytes, entriesStart)
  const header: FrameHeader = {
    storedBytes: rawBytes,
    payloadHash: 0n,
    firstOffset: member.offset,
    recordCount: 1,
    epoch: letter.epoch,
    durableOffset: 0,
    appendTimeMs: member.appendTimeMs,
    rawBytes,
    codec: CODEC.none,
    schema: SCHEMA_GROUPS,
    flags: 0,
    minTimeDelta: 0,
    maxTimeDelta: 0
  }
  const stored = encoder.encode([payload], header, place) ?? [payload]
  header.payloadHash = hash(stored, SALT)
  const head = Buffer.alloc(FRAME_HEADER.byteCount)
  encodeFrameHeader(head, 0, header, hash, SALT)
  return [head, ...stored, Buffer.alloc(alignUp(header.storedBytes) - header.storedBytes)]
}
