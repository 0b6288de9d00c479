// Runs on: main.
// Before a start touches anything: can this release, with these keys, read what is stored? Looks at headers of segments
// and, for each key, at one frame that it must open; a wrong key would otherwise show as damage.

import path from 'node:path'
import { logIdOf } from '../../core/position.ts'
import { decodeCursorSlot } from '../cursor/slot.ts'
import { readTolerant } from '../damage-read.ts'
import { type FrameHash, isPayloadIntact } from '../format/frame.ts'
import {
  CURSOR_SLOT,
  FRAME_FLAG,
  FRAME_HEADER,
  INCOMPATIBLE_KNOWN,
  SEGMENT_HEADER
} from '../format/layout.ts'
import type { PayloadDecoder } from '../format/payload-decoder.ts'
import { decodeSegmentHeader } from '../format/segment-file.ts'
import { cursorSalt, parseShardDirectoryName, segmentSalt } from '../format/segment-names.ts'
import { checkFormat } from '../format/version.ts'
import { FrameSearch } from '../reader/frame-search.ts'
import { listShard, type SegmentFileInfo } from '../reader/shard-directory.ts'
import type { Storage } from '../storage.ts'

export interface StoreCheckOptions {
  readonly storage: Storage
  readonly hash: FrameHash
  readonly dataDirectory: string
  readonly store: { readonly uuid: Uint8Array; readonly secret: Uint8Array }
  readonly decoder: PayloadDecoder
}

/** A segment whose frames cannot be opened with the keys that are there. */
export interface LockedSegment {
  readonly path: string
  readonly keyId: number
  /** A key of that id is there and does not fit. */
  readonly isKeyWrong: boolean
}

/** Headers read per shard, evenly spread, the first and the last among them: a cold read costs 100 us. */
const HEADERS_MAX = 512
/** Directories that hold logs, and levels of names above their shards. */
const PLACES = ['routes', 'dlq', 'park']
const LEVELS_MAX = 4
/** Frames looked at for one that is intact, to try a key. */
const FRAMES_TRIED_MAX = 16

/** Segments that are locked. Throws MR_STORE_FORMAT when another release wrote one. Changes nothing. */
export function checkStore(options: StoreCheckOptions): LockedSegment[] {
  const locked: LockedSegment[] = []
  for (const place of PLACES) {
    for (const shardPath of shardPaths(options, place, 0)) checkShard(options, shardPath, locked)
  }
  return locked
}

function shardPaths(options: StoreCheckOptions, below: string, level: number): string[] {
  const { dataDirectory, storage } = options
  const directory = path.join(dataDirectory, below)
  if (level > LEVELS_MAX || storage.stat(directory)?.isDirectory !== true) return []
  return storage.readdir(directory).flatMap((name) => {
    const next = `${below}/${name}`
    if (parseShardDirectoryName(name) !== null) return [next]
    return shardPaths(options, next, level + 1)
  })
}

function checkShard(options: StoreCheckOptions, shardPath: string, locked: LockedSegment[]): void {
  const { dataDirectory, storage, store } = options
  const directory = path.join(dataDirectory, shardPath)
  const { live } = listShard(storage, directory)
  const logId = logIdOf(store.uuid, shardPath)
  checkCursors(options, directory, logId)
  /** Whether the first segment with a key was opened; the last one with it comes when the key changes. */
  let triedKeyId = 0
  const looked = spread(live)
  for (const [index, segment] of looked.entries()) {
    const keyId = headerKey(options, segment, logId)
    if (keyId === null || keyId === 0) continue
    const hasKey = options.decoder.hasKey(keyId)
    const isEdge = keyId !== triedKeyId || index === looked.length - 1
    triedKeyId = keyId
    if (hasKey && (!isEdge || opens(options, segment, logId))) continue
    locked.push({ path: segment.path, keyId, isKeyWrong: hasKey })
  }
}

/** A cursor that is not understood would count as lost, and everything be sent again. */
function checkCursors(options: StoreCheckOptions, directory: string, logId: Uint8Array): void {
  const { hash, storage, store } = options
  for (const name of storage.readdir(directory)) {
    if (!name.endsWith('.cur')) continue
    const salt = cursorSalt(store.secret, logId, name.slice(0, -'.cur'.length))
    const file = storage.open(path.join(directory, name), 'read')
    try {
      const slot = Buffer.alloc(CURSOR_SLOT.byteCount)
      for (const atByte of [0, CURSOR_SLOT.byteCount]) {
        readTolerant(storage, file, slot, atByte)
        decodeCursorSlot(slot, hash, salt)
      }
    } finally {
      storage.close(file)
    }
  }
}

function spread(live: readonly SegmentFileInfo[]): readonly SegmentFileInfo[] {
  if (live.length <= HEADERS_MAX) return live
  const step = (live.length - 1) / (HEADERS_MAX - 1)
  const indexes = Array.from({ length: HEADERS_MAX }, (_, index) => Math.round(index * step))
  return live.filter((_, index) => indexes.includes(index))
}

/** Key id in the header of a segment, 0 without one; null: the header is damaged, the frames tell for themselves. */
function headerKey(
  options: StoreCheckOptions,
  segment: SegmentFileInfo,
  logId: Uint8Array
): number | null {
  const { hash, storage, store } = options
  const salt = segmentSalt(store.secret, logId, segment.epoch, segment.firstOffset)
  const file = storage.open(segment.path, 'read')
  try {
    const bytes = Buffer.alloc(SEGMENT_HEADER.byteCount)
    if (readTolerant(storage, file, bytes, 0) < bytes.length) return null
    const header = decodeSegmentHeader(bytes, hash, salt)
    if (header === null) return null
    checkFormat(segment.path, header, INCOMPATIBLE_KNOWN)
    return header.keyId
  } finally {
    storage.close(file)
  }
}

/** Whether the first intact encrypted frame of the segment can be opened; true when there is none to try. */
function opens(
  options: StoreCheckOptions,
  { byteCount, epoch, firstOffset, path: segmentPath }: SegmentFileInfo,
  logId: Uint8Array
): boolean {
  const { decoder, hash, storage, store } = options
  const file = storage.open(segmentPath, 'read')
  try {
    const segment = {
      file,
      logId,
      epoch,
      firstOffset,
      salt: segmentSalt(store.secret, logId, epoch, firstOffset),
      endByte: byteCount,
      endOffset: Number.MAX_SAFE_INTEGER
    }
    const search = new FrameSearch(storage, hash)
    let byte: number = SEGMENT_HEADER.byteCount
    let offset = firstOffset
    for (let tried = 0; tried < FRAMES_TRIED_MAX; tried++) {
      const found = search.find(segment, byte, offset)
      if (found === null) return true
      const { header, startByte } = found
      byte = startByte + found.byteCount
      offset = header.firstOffset + header.recordCount
      if ((header.flags & FRAME_FLAG.encrypted) === 0) continue
      const stored = Buffer.allocUnsafeSlow(header.storedBytes)
      const readBytes = readTolerant(storage, file, stored, startByte + FRAME_HEADER.byteCount)
      if (readBytes < stored.length || !isPayloadIntact(stored, header, hash, segment.salt))
        continue
      return decoder.decode(stored, header, segment) !== 'mismatch'
    }
    return true
  } finally {
    storage.close(file)
  }
}
