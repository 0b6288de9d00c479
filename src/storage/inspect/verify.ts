// Runs on: any.
// What is wrong with a shard, found by reading it: byte ranges, the offsets that stood in them, and how many of those each
// destination still waits for. Shallow: names, headers, footers and how they fit together. Deep: every frame, payload and
// entry besides. The last segment is always read whole, since only its frames say where the log ends. Streams: one finding
// and one frame at a time.

import path from 'node:path'
import { errnoOf } from '../../core/errors.ts'
import { readTolerant } from '../damage-read.ts'
import type { Group } from '../format/frame.ts'
import { SEGMENT_HEADER } from '../format/layout.ts'
import {
  decodeSegmentHeader,
  type SegmentFooter,
  type SegmentHeader
} from '../format/segment-file.ts'
import { splitEntries } from '../format/stored-entries.ts'
import { WordHash } from '../format/word-hash.ts'
import { type FoundFrame, FrameSearch, type WalkedSegment } from '../reader/frame-search.ts'
import {
  type FrameGroups,
  readFooter,
  type ScanResult,
  scanSegment
} from '../reader/segment-scan.ts'
import { checkSegmentFormat, type SegmentFileInfo } from '../reader/shard-directory.ts'
import type { ReadableSegment } from '../reader/shard-segments.ts'
import { type ReadableShard, unfinishedOf } from './shard.ts'

/**
 * What a finding is about. Damage: `records` (durable records are gone), `unsynced` (acked without the disk, gone with the
 * power), `header`, `footer`, `cursor`, `counts`, `meta`. The others are notes, normal after a kill or a failed sync:
 * `unacked` (written, never acked under `sync`), `superseded`, `foreign` (not a file of the queue).
 */
export type FindingKind =
  | 'records'
  | 'unsynced'
  | 'header'
  | 'footer'
  | 'cursor'
  | 'counts'
  | 'meta'
  | 'unacked'
  | 'superseded'
  | 'foreign'

const NOTES: readonly FindingKind[] = ['unacked', 'superseded', 'foreign']

export interface Finding {
  readonly kind: FindingKind
  /** False: worth knowing, nothing is wrong. */
  readonly isDamage: boolean
  /** `routes/web/shard-00` */
  readonly shard: string
  /** Name of the file; null: it is missing. */
  readonly file: string | null
  readonly startByte: number | null
  readonly endByte: number | null
  readonly firstOffset: number | null
  /** Offsets that cannot be read; 0: none is lost. */
  readonly recordCount: number
  /** Of these: what each destination has not finished. */
  readonly unfinished: Readonly<Record<string, number>>
  readonly text: string
}

export interface Checked {
  segments: number
  /** Of segments that were read whole. */
  frames: number
  records: number
  bytes: number
  /** Records whose hash is right and whose payload needs a key that is not here. */
  locked: number
}

type Draft = Pick<Finding, 'kind' | 'text'> & Partial<Finding>

/** Where a segment stops, and what is said about the bytes there. */
interface Gap {
  readonly firstOffset: number
  readonly endOffset: number
  readonly startByte: number
  readonly endByte: number
}

/** Findings of one shard; `checked` grows meanwhile. */
export function* verifyShard(
  shard: ReadableShard,
  isDeep: boolean,
  checked: Checked
): Generator<Finding> {
  const finding = (draft: Draft): Finding => ({
    isDamage: !NOTES.includes(draft.kind),
    shard: shard.path,
    file: null,
    startByte: null,
    endByte: null,
    firstOffset: null,
    recordCount: 0,
    unfinished: {},
    ...draft
  })
  for (const draft of listed(shard)) yield finding(draft)
  for (const draft of missingAtStart(shard)) yield finding(draft)
  const { live } = shard.listing
  for (const [index, info] of live.entries()) {
    const check = new SegmentCheck(shard, info, index, isDeep || index === live.length - 1)
    for (const draft of check.run(checked)) {
      yield finding({ file: path.basename(info.path), ...draft })
    }
  }
  for (const draft of beyondEnd(shard)) yield finding(draft)
}

/** What names and cursors alone tell. */
function* listed({ cursors, listing }: ReadableShard): Generator<Draft> {
  for (const name of listing.unknown) {
    yield { kind: 'foreign', file: name, text: 'not a file of the queue; it is left alone' }
  }
  for (const { byteCount, path: file } of listing.superseded) {
    const place = { file: path.basename(file), startByte: 0, endByte: byteCount }
    yield { kind: 'superseded', ...place, text: 'a later epoch holds the same offsets' }
  }
  for (const { content, output } of cursors) {
    const file = `${output}.cur`
    if (content === null) {
      const text =
        'no slot of the cursor can be read; its destination begins again at the oldest record'
      yield { kind: 'cursor', file, text }
      continue
    }
    const finished = content.ranges.reduce((sum, [first, end]) => sum + end - first, 0)
    const counted = [...content.counts.values()].reduce((sum, { records }) => sum + records, 0)
    const wanted = content.low - content.origin + finished
    if (counted === wanted) continue
    yield { kind: 'counts', file, text: `${wanted} records are finished, ${counted} are counted` }
  }
}

