// Step 4. Runs on: ingest, main (dead letters).
// Turns groups into frames in the active segment of one shard; synchronous, knows nothing of syncs and waiters. A failed
// or short write is taken back to the end of the last whole message, so the file never holds half of anything that counts.
// Under `sync` it keeps a copy of what is not durable; after the log was cut those frames are written again, first of all.

import { errnoOf } from '../../core/errors.ts'
import { invariant } from '../../core/invariant.ts'
import { encodeFrameHeader, type FrameHeader, groupPrefixBytes } from '../format/frame.ts'
import {
  alignUp,
  CODEC,
  FRAME_HEADER,
  frameBytesOf,
  SCHEMA_GROUPS,
  SEGMENT_FOOTER,
  SEGMENT_HEADER
} from '../format/layout.ts'
import { PayloadEncoder, sealedBytes } from '../format/payload-encoder.ts'
import { type OpenSegment, settleStaged } from '../format/segment-file.ts'
import type { AppendGroup, ShardWriterOptions } from './append.ts'
import { addFacts, type FrameFacts, FrameSlab, groupFlags, newFacts } from './frame-slab.ts'
import { KeptFrames } from './kept-frames.ts'
import { ShardFiles } from './shard-files.ts'

const PADDING = Buffer.alloc(8)

/** An end of the log: byte of a segment, offset after it, append time of the last frame before it. */
export interface LogEnd {
  readonly segment: OpenSegment | null
  readonly byte: number
  readonly offset: number
  readonly timeMs: number
  /** Frame bytes up to here since the writer was made. */
  readonly bytes: number
  /** Frames up to here since the writer was made; one that is written again keeps its number. */
  readonly frames: number
}

/** Why something was not written. */
export interface WriteFailure {
  readonly error: unknown
  /** No further byte may go to the active file. False: it is sound and lacks room, or no new file could be made. */
  readonly isFileBroken: boolean
}

export class FrameWriter {
  readonly slab: FrameSlab
  readonly files: ShardFiles
  readonly #options: ShardWriterOptions
  readonly #encoder: PayloadEncoder
  readonly #sealedBytes: number
  /** Segments made and not yet announced to readers, oldest first. */
  readonly opened: OpenSegment[] = []
  /** Every offset below is durable; goes into the frame headers. */
  durableOffset: number
  /** Every append time from now on is at least this. */
  appendTimeMsMin: number
  /** Written and not durable; stays empty where readers see more than that. */
  readonly #kept = new KeptFrames()
  readonly #isKeeping: boolean
  /** Offset after what is written to files. */
  #writtenOffset: number
  /** Number of the next frame. Below the end of what is kept while frames have to be written again. */
  #writtenFrames = 0
  #whole: LogEnd
  #isInCutMessage = false

  constructor(options: ShardWriterOptions) {
    const { nextOffset, lastAppendTimeMs } = options.shard.start
    this.#options = options
    this.#isKeeping = options.durability === 'sync'
    this.slab = new FrameSlab(options.slab)
    this.files = new ShardFiles(options)
    const { compression, shard, store } = options
    this.#encoder = new PayloadEncoder(store, shard.logId, compression ?? 'none')
    this.#sealedBytes = sealedBytes(store)
    this.durableOffset = nextOffset
    this.appendTimeMsMin = lastAppendTimeMs
    this.#writtenOffset = nextOffset
    const timeMs = lastAppendTimeMs
    this.#whole = { segment: null, byte: 0, offset: nextOffset, timeMs, bytes: 0, frames: 0 }
  }

  /** End of the last whole message in files; the written end is beyond it only within a cut one. */
  get whole(): LogEnd {
    return this.#whole
  }

  get writtenOffset(): number {
    return this.#writtenOffset
  }

  get isInCutMessage(): boolean {
    return this.#isInCutMessage
  }

  /** Frames that were taken, are in no file that counts and wait to be written again: bytes of their payloads. */
  get unwrittenBytes(): number {
    return this.#isRewriting ? this.#kept.byteCount : 0
  }

  /** Records of those frames. */
  get unwrittenRecords(): number {
    let recordCount = 0
    for (let number = this.#writtenFrames; number < this.#kept.end; number++) {
      recordCount += this.#kept.at(number)?.facts.recordCount ?? 0
    }
    return recordCount
  }

