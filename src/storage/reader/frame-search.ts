// Runs on: any.
// Where the next frame of a segment stands: at the byte where it should, or, behind damage, at the next place of the
// 8-byte grid whose header verifies. Reads headers only, in windows when frames are small.

import { readTolerant } from '../damage-read.ts'
import { decodeFrameHeader, type FrameHash, type FrameHeader } from '../format/frame.ts'
import { FRAME_ALIGN_BYTES, FRAME_HEADER, frameBytesOf } from '../format/layout.ts'
import type { SegmentPlace } from '../format/store-keys.ts'
import type { Storage } from '../storage.ts'

/** Window while frames are small: one read serves many headers. */
const WINDOW_BYTES = 65_536
/** Frames below this are read by windows, bigger ones header by header. */
const SMALL_FRAME_BYTES = 8192
/** Piece of a search behind damage. */
const SEARCH_BYTES = 1024 * 1024
const MAGIC_BYTES = Buffer.from('MRB1', 'latin1')

/** A segment file as a walk sees it. */
export interface WalkedSegment extends SegmentPlace {
  readonly file: number
  readonly salt: bigint
  /** Nothing at or behind it counts. */
  readonly endByte: number
  /** Frames that reach beyond are superseded by the next segment. */
  readonly endOffset: number
}

export interface FoundFrame {
  readonly startByte: number
  /** Header, payload, padding. */
  readonly byteCount: number
  readonly header: FrameHeader
}

export class FrameSearch {
  readonly #storage: Storage
  readonly #hash: FrameHash
  #window = Buffer.alloc(FRAME_HEADER.byteCount)
  #windowFile = -1
  #windowAtByte = 0
  #windowBytes = 0
  #isSmall = false

  constructor(storage: Storage, hash: FrameHash) {
    this.#storage = storage
    this.#hash = hash
  }

  /** Forgets what was read: a descriptor may name another file now. */
  reset(): void {
    this.#windowFile = -1
  }

  /** First frame at or behind `fromByte` that begins at `expectedOffset` or later. Null: none up to the end. */
  find(segment: WalkedSegment, fromByte: number, expectedOffset: number): FoundFrame | null {
    const at = this.#headerAt(segment, fromByte)
    if (at !== null) {
      const found = this.#accept(segment, this.#window, at, fromByte, expectedOffset)
      if (found !== null) {
        this.#isSmall = found.byteCount < SMALL_FRAME_BYTES
        return found
      }
    }
    return this.#search(segment, fromByte + FRAME_ALIGN_BYTES, expectedOffset)
  }

  /** Place in the window of the header at `atByte`; null: too near to the end for one. */
  #headerAt(segment: WalkedSegment, atByte: number): number | null {
    if (atByte + FRAME_HEADER.byteCount > segment.endByte) return null
    const isInside =
      this.#windowFile === segment.file &&
      atByte >= this.#windowAtByte &&
      atByte + FRAME_HEADER.byteCount <= this.#windowAtByte + this.#windowBytes
    if (isInside) return atByte - this.#windowAtByte
    const wantedBytes = this.#isSmall ? WINDOW_BYTES : FRAME_HEADER.byteCount
    if (this.#window.length < wantedBytes) this.#window = Buffer.allocUnsafeSlow(WINDOW_BYTES)
    const readBytes = Math.min(wantedBytes, segment.endByte - atByte)
    const into = this.#window.subarray(0, readBytes)
    this.#windowBytes = readTolerant(this.#storage, segment.file, into, atByte)
    this.#windowFile = segment.file
    this.#windowAtByte = atByte
    return this.#windowBytes < FRAME_HEADER.byteCount ? null : 0
  }

  #accept(
    segment: WalkedSegment,
    bytes: Buffer,
    at: number,
    startByte: number,
    expectedOffset: number
  ): FoundFrame | null {
    const header = decodeFrameHeader(bytes, at, this.#hash, segment.salt, segment.epoch)
    if (header === null || header.firstOffset < expectedOffset) return null
    if (header.firstOffset + header.recordCount > segment.endOffset) return null
    const byteCount = frameBytesOf(header.storedBytes)
    if (startByte + byteCount > segment.endByte) return null
    return { startByte, byteCount, header }
  }

  #search(segment: WalkedSegment, fromByte: number, expectedOffset: number): FoundFrame | null {
    const piece = Buffer.alloc(Math.max(0, Math.min(SEARCH_BYTES, segment.endByte - fromByte)))
    const step = SEARCH_BYTES - FRAME_HEADER.byteCount
    for (
      let pieceAt = fromByte;
      pieceAt + FRAME_HEADER.byteCount <= segment.endByte;
      pieceAt += step
    ) {
      const wanted = piece.subarray(0, Math.min(piece.length, segment.endByte - pieceAt))
      const bytes = wanted.subarray(0, readTolerant(this.#storage, segment.file, wanted, pieceAt))
      for (let at = bytes.indexOf(MAGIC_BYTES); at >= 0; at = bytes.indexOf(MAGIC_BYTES, at + 1)) {
        if ((pieceAt + at) % FRAME_ALIGN_BYTES !== 0) continue
        const found = this.#accept(segment, bytes, at, pieceAt + at, expectedOffset)
        if (found !== null) return found
      }
      if (bytes.length < wanted.length) return null
    }
    return null
  }
}