/** Offsets below the oldest file that a destination still waits for. */
function* missingAtStart(shard: ReadableShard): Generator<Draft> {
  const oldest = shard.segments.oldestOffset
  const low = Math.min(oldest, ...shard.cursors.map(({ content }) => content?.low ?? oldest))
  yield* lost(shard, { firstOffset: low, endOffset: oldest }, {}, 'the files are missing')
}

/** Cursors have finished offsets behind the last record that is there. */
function* beyondEnd(shard: ReadableShard): Generator<Draft> {
  const { fileEndOffset: firstOffset, start } = shard.recovered
  const range = { firstOffset, endOffset: start.nextOffset }
  yield* lost(shard, range, {}, 'a cursor has finished records behind the end of the log')
}

/** Offsets that are gone, by why. */
function* lost(
  shard: ReadableShard,
  range: { readonly firstOffset: number; readonly endOffset: number },
  place: Partial<Finding>,
  text: string
): Generator<Draft> {
  if (range.firstOffset >= range.endOffset) return
  for (const hole of shard.segments.judge(range.firstOffset, range.endOffset)) {
    yield {
      kind: hole.reason === 'corrupt' ? 'records' : hole.reason,
      ...place,
      firstOffset: hole.firstOffset,
      recordCount: hole.endOffset - hole.firstOffset,
      unfinished: unfinishedOf(shard, hole.firstOffset, hole.endOffset),
      text
    }
  }
}

class SegmentCheck {
  readonly #shard: ReadableShard
  readonly #info: SegmentFileInfo
  readonly #index: number
  readonly #isWhole: boolean
  readonly #isLast: boolean
  #fileBytes = 0

  /** `isWhole`: every byte is read. */
  constructor(shard: ReadableShard, info: SegmentFileInfo, index: number, isWhole: boolean) {
    this.#shard = shard
    this.#info = info
    this.#index = index
    this.#isWhole = isWhole
    this.#isLast = index === shard.listing.live.length - 1
  }

  *run(checked: Checked): Generator<Draft> {
    const segment = this.#shard.segments.at(this.#index)
    const walked = segment === null ? null : this.#open(segment)
    // Deleted since it was listed: every destination had finished it.
    if (segment === null || walked === null) return
    const { byteCount } = this.#shard.store.storage.fstat(walked.file)
    // What stands behind the end of the log is looked at too.
    const whole = { ...walked, endByte: byteCount }
    this.#fileBytes = byteCount
    checked.segments++
    checked.bytes += byteCount
    yield* this.#header(whole)
    const footer = readFooter(this.#shard.store.storage, this.#shard.store.hash, whole)
    if (this.#isWhole) yield* this.#frames(segment, whole, footer, checked)
    else yield* this.#end(segment, whole, footer)
  }

  #open(segment: ReadableSegment): WalkedSegment | null {
    try {
      return this.#shard.segments.open(segment)
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return null
      throw error
    }
  }

  *#header(walked: WalkedSegment): Generator<Draft> {
    const { storage } = this.#shard.store
    const { hash } = this.#shard.store
    const { epoch, firstOffset, path: file } = this.#info
    checkSegmentFormat(storage, walked.file, file, hash, walked.salt)
    const header = this.#readHeader(walked.file, walked.salt)
    const place = { startByte: 0, endByte: SEGMENT_HEADER.byteCount }
    if (header === null) {
      const text = 'the header of the segment does not verify; its frames are readable without it'
      yield { kind: 'header', ...place, text }
      return
    }
    const isRight =
      header.epoch === epoch &&
      header.firstOffset === firstOffset &&
      header.shardNumber === this.#shard.shardNumber
    if (!isRight) yield { kind: 'header', ...place, text: 'the header belongs to another segment' }
  }

