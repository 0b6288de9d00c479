// Runs on: pool.
// Checks a piece of a sealed segment before anybody needs it: headers, hashes, and that payloads open. Changes nothing but
// the quarantine, where it keeps what it found. It counts no loss: cursors do when they pass a hole, once.

import path from 'node:path'
import { errnoOf } from '../../core/errors.ts'
import type { ScrubRequest, ScrubResult } from '../../threads/messages.ts'
import type { FrameHash } from '../format/frame.ts'
import { SEGMENT_HEADER } from '../format/layout.ts'
import type { PayloadDecoder } from '../format/payload-decoder.ts'
import { FrameSearch } from '../reader/frame-search.ts'
import { Quarantine } from '../reader/quarantine.ts'
import { PayloadReader, type ScanHole } from '../reader/segment-scan.ts'
import type { Storage } from '../storage.ts'

/** Damaged ranges of one piece that are told one by one; a piece of a ruined file has more. */
const DAMAGES_MAX = 100

export interface ScrubTools {
  readonly storage: Storage
  readonly hash: FrameHash
  readonly decoder: PayloadDecoder
}

/** Blocks for as long as the piece takes to read: `byteCount` and the frame that reaches beyond it. */
export function scrubPiece(request: ScrubRequest, tools: ScrubTools): ScrubResult {
  const { hash, storage } = tools
  let file: number
  try {
    file = storage.open(request.segment.path, 'read')
  } catch (error) {
    // Delivered and deleted meanwhile.
    if (errnoOf(error) !== 'ENOENT') throw error
    return { kind: 'scrubbed', nextByte: 0, nextOffset: 0, isEnd: true, readBytes: 0, damages: [] }
  }
  try {
    const { byteCount: fileBytes } = storage.fstat(file)
    const segment = {
      ...request.segment,
      file,
      logId: request.logId,
      endByte: fileBytes,
      endOffset: request.endOffset
    }
    const search = new FrameSearch(storage, hash)
    const payloads = new PayloadReader(storage, segment, tools.decoder)
    const startByte = Math.max(request.startByte, SEGMENT_HEADER.byteCount)
    const walk = { byte: startByte, offset: request.startOffset, damages: [] as ScanHole[] }
    const addHole = (endOffset: number, endByte: number) => {
      const hole = { firstOffset: walk.offset, endOffset, startByte: walk.byte, endByte }
      if (walk.damages.length < DAMAGES_MAX) walk.damages.push(hole)
      walk.offset = endOffset
      walk.byte = endByte
    }
    let isEnd = false
    while (walk.byte - startByte < request.byteCount) {
      const found = search.find(segment, walk.byte, walk.offset)
      if (found === null) {
        // Bytes behind the last offset were given up by the writer, or are the footer.
        if (walk.offset < request.endOffset) addHole(request.endOffset, fileBytes)
        isEnd = true
        break
      }
      const { header } = found
      if (header.firstOffset > walk.offset) addHole(header.firstOffset, found.startByte)
      const endOffset = header.firstOffset + header.recordCount
      const endByte = found.startByte + found.byteCount
      if (payloads.groups(found, hash) === 'damaged') addHole(endOffset, endByte)
      walk.offset = endOffset
      walk.byte = endByte
    }
    const quarantine = new Quarantine(storage, path.dirname(request.segment.path))
    const notes = walk.damages.map((hole) => {
      const range = { ...hole, segmentPath: request.segment.path, reason: 'scrub' }
      return { ...hole, note: quarantine.copyRange(file, range) }
    })
    return {
      kind: 'scrubbed',
      nextByte: walk.byte,
      nextOffset: walk.offset,
      isEnd: isEnd || walk.offset >= request.endOffset,
      readBytes: walk.byte - startByte,
      damages: notes
    }
  } finally {
    storage.close(file)
  }
}
