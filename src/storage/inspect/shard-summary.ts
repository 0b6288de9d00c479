// Runs on: main.
// What a shard holds, read without recovering it: nothing is written, synced or put aside. Costs names and sizes of all
// segments, and the footer of the last one or the headers of its frames.

import path from 'node:path'
import { type CursorRecord, listCursors, readCursorRecord } from '../cursor/archive.ts'
import { readTolerant } from '../damage-read.ts'
import type { FrameHash } from '../format/frame.ts'
import { SEGMENT_FOOTER, SEGMENT_HEADER } from '../format/layout.ts'
import { decodeSegmentFooter } from '../format/segment-file.ts'
import { cursorFileName, segmentSalt } from '../format/segment-names.ts'
import { FrameSearch } from '../reader/frame-search.ts'
import { listShard, type SegmentFileInfo } from '../reader/shard-directory.ts'
import type { Storage } from '../storage.ts'

export interface SummaryOptions {
  readonly storage: Storage
  readonly hash: FrameHash
  readonly storeSecret: Uint8Array
  readonly logId: Uint8Array
  /** Shard directory. */
  readonly directory: string
}

export interface ShardSummary {
  readonly segmentCount: number
  readonly byteCount: number
  /** Offsets of what is stored: [firstOffset, endOffset). */
  readonly firstOffset: number
  readonly endOffset: number
  /** Cursors in use. */
  readonly cursors: readonly SummarisedCursor[]
}

/** `record` and `pending` are null where neither slot of the file can be read. */
export interface SummarisedCursor {
  readonly outputId: string
  readonly record: CursorRecord | null
  readonly pending: number | null
}

export function summariseShard(options: SummaryOptions): ShardSummary {
  const { directory, hash, storage } = options
  const { live } = listShard(storage, directory)
  const last = live.at(-1)
  const endOffset = last === undefined ? 0 : endOf(options, last)
  const firstOffset = live[0]?.firstOffset ?? 0
  return {
    segmentCount: live.length,
    byteCount: live.reduce((sum, { byteCount }) => sum + byteCount, 0),
    firstOffset,
    endOffset,
    cursors: listCursors(storage, directory).live.map((outputId) => {
      const file = path.join(directory, cursorFileName(outputId))
      const record = readCursorRecord(storage, file, hash, { ...options, outputId })
      if (record === null) return { outputId, record, pending: null }
      const { finishedAbove, lowOffset } = record
      return { outputId, record, pending: Math.max(0, endOffset - lowOffset - finishedAbove) }
    })
  }
}

/** Offset after the last record of the last segment. */
function endOf(options: SummaryOptions, segment: SegmentFileInfo): number {
  const { hash, logId, storage, storeSecret } = options
  const { byteCount, epoch, firstOffset } = segment
  const salt = segmentSalt(storeSecret, logId, epoch, firstOffset)
  const file = storage.open(segment.path, 'read')
  try {
    const footer = Buffer.alloc(SEGMENT_FOOTER.byteCount)
    const footerByte = byteCount - footer.length
    if (footerByte >= SEGMENT_HEADER.byteCount) {
      readTolerant(storage, file, footer, footerByte)
      const found = decodeSegmentFooter(footer, 0, hash, salt)
      if (found !== null) return found.recordCount === 0 ? firstOffset : found.lastOffset + 1
    }
    const endOffset = Number.MAX_SAFE_INTEGER
    const walked = { file, logId, epoch, firstOffset, salt, endByte: byteCount, endOffset }
    const search = new FrameSearch(storage, hash)
    let byte: number = SEGMENT_HEADER.byteCount
    let offset = firstOffset
    for (let found = search.find(walked, byte, offset); found !== null; ) {
      byte = found.startByte + found.byteCount
      offset = found.header.firstOffset + found.header.recordCount
      found = search.find(walked, byte, offset)
    }
    return offset
  } finally {
    storage.close(file)
  }
}