  #readHeader(file: number, salt: bigint): SegmentHeader | null {
    const { hash, storage } = this.#shard.store
    const bytes = Buffer.alloc(SEGMENT_HEADER.byteCount)
    const readBytes = readTolerant(storage, file, bytes, 0)
    return decodeSegmentHeader(bytes.subarray(0, readBytes), hash, salt)
  }

  /** By the footer, or by the headers of frames where there is none: does the next segment follow? */
  *#end(
    segment: ReadableSegment,
    walked: WalkedSegment,
    footer: SegmentFooter | null
  ): Generator<Draft> {
    if (footer !== null) {
      const endOffset = footer.recordCount === 0 ? segment.firstOffset : footer.lastOffset + 1
      const atByte = footer.bytesBefore
      yield* this.#gap(segment, { firstOffset: endOffset, startByte: atByte, endByte: atByte })
      return
    }
    const { hash, storage } = this.#shard.store
    const search = new FrameSearch(storage, hash)
    let byte: number = SEGMENT_HEADER.byteCount
    let offset = segment.firstOffset
    for (let found = search.find(walked, byte, offset); found !== null; ) {
      const { header, startByte } = found
      if (header.firstOffset > offset) {
        yield* this.#lost({
          firstOffset: offset,
          endOffset: header.firstOffset,
          startByte: byte,
          endByte: startByte
        })
      }
      byte = startByte + found.byteCount
      offset = header.firstOffset + header.recordCount
      found = search.find(walked, byte, offset)
    }
    yield* this.#gap(segment, { firstOffset: offset, startByte: byte, endByte: walked.endByte })
  }

  *#frames(
    segment: ReadableSegment,
    walked: WalkedSegment,
    footer: SegmentFooter | null,
    checked: Checked
  ): Generator<Draft> {
    const { hash, storage } = this.#shard.store
    const hashes = new WordHash(walked.salt)
    const miscounted: Gap[] = []
    let recordCount = 0
    const onFrame = (found: FoundFrame, groups: FrameGroups) => {
      hashes.add(found.header.payloadHash)
      recordCount += found.header.recordCount
      checked.frames++
      checked.records += groups === 'damaged' ? 0 : found.header.recordCount
      if (groups === 'locked') checked.locked += found.header.recordCount
      else if (groups !== 'damaged' && !groups.every(hasItsEntries)) miscounted.push(gapOf(found))
    }
    const { firstOffset } = segment
    const { decoder } = this.#shard.segments
    const scan = scanSegment({ storage, hash, decoder, segment: walked, firstOffset, onFrame })
    for (const hole of scan.holes) yield* this.#hole(segment, hole)
    for (const gap of miscounted) {
      yield* this.#lost(gap, 'the payload verifies, its entries are not as many as it says')
    }
    if (!this.#isLast) {
      const { seenByte, seenOffset } = scan
      const endByte = footer?.bytesBefore ?? walked.endByte
      yield* this.#gap(segment, { firstOffset: seenOffset, startByte: seenByte, endByte })
    } else {
      yield* this.#tail(scan, walked)
    }
    const isRight =
      footer === null ||
      scan.holes.some(({ endByte, startByte }) => endByte > startByte) ||
      (footer.recordCount === recordCount && footer.payloadHashes === hashes.digest())
    if (!isRight) {
      const text = `the footer counts ${footer.recordCount} records, ${recordCount} are there, or not the same ones`
      yield { kind: 'footer', startByte: footer.bytesBefore, endByte: walked.endByte, text }
    }
  }

  /** What stands behind the last frame of the log. */
  *#tail(scan: ScanResult, walked: WalkedSegment): Generator<Draft> {
    if (!scan.hasTailBytes && scan.tornRecords === 0) return
    const place = { startByte: scan.endByte, endByte: walked.endByte }
    const text = 'the end of the log: written in part, and never acked under durability: sync'
    const { endOffset: firstOffset, tornRecords: recordCount } = scan
    yield { kind: 'unacked', ...place, firstOffset, recordCount, text }
  }

  /** Above the end of the log a hole was never acked. */
  *#hole(segment: ReadableSegment, gap: Gap): Generator<Draft> {
    const logEnd = !this.#isLast ? segment.endOffset : this.#shard.recovered.start.nextOffset
    const endOffset = Math.min(gap.endOffset, Math.max(gap.firstOffset, logEnd))
    yield* this.#lost({ ...gap, endOffset })
    if (endOffset >= gap.endOffset) return
    const { endByte, startByte } = gap
    const recordCount = gap.endOffset - endOffset
    const text = 'the end of the log: written in part, and never acked under durability: sync'
    yield { kind: 'unacked', startByte, endByte, firstOffset: endOffset, recordCount, text }
  }

  /** Offsets between the end of this segment and the next one. */
  *#gap(segment: ReadableSegment, end: Omit<Gap, 'endOffset'>): Generator<Draft> {
    if (this.#isLast || end.firstOffset >= segment.endOffset) return
    const cutAt = this.#validEnd()
    const isCut = cutAt !== null && cutAt > this.#fileBytes
    const endByte = isCut ? cutAt : end.endByte
    const gap = { ...end, endByte, endOffset: segment.endOffset }
    if (isCut)
      yield* this.#lost(
        gap,
        `the file is cut: ${cutAt} bytes of it counted when the next one was begun`
      )
    else if (endByte > end.startByte) yield* this.#lost(gap)
    else yield* lost(this.#shard, gap, { file: null }, 'no file holds these offsets')
  }

  /** Bytes of this segment that counted when the next one was begun, as the header of that one says. */
  #validEnd(): number | null {
    const next = this.#shard.segments.at(this.#index + 1)
    const walked = next === null ? null : this.#open(next)
    const header = walked === null ? null : this.#readHeader(walked.file, walked.salt)
    return header?.prevValidEndByte ?? null
  }

  *#lost(gap: Gap, text = 'these bytes do not verify'): Generator<Draft> {
    const { endByte, startByte } = gap
    yield* lost(this.#shard, gap, { startByte, endByte }, text)
  }
}

function hasItsEntries(group: Group): boolean {
  return splitEntries(group)?.length === group.recordCount
}

function gapOf({ byteCount, header, startByte }: FoundFrame): Gap {
  const endOffset = header.firstOffset + header.recordCount
  return { firstOffset: header.firstOffset, endOffset, startByte, endByte: startByte + byteCount }
}
