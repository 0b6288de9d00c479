// Step 6. Runs on: main.
// The segments of one shard as its readers see them: which file holds which offsets, how far they may read, and why an
// offset that cannot be read is gone. One per shard, shared by its destinations.

import { dirname } from 'node:path'
import { errnoOf } from '../../core/errors.ts'
import { invariant } from '../../core/invariant.ts'
import type { NewSegment, SegmentRef } from '../../threads/messages.ts'
import { readTolerant } from '../damage-read.ts'
import { type FrameHash, isPayloadIntact } from '../format/frame.ts'
import { FRAME_FLAG, FRAME_HEADER, SEGMENT_HEADER } from '../format/layout.ts'
import { KEYLESS_DECODER, type PayloadDecoder } from '../format/payload-decoder.ts'
import { segmentSalt } from '../format/segment-names.ts'
import type { FileStat, Storage } from '../storage.ts'
import type { Durability } from '../writer/append.ts'
import { type FoundFrame, FrameSearch, type WalkedSegment } from './frame-search.ts'
import { splitAt } from './log-end.ts'
import { readFooter } from './segment-scan.ts'
import type { Hole, RecoveryResult } from './segments.ts'

/** Descriptors that one shard keeps open for reading: the newest segment of the writer, and another one. */
const OPEN_FILES_MAX = 1

export interface ShardSegmentsOptions {
  readonly storage: Storage
  readonly hash: FrameHash
  /** Default: one without keys, to which encrypted frames are locked. */
  readonly decoder?: PayloadDecoder | undefined
  readonly storeSecret: Uint8Array
  readonly logId: Uint8Array
  readonly durability: Durability
  readonly recovered: RecoveryResult
}

/** A segment and what of it may be read now. */
export interface ReadableSegment extends SegmentRef {
  readonly ordinal: number
  /** First offset of the next segment, or the visible end. */
  readonly endOffset: number
  /** Visible end in bytes; null: up to the end of the file. */
  readonly endByte: number | null
  /** Whether it gets no more frames. */
  readonly isComplete: boolean
}

interface Entry extends SegmentRef {
  readonly ordinal: number
  /** Length of the file; -1: not asked yet, or it may grow. */
  byteCount: number
}

interface OpenFile {
  readonly file: number
  readonly byteCount: number
}

export class ShardSegments {
  readonly storage: Storage
  readonly hash: FrameHash
  readonly decoder: PayloadDecoder
  readonly logId: Uint8Array
  readonly #options: ShardSegmentsOptions
  /** Oldest first, ordinals without gaps. */
  readonly #entries: Entry[]
  /** Device of the shard directory; '': not known. */
  #device = ''
  /** Files that were to be deleted and could not: the next deletion tries again, or the next start. */
  readonly undeleted: string[] = []
  /** Ordinals from here on were made by this process: visible under `sync` means durable. */
  readonly #firstOwnOrdinal: number
  readonly #files = new Map<number, OpenFile>()
  readonly #durableOffsets = new Map<number, number>()
  /** Segments with encrypted frames, by ordinal: whether their key fits. */
  readonly #openSegments = new Map<number, boolean>()
  #visible: { ordinal: number; endByte: number; nextOffset: number }
  /** The newest segment that gets no more frames; those before it do not either. */
  #closedOrdinal: number
  #lastOrdinal: number