  get #isRewriting(): boolean {
    return this.#writtenFrames < this.#kept.end
  }

  /** Writes what waits to be written again, then the gathered frame. After a failure both stay. */
  flush(): WriteFailure | null {
    return this.#rewrite() ?? this.#flushSlab()
  }

  #flushSlab(): WriteFailure | null {
    if (this.slab.isEmpty) return null
    const { bytes, facts, payloadBytes } = this.slab
    const failure = this.ensureSegment(frameBytesOf(payloadBytes + this.#sealedBytes))
    if (failure !== null) return failure
    const payloadEnd = FRAME_HEADER.byteCount + payloadBytes
    const frameEnd = FRAME_HEADER.byteCount + alignUp(payloadBytes)
    bytes.fill(0, payloadEnd, frameEnd)
    const payload = bytes.subarray(FRAME_HEADER.byteCount, payloadEnd)
    const parts = [bytes.subarray(0, frameEnd)]
    const writeFailure = this.#writeFrame(facts, payloadBytes, [payload], parts)
    if (writeFailure !== null) return writeFailure
    if (this.#isKeeping) this.#kept.add([payload], facts, false)
    this.slab.clear()
    this.#settleWhole()
    return null
  }

  #rewrite(): WriteFailure | null {
    while (this.#isRewriting) {
      const frame = this.#kept.at(this.#writtenFrames)
      invariant(frame !== undefined, 'a frame to be written again is kept')
      const { continues, facts, payload, payloadBytes } = frame
      const failure = this.ensureSegment(frameBytesOf(payloadBytes + this.#sealedBytes))
      if (failure !== null) return failure
      const header = this.slab.bytes.subarray(0, FRAME_HEADER.byteCount)
      const padding = PADDING.subarray(0, alignUp(payloadBytes) - payloadBytes)
      const parts = [header, ...payload, padding]
      const writeFailure = this.#writeFrame(facts, payloadBytes, payload, parts)
      if (writeFailure !== null) return writeFailure
      this.#isInCutMessage = continues
      if (!continues) this.#settleWhole()
    }
    return null
  }

  /**
   * Writes one group as a frame of its own, its entries from where they lie. Nothing waits in the slab or to be rewritten.
   * `isHeld`: part of a long message, of which no copy is kept (`forgetFrom`).
   */
  writeGroup(group: AppendGroup, isHeld = false): WriteFailure | null {
    const payloadBytes = groupPrefixBytes(group) + group.entries.length
    const failure = this.ensureSegment(frameBytesOf(payloadBytes + this.#sealedBytes))
    if (failure !== null) return failure
    const { bytes } = this.slab
    const prefixEnd = this.slab.putPrefix(group, groupFlags(group))
    const facts = newFacts()
    addFacts(facts, group)
    const prefix = bytes.subarray(FRAME_HEADER.byteCount, prefixEnd)
    const padding = PADDING.subarray(0, alignUp(payloadBytes) - payloadBytes)
    const parts = [bytes.subarray(0, prefixEnd), group.entries, padding]
    const hashed = [prefix, group.entries]
    const writeFailure = this.#writeFrame(facts, payloadBytes, hashed, parts)
    if (writeFailure !== null) return writeFailure
    this.#isInCutMessage = group.continues === true
    if (this.#isKeeping) this.#kept.add(isHeld ? [] : hashed, facts, this.#isInCutMessage)
    if (!this.#isInCutMessage) this.#settleWhole()
    return null
  }

  /** Takes back what is written of a message that is not whole. */
  takeBackOpen(): WriteFailure | null {
    const { active } = this.files
    if (!this.#isInCutMessage || active === null) return null
    const failure = this.#takeBack(active, null)
    return failure.isFileBroken && failure.error !== null ? failure : null
  }

  /** The frames from `number` on have no copies and are lost with the file. */
  forgetFrom(number: number): void {
    this.#kept.cutTo(number)
  }

  /** Makes sure of a segment that a frame of `frameBytes` may go to. */
  ensureSegment(frameBytes: number): WriteFailure | null {
    const { active, sealed } = this.files
    if (active !== null) {
      const endByte = active.endByte + frameBytes + SEGMENT_FOOTER.byteCount
      const isFull = endByte > this.#options.segmentBytes && active.frameCount > 0
      // One unsynced file besides the active one, a cut message in one file, no name after one that a power cut may still
      // take (a missing file is then damage and nothing else): each may make a segment longer.
      const mayVanish = this.#isKeeping && !active.isNameDurable
      if (!isFull || this.#isInCutMessage || sealed.length > 0 || mayVanish) return null
    }
    try {
      this.opened.push(this.files.open(this.#writtenOffset))
      return null
    } catch (error) {
      return { error, isFileBroken: false }
    }
  }

  /** A segment for after a failure, durable before anything is appended to it. */
  async openFresh(): Promise<void> {
    this.opened.push(await this.files.openDurably(this.#writtenOffset))
  }

  /** Everything up to `end` is durable. */
  settleDurable(end: LogEnd): void {
    this.durableOffset = end.offset
    this.#kept.releaseTo(end.frames)
  }

  /** After the files were cut: goes on behind `end`. Whole messages behind it that are kept are written again. */
  resume(end: LogEnd): void {
    // Parts of a message whose rest never came.
    if (!this.#isRewriting) this.#kept.cutTo(this.#whole.frames)
    this.#whole = end
    this.#writtenOffset = end.offset
    this.#writtenFrames = end.frames
    this.durableOffset = end.offset
    this.#isInCutMessage = false
  }

  #writeFrame(
    facts: Readonly<FrameFacts>,
    payloadBytes: number,
    payload: readonly Uint8Array[],
    plainParts: readonly Uint8Array[]
  ): WriteFailure | null {
    const { storage, hash } = this.#options
    const segment = this.files.active
    invariant(segment !== null, 'write without a segment')
    const header = this.#headerOf(facts, payloadBytes, segment.epoch)
    const stored = this.#encoder.encode(payload, header, segment)
    header.payloadHash = hash(stored ?? payload, segment.salt)
    encodeFrameHeader(this.slab.bytes, 0, header, hash, segment.salt)
    const frameBytes = frameBytesOf(header.storedBytes)
    try {
      const parts = stored === null ? plainParts : this.#framed(stored, header.storedBytes)
      const written = storage.writev(segment.file, parts, segment.endByte)
      if (written !== frameBytes) throw shortWriteError(written, frameBytes)
    } catch (error) {
      return this.#takeBack(segment, error)
    }
    this.appendTimeMsMin = header.appendTimeMs
    this.#writtenOffset += facts.recordCount
    this.#writtenFrames++
    segment.endByte += frameBytes
    const appendSeconds = Math.floor(header.appendTimeMs / 1000)
    segment.staged.push({
      payloadHash: header.payloadHash,
      recordCount: facts.recordCount,
      minTimeMs: (appendSeconds + header.minTimeDelta) * 1000,
      maxTimeMs: (appendSeconds + header.maxTimeDelta) * 1000
    })
    return null
  }

  /** A payload that does not lie as it is stored. */
  #framed(stored: readonly Uint8Array[], storedBytes: number): readonly Uint8Array[] {
    const padding = PADDING.subarray(0, alignUp(storedBytes) - storedBytes)
    return [this.slab.bytes.subarray(0, FRAME_HEADER.byteCount), ...stored, padding]
  }

  /** Of a plain payload, without its hash. */
  #headerOf(facts: Readonly<FrameFacts>, payloadBytes: number, epoch: number): FrameHeader {
    const appendTimeMs = Math.max(this.appendTimeMsMin, this.#options.clock.nowMs())
    const appendSeconds = Math.floor(appendTimeMs / 1000)
    // Without a usable event time the append time stands in.
    const hasTimes = facts.minTimeSeconds <= facts.maxTimeSeconds
    return {
      storedBytes: payloadBytes,
      payloadHash: 0n,
      firstOffset: this.#writtenOffset,
      recordCount: facts.recordCount,
      epoch,
      durableOffset: this.durableOffset,
      appendTimeMs,
      rawBytes: payloadBytes,
      codec: CODEC.none,
      schema: SCHEMA_GROUPS,
      flags: facts.flags,
      minTimeDelta: hasTimes ? facts.minTimeSeconds - appendSeconds : 0,
      maxTimeDelta: hasTimes ? facts.maxTimeSeconds - appendSeconds : 0
    }
  }

  /** What was written up to now is whole: it may become visible. */
  #settleWhole(): void {
    const segment = this.files.active
    invariant(segment !== null, 'whole message without a segment')
    const isSame = this.#whole.segment === segment
    const byteCount = segment.endByte - (isSame ? this.#whole.byte : SEGMENT_HEADER.byteCount)
    settleStaged(segment)
    this.files.addBytes(byteCount)
    this.#whole = {
      segment,
      byte: segment.endByte,
      offset: this.#writtenOffset,
      timeMs: this.appendTimeMsMin,
      bytes: this.#whole.bytes + byteCount,
      frames: this.#writtenFrames
    }
  }

  #takeBack(segment: OpenSegment, error: unknown): WriteFailure {
    const isSame = this.#whole.segment === segment
    segment.endByte = isSame ? this.#whole.byte : SEGMENT_HEADER.byteCount
    segment.staged.length = 0
    if (!this.#isRewriting) this.#kept.cutTo(this.#whole.frames)
    this.#writtenOffset = this.#whole.offset
    this.#writtenFrames = this.#whole.frames
    this.#isInCutMessage = false
    try {
      this.#options.storage.truncate(segment.file, segment.endByte)
    } catch (truncateError) {
      return { error: truncateError, isFileBroken: true }
    }
    return { error, isFileBroken: error !== null && !isNoRoom(error) }
  }
}

/** No space, no inodes or no quota: passes when room is made. */
export function isNoRoom(error: unknown): boolean {
  const errno = errnoOf(error)
  return errno === 'ENOSPC' || errno === 'EDQUOT'
}

/** `writev` may end early without an error on a full volume. */
function shortWriteError(writtenBytes: number, wantedBytes: number): Error {
  const error: NodeJS.ErrnoException = new Error(
    `write of ${wantedBytes} bytes ended after ${writtenBytes}: no space left on the volume`
  )
  error.code = 'ENOSPC'
  return error
}