  constructor(options: ShardSegmentsOptions) {
    const { recovered } = options
    this.storage = options.storage
    this.hash = options.hash
    this.decoder = options.decoder ?? KEYLESS_DECODER
    this.logId = options.logId
    this.#options = options
    this.#entries = recovered.segments.map(({ path, salt, epoch, ordinal, firstOffset }) => ({
      path,
      salt,
      epoch,
      ordinal,
      firstOffset,
      byteCount: -1
    }))
    this.#firstOwnOrdinal = recovered.start.nextOrdinal
    // The writer never appends to a file that it did not make.
    this.#closedOrdinal = recovered.start.nextOrdinal - 1
    this.#lastOrdinal = recovered.start.nextOrdinal - 1
    this.#visible = {
      ordinal: recovered.start.nextOrdinal - 1,
      endByte: recovered.segments.at(-1)?.validEndByte ?? 0,
      nextOffset: recovered.start.nextOffset
    }
    const newest = this.#entries.at(-1)
    if (newest !== undefined) this.#noteDevice(newest.path)
  }

  /** Segments oldest first. */
  get all(): readonly (SegmentRef & { readonly ordinal: number })[] {
    return this.#entries
  }

  /** Ordinal of the newest segment that was ever announced. */
  get lastOrdinal(): number {
    return this.#lastOrdinal
  }

  /** First offset that is still stored; the visible end when nothing is. */
  get oldestOffset(): number {
    return this.#entries[0]?.firstOffset ?? this.#visible.nextOffset
  }

  /** Offset after the last visible record. */
  get endOffset(): number {
    return this.#visible.nextOffset
  }

  /** A segment that the writer made, before anything in it is visible. */
  add(segment: NewSegment): void {
    const { path, epoch, ordinal, firstOffset } = segment
    invariant(ordinal === this.#lastOrdinal + 1, 'segments announced out of order')
    this.#lastOrdinal = ordinal
    const { storeSecret, logId } = this.#options
    const salt = segmentSalt(storeSecret, logId, epoch, firstOffset)
    this.#entries.push({ path, salt, epoch, ordinal, firstOffset, byteCount: -1 })
    this.#openNewest(ordinal, path)
  }

  /** How readers open a segment: by its name, or by our descriptor when the newest has lost it. */
  pathOf(segment: SegmentRef & { readonly ordinal: number }): string {
    const { ordinal, path } = segment
    const open = this.#entries.at(-1)?.ordinal === ordinal && this.#files.get(ordinal)
    if (!open) return path
    const { identity } = this.storage.fstat(open.file)
    if (this.storage.stat(path)?.identity === identity) return path
    // Threads share descriptors, and Linux opens a file by one that has no name left.
    return `/proc/self/fd/${open.file}`
  }

  /** The visible end moved, as the shard's control block tells. */
  setVisible(ordinal: number, endByte: number, nextOffset: number): void {
    this.#visible = { ordinal, endByte, nextOffset }
  }

  /**
   * The writer closed the segment: no frame follows in it. Told with a visible end that was read later, so that everything
   * in it is visible.
   */
  setClosed(ordinal: number): void {
    this.#closedOrdinal = Math.max(this.#closedOrdinal, ordinal)
  }

  /** Length of a segment file: asked once when it is complete, the visible end before. */
  byteCountOf(ordinal: number): number {
    const entry = this.#entries[ordinal - (this.#entries[0]?.ordinal ?? 0)]
    if (entry === undefined) return 0
    if (entry.byteCount >= 0) return entry.byteCount
    if (ordinal > this.#visible.ordinal) return 0
    const isComplete = ordinal < this.#visible.ordinal || ordinal <= this.#closedOrdinal
    if (!isComplete) return this.#visible.endByte
    entry.byteCount = this.storage.stat(entry.path)?.byteCount ?? 0
    return entry.byteCount
  }

  /** Null: no segment of this ordinal, or nothing in it is visible. */
  at(ordinal: number): ReadableSegment | null {
    const index = ordinal - (this.#entries[0]?.ordinal ?? 0)
    const entry = this.#entries[index]
    if (entry === undefined || ordinal > this.#visible.ordinal) return null
    const next = this.#entries[index + 1]
    const isLast = ordinal === this.#visible.ordinal
    return {
      path: entry.path,
      salt: entry.salt,
      epoch: entry.epoch,
      ordinal,
      firstOffset: entry.firstOffset,
      endOffset: isLast || next === undefined ? this.#visible.nextOffset : next.firstOffset,
      endByte: isLast ? this.#visible.endByte : null,
      isComplete: !isLast || ordinal <= this.#closedOrdinal
    }
  }

  /** Ordinal of the segment that holds the offset, or of the first one after it; null: beyond the last. */
  ordinalOf(offset: number): number | null {
    const entries = this.#entries
    let low = 0
    let high = entries.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((entries[middle]?.firstOffset ?? 0) <= offset) low = middle + 1
      else high = middle
    }
    // Of several that begin at the same offset the last one holds it.
    return entries[Math.max(0, low - 1)]?.ordinal ?? null
  }

  /** The file of a segment for reading; null when it is gone. */
  open(segment: ReadableSegment): WalkedSegment | null {
    const open = this.#openFile(segment)
    if (open === null) return null
    return {
      file: open.file,
      logId: this.logId,
      epoch: segment.epoch,
      firstOffset: segment.firstOffset,
      salt: segment.salt,
      endByte: segment.endByte ?? open.byteCount,
      endOffset: segment.endOffset
    }
  }

  /** Forgets the segments wholly below `offset`; their files are the caller's to delete. Returns them. */
  dropBelow(offset: number): SegmentRef[] {
    const dropped: SegmentRef[] = []
    for (let first = this.#entries[0]; first !== undefined; first = this.#entries[0]) {
      const segment = this.at(first.ordinal)
      if (segment === null || !segment.isComplete || segment.endOffset > offset) break
      this.#closeFile(first.ordinal)
      this.#durableOffsets.delete(first.ordinal)
      this.#openSegments.delete(first.ordinal)
      this.#entries.shift()
      dropped.push(first)
    }
    return dropped
  }

  /** Why the offsets [firstOffset, endOffset) cannot be read: real damage, or never acked. */
  judge(firstOffset: number, endOffset: number): Hole[] {
    const holes: Hole[] = []
    let at = firstOffset
    for (const known of this.#options.recovered.holes) {
      if (known.endOffset <= at || known.firstOffset >= endOffset) continue
      if (known.firstOffset > at) holes.push(...this.#judgeUnknown(at, known.firstOffset))
      const from = Math.max(at, known.firstOffset)
      at = Math.min(endOffset, known.endOffset)
      holes.push({ kind: 'hole', firstOffset: from, endOffset: at, reason: known.reason })
    }
    if (at < endOffset) holes.push(...this.#judgeUnknown(at, endOffset))
    return holes
  }

  /** Parts of [firstOffset, endOffset) that recovery found damaged, in order. */
  holesWithin(firstOffset: number, endOffset: number): Hole[] {
    return this.#options.recovered.holes
      .filter((hole) => hole.firstOffset < endOffset && hole.endOffset > firstOffset)
      .map((hole) => ({
        ...hole,
        firstOffset: Math.max(firstOffset, hole.firstOffset),
        endOffset: Math.min(endOffset, hole.endOffset)
      }))
      .sort((one, other) => one.firstOffset - other.firstOffset)
  }

  /** Whether recovery found the whole frame to be damaged, which its header does not tell. */
  isKnownHole(firstOffset: number, endOffset: number): boolean {
    return this.#options.recovered.holes.some(
      (hole) => hole.firstOffset <= firstOffset && hole.endOffset >= endOffset
    )
  }

  /**
   * Whether the frame can be opened with the keys that are there. The first encrypted frame of a segment tries its key: a
   * wrong one locks the segment. Later frames that it does not open were changed by somebody, and count as damage.
   */
  isOpen(segment: ReadableSegment, found: FoundFrame): boolean {
    const { header } = found
    if (!this.decoder.canRead(header)) return false
    if ((header.flags & FRAME_FLAG.encrypted) === 0) return true
    const known = this.#openSegments.get(segment.ordinal)
    if (known !== undefined) return known
    const walked = this.open(segment)
    if (walked === null) return true
    const stored = Buffer.allocUnsafeSlow(header.storedBytes)
    const readBytes = readTolerant(
      this.storage,
      walked.file,
      stored,
      found.startByte + FRAME_HEADER.byteCount
    )
    // A damaged frame says nothing about the key.
    const isIntact =
      readBytes === stored.length && isPayloadIntact(stored, header, this.hash, segment.salt)
    if (!isIntact) return true
    const isOpen = this.decoder.decode(stored, header, walked) !== 'mismatch'
    this.#openSegments.set(segment.ordinal, isOpen)
    return isOpen
  }

  close(): void {
    for (const ordinal of [...this.#files.keys()]) this.#closeFile(ordinal)
  }

  #judgeUnknown(firstOffset: number, endOffset: number): Hole[] {
    const isSync = this.#options.durability === 'sync'
    const ordinal = firstOffset < this.oldestOffset ? null : this.ordinalOf(firstOffset)
    // Below the oldest segment whole files are gone: acked ones, unless the policy lets a power cut take them.
    const unknown = isSync ? endOffset : firstOffset
    const durable = ordinal === null ? unknown : this.#durableOffset(ordinal, isSync)
    return splitAt(firstOffset, endOffset, durable, 'corrupt', isSync ? 'unacked' : 'unsynced')
  }

  /** Every offset of the segment below it was durable. */
  #durableOffset(ordinal: number, isSync: boolean): number {
    if (isSync && ordinal >= this.#firstOwnOrdinal) return Number.MAX_SAFE_INTEGER
    const known = this.#durableOffsets.get(ordinal)
    if (known !== undefined) return known
    const segment = this.at(ordinal)
    const next = this.at(ordinal + 1)
    const afterNext = this.at(ordinal + 2)
    let durable = 0
    if (segment !== null && afterNext?.epoch === segment.epoch) {
      // Two segments were begun after it in its epoch: at most one before the active one is not durable.
      durable = segment.endOffset
    } else {
      if (segment !== null) durable = this.#watermark(segment)
      if (next !== null && next.epoch === segment?.epoch) {
        durable = Math.max(durable, this.#watermark(next))
      }
    }
    if (segment?.isComplete === true) this.#durableOffsets.set(ordinal, durable)
    return durable
  }

  #watermark(segment: ReadableSegment): number {
    const walked = this.open(segment)
    if (walked === null) return 0
    const footer = readFooter(this.storage, this.hash, walked)
    if (footer !== null && footer.recordCount > 0) return footer.lastOffset + 1
    const search = new FrameSearch(this.storage, this.hash)
    let durable = 0
    let byte: number = SEGMENT_HEADER.byteCount
    let offset = segment.firstOffset
    for (let found = search.find(walked, byte, offset); found !== null; ) {
      durable = Math.max(durable, found.header.durableOffset)
      byte = found.startByte + found.byteCount
      offset = found.header.firstOffset + found.header.recordCount
      found = search.find(walked, byte, offset)
    }
    return durable
  }

  #openFile(segment: ReadableSegment): OpenFile | null {
    const known = this.#files.get(segment.ordinal)
    if (known !== undefined && segment.endByte === null && known.byteCount < 0) {
      // It was opened while it grew; now it is complete.
      const { byteCount } = this.storage.fstat(known.file)
      const complete = { file: known.file, byteCount }
      this.#files.set(segment.ordinal, complete)
      return complete
    }
    if (known !== undefined) return known
    try {
      const file = this.storage.open(segment.path, 'read')
      const byteCount = segment.endByte === null ? this.storage.fstat(file).byteCount : -1
      this.#makeRoomForFile()
      this.#files.set(segment.ordinal, { file, byteCount })
      return { file, byteCount }
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT' || this.#isVolumeGone(segment.path)) throw error
      return null
    }
  }

  /** Another volume lies over the one of the segment: what cannot be found is not lost, it is tried again. */
  #isVolumeGone(segmentPath: string): boolean {
    let directory = dirname(segmentPath)
    for (;;) {
      const stat = this.storage.stat(directory)
      if (stat !== null) return this.#device !== '' && deviceOf(stat) !== this.#device
      if (dirname(directory) === directory) return false
      directory = dirname(directory)
    }
  }

  #noteDevice(segmentPath: string): void {
    if (this.#device !== '') return
    const stat = this.storage.stat(dirname(segmentPath))
    if (stat !== null) this.#device = deviceOf(stat)
  }

  /** What was acked in it can be delivered even when somebody deletes the directory. */
  #openNewest(ordinal: number, path: string): void {
    try {
      this.#noteDevice(path)
      const file = this.storage.open(path, 'read')
      this.#makeRoomForFile()
      this.#files.set(ordinal, { file, byteCount: -1 })
    } catch {
      // Readers find out why when they need it.
    }
  }

  #makeRoomForFile(): void {
    const newest = this.#entries.at(-1)?.ordinal
    for (const ordinal of this.#files.keys()) {
      if (this.#files.size >= OPEN_FILES_MAX && ordinal !== newest) this.#closeFile(ordinal)
    }
  }

  #closeFile(ordinal: number): void {
    const open = this.#files.get(ordinal)
    if (open === undefined) return
    this.#files.delete(ordinal)
    this.storage.close(open.file)
  }
}

const deviceOf = ({ identity }: FileStat): string => identity.slice(0, identity.indexOf(':'))
